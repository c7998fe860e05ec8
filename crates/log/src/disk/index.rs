//! What readers of the disk log see: only committed entries. The writer thread alone changes
//! it, in one step per commit; nobody holds its lock across I/O, but for opening a file.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::segment::Segment;
use crate::{Entry, Epochs, Millis, Position, topics::Topics};

/// Memory for the newest entries, in bytes: what tails read instead of the disk.
const RECENT_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct Index {
    /// Oldest first; the last is the active one.
    pub(crate) segments: Vec<Segment>,
    pub(crate) topics: Topics,
    pub(crate) epochs: Arc<Epochs>,
    /// Erased positions that are still in a segment.
    pub(crate) erased: Arc<HashSet<Position>>,
    pub(crate) recent: Recent,
    /// The last committed position.
    pub(crate) end: Position,
    /// Why nothing is appended any more.
    pub(crate) stopped: Option<String>,
}

/// One committed entry and its length in the segment.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) entry: Entry,
    pub(crate) time: Millis,
    pub(crate) len: u64,
}

impl Index {
    pub(crate) fn commit(&mut self, entries: Vec<Committed>) {
        for Committed { entry, time, len } in entries {
            self.add(&entry, time, len);
            self.recent.push(entry);
        }
    }

    /// Takes in an entry that is stored at the end of the last segment.
    pub(crate) fn add(&mut self, entry: &Entry, time: Millis, len: u64) {
        let position = entry.position();
        let topic = match entry {
            Entry::Event(record) => {
                self.topics.added(&record.topic, position, record.prev);
                Some(&record.topic)
            }
            Entry::Erasure { erased, .. } => {
                Arc::make_mut(&mut self.erased).extend(erased.iter().copied());
                self.recent.erase(erased);
                None
            }
        };
        if let Some(segment) = self.segments.last_mut() {
            segment.add(position, time, topic, len);
        }
        self.end = position;
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Forgets the oldest segment, never the active one.
    pub(crate) fn drop_oldest(&mut self) -> Option<Segment> {
        if self.segments.len() < 2 {
            return None;
        }
        let segment = self.segments.remove(0);
        for (topic, span) in &segment.topics {
            self.topics.removed(topic, span.last);
        }
        self.recent.drop_through(segment.last);
        if self.erased.iter().any(|position| *position <= segment.last) {
            Arc::make_mut(&mut self.erased).retain(|position| *position > segment.last);
        }
        Some(segment)
    }
}

/// The newest entries, in memory.
#[derive(Debug)]
pub(crate) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Every entry after this position is here.
    after: Position,
}

impl Recent {
    pub(crate) fn new(after: Position) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, after }
    }

    /// The entries after `position`, if they are all here.
    pub(crate) fn since(&self, position: Position) -> Option<impl Iterator<Item = &Entry>> {
        let from = self.entries.partition_point(|entry| entry.position() <= position);
        (position >= self.after).then(|| self.entries.range(from..))
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.bytes > RECENT_BYTES
            && let Some(oldest) = self.entries.front()
        {
            self.drop_through(oldest.position());
        }
    }

    /// Forgets the entries up to `position`: they are read from the disk, if they are there.
    fn drop_through(&mut self, position: Position) {
        self.after = self.after.max(position);
        while let Some(oldest) = self.entries.pop_front_if(|entry| entry.position() <= position) {
            self.bytes -= oldest.cost();
        }
    }

    fn erase(&mut self, erased: &[Position]) {
        self.entries.retain(|entry| {
            let gone = matches!(entry, Entry::Event(record) if erased.contains(&record.position));
            self.bytes -= if gone { entry.cost() } else { 0 };
            !gone
        });
    }
}

/// The index behind its lock.
#[derive(Debug)]
pub(crate) struct SharedIndex(RwLock<Index>);

impl SharedIndex {
    pub(crate) fn new(index: Index) -> Self {
        Self(RwLock::new(index))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
