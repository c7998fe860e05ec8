//! Mistakes that the log can be told to make, so that the tests that must notice them are tested
//! too. Without the feature `simulator` it makes none.

use super::DiskConfig;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "simulator")),
    allow(dead_code, unreachable_pub, reason = "made by the simulator only")
)]
pub enum Mutation {
    /// A sync is taken for done without doing it: what is shown may be lost.
    SkipSync,
    /// An append is shown and acknowledged, and only then synced.
    AckBeforeSync,
    /// Compaction takes one event too many of each topic.
    CompactTooMuch,
    /// What a compaction empties is not put on record.
    ForgetWatermarks,
    /// The watermark of an emptied topic is one position short.
    ShortWatermark,
    /// Events go a little before they are too old.
    ExpireEarly,
    /// An opening goes on behind the last entry, not behind what may have been given out.
    ReusePosition,
    /// An index file misses a topic.
    ForgetfulIndex,
}

/// For [`Mutation::ShortWatermark`]: the same watermarks, each one position short.
pub(super) fn shortened(watermarks: &str) -> String {
    let short = |line: &str| {
        let (last, topic) = line.split_once(' ')?;
        Some(format!("{} {topic}\n", last.parse::<u64>().ok()?.saturating_sub(1)))
    };
    watermarks.lines().map(|line| short(line).unwrap_or_else(|| format!("{line}\n"))).collect()
}

impl DiskConfig {
    /// The mistake that it is to make.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn mutation(&self) -> Option<Mutation> {
        self.mutation
    }

    /// None: only the simulator makes mistakes.
    #[cfg(not(any(test, feature = "simulator")))]
    #[allow(clippy::unused_self, reason = "as above")]
    pub(crate) const fn mutation(&self) -> Option<Mutation> {
        None
    }

    /// Whether it is to make this one.
    pub(crate) fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation() == Some(mutation)
    }
}
