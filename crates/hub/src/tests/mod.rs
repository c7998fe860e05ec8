//! The hub's tasks over a real log. The hub without them, driven by a seed, is in `tests/simulator.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod behaviour;
