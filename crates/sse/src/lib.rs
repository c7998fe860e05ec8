//! The `text/event-stream` codec of the HTML standard, section "Server-sent events".
//!
//! * [`Frame`] encodes an event; whatever it is given, it either refuses or writes
//!   bytes that decode to exactly that event.
//! * [`Decoder`] turns bytes, cut in any way, back into [`Item`]s, in time linear in the
//!   bytes and with bounded memory.
//!
//! This crate does no I/O, keeps no clock and knows nothing of HTTP, topics' meaning or
//! event ids' meaning.

mod decoder;
mod encoder;
mod lines;

pub use decoder::{DEFAULT_MAX_EVENT_SIZE, Decoder, Event, Item};
pub use encoder::{Frame, FrameError, encode_comment, encode_retry};
