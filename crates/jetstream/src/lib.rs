//! Eventwall's log on NATS JetStream: any number of nodes over one ordered stream.
//!
//! * `nats`, `setup`: the connection, and what is kept in the cluster.
//! * `subject`, `message`: topics and events as NATS has them.
//! * `runs`, `verify`: which sequence is which position under which epoch, and whether the stream is
//!   still what it was.
//! * `follow` → `index`: the one tail of a node, and what it knows by it.
//! * `source`, `back`, `shared`: reads of what is no longer in memory.
//! * `publish`, `erase`: what is written.
//! * `state`, `blobs`, `ephemera`: what is beside the log.
//! * `nodes`: what the nodes tell each other.
//! * `keeper`, `snapshot`, `trail`: what goes, and what is remembered of it.
//! * `import`: a hub made out of another log; `recount`: limits that have changed.
//!
//! The stream is the only truth: a node keeps nothing that it cannot read again.

mod back;
mod blobs;
mod config;
mod ephemera;
mod erase;
mod follow;
mod import;
mod index;
mod keeper;
mod log;
mod message;
mod nats;
mod nodes;
mod publish;
mod recount;
mod runs;
mod setup;
mod shared;
mod snapshot;
mod source;
mod state;
mod subject;
mod trail;
mod verify;

pub use blobs::JetStreamBlobs;
pub use config::{JetStreamConfig, StoreUrl, StoreUrlError};
pub use ephemera::{Heard, Voice, Whisper, Whispers};
pub use import::JetStreamImport;
pub use log::JetStreamLog;
pub use nats::OpenError;
pub use state::JetStreamState;
