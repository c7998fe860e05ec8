//! Finding a place in what is in order. Readers are mostly near the end, so it is looked for from there: a few
//! steps, where a binary search over everything would touch memory that nobody has looked at for long.

use std::collections::VecDeque;

/// How many of the items, which are in order, `is_before` says yes of.
pub fn seek<T>(items: &VecDeque<T>, is_before: impl Fn(&T) -> bool) -> usize {
    let (mut high, mut step) = (items.len(), 1);
    let mut low = loop {
        if high == 0 {
            return 0;
        }
        let looked = items.len().saturating_sub(step);
        if is_before(&items[looked]) {
            break looked + 1;
        }
        (high, step) = (looked, 2 * step);
    };
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_before(&items[middle]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_search_over_everything_finds() {
        for len in 0..70 {
            let items: VecDeque<usize> = (0..len).map(|n| 2 * n).collect();
            for wanted in 0..=2 * len + 1 {
                let expected = items.partition_point(|item| *item < wanted);
                assert_eq!(seek(&items, |item| *item < wanted), expected, "{wanted} of {len}");
            }
        }
    }
}
