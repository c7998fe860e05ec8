//! EventSource for Rust.
//!
//! * [`Machine`] holds every rule of the protocol (when to reconnect, with which id, what
//!   silence means) and does no I/O.
//! * [`EventSource`] drives it over a `reqwest::Client` of yours or its own.
//!
//! It never gives up unless the server says so, and never asks for an event twice.

mod event_source;
mod machine;

pub use event_source::{EventSource, root_cause};
pub use machine::{Closed, Gap, Head, Machine, Signal};
