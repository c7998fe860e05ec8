//! Opens a log: reads every segment that has no index file, cuts a torn tail and says so, refuses
//! damage, and begins a new epoch at a position that was never used.

use std::{io, sync::Arc};

use super::{
    DiskConfig, Medium, index::Index, persist::Persist, recovery::Recovery, scan::WalkError,
    writer::WriterState,
};
use crate::{FileState, Millis, Position, StateError};

/// Why a log could not be opened, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be created or written.
    #[error(
        "cannot write to {folder} ({reason}): make it writable or choose another folder with --data"
    )]
    Unwritable {
        /// The data directory.
        folder: String,
        /// The cause, in the system's words.
        reason: String,
    },
    /// Another process has it open.
    #[error(
        "{folder} is in use by another Eventwall: stop it or choose another folder with --data"
    )]
    Locked {
        /// The data directory.
        folder: String,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the log is damaged in {file} at byte {offset} ({what}): restore the data directory from a backup, or start with an empty one"
    )]
    Damaged {
        /// The file, relative to the data directory.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The system refused.
    #[error("the log could not be opened: {0}")]
    Io(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<StateError> for OpenError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Damaged(file) => damaged(&file, 0, "its checksum is wrong"),
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<WalkError> for OpenError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Damaged { file, offset, what } => damaged(&file, offset, what),
            other => Self::Io(other.to_string()),
        }
    }
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Events in its files. Erased ones are not counted, but for some that were erased last.
    pub events: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Those of them that had to be read; the rest was known from index files.
    pub read: u64,
    /// What a crash had left unfinished, and was cut off.
    pub torn: Option<TornTail>,
}

/// Bytes of a write that never finished and so was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How much was cut off.
    pub bytes: u64,
}

pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) writer: WriterState,
    pub(crate) end: Position,
    /// Erased events whose data is still on the disk.
    pub(crate) to_overwrite: Vec<Position>,
    /// A time that is known to have been.
    pub(crate) time: Millis,
}

pub(crate) fn open(
    medium: &Arc<dyn Medium>,
    config: &DiskConfig,
) -> Result<(Recovered, OpenReport), OpenError> {
    let persist = Persist::new(FileState::new(medium.clone()));
    let mut recovery = Recovery::new(medium, &persist, config)?;
    recovery.read_all()?;
    if recovery.is_shorter_than_counted() {
        // The files beside it are from another life of the log.
        let torn = recovery.report.torn.take();
        recovery = Recovery::new(medium, &persist, config)?;
        recovery.believe_nothing();
        recovery.read_all()?;
        recovery.report.torn = recovery.report.torn.take().or(torn);
    }
    recovery.finish(persist, config)
}

/// Segment files in the order of the log; of those that begin alike the newest comes first.
pub(crate) fn segment_names(medium: &dyn Medium) -> io::Result<Vec<String>> {
    let mut names = medium.list("log")?;
    names.retain(|name| name.ends_with(".seg"));
    let key = |name: &str| {
        let stem = name.trim_end_matches(".seg");
        let (base, generation) = stem.split_once('-').unwrap_or((stem, ""));
        (base.to_owned(), std::cmp::Reverse(generation.to_owned()))
    };
    names.sort_unstable_by_key(|name| key(name));
    Ok(names.into_iter().map(|name| format!("log/{name}")).collect())
}

pub(super) fn damaged(file: &str, offset: u64, what: &str) -> OpenError {
    OpenError::Damaged { file: file.into(), offset, what: what.into() }
}
