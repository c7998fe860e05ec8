//! What becomes of a write or a sync that failed. What may be on the disk and was not shown is cut
//! off, what was shown and may not be on the disk is written anew, and only then the log takes
//! events again. A failed sync is never taken for one that worked, nor tried again on the same
//! bytes.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{compact::Job, format::SEGMENT_HEADER, index::Index, writer::Writer};
use crate::AppendError;

/// The first pause before the log is tried again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What must fit on the disk before the log takes events again.
const PROBE_BYTES: usize = 256 * 1024;
const PROBE: &str = "state/probe";

/// Why nothing is appended just now.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pause: Duration,
    again_at: Instant,
}

impl Failure {
    fn new(reason: &str) -> Self {
        Self { reason: reason.into(), pause: FIRST_PAUSE, again_at: Instant::now() + FIRST_PAUSE }
    }

    /// How long until it is worth another try.
    pub(super) fn wait(&self) -> Duration {
        self.again_at.saturating_duration_since(Instant::now())
    }
}

impl Writer {
    /// The log stops taking events and goes on serving what it had shown. Answers what became of
    /// those that were being stored.
    pub(super) fn fail(&mut self, reason: &str) -> AppendError {
        tracing::error!(
            reason,
            "the log cannot be written and takes no events until it can; free space or mend the disk"
        );
        self.state.sequencer.failed(self.index.read().end);
        self.failure = Some(Failure::new(reason));
        self.index.write().stopped = Some(reason.to_owned());
        let reason = reason.to_owned();
        match self.cut_back() {
            Ok(()) => AppendError::NotStored { reason },
            Err(_) => AppendError::OutcomeUnknown { reason },
        }
    }

    /// What was written and not shown leaves the file; once this returns, for good.
    fn cut_back(&mut self) -> io::Result<()> {
        let shown = self.index.read().segments.last().map_or(SEGMENT_HEADER as u64, |s| s.len);
        self.state.file.truncate(shown)?;
        self.state.file.sync()?;
        self.written = shown;
        Ok(())
    }

    /// Tries to take events again.
    pub(super) fn heal(&mut self) {
        match self.try_to_heal() {
            Ok(()) => {
                tracing::info!("the log can be written again and takes events");
                self.failure = None;
                self.index.write().stopped = None;
            }
            Err(error) => {
                tracing::debug!(%error, "the log still cannot be written");
                if let Some(failure) = &mut self.failure {
                    failure.pause = (2 * failure.pause).min(LONGEST_PAUSE);
                    failure.again_at = Instant::now() + failure.pause;
                }
            }
        }
    }

    fn try_to_heal(&mut self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        self.medium.replace(PROBE, &vec![0; PROBE_BYTES]).map_err(text)?;
        self.medium.remove(PROBE).map_err(text)?;
        self.cut_back().map_err(text)?;
        if self.synced < self.written {
            self.write_anew()?;
        }
        self.synced = self.written;
        self.overwrite(&[])?;
        // Nothing is appended behind what a failure cut off.
        self.roll()
    }

    /// A sync that failed may have lost what was shown before it: the active segment is copied
    /// whole into another file.
    fn write_anew(&mut self) -> Result<(), String> {
        let job = {
            let index = self.index.read();
            let active = index.segments.len() - 1;
            let nothing_hidden = HashMap::new();
            let active = &index.segments[active..];
            Job::of(&index, active, nothing_hidden, 0).ok_or("there is no segment")?
        };
        let new = job
            .run(&self.medium, &self.index, &mut |_| Ok(()))
            .map_err(|error| error.to_string())?;
        let text = |error: io::Error| error.to_string();
        let name = new.segment.name.clone();
        self.medium.rename(&new.temporary, &name).map_err(text)?;
        self.medium.sync_folder("log").map_err(text)?;
        self.written = new.segment.len;
        self.state.file = new.segment.file.get().map_err(text)?;
        let (old, late) = self.index.write().replace_active(new.segment, &new.erased, &job.erased);
        super::erase::overwrite(&self.index, &late).map_err(text)?;
        self.medium.remove(&old).map_err(text)?;
        self.medium.sync_folder("log").map_err(text)
    }
}

impl Index {
    /// Puts a copy of the active segment in its place; answers the old one's name, and what was
    /// erased while it was copied.
    fn replace_active(
        &mut self,
        new: super::segment::Segment,
        kept_erased: &HashSet<crate::Position>,
        before: &HashSet<crate::Position>,
    ) -> (Arc<str>, Vec<crate::Position>) {
        let (at, gone) = (self.segments.len() - 1, self.gone);
        let old = self.segments[at].name.clone();
        let late = self.swap(at..at + 1, new, kept_erased, before);
        // It holds everything that the old one held.
        self.gone = gone;
        (old, late)
    }
}
