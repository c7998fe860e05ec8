//! Which segments are worth being rewritten. Pure: it knows only how much of each is shown.

use std::ops::Range;

/// So many segments in a row that together are no larger than one become one.
const MANY_SMALL: usize = 8;

/// What a segment takes, how much of that is shown, and whether it goes with others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) len: u64,
    pub(crate) live: u64,
    pub(crate) alone: bool,
}

/// What a rewriting must give back to be worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Least {
    /// At least half of what is rewritten.
    Half,
    /// Whatever there is, but for what is in no proportion to the work.
    Anything,
}

impl Least {
    fn is_met(self, gain: u64, len: u64) -> bool {
        match self {
            Self::Half => gain * 2 >= len,
            Self::Anything => gain * 256 >= len,
        }
    }
}

/// The run that gives back most, if that is worth it; or else many small ones. `None` is a segment
/// that is left as it is.
pub(crate) fn pick(weights: &[Option<Weight>], full: u64, least: Least) -> Option<Range<usize>> {
    let mut best: Option<(u64, Range<usize>)> = None;
    for start in 0..weights.len() {
        let (mut len, mut live) = (0, 0);
        for (i, weight) in weights[start..].iter().enumerate() {
            let Some(weight) = weight.filter(|weight| i == 0 || !weight.alone) else { break };
            (len, live) = (len + weight.len, live + weight.live);
            if live > full && i > 0 {
                break;
            }
            let gain = len - live;
            let worth = least.is_met(gain, len) || (i + 1 >= MANY_SMALL && len <= full);
            let better = best.as_ref().is_none_or(|(most, run)| (gain, i + 1) > (*most, run.len()));
            if worth && better {
                best = Some((gain, start..start + i + 1));
            }
            if weight.alone {
                break;
            }
        }
    }
    best.map(|(_, run)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(weights: &[(u64, u64)]) -> Option<Range<usize>> {
        let weigh = |(len, live): &(u64, u64)| Weight { len: *len, live: *live, alone: false };
        let weights: Vec<_> = weights.iter().map(|pair| Some(weigh(pair))).collect();
        pick(&weights, 100, Least::Half)
    }

    #[test]
    fn what_failed_stops_a_run() {
        let small = Weight { len: 2, live: 2, alone: false };
        let hidden = Weight { live: 0, ..small };
        let alone = Weight { alone: true, ..hidden };
        let little = Weight { len: 100, live: 99, alone: false };
        assert_eq!(pick(&[Some(little)], 100, Least::Half), None);
        assert_eq!(pick(&[Some(little)], 100, Least::Anything), Some(0..1));
        assert_eq!(pick(&[None; 9], 100, Least::Half), None);
        let mut many = [Some(small); 9];
        many[4] = None;
        assert_eq!(pick(&many, 100, Least::Half), None);
        assert_eq!(pick(&[None, Some(hidden)], 100, Least::Half), Some(1..2));
        assert_eq!(pick(&[Some(alone), Some(alone)], 100, Least::Half), Some(0..1));
        assert_eq!(pick(&[Some(alone), Some(hidden), Some(hidden)], 100, Least::Half), Some(1..3));
    }

    #[test]
    fn what_is_worth_compacting() {
        assert_eq!(picked(&[]), None);
        assert_eq!(picked(&[(100, 100), (100, 51)]), None);
        assert_eq!(picked(&[(100, 100), (100, 50)]), Some(1..2));
        assert_eq!(picked(&[(100, 30), (100, 30), (100, 30), (100, 30)]), Some(0..3));
        assert_eq!(picked(&[(2, 2); 7]), None);
        assert_eq!(picked(&[(2, 2); 9]), Some(0..9));
        assert_eq!(picked(&[(300, 120), (100, 100)]), Some(0..1), "however large it is");
    }
}
