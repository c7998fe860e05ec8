//! Eventwall's log on NATS JetStream: any number of nodes over one ordered stream.
//!
//! * `nats`: the connection, and what is kept in the cluster.
//! * `subject`, `message`: topics and events as NATS has them.
//! * `runs`, `verify`: which sequence is which position under which epoch, and whether the stream is
//!   still what it was.
//! * `follow` → `index`: the one tail of a node, and what it knows by it.
//! * `source`, `back`, `shared`: reads of what is no longer in memory.
//! * `publish`, `erase`: what is written.
//! * `keeper`, `snapshot`, `trail`: what goes, and what is remembered of it.
//!
//! The stream is the only truth: a node keeps nothing that it cannot read again.

mod back;
mod config;
mod erase;
mod follow;
mod index;
mod keeper;
mod log;
mod message;
mod nats;
mod publish;
mod runs;
mod shared;
mod snapshot;
mod source;
mod subject;
mod trail;
mod verify;

pub use config::{JetStreamConfig, StoreUrl, StoreUrlError};
pub use log::JetStreamLog;
pub use nats::OpenError;
