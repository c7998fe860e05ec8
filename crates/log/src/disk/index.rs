//! What readers of the disk log see: only committed entries. The writer thread alone adds to
//! it, in one step per commit, and the keeper thread alone takes away; nobody holds its lock
//! across I/O, but for opening a file.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::Arc,
};

use super::{
    MediumFile,
    format::SegmentHeader,
    segment::{Added, Segment, Span},
};
use crate::{
    Damage, Entry, Epochs, Keep, Millis, Position, Topic, buckets::Bucket, seek::seek,
    topics::Topics,
};

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
    /// Entries up to here may be missing from the files: a tail that comes late misses them.
    pub(crate) gone: Position,
    /// The time that ages are counted by.
    pub(crate) now: Millis,
    /// Why nothing is appended any more.
    pub(crate) stopped: Option<String>,
    /// What was found to be damaged since it was opened.
    pub(crate) damage: Vec<Damage>,
}

/// One committed entry and its length in the segment.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) entry: Entry,
    pub(crate) time: Millis,
    pub(crate) len: u64,
}

/// A block of a segment, by its bytes.
#[derive(Debug)]
pub(crate) struct BlockPlace {
    pub(crate) name: Arc<str>,
    pub(crate) file: Arc<dyn MediumFile>,
    pub(crate) start: u64,
    pub(crate) block_end: u64,
    /// What of the segment readers may see.
    pub(crate) end: u64,
}

impl Index {
    pub(crate) fn commit(&mut self, entries: Vec<Committed>) {
        for Committed { entry, time, len } in entries {
            self.add(&entry, time, len, false);
            self.recent.push(entry);
        }
    }

    /// Takes in an entry that is stored at the end of the last segment; `removed`: retention took
    /// the event before, and only its key is there.
    pub(crate) fn add(&mut self, entry: &Entry, time: Millis, len: u64, removed: bool) {
        let position = entry.position();
        let record = match entry {
            Entry::Event(record) => {
                self.topics.added(&record.topic, position, record.prev, len);
                if removed {
                    self.topics.removed(&record.topic, position);
                }
                Some(&**record)
            }
            Entry::Erasure { erased, .. } => {
                Arc::make_mut(&mut self.erased).extend(erased.iter().copied());
                self.recent.erase(erased);
                None
            }
        };
        if let Some(segment) = self.segments.last_mut() {
            segment.add(&Added { position, time, len, record, removed });
        }
        self.end = position;
    }

    /// Bytes of all segments and their index files.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len + segment.index_len).sum()
    }

    /// Where to look for what is at a position, or would be; `None` beyond the end.
    pub(crate) fn place_of(&self, position: Position) -> io::Result<Option<BlockPlace>> {
        let at = self.segments.partition_point(|segment| segment.last < position);
        let Some(segment) = self.segments.get(at) else { return Ok(None) };
        let block = Segment::block_of(&segment.blocks, position);
        let Some(start) = segment.blocks.get(block).map(|block| block.offset) else {
            return Ok(None);
        };
        let block_end = segment.blocks.get(block + 1).map_or(segment.len, |next| next.offset);
        let (name, file) = (segment.name.clone(), segment.file.get()?);
        Ok(Some(BlockPlace { name, file, start, block_end, end: segment.len }))
    }

    /// Segments that nothing is appended to any more.
    pub(crate) fn sealed(&self) -> &[Segment] {
        self.segments.split_last().map_or(&[], |(_, sealed)| sealed)
    }

    /// Whether a reader may see an entry, erasures apart.
    pub(crate) fn shows(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Event(record) => self.topics.shows(&record.topic, record.position),
            Entry::Erasure { .. } => true,
        }
    }

    /// What of a segment is shown, each topic up to where it reaches in it; states that nothing
    /// has superseded only if `states_too`.
    pub(crate) fn held_by(&self, at: usize, states_too: bool) -> Vec<(Topic, Position)> {
        let Some(segment) = self.segments.get(at) else { return Vec::new() };
        let shown = segment.topics.iter().filter(|(t, span)| self.topics.shows(t, span.last));
        shown
            .filter(|(topic, _)| states_too || self.topics.limits(topic).keep == Keep::All)
            .map(|(topic, span)| (topic.clone(), span.last))
            .collect()
    }

    /// Retention takes each of these topics up to a position.
    pub(crate) fn hide(&mut self, topics: &[(Topic, Position)]) {
        topics.iter().for_each(|(topic, position)| self.topics.removed(topic, *position));
    }

    /// Whether nothing of a segment is shown.
    pub(crate) fn shows_nothing(&self, segment: &Segment) -> bool {
        self.shows_nothing_but(segment, &[])
    }

    /// Whether nothing of a segment is shown but what `more` is about to hide.
    pub(crate) fn shows_nothing_but(&self, segment: &Segment, more: &[(Topic, Position)]) -> bool {
        let about_to: HashMap<_, _> = more.iter().map(|(topic, at)| (topic, *at)).collect();
        let shown = |(topic, span): (&Topic, &Span)| {
            self.topics.shows(topic, span.last)
                && about_to.get(topic).is_none_or(|at| span.last > *at)
        };
        !segment.topics.iter().any(shown)
    }

    /// Whether a segment shows more than states.
    pub(crate) fn shows_history(&self, segment: &Segment) -> bool {
        let mut shown = segment.topics.iter().filter(|(t, span)| self.topics.shows(t, span.last));
        shown.any(|(topic, _)| self.topics.limits(topic).keep == Keep::All)
    }

    /// About how many bytes of a segment are still shown.
    pub(crate) fn live_bytes(&self, segment: &Segment) -> u64 {
        let live = |(topic, span): (&Topic, &Span)| {
            let hidden = self.topics.get(topic).hidden;
            let all = (span.last.0 - span.first.0).max(1);
            match (hidden < span.first, hidden < span.last) {
                (true, _) => span.bytes,
                (false, false) => 0,
                (false, true) if self.topics.limits(topic).keep == Keep::Latest => {
                    span.bytes / span.events
                }
                (false, true) => share(span.bytes, span.last.0 - hidden.0, all).max(1),
            }
        };
        segment.topics.iter().map(live).sum()
    }

    /// What each topic has left, oldest first.
    pub(crate) fn held(&self) -> Vec<(Topic, Bucket)> {
        let spans = self.segments.iter().flat_map(|segment| &segment.topics);
        let shown = spans.filter(|(topic, span)| self.topics.shows(topic, span.last));
        let bucket =
            |span: &Span| Bucket { last: span.last, events: span.events, bytes: span.bytes };
        shown.map(|(topic, span)| (topic.clone(), bucket(span))).collect()
    }

    /// Notes in which segments erased events lie whose heads are still whole.
    pub(crate) fn mark_unscrubbed(&mut self, erased: &[Position]) {
        for position in erased {
            let at = self.segments.partition_point(|segment| segment.last < *position);
            if let Some(segment) = self.segments.get_mut(at) {
                segment.unscrubbed = true;
            }
        }
    }

    /// Forgets the oldest segment, which shows nothing any more.
    pub(crate) fn drop_oldest(&mut self) {
        let segment = self.segments.remove(0);
        self.gone = self.gone.max(segment.last);
        self.recent.drop_through(segment.last);
        self.forget_erased(&segment.header, segment.last, &HashSet::new());
    }

    /// Puts a compacted segment in the place of those that it was made of, and answers which
    /// events were erased since `before`, so that what it holds of them may still be there.
    pub(crate) fn swap(
        &mut self,
        run: std::ops::Range<usize>,
        new: Segment,
        kept_erased: &HashSet<Position>,
        before: &HashSet<Position>,
    ) -> Vec<Position> {
        let (header, last) = (new.header.clone(), new.last);
        self.gone = self.gone.max(last);
        let covered = |p: &&Position| **p >= header.base && **p <= last;
        let late: Vec<_> =
            self.erased.iter().filter(covered).filter(|p| !before.contains(p)).copied().collect();
        let kept = kept_erased.iter().chain(&late).copied().collect();
        self.segments.splice(run, [new]);
        self.forget_erased(&header, last, &kept);
        late
    }

    /// Erased positions of a stretch that is no longer there need not be remembered.
    fn forget_erased(&mut self, from: &SegmentHeader, last: Position, kept: &HashSet<Position>) {
        let gone = |p: &Position| *p >= from.base && *p <= last && !kept.contains(p);
        if self.erased.iter().any(gone) {
            Arc::make_mut(&mut self.erased).retain(|position| !gone(position));
        }
    }
}

/// `part` of `whole` of `bytes`.
fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(bytes).min(bytes)
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
        let from = seek(&self.entries, |entry| entry.position() <= position);
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
