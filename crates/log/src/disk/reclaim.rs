//! How the keeper gives back the space of a run of segments: by rewriting them without what is
//! hidden, or by unlinking them. What is gone is on record before a file is, and what fails is
//! noted, to be tried again.

use std::{
    io,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Durability,
    compact::{Job, Rewritten},
    erase, index_file,
    keeper::Keeper,
    mutation::{self, Mutation},
    persist::Persist,
    scan::WalkError,
    segment::Segment,
};
use crate::{Millis, Position, Topic};

/// What compaction may write, in bytes a second, unless somebody waits for it.
const RATE: u64 = 32 << 20;
/// A segment that could not be rewritten is not tried again for so long, in milliseconds of
/// uptime.
pub(super) const PUT_OFF: Millis = 10 * 1000;

/// What a rewritten segment holds beside what is shown.
#[derive(Debug)]
pub(crate) struct Overhead {
    bytes: u64,
    /// Those of them that are events only there for their keys.
    keys: u64,
    /// Keys from this time on were kept.
    keys_since: Millis,
}

impl Keeper {
    pub(super) fn unlink_oldest(&mut self) -> Result<(), String> {
        let index = self.index.read();
        let Some(oldest) = index.sealed().first() else { return Ok(()) };
        let (name, through) = (oldest.name.clone(), index.gone.max(oldest.last));
        drop(index);
        let marks = self.watermarks(&[], through);
        if let Err(error) = self.persist.put_watermarks(&marks) {
            // A full disk has no room for it. Without it an opening tells gaps to more than
            // those who have one, and hides none.
            tracing::debug!(%error, "a segment is removed without a note of its topics");
        }
        self.index.write().drop_oldest();
        tracing::debug!(segment = &*name, "dropped the oldest segment");
        self.to_remove.push_back(name);
        self.drain_removals()
    }

    fn watermarks(&self, more: &[(Topic, Position)], through: Position) -> String {
        let marks = Persist::watermarks(&self.index.read().topics, more, through);
        match self.config.mutation() {
            Some(Mutation::ForgetWatermarks) => "0\n0\n".into(),
            Some(Mutation::ShortWatermark) => mutation::shortened(&marks),
            _ => marks,
        }
    }

    /// Removes the files that are no longer part of the log, one by one, so that a crash leaves
    /// no hole between what is there and what is not. What fails is tried again.
    pub(super) fn drain_removals(&mut self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if self.to_remove.is_empty() {
            return Ok(());
        }
        // What takes their place is durable first.
        self.medium.sync_folder("log").map_err(text)?;
        while let Some(name) = self.to_remove.front() {
            for file in [&index_file::name_of(name), &**name] {
                match self.medium.remove(file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(text(error));
                    }
                    _ => {}
                }
            }
            self.medium.sync_folder("log").map_err(text)?;
            self.to_remove.pop_front();
        }
        Ok(())
    }

    /// What was erased while its segment was rewritten is overwritten in the new one.
    pub(super) fn finish_erasures(&mut self) -> Result<(), String> {
        if !self.to_overwrite.is_empty() {
            // The erasure itself must be as safe as what it takes.
            if self.config.durability != Durability::Sync && !self.queue.sync() {
                return Err("an erasure is not on the disk yet".into());
            }
            erase::overwrite(&self.index, &self.to_overwrite).map_err(|e| e.to_string())?;
            self.to_overwrite.clear();
        }
        Ok(())
    }

    /// Compacts a run of segments without `more`, which is hidden with it; or unlinks them, if
    /// they are the oldest and nothing in them is shown.
    pub(super) fn reclaim(
        &mut self,
        run: Range<usize>,
        more: &[(Topic, Position)],
        hurry: bool,
    ) -> Result<(), String> {
        let names: Vec<_> =
            self.index.read().sealed()[run.clone()].iter().map(|s| s.name.clone()).collect();
        let done = self.try_to_reclaim(run, more, hurry);
        if done.is_err() {
            self.note_failure(names);
        }
        done
    }

    /// Of several it is not known which is to blame: they are tried one by one. One alone is left
    /// alone for a while, and for the rest of the pass, so that others have their turn.
    fn note_failure(&mut self, names: Vec<Arc<str>>) {
        if names.len() > 1 {
            self.alone.extend(names);
            return;
        }
        let until = (self.config.uptime)() + PUT_OFF;
        self.failed.extend(names.iter().cloned());
        self.put_off.extend(names.into_iter().map(|name| (name, until)));
    }

    fn try_to_reclaim(
        &mut self,
        run: Range<usize>,
        more: &[(Topic, Position)],
        hurry: bool,
    ) -> Result<(), String> {
        // What makes an older event dispensable must be as safe as that one was.
        if self.config.durability != Durability::Sync && !self.queue.sync() {
            return Err("what is newer is not on the disk yet".into());
        }
        let keys_since = self.keys_since();
        let index = self.index.read();
        let Some(job) = Job::new(&index, run.clone(), more, keys_since) else { return Ok(()) };
        let shown = index.sealed()[run.clone()].iter().any(|s| !index.shows_nothing_but(s, more));
        let keyed =
            index.sealed()[run.clone()].iter().any(|segment| segment.newest_key > keys_since);
        drop(index);
        let job =
            if self.config.mutated(Mutation::CompactTooMuch) { job.hiding_more() } else { job };
        if run.start == 0 && !shown && !keyed {
            self.index.write().hide(more);
            return (0..run.len()).try_for_each(|_| self.unlink_oldest());
        }
        let mut pause = self.pause(hurry);
        let new = job.run(&self.medium, &self.index, &mut pause);
        self.swap(run, &job, new.map_err(|error| error.to_string())?, more)
    }

    /// Spares the disk between two pieces, unless somebody waits; and ends what is under way when
    /// the log is closed.
    pub(super) fn pause(&self, hurry: bool) -> impl FnMut(usize) -> Result<(), WalkError> + use<> {
        let (closing, effort) = (self.closing.clone(), self.effort.clone());
        move |bytes| {
            effort.done.fetch_add(bytes as u64, Ordering::Relaxed);
            if closing.load(Ordering::Relaxed) {
                return Err(WalkError::Closing);
            }
            if !hurry {
                std::thread::sleep(Duration::from_millis(bytes as u64 * 1000 / RATE));
            }
            Ok(())
        }
    }

    fn swap(
        &mut self,
        run: Range<usize>,
        job: &Job,
        new: Rewritten,
        more: &[(Topic, Position)],
    ) -> Result<(), String> {
        let through = self.index.read().gone.max(new.segment.last);
        let marks = self.watermarks(more, through);
        let named = self.persist.put_watermarks(&marks).map_err(|error| error.to_string());
        let name = new.segment.name.clone();
        let renamed = named
            .and_then(|()| self.medium.rename(&new.temporary, &name).map_err(|e| e.to_string()));
        if let Err(why) = renamed {
            let _ = self.medium.remove(&new.temporary);
            return Err(why);
        }
        let (len, file) = (new.segment.len, new.segment.file.clone());
        file.release();
        let late = {
            let mut index = self.index.write();
            index.hide(more);
            index.swap(run, new.segment, &new.erased, &job.erased)
        };
        let live = self.live_bytes_of(&name);
        self.live.insert(name.clone(), live);
        let (bytes, keys) = (len - live.min(len), new.key_bytes.min(len - live.min(len)));
        self.rewritten.insert(name.clone(), Overhead { bytes, keys, keys_since: job.keys_since });
        tracing::debug!(segment = &*name, bytes = len, "compacted segments");
        self.to_overwrite.extend(late);
        self.to_remove.extend(job.sources.iter().map(|source| source.name.clone()));
        self.finish_erasures().and(self.drain_removals())
    }

    /// What a rewritten segment can't do without: erasures, and keys until their time is over or
    /// their room is needed.
    pub(super) fn overhead(&self, segment: &Segment, keys_since: Millis) -> u64 {
        let Some(overhead) = self.rewritten.get(&segment.name) else { return 0 };
        let newest = segment.newest_key;
        let keys_are_over = overhead.keys_since <= newest && keys_since > newest;
        if keys_are_over { overhead.bytes - overhead.keys } else { overhead.bytes }
    }

    /// Keys of events that are gone are kept from this time on; none if the log is over its limit.
    pub(super) fn keys_since(&self) -> Millis {
        if self.is_over() {
            return Millis::MAX;
        }
        (self.config.clock)().saturating_sub(self.config.idempotency_window)
    }

    fn live_bytes_of(&self, name: &Arc<str>) -> u64 {
        let index = self.index.read();
        let segment = index.sealed().iter().find(|segment| segment.name == *name);
        segment.map_or(0, |segment| index.live_bytes(segment))
    }
}
