//! How the keeper makes the index files of sealed segments, one in each pass, and compares those by
//! which the log was opened with their segments. So every sealed byte is read once after each
//! opening, and what is damaged is told before somebody asks for it.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Durability,
    index::Index,
    index_file::{self, IndexFile},
    keeper::Keeper,
    mutation::Mutation,
    reclaim::PUT_OFF,
    scan::WalkError,
    segment::{Indexed, Segment},
    summary::{Counts, Sealed, Summary},
};
use crate::Damage;

impl Keeper {
    /// Looks after one segment; after all if somebody waits.
    pub(super) fn index_segments(&mut self) -> Result<(), String> {
        // While the disk takes nothing it takes no index files either.
        while self.index.read().stopped.is_none()
            && let Some((sealed, believed)) = self.next_to_index()
        {
            if let Err(why) = self.index_one(&sealed, believed) {
                let until = (self.config.uptime)() + PUT_OFF;
                self.not_indexed.insert(sealed.name.clone(), until);
                return Err(why);
            }
            if !self.hurry || self.closing.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// The next segment without an index file, or else the next that was not compared with its own.
    fn next_to_index(&mut self) -> Option<(Sealed, bool)> {
        let now = (self.config.uptime)();
        self.not_indexed.retain(|_, until| now < *until);
        let index = self.index.read();
        let sealed = index.sealed();
        let may = |segment: &&Segment| !self.not_indexed.contains_key(&segment.name);
        let with = |indexed| sealed.iter().filter(may).find(|segment| segment.indexed == indexed);
        let without = with(None).map(|segment| (Sealed::of(segment), false));
        without.or_else(|| with(Some(Indexed::Believed)).map(|s| (Sealed::of(s), true)))
    }

    fn index_one(&mut self, sealed: &Sealed, believed: bool) -> Result<(), String> {
        let shared = self.index.clone();
        let is_erased = |position| shared.read().erased.contains(&position);
        let mut pause = self.pause(self.hurry);
        let summary = match Summary::read(&self.medium, sealed, &is_erased, &mut pause) {
            Ok(summary) => summary,
            Err(WalkError::Damaged { file, offset, what }) => {
                self.note_damage(sealed, Damage { file, offset, what: what.into() });
                return Ok(());
            }
            Err(WalkError::Closing) => return Ok(()),
            Err(WalkError::Io(error)) => return Err(error.to_string()),
        };
        let agrees = shared.read().named(&sealed.name).is_none_or(|s| summary.agrees_with(s));
        if !agrees {
            self.distrust(sealed);
        }
        if believed && agrees && self.is_written(sealed, &summary) {
            self.mark(sealed, Indexed::Checked, None);
            return Ok(());
        }
        let len = self.write_index(sealed, summary)?;
        self.mark(sealed, Indexed::Checked, Some(len));
        Ok(())
    }

    /// Whether a segment's index file says what the segment does. What was erased since, and how
    /// events were counted, is no part of that.
    fn is_written(&self, sealed: &Sealed, read: &Summary) -> bool {
        let name = &sealed.name;
        let Some(file) = IndexFile::read(&*self.medium, name) else { return false };
        let Ok(open) = self.medium.open(name) else { return false };
        let segment = Segment::new(&self.medium, name.clone(), sealed.header.clone(), open);
        let written = file.summary(segment, sealed.len, &|topic| topic);
        written.is_some_and(|written| {
            let keys = index_file::has_keys(read).then_some(&read.keys);
            read.agrees_with(&written.segment)
                && read.erasures == written.erasures
                && index_file::keys(&*self.medium, name).as_ref() == keys
        })
    }

    /// Answers the file's length.
    fn write_index(&mut self, sealed: &Sealed, mut summary: Summary) -> Result<u64, String> {
        summary.counts = Counts::now(&self.index.read(), &summary.segment);
        // What was counted may say that older events can be done without.
        let needs_sync = summary.counts.is_some() && self.config.durability != Durability::Sync;
        if needs_sync && !self.queue.sync() {
            return Err("what is newer is not on the disk yet".into());
        }
        if summary.segment.unscrubbed {
            // It is about to be said of erased events that their bytes are gone.
            let file = summary.segment.file.get();
            file.and_then(|file| file.sync()).map_err(|error| error.to_string())?;
        }
        if self.config.mutated(Mutation::ForgetfulIndex) {
            let forgotten = summary.segment.topics.keys().min().cloned();
            forgotten.map(|topic| summary.segment.topics.remove(&topic));
        }
        let Some(bytes) = index_file::encode(&sealed.header, &summary) else { return Ok(0) };
        let name = index_file::name_of(&sealed.name);
        let written = self.medium.replace(&name, &bytes).map(|()| bytes.len() as u64);
        written.map_err(|error| error.to_string())
    }

    /// A mistake of ours: what was believed may hide events. The file is made anew, and a restart
    /// shows all; until then nothing is removed.
    fn distrust(&mut self, sealed: &Sealed) {
        let file = index_file::name_of(&sealed.name);
        tracing::error!(
            file,
            "an index file did not say what its segment does, so events may be hidden: restart the server, which then reads that segment"
        );
        self.distrusts = true;
        let what = "it did not say what its segment does".into();
        self.index.write().note(Damage { file, offset: 0, what });
    }

    fn note_damage(&mut self, sealed: &Sealed, damage: Damage) {
        self.index.write().note(damage);
        self.mark(sealed, Indexed::Damaged, None);
    }

    fn mark(&self, sealed: &Sealed, indexed: Indexed, file_len: Option<u64>) {
        let mut index = self.index.write();
        let named = index.segments.iter_mut().find(|segment| segment.name == sealed.name);
        if let Some(segment) = named {
            segment.indexed = Some(indexed);
            segment.index_len = file_len.unwrap_or(segment.index_len);
        }
    }
}

impl Index {
    fn named(&self, name: &Arc<str>) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == *name)
    }

    /// Notes damage, and tells it the first time.
    pub(super) fn note(&mut self, damage: Damage) {
        if !self.damage.contains(&damage) {
            tracing::error!(
                file = damage.file,
                offset = damage.offset,
                what = damage.what,
                "the log is damaged here: what lies there cannot be read; restore a backup"
            );
            self.damage.push(damage);
        }
    }

    /// What was found to be damaged and is still there.
    pub(super) fn damage_left(&self) -> Vec<Damage> {
        let stem = |file: &str| file.trim_end_matches(".idx").trim_end_matches(".seg").to_owned();
        let left = |damage: &&Damage| {
            self.segments.iter().any(|segment| stem(&segment.name) == stem(&damage.file))
        };
        self.damage.iter().filter(left).cloned().collect()
    }
}
