//! How the keeper makes the index files of sealed segments, one in each pass, and compares those by
//! which the log was opened with their segments. So every sealed byte is read once after each
//! opening, and what is damaged is told before somebody asks for it.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Durability, index_file,
    keeper::Keeper,
    mutation::Mutation,
    scan::WalkError,
    segment::{Indexed, Segment},
    summary::{Counts, Sealed, Summary},
};

use crate::Damage;

impl Keeper {
    /// Looks after one segment; after all if somebody waits.
    pub(super) fn index_segments(&mut self) -> Result<(), String> {
        while let Some((sealed, believed)) = self.to_index() {
            self.index_one(&sealed, believed)?;
            if !self.hurry || self.closing.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// The next segment without an index file, or else the next that was not compared with its own.
    fn to_index(&self) -> Option<(Sealed, bool)> {
        let index = self.index.read();
        let sealed = index.sealed();
        let may = |segment: &&Segment| !self.is_put_off(&segment.name);
        let with = |indexed| sealed.iter().filter(may).find(|segment| segment.indexed == indexed);
        let without = with(None).map(|segment| (Sealed::of(segment), false));
        without.or_else(|| with(Some(Indexed::Believed)).map(|s| (Sealed::of(s), true)))
    }

    fn index_one(&mut self, sealed: &Sealed, believed: bool) -> Result<(), String> {
        let mut pause = self.pause(self.hurry);
        let (medium, shared) = (self.medium.clone(), self.index.clone());
        let is_erased = |position| shared.read().erased.contains(&position);
        let read = Summary::read(&medium, sealed, &is_erased, &mut pause);
        let summary = match read {
            Ok(summary) => summary,
            Err(WalkError::Damaged { file, offset, what }) => {
                self.note_damage(sealed, Damage { file, offset, what: what.into() });
                return Ok(());
            }
            Err(WalkError::Closing) => return Ok(()),
            Err(WalkError::Io(error)) => {
                self.put_off(&sealed.name);
                return Err(error.to_string());
            }
        };
        let agrees = shared.read().named(&sealed.name).is_none_or(|s| summary.agrees_with(s));
        if !agrees {
            tracing::error!(segment = &*sealed.name, "an index was wrong, and is made anew");
        }
        if !believed || !agrees {
            self.write_index(sealed, summary)?;
        }
        self.mark(sealed, Indexed::Checked);
        Ok(())
    }

    fn write_index(&mut self, sealed: &Sealed, mut summary: Summary) -> Result<(), String> {
        summary.counts = Counts::now(&self.index.read(), &summary.segment);
        // What was counted may say that older events can be done without.
        let needs_sync = summary.counts.is_some() && self.config.durability != Durability::Sync;
        if needs_sync && !self.queue.sync() {
            return Err("what is newer is not on the disk yet".into());
        }
        if self.config.mutated(Mutation::ForgetfulIndex) {
            let forgotten = summary.segment.topics.keys().min().cloned();
            forgotten.map(|topic| summary.segment.topics.remove(&topic));
        }
        let bytes = index_file::encode(&sealed.header, &summary);
        let name = index_file::name_of(&sealed.name);
        let written = self.medium.replace(&name, &bytes).map_err(|error| error.to_string());
        if written.is_err() {
            self.put_off(&sealed.name);
        }
        written
    }

    fn note_damage(&mut self, sealed: &Sealed, damage: Damage) {
        tracing::error!(
            file = damage.file,
            offset = damage.offset,
            what = damage.what,
            "the log is damaged here: what lies there cannot be read; restore a backup"
        );
        self.index.write().damage.push(damage);
        self.mark(sealed, Indexed::Damaged);
    }

    fn mark(&self, sealed: &Sealed, indexed: Indexed) {
        let mut index = self.index.write();
        let named = index.segments.iter_mut().find(|segment| segment.name == sealed.name);
        if let Some(segment) = named {
            segment.indexed = Some(indexed);
        }
    }
}

impl super::index::Index {
    fn named(&self, name: &Arc<str>) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == *name)
    }
}
