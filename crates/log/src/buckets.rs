//! How much a topic holds, in a few buckets: enough to know what is over its limits without a
//! note for each event. What goes, goes by whole buckets: late by a thirty-second of the limit
//! at most, never early.

use std::collections::VecDeque;

use crate::{Limits, Position};

/// Into how many buckets a limit is divided. Limits up to this number of events are exact.
const DIVISIONS: u64 = 32;

/// Some successive events of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The last of them.
    pub last: Position,
    /// How many.
    pub events: u64,
    /// What they take, as the log counts it.
    pub bytes: u64,
}

/// What one topic holds, oldest first, in buckets that are small against its limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Buckets {
    oldest_first: VecDeque<Bucket>,
    events: u64,
    bytes: u64,
}

impl FromIterator<Bucket> for Buckets {
    /// As they were, oldest first.
    fn from_iter<I: IntoIterator<Item = Bucket>>(buckets: I) -> Self {
        let oldest_first: VecDeque<Bucket> = buckets.into_iter().collect();
        let sum = |of: fn(&Bucket) -> u64| oldest_first.iter().map(of).fold(0, u64::saturating_add);
        Self { events: sum(|b| b.events), bytes: sum(|b| b.bytes), oldest_first }
    }
}

impl Buckets {
    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.oldest_first.iter()
    }

    /// Takes in the next events, and answers up to which position the topic is now over its
    /// limits. What is counted already is not counted again.
    pub fn add(&mut self, new: Bucket, limits: &Limits) -> Option<Position> {
        if self.oldest_first.back().is_some_and(|newest| newest.last >= new.last) {
            return None;
        }
        self.events += new.events;
        self.bytes += new.bytes;
        match self.oldest_first.back_mut() {
            Some(open) if !is_full(open, limits) => {
                open.last = new.last;
                open.events += new.events;
                open.bytes += new.bytes;
            }
            _ => self.oldest_first.push_back(new),
        }
        self.trim(limits)
    }

    /// Everything up to `position` is gone.
    pub(crate) fn forget(&mut self, position: Position) {
        while self.oldest_first.front().is_some_and(|bucket| bucket.last <= position) {
            self.pop();
        }
    }

    fn trim(&mut self, limits: &Limits) -> Option<Position> {
        let mut removed = None;
        while self.oldest_first.len() > 1 && self.can_spare_oldest(limits) {
            removed = self.pop().or(removed);
        }
        removed
    }

    /// Without its oldest bucket the topic would still be at a limit.
    fn can_spare_oldest(&self, limits: &Limits) -> bool {
        let Some(oldest) = self.oldest_first.front() else { return false };
        limits.max_events.is_some_and(|max| self.events - oldest.events >= max)
            || limits.max_bytes.is_some_and(|max| self.bytes - oldest.bytes >= max)
    }

    fn pop(&mut self) -> Option<Position> {
        let oldest = self.oldest_first.pop_front()?;
        self.events -= oldest.events;
        self.bytes -= oldest.bytes;
        Some(oldest.last)
    }
}

fn is_full(bucket: &Bucket, limits: &Limits) -> bool {
    limits.max_events.is_some_and(|max| bucket.events >= max.div_ceil(DIVISIONS))
        || limits.max_bytes.is_some_and(|max| bucket.bytes >= max.div_ceil(DIVISIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `count` events of `bytes` each and answers how many are left.
    fn left(count: u64, bytes: u64, limits: Limits) -> u64 {
        let (mut buckets, mut removed) = (Buckets::default(), 0);
        for n in 1..=count {
            let new = Bucket { last: Position(n), events: 1, bytes };
            removed = buckets.add(new, &limits).map_or(removed, |position| position.0);
            assert!(buckets.oldest_first.len() as u64 <= 2 * DIVISIONS + 2);
        }
        assert_eq!(buckets.events, count - removed);
        count - removed
    }

    #[test]
    fn small_numbers_are_exact_and_large_ones_never_early() {
        for max in [1, 2, 7, 32] {
            let limits = Limits { max_events: Some(max), ..Limits::default() };
            assert_eq!(left(1000, 9, limits), max);
        }
        for max in [33, 100, 1000, 5000] {
            for count in [max - 1, max, max + 1, 3 * max + 17] {
                let limits = Limits { max_events: Some(max), ..Limits::default() };
                let (left, at_least) = (left(count, 9, limits), max.min(count));
                assert!((at_least..=at_least + max / 16).contains(&left), "{max} {count}: {left}");
            }
        }
    }

    #[test]
    fn bytes_are_never_early_and_little_late() {
        let limits = Limits { max_bytes: Some(10_000), ..Limits::default() };
        for bytes in [1, 100, 3000, 20_000] {
            let left = left(40_000, bytes, limits) * bytes;
            assert!((10_000..=10_000 + bytes.max(700)).contains(&left), "{bytes}: {left}");
        }
    }
}
