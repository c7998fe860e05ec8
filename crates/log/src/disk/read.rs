//! Reads from the disk log: takes a snapshot of the index under its lock, then reads files
//! without it. What retention unlinks meanwhile stays readable through the open file.

use std::{collections::HashSet, io, sync::Arc};

use futures_core::future::BoxFuture;

use super::{
    MediumFile,
    file::SegmentFile,
    format::{Body, Stored},
    index::Index,
    scan::{STRANGE, Step, Walk},
    segment::{Block, Segment},
    shared_index::SharedIndex,
    summary::NOT_ITS_DATA,
};
use crate::{
    BackPage, Budget, Damage, Entry, Filter, Millis, Page, Position, ReadError, ReadRange, Record,
    Topic, log::PageBuilder,
};

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What the limits of each topic leave.
    Kept,
    /// Whatever is still there: for tails.
    Raw,
}

/// Segments that one read looks into at most, so that its time is bounded.
const MAX_SEGMENTS: usize = 4;

pub(crate) fn read(
    shared: &Arc<SharedIndex>,
    range: ReadRange,
    filter: Filter,
    budget: Budget,
    view: View,
) -> BoxFuture<'static, Result<Page, ReadError>> {
    let snapshot = {
        let index = shared.read();
        let range = ReadRange { through: range.through.min(index.end), ..range };
        if let Some(page) = from_memory(&index, range, &filter, budget, view) {
            return Box::pin(async { Ok(page) });
        }
        Snapshot::forward(shared, &index, range, &filter)
    };
    Box::pin(blocking(move || {
        let snapshot = snapshot?;
        let shared = snapshot.shared.clone();
        let page = snapshot.read(&filter, budget)?;
        Ok(view.of(&shared.read(), page, &filter, range))
    }))
}

impl View {
    /// What is left of a page by now, and what was lost before it: both as of one moment, so
    /// that nothing is missing from the one without being told in the other.
    fn of(self, index: &Index, page: Page, filter: &Filter, range: ReadRange) -> Page {
        let removed = match self {
            Self::Kept => index.topics.removed_after(filter, range.after, range.forgives),
            Self::Raw => Some(index.gone).filter(|gone| *gone > range.after),
        };
        let removed = removed.map(|removed| removed.min(range.through));
        let shown = |entry: &Entry| self == Self::Raw || index.shows(entry);
        let entries = page.entries.into_iter().filter(shown).collect();
        Page { entries, removed, removals: index.topics.removals(), ..page }
    }
}

pub(crate) fn read_back(
    shared: &Arc<SharedIndex>,
    topic: Topic,
    before: Option<Position>,
    budget: Budget,
) -> BoxFuture<'static, Result<BackPage, ReadError>> {
    let before = before.unwrap_or(Position(u64::MAX));
    let back = Back::new(shared, topic, before, budget);
    Box::pin(blocking(move || back.read()))
}

pub(crate) fn position_before(
    shared: &Arc<SharedIndex>,
    time: Millis,
) -> BoxFuture<'static, Result<Position, ReadError>> {
    let index = shared.read();
    let older = |block: &Block| block.time < time;
    let begins_older = |segment: &Segment| segment.blocks.first().is_some_and(older);
    let segment = index.segments.iter().rfind(|segment| begins_older(segment));
    let Some(segment) = segment else {
        return Box::pin(async { Ok(Position::START) });
    };
    // The first event that is new enough lies in the last block that begins older, or is
    // the first of what follows it.
    let block = segment.blocks.partition_point(older) - 1;
    let end = segment.blocks.get(block + 1).map_or(segment.len, |next| next.offset);
    let stretch = Stretch::between(shared, segment, segment.blocks[block].offset, end);
    let first = segment.blocks[block].first;
    Box::pin(blocking(move || stretch?.last_older(first, time)))
}

fn from_memory(
    index: &Index,
    range: ReadRange,
    filter: &Filter,
    budget: Budget,
    view: View,
) -> Option<Page> {
    let mut page = PageBuilder::new(range.after, budget);
    let mut full = false;
    for entry in index.recent.since(range.after)? {
        full = entry.position() <= range.through && !page.push(entry.clone(), filter);
        if full || entry.position() > range.through {
            break;
        }
    }
    if !full {
        page.examined(range.through);
    }
    Some(match view {
        View::Kept => view.of(index, page.finish(None, 0), filter, range),
        // Everything after the cursor is in memory, so nothing is missing.
        View::Raw => page.finish(None, 0),
    })
}

/// A committed stretch of a segment file.
#[derive(Debug)]
struct Stretch {
    shared: Arc<SharedIndex>,
    name: Arc<str>,
    file: Arc<dyn MediumFile>,
    start: u64,
    end: u64,
    /// The last position up to its end.
    last: Position,
}

#[derive(Debug)]
struct Snapshot {
    shared: Arc<SharedIndex>,
    stretches: Vec<Stretch>,
    range: ReadRange,
    erased: Arc<HashSet<Position>>,
}

impl Snapshot {
    fn forward(
        shared: &Arc<SharedIndex>,
        index: &Index,
        mut range: ReadRange,
        filter: &Filter,
    ) -> io::Result<Self> {
        let skip = index.segments.partition_point(|segment| segment.last <= range.after);
        let mut stretches = Vec::new();
        for segment in &index.segments[skip..] {
            if segment.header.base > range.through {
                break;
            }
            if stretches.len() == MAX_SEGMENTS {
                range.through = range.through.min(segment.header.base.before());
                break;
            }
            if may_match(segment, filter) {
                stretches.push(Stretch::from(shared, segment, range.after)?);
            }
        }
        Ok(Self { shared: shared.clone(), stretches, range, erased: index.erased.clone() })
    }

    fn read(self, filter: &Filter, budget: Budget) -> Result<Page, ReadError> {
        let mut page = PageBuilder::new(self.range.after, budget);
        for stretch in &self.stretches {
            let mut walk = Walk::new(stretch.file.clone(), stretch.start, stretch.end);
            while let Some(stored) = stretch.step(&mut walk)? {
                let position = stored.body.position();
                if position > self.range.through {
                    break;
                }
                if position <= self.range.after || self.erased.contains(&position) {
                    continue;
                }
                if let Some(entry) = stretch.entry(&walk, stored)?
                    && !page.push(entry, filter)
                {
                    return Ok(page.finish(None, 0));
                }
            }
            page.examined(stretch.last.min(self.range.through));
        }
        page.examined(self.range.through);
        Ok(page.finish(None, 0))
    }
}

/// Whether the segment holds something that the filter passes.
fn may_match(segment: &Segment, filter: &Filter) -> bool {
    match filter {
        Filter::All => true,
        Filter::Selection(_) => segment.topics.keys().any(|topic| filter.matches(topic)),
        Filter::Topics(topics) => topics.iter().any(|topic| segment.topics.contains_key(topic)),
    }
}

impl Stretch {
    /// From the block that holds what comes after `after`.
    fn from(shared: &Arc<SharedIndex>, segment: &Segment, after: Position) -> io::Result<Self> {
        let block = Segment::block_of(&segment.blocks, after.next());
        let start = segment.blocks.get(block).map_or(segment.len, |block| block.offset);
        Self::between(shared, segment, start, segment.len)
    }

    fn between(
        shared: &Arc<SharedIndex>,
        segment: &Segment,
        start: u64,
        end: u64,
    ) -> io::Result<Self> {
        let (shared, name, file) = (shared.clone(), segment.name.clone(), segment.file.get()?);
        Ok(Self { shared, name, file, start, end, last: segment.last })
    }

    fn step(&self, walk: &mut Walk) -> Result<Option<Stored>, ReadError> {
        match walk.next()? {
            Step::Entry(_, stored) => Ok(Some(stored)),
            Step::End => Ok(None),
            Step::Bad(offset, what) => Err(self.damaged(offset, what)),
            Step::Strange(offset) => Err(self.damaged(offset, STRANGE)),
        }
    }

    /// What may be shown of an entry: nothing, if it was erased since the read began.
    fn entry(&self, walk: &Walk, stored: Stored) -> Result<Option<Entry>, ReadError> {
        match stored.body {
            Body::Event(record) => Ok(Some(Entry::Event(record))),
            Body::Erasure { position, erased, .. } => {
                Ok(Some(Entry::Erasure { position, erased: erased.into() }))
            }
            Body::Blank(record) => {
                if stored.bare.is_none() {
                    self.check_erased(walk, stored.len, &record)?;
                }
                Ok(None)
            }
        }
    }

    /// Data that is not what was written is damage, unless it was erased; or is gone since, so
    /// that nobody remembers.
    fn check_erased(&self, walk: &Walk, len: usize, record: &Record) -> Result<(), ReadError> {
        let index = self.shared.read();
        let is_there = || index.segments.iter().any(|segment| segment.name == self.name);
        if index.erased.contains(&record.position)
            || !index.topics.shows(&record.topic, record.position)
            || !is_there()
        {
            return Ok(());
        }
        drop(index);
        Err(self.damaged(walk.offset() - len as u64, NOT_ITS_DATA))
    }

    /// The last position before the first event of the stretch that is not older than `time`.
    fn last_older(&self, first: Position, time: Millis) -> Result<Position, ReadError> {
        let mut walk = Walk::new(self.file.clone(), self.start, self.end);
        let mut last = first.before();
        while let Some(stored) = self.step(&mut walk)? {
            if stored.body.is_event() && stored.body.time() >= time {
                break;
            }
            last = stored.body.position();
        }
        Ok(last)
    }

    fn damaged(&self, offset: u64, what: &str) -> ReadError {
        let (file, what) = (self.name.to_string(), what.to_owned());
        self.shared.write().note(Damage { file: file.clone(), offset, what: what.clone() });
        ReadError::Damaged { file, offset, what }
    }
}

/// A segment to look into, opened when its turn comes.
#[derive(Debug)]
struct Place {
    file: Arc<SegmentFile>,
    name: Arc<str>,
    base: Position,
    last: Position,
    len: u64,
    blocks: Arc<Vec<Block>>,
}

impl Place {
    fn of(segment: &Segment) -> Self {
        Self {
            file: segment.file.clone(),
            name: segment.name.clone(),
            base: segment.header.base,
            last: segment.last,
            len: segment.len,
            blocks: segment.blocks.clone(),
        }
    }

    /// The whole of it; `None` if retention dropped it since the read began.
    fn open(&self, shared: &Arc<SharedIndex>) -> Result<Option<Stretch>, ReadError> {
        let file = match self.file.get() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let (shared, name) = (shared.clone(), self.name.clone());
        Ok(Some(Stretch { shared, name, file, start: 0, end: self.len, last: self.last }))
    }
}

/// Reads one topic backwards: each event's `prev` says in which block to look next.
#[derive(Debug)]
struct Back {
    shared: Arc<SharedIndex>,
    topic: Topic,
    before: Position,
    budget: Budget,
    hidden: Position,
    erased: Arc<HashSet<Position>>,
    newest_first: Vec<Arc<Record>>,
    more: bool,
}

impl Back {
    fn new(shared: &Arc<SharedIndex>, topic: Topic, before: Position, budget: Budget) -> Self {
        let index = shared.read();
        let state = index.topics.get(&topic);
        Self {
            shared: shared.clone(),
            before: before.min(state.last.next()),
            topic,
            budget,
            hidden: state.hidden,
            erased: index.erased.clone(),
            newest_first: Vec::new(),
            more: false,
        }
    }

    fn read(mut self) -> Result<BackPage, ReadError> {
        let mut missing = None;
        while !self.more
            && let Some(place) = self.next_place()
        {
            let Some(stretch) = place.open(&self.shared)? else {
                // Compacted or dropped a moment ago? Then the index knows better by now.
                if missing.replace(place.name.clone()) == Some(place.name.clone()) {
                    return Err(ReadError::Io(format!("{} is gone", place.name)));
                }
                continue;
            };
            self.read_segment(&stretch, &place.blocks)?;
            self.before = self.before.min(place.base);
        }
        self.newest_first.reverse();
        Ok(BackPage { events: self.newest_first, more: self.more })
    }

    /// The newest segment that holds something of the topic before the bound.
    fn next_place(&self) -> Option<Place> {
        if self.before <= self.hidden.next() {
            return None;
        }
        let index = self.shared.read();
        let holds = |segment: &&Segment| {
            let span = segment.topics.get(&self.topic);
            segment.header.base < self.before && span.is_some_and(|span| span.first < self.before)
        };
        index.segments.iter().rfind(holds).map(Place::of)
    }

    /// Takes the next older event, or notes that there is one more.
    fn take(&mut self, record: Arc<Record>) {
        let first = self.newest_first.is_empty() && self.budget.events > 0;
        if self.budget.take(record.cost()) || first {
            self.newest_first.push(record);
        } else {
            self.more = true;
        }
    }

    fn read_segment(&mut self, stretch: &Stretch, blocks: &[Block]) -> Result<(), ReadError> {
        let mut block = Segment::block_of(blocks, self.before.before());
        loop {
            let Some(start) = blocks.get(block) else { return Ok(()) };
            let end = blocks.get(block + 1).map_or(stretch.end, |next| next.offset);
            let mut in_block = self.matching(stretch, (start.offset, end))?;
            while let Some((record, visible)) = in_block.pop() {
                self.before = record.prev.next();
                if visible {
                    self.take(record);
                }
                if self.more || self.before <= self.hidden.next() {
                    return Ok(());
                }
            }
            let first = blocks[block].first;
            if block == 0 || self.before <= blocks[0].first {
                return Ok(());
            }
            block = if self.before <= first {
                Segment::block_of(blocks, self.before.before()).min(block - 1)
            } else {
                block - 1
            };
        }
    }

    /// The topic's events of a block before the bound, and whether each may be shown.
    fn matching(
        &self,
        stretch: &Stretch,
        (start, end): (u64, u64),
    ) -> Result<Vec<(Arc<Record>, bool)>, ReadError> {
        let mut walk = Walk::new(stretch.file.clone(), start, end);
        let mut found = Vec::new();
        while let Some(stored) = stretch.step(&mut walk)? {
            let position = stored.body.position();
            if position >= self.before {
                break;
            }
            if position <= self.hidden {
                continue;
            }
            let (record, visible) = match stored.body {
                Body::Event(record) => (record, !self.erased.contains(&position)),
                Body::Blank(record) => {
                    if stored.bare.is_none() {
                        stretch.check_erased(&walk, stored.len, &record)?;
                    }
                    (Arc::new(record), false)
                }
                Body::Erasure { .. } => continue,
            };
            if record.topic == self.topic {
                found.push((record, visible));
            }
        }
        Ok(found)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ReadError::Io(e.to_string())))
}
