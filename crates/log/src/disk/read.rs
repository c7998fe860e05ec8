//! Reads from the disk log: takes a snapshot of the index under its lock, then reads files
//! without it. What retention unlinks meanwhile stays readable through the open file.

use std::{collections::HashSet, io, sync::Arc};

use futures_core::future::BoxFuture;

use super::{
    MediumFile,
    format::{Body, Stored},
    index::{Index, SharedIndex},
    scan::{Step, Walk},
    segment::{Block, Segment},
};
use crate::{
    BackPage, Budget, Entry, Filter, Millis, Page, Position, ReadError, ReadRange, Record, Topic,
    log::PageBuilder,
};

/// Segments that one read looks into at most, so that its time is bounded.
const MAX_SEGMENTS: usize = 4;

pub(crate) fn read(
    index: &SharedIndex,
    range: ReadRange,
    filter: Filter,
    budget: Budget,
) -> BoxFuture<'static, Result<Page, ReadError>> {
    let snapshot = {
        let index = index.read();
        let range = ReadRange { through: range.through.min(index.end), ..range };
        if let Some(page) = from_memory(&index, range, &filter, budget) {
            return Box::pin(async { Ok(page) });
        }
        Snapshot::forward(&index, range, &filter)
    };
    Box::pin(blocking(move || snapshot.read(&filter, budget)))
}

pub(crate) fn read_back(
    index: &SharedIndex,
    topic: Topic,
    before: Option<Position>,
    count: usize,
) -> BoxFuture<'static, Result<BackPage, ReadError>> {
    let back = Back::new(&index.read(), topic, before.unwrap_or(Position(u64::MAX)), count);
    Box::pin(blocking(move || back.read()))
}

pub(crate) fn position_before(
    index: &SharedIndex,
    time: Millis,
) -> BoxFuture<'static, Result<Position, ReadError>> {
    let index = index.read();
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
    let stretch = Stretch::between(segment, segment.blocks[block].offset, end);
    let first = segment.blocks[block].first;
    Box::pin(blocking(move || stretch.last_older(first, time)))
}

fn from_memory(index: &Index, range: ReadRange, filter: &Filter, budget: Budget) -> Option<Page> {
    let mut page = PageBuilder::new(range.after, budget);
    for entry in index.recent.since(range.after)? {
        if entry.position() > range.through {
            break;
        }
        if !page.push(entry.clone(), filter) {
            return Some(page.finish(None));
        }
    }
    page.examined(range.through);
    Some(page.finish(None))
}

/// A committed stretch of a segment file.
#[derive(Debug)]
struct Stretch {
    name: Arc<str>,
    file: Arc<dyn MediumFile>,
    start: u64,
    end: u64,
    /// The last position up to its end.
    last: Position,
}

#[derive(Debug)]
struct Snapshot {
    stretches: Vec<Stretch>,
    range: ReadRange,
    erased: Arc<HashSet<Position>>,
    removed: Option<Position>,
}

impl Snapshot {
    fn forward(index: &Index, range: ReadRange, filter: &Filter) -> Self {
        let removed = index.topics.removed_after(filter, range.after);
        let removed = removed.map(|position| position.min(range.through));
        let mut range = ReadRange { after: range.after.max(removed.unwrap_or_default()), ..range };
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
                stretches.push(Stretch::from(segment, range.after));
            }
        }
        Self { stretches, range, erased: index.erased.clone(), removed }
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
                if !page.push(stretch.entry(&walk, stored)?, filter) {
                    return Ok(page.finish(self.removed));
                }
            }
            page.examined(stretch.last.min(self.range.through));
        }
        page.examined(self.range.through);
        Ok(page.finish(self.removed))
    }
}

/// Erasures pass every filter, so a segment is skipped only for what it cannot hold.
fn may_match(segment: &Segment, filter: &Filter) -> bool {
    match filter {
        Filter::All => true,
        Filter::Selection(_) => {
            segment.topics.keys().any(|topic| filter.matches(topic)) || segment.topics.is_empty()
        }
        Filter::Topics(topics) => {
            topics.iter().any(|topic| segment.topics.contains_key(topic))
                || segment.topics.is_empty()
        }
    }
}

impl Stretch {
    /// From the block that holds what comes after `after`.
    fn from(segment: &Segment, after: Position) -> Self {
        let block = Segment::block_of(&segment.blocks, after.next());
        let start = segment.blocks.get(block).map_or(segment.len, |block| block.offset);
        Self::between(segment, start, segment.len)
    }

    fn between(segment: &Segment, start: u64, end: u64) -> Self {
        let (name, file) = (segment.name.clone(), segment.file.clone());
        Self { name, file, start, end, last: segment.last }
    }

    fn step(&self, walk: &mut Walk) -> Result<Option<Stored>, ReadError> {
        match walk.next().map_err(|error: io::Error| ReadError::Io(error.to_string()))? {
            Step::Entry(_, stored) => Ok(Some(stored)),
            Step::End => Ok(None),
            Step::Bad(offset, what) => Err(self.damaged(offset, what)),
        }
    }

    fn entry(&self, walk: &Walk, stored: Stored) -> Result<Entry, ReadError> {
        match stored.body {
            Body::Event(record) => Ok(Entry::Event(record)),
            Body::Erasure { position, erased } => {
                Ok(Entry::Erasure { position, erased: erased.into() })
            }
            Body::Blank(_) => Err(self.damaged(
                walk.offset() - stored.len as u64,
                "the checksum of an event's data is wrong",
            )),
        }
    }

    /// The last position before the first event of the stretch that is not older than `time`.
    fn last_older(&self, first: Position, time: Millis) -> Result<Position, ReadError> {
        let mut walk = Walk::new(self.file.clone(), self.start, self.end);
        let mut last = first.before();
        while let Some(stored) = self.step(&mut walk)? {
            match &stored.body {
                Body::Event(record) if record.time >= time => break,
                Body::Blank(record) if record.time >= time => break,
                body => last = body.position(),
            }
        }
        Ok(last)
    }

    fn damaged(&self, offset: u64, what: &str) -> ReadError {
        ReadError::Damaged { file: self.name.to_string(), offset, what: what.into() }
    }
}

/// Reads one topic backwards: each event's `prev` says in which block to look next.
#[derive(Debug)]
struct Back {
    /// Newest first.
    segments: Vec<(Stretch, Position, Arc<Vec<Block>>)>,
    topic: Topic,
    before: Position,
    count: usize,
    removed: Position,
    erased: Arc<HashSet<Position>>,
}

impl Back {
    fn new(index: &Index, topic: Topic, before: Position, count: usize) -> Self {
        let state = index.topics.get(&topic);
        let holds =
            |segment: &&Segment| segment.topics.get(&topic).is_some_and(|span| span.first < before);
        let segments = index.segments.iter().rev().filter(holds).map(|segment| {
            let stretch = Stretch::between(segment, 0, segment.len);
            (stretch, segment.header.base, segment.blocks.clone())
        });
        let segments = segments.collect();
        let before = before.min(state.last.next());
        Self {
            segments,
            topic,
            before,
            count,
            removed: state.removed,
            erased: index.erased.clone(),
        }
    }

    fn read(mut self) -> Result<BackPage, ReadError> {
        let mut newest_first: Vec<Arc<Record>> = Vec::new();
        for (stretch, base, blocks) in std::mem::take(&mut self.segments) {
            if self.before > base {
                self.read_segment(&stretch, &blocks, &mut newest_first)?;
            }
            if newest_first.len() > self.count {
                break;
            }
        }
        let more = newest_first.len() > self.count;
        newest_first.truncate(self.count);
        newest_first.reverse();
        Ok(BackPage { events: newest_first, more })
    }

    /// Finds one event more than asked for, to know whether there are more.
    fn read_segment(
        &mut self,
        stretch: &Stretch,
        blocks: &[Block],
        found: &mut Vec<Arc<Record>>,
    ) -> Result<(), ReadError> {
        let mut block = Segment::block_of(blocks, self.before.before());
        loop {
            let Some(start) = blocks.get(block) else { return Ok(()) };
            let end = blocks.get(block + 1).map_or(stretch.end, |next| next.offset);
            let mut in_block = self.matching(stretch, (start.offset, end))?;
            while let Some((record, visible)) = in_block.pop() {
                self.before = record.prev.next();
                if visible {
                    found.push(record);
                }
                if found.len() > self.count || self.before <= self.removed.next() {
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
            if self.erased.contains(&position) {
                if let Body::Event(record) = stored.body {
                    found.extend((record.topic == self.topic).then_some((record, false)));
                } else if let Body::Blank(record) = stored.body {
                    found.extend((record.topic == self.topic).then(|| (Arc::new(record), false)));
                }
            } else if let Entry::Event(record) = stretch.entry(&walk, stored)?
                && record.topic == self.topic
            {
                found.push((record, true));
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
