//! Mistakes that the hub can be told to make, so that the simulator, which must notice them, is tested
//! too. Without the feature `simulator` it makes none.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "simulator")),
    allow(dead_code, unreachable_pub, reason = "made by the simulator only")
)]
pub enum Mutation {
    /// A cursor that reads the log skips an event now and then, at the seam to the window.
    SkipAtSeam,
    /// A tick names the position behind the one that it stands at.
    TickTooFar,
    /// A gap is passed over in silence.
    HideGap,
}
