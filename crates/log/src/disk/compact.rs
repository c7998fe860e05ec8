//! Rewrites a run of sealed segments into one that holds only what is still shown. It reads what
//! nobody changes any more (erasures apart, which the keeper makes up for) and writes a file that
//! nobody knows yet; it decides nothing about what is shown.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

use super::{
    Medium, MediumFile,
    file::SegmentFile,
    format::{
        Bare, Body, SEGMENT_HEADER, SegmentHeader, Stored, encode_bare, encode_erasure,
        encode_event,
    },
    index::Index,
    scan::{STRANGE, Step, Walk, WalkError},
    segment::{Added, Segment},
    shared_index::SharedIndex,
    summary::NOT_ITS_DATA,
};
use crate::{Millis, Position, Record, Topic};

/// Bytes read or written at a time.
pub(crate) const PIECE: usize = 1 << 20;

/// What to rewrite, as the index knew it when it was looked at.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sources: Vec<Source>,
    header: SegmentHeader,
    /// Up to where each topic is hidden.
    hidden: HashMap<Topic, Position>,
    /// Erased events.
    pub(crate) erased: Arc<HashSet<Position>>,
    /// Idempotency keys from this time on are kept, whatever becomes of their events.
    pub(crate) keys_since: Millis,
}

/// What becomes of an entry.
enum Fate {
    Kept,
    Bare(Bare),
    Gone,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    file: Arc<SegmentFile>,
    len: u64,
}

/// A rewritten segment under a name that an opening removes.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) segment: Segment,
    pub(crate) temporary: String,
    /// Erased events that are still in it, for their place.
    pub(crate) erased: HashSet<Position>,
    /// Bytes of events that are only there for their keys.
    pub(crate) key_bytes: u64,
}

impl Job {
    /// To rewrite the sealed segments of `run`, but for what is hidden and for `more`.
    pub(crate) fn new(
        index: &Index,
        run: std::ops::Range<usize>,
        more: &[(Topic, Position)],
        keys_since: Millis,
    ) -> Option<Self> {
        let segments = index.sealed().get(run)?;
        let topics = segments.iter().flat_map(|segment| segment.topics.keys());
        let hidden = topics.map(|topic| (topic.clone(), index.topics.get(topic).hidden));
        let mut hidden: HashMap<_, _> = hidden.collect();
        for (topic, position) in more {
            let hidden = hidden.entry(topic.clone()).or_default();
            *hidden = (*hidden).max(*position);
        }
        Self::of(index, segments, hidden, keys_since)
    }

    /// To rewrite these segments but for what is hidden.
    pub(crate) fn of(
        index: &Index,
        segments: &[Segment],
        hidden: HashMap<Topic, Position>,
        keys_since: Millis,
    ) -> Option<Self> {
        let (first, last) = (segments.first()?, segments.last()?);
        let generation = segments.iter().map(|segment| segment.header.generation).max()? + 1;
        let header = SegmentHeader { through: last.last, generation, ..first.header.clone() };
        let source = |segment: &Segment| Source {
            name: segment.name.clone(),
            file: segment.file.clone(),
            len: segment.len,
        };
        Some(Self {
            sources: segments.iter().map(source).collect(),
            header,
            hidden,
            erased: index.erased.clone(),
            keys_since,
        })
    }

    /// A mistake: see [`Mutation::CompactTooMuch`](super::mutation::Mutation).
    pub(crate) fn hiding_more(mut self) -> Self {
        self.hidden.values_mut().for_each(|hidden| *hidden = Position(hidden.0 + 8));
        self
    }

    /// Does it. `pause` is called after every piece of so many bytes, and ends it by an error. If
    /// it is given up, it has left nothing behind.
    pub(crate) fn run(
        &self,
        medium: &Arc<dyn Medium>,
        shared: &SharedIndex,
        pause: &mut dyn FnMut(usize) -> Result<(), WalkError>,
    ) -> Result<Rewritten, WalkError> {
        let name = Segment::file_name(&self.header);
        let temporary = format!("{}.new", name.trim_end_matches(".seg"));
        let written = self.write(medium, shared, (name, &temporary), pause);
        if written.is_err() {
            // It may be the very space that is missing.
            let _ = medium.remove(&temporary);
        }
        let Output { segment, erased, key_bytes, .. } = written?;
        Ok(Rewritten { segment, temporary, erased, key_bytes })
    }

    fn write(
        &self,
        medium: &Arc<dyn Medium>,
        shared: &SharedIndex,
        (name, temporary): (String, &str),
        pause: &mut dyn FnMut(usize) -> Result<(), WalkError>,
    ) -> Result<Output, WalkError> {
        let file = medium.create(temporary)?;
        file.write_at(&self.header.encode(), 0)?;
        let segment = Segment::new(medium, name.into(), self.header.clone(), file.clone());
        let mut output =
            Output { file, segment, bytes: Vec::new(), erased: HashSet::new(), key_bytes: 0 };
        for source in &self.sources {
            self.copy(source, shared, &mut output, pause)?;
        }
        output.flush()?;
        output.file.sync()?;
        Ok(output)
    }

    fn copy(
        &self,
        source: &Source,
        shared: &SharedIndex,
        output: &mut Output,
        pause: &mut dyn FnMut(usize) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        let damaged =
            |offset, what| WalkError::Damaged { file: source.name.to_string(), offset, what };
        let mut walk = Walk::new(source.file.get()?, SEGMENT_HEADER as u64, source.len);
        let (mut batch, mut paused_at) = (Vec::new(), 0);
        loop {
            match walk.next()? {
                Step::End => return Ok(()),
                Step::Bad(offset, what) => return Err(damaged(offset, what)),
                Step::Strange(offset) => return Err(damaged(offset, STRANGE)),
                Step::Entry(offset, stored) => {
                    let complete = !stored.more;
                    match self.fate(&stored, shared).map_err(|what| damaged(offset, what))? {
                        Fate::Kept => batch.push((stored, None)),
                        Fate::Bare(why) => batch.push((stored, Some(why))),
                        Fate::Gone => {}
                    }
                    if complete {
                        output.write(&std::mem::take(&mut batch))?;
                    }
                    if walk.offset() >= paused_at + PIECE as u64 {
                        paused_at = walk.offset();
                        pause(PIECE)?;
                    }
                }
            }
        }
    }

    fn fate(&self, stored: &Stored, shared: &SharedIndex) -> Result<Fate, &'static str> {
        let record = match &stored.body {
            Body::Event(record) => &**record,
            Body::Blank(record) => record,
            Body::Erasure { erased, .. } => {
                let needed = erased.iter().any(|p| self.erased.contains(p));
                return Ok(if needed { Fate::Kept } else { Fate::Gone });
            }
        };
        // An event may be erased before its bytes are overwritten, and after this was begun.
        let erased = self.erased.contains(&record.position)
            || stored.bare == Some(Bare::Erased)
            || (matches!(stored.body, Body::Blank(_))
                && shared.read().erased.contains(&record.position));
        if matches!(stored.body, Body::Blank(_)) && !erased && stored.bare.is_none() {
            return Err(NOT_ITS_DATA);
        }
        let shown = self.hidden.get(&record.topic).is_none_or(|hidden| record.position > *hidden);
        let keyed = record.fields.key.is_some() && record.time >= self.keys_since;
        Ok(match (shown && stored.bare != Some(Bare::Removed), erased) {
            (true, false) => Fate::Kept,
            (true, true) => Fate::Bare(Bare::Erased),
            (false, _) if keyed => Fate::Bare(Bare::Removed),
            (false, _) => Fate::Gone,
        })
    }
}

struct Output {
    file: Arc<dyn MediumFile>,
    segment: Segment,
    /// Of the segment's end, not written yet.
    bytes: Vec<u8>,
    erased: HashSet<Position>,
    key_bytes: u64,
}

impl Output {
    /// What is left of a batch stays one.
    fn write(&mut self, batch: &[(Stored, Option<Bare>)]) -> io::Result<()> {
        for (i, (stored, bare)) in batch.iter().enumerate() {
            let (start, more) = (self.bytes.len(), i + 1 < batch.len());
            if let Body::Erasure { position, time, erased } = &stored.body {
                encode_erasure(&mut self.bytes, (*position, *time), erased, 0);
            }
            let record = stored.body.record();
            if let Some(record) = record {
                self.event(record, more, *bare);
            }
            let len = (self.bytes.len() - start) as u64;
            let removed = *bare == Some(Bare::Removed);
            self.key_bytes += if removed { len } else { 0 };
            let (position, time) = (stored.body.position(), stored.body.time());
            self.segment.add(&Added { position, time, len, record, removed });
        }
        if self.bytes.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn event(&mut self, record: &Record, more: bool, bare: Option<Bare>) {
        match bare {
            None => encode_event(&mut self.bytes, record, more, 0),
            Some(why) => encode_bare(&mut self.bytes, record, more, why),
        }
        if bare == Some(Bare::Erased) {
            self.erased.insert(record.position);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let offset = self.segment.len - self.bytes.len() as u64;
        self.file.write_at(&self.bytes, offset)?;
        self.bytes.clear();
        Ok(())
    }
}
