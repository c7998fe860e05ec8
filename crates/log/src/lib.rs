//! The log is the only truth: every event has one place in one order.
//!
//! * [`Log`] is the trait, with the guarantees that everything above relies on.
//! * [`MemoryLog`] forgets with the process; [`DiskLog`] is durable on one machine.
//! * [`Topic`], [`Pattern`], [`Filter`], [`EventId`], [`Epochs`] and [`Record`] are the terms they share.
//! * [`Retention`] says what is kept, and [`State`] keeps the few small things that outlive retention,
//!   [`Blobs`] the large ones.
//!
//! Nothing here knows of HTTP, subscribers or frames.

mod ages;
mod append;
mod blobs;
mod buckets;
#[cfg(feature = "contract")]
pub mod contract;
mod disk;
mod epochs;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod id;
mod keys;
mod log;
mod memory;
mod pattern;
mod record;
mod retention;
mod seek;
mod sequencer;
#[cfg(any(test, feature = "simulator"))]
pub mod simulator;
mod state;
mod tail;
mod topic;
mod topics;

pub use append::{
    AppendError, AppendOptions, Appended, Batch, ExpectedLast, IdempotencyKey, MAX_FIELD_BYTES,
    NewEvent,
};
pub use blobs::{BlobError, Blobs, FileBlobs, MemoryBlobs};
pub use disk::{
    DiskConfig, DiskImport, DiskLog, Durability, FsMedium, Medium, MediumFile, OWN_KEYS, OpenError,
    OpenReport, SegmentSurvey, Survey, TornTail, survey,
};
pub use epochs::{EpochSpan, Epochs, Resolution};
pub use filter::{Filter, Selection};
pub use id::{Epoch, EventId, IdError, Position};
pub use log::{BackPage, Budget, Capabilities, Damage, Entry, Log, Page, ReadError, ReadRange};
pub use memory::MemoryLog;
pub use pattern::{Pattern, PatternError};
pub use record::{Fields, MAX_EVENT_NAME_BYTES, Record};
pub use retention::{Keep, Limits, Retention, Rule, TopicMatch};
pub use state::{FileState, MemoryState, State, StateError, Versioned};
pub use tail::Tail;
pub use topic::{MAX_TOPIC_BYTES, Topic, TopicError};

/// What a kind of log is built from, for those who write one elsewhere.
pub mod kit {
    pub use crate::{
        ages::{AgeScan, Ages},
        buckets::{Bucket, Buckets},
        log::{PageBuilder, last_id},
        seek::seek,
        topics::{Known, Origin, Reach, Topics},
    };
}

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = u64;

/// Where a log reads the time; tests pass their own.
pub type Clock = std::sync::Arc<dyn Fn() -> Millis + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    std::sync::Arc::new(system_time)
}

/// Milliseconds since some moment, by a clock that nobody sets.
#[must_use]
pub fn system_uptime() -> Clock {
    let began = std::time::Instant::now();
    std::sync::Arc::new(move || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// The system's time now.
#[must_use]
pub fn system_time() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
