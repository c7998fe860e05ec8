//! The hub without sockets and without a clock: a seeded run of publishers, slow and
//! returning subscribers and retention, checked against a plain model; and the hub's tasks
//! over a real log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod behaviour;
mod simulation;

/// An error that the simulation must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// One position is skipped where replay from the log meets the window.
    SkipAtSeam,
}
