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
        Body, SEGMENT_HEADER, SegmentHeader, Stored, encode_erased, encode_erasure, encode_event,
    },
    index::Index,
    scan::{STRANGE, Step, Walk},
    segment::Segment,
};
use crate::{Position, Record, Topic};

/// Bytes written at a time.
const PIECE: usize = 1 << 20;

/// What to rewrite, as the index knew it when it was looked at.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sources: Vec<Source>,
    header: SegmentHeader,
    /// Up to where each topic is hidden.
    hidden: HashMap<Topic, Position>,
    /// Erased events.
    pub(crate) erased: Arc<HashSet<Position>>,
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
}

/// Why a rewriting was given up; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the log is being closed")]
    Closing,
}

impl Job {
    /// To rewrite the sealed segments of `run`.
    pub(crate) fn new(index: &Index, run: std::ops::Range<usize>) -> Option<Self> {
        let segments = index.sealed().get(run)?;
        let topics = segments.iter().flat_map(|segment| segment.topics.keys());
        let hidden = topics.map(|topic| (topic.clone(), index.topics.get(topic).hidden));
        Self::of(index, segments, hidden.collect())
    }

    /// To rewrite these segments but for what is hidden.
    pub(crate) fn of(
        index: &Index,
        segments: &[Segment],
        hidden: HashMap<Topic, Position>,
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
        })
    }

    #[cfg(test)]
    pub(crate) fn hiding_more(mut self) -> Self {
        self.hidden.values_mut().for_each(|hidden| *hidden = Position(hidden.0 + 8));
        self
    }

    /// Does it. `pause` is called after every piece of so many bytes, and ends it by an error.
    pub(crate) fn run(
        &self,
        medium: &Arc<dyn Medium>,
        pause: &mut dyn FnMut(usize) -> Result<(), CompactError>,
    ) -> Result<Rewritten, CompactError> {
        let name = Segment::file_name(&self.header);
        let temporary = format!("{}.new", name.trim_end_matches(".seg"));
        let file = medium.create(&temporary)?;
        file.write_at(&self.header.encode(), 0)?;
        let segment = Segment::new(medium, name.into(), self.header.clone(), file.clone());
        let mut output = Output { file, segment, bytes: Vec::new(), erased: HashSet::new() };
        for source in &self.sources {
            self.copy(source, &mut output, pause)?;
        }
        output.flush()?;
        output.file.sync()?;
        let Output { segment, erased, .. } = output;
        Ok(Rewritten { segment, temporary, erased })
    }

    fn copy(
        &self,
        source: &Source,
        output: &mut Output,
        pause: &mut dyn FnMut(usize) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        let damaged =
            |offset, what| CompactError::Damaged { file: source.name.to_string(), offset, what };
        let mut walk = Walk::new(source.file.get()?, SEGMENT_HEADER as u64, source.len);
        let (mut batch, mut paused_at) = (Vec::new(), 0);
        loop {
            match walk.next()? {
                Step::End => return Ok(()),
                Step::Bad(offset, what) => return Err(damaged(offset, what)),
                Step::Strange(offset) => return Err(damaged(offset, STRANGE)),
                Step::Entry(offset, stored) => {
                    let complete = !stored.more;
                    if self.keeps(&stored).map_err(|what| damaged(offset, what))? {
                        batch.push(self.without_erased(stored));
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

    /// An event may be erased before its bytes are overwritten.
    fn without_erased(&self, mut stored: Stored) -> Stored {
        if let Body::Event(record) = &stored.body
            && self.erased.contains(&record.position)
        {
            stored.body = Body::Blank(Record::clone(record));
        }
        stored
    }

    fn keeps(&self, stored: &Stored) -> Result<bool, &'static str> {
        let shows = |record: &Record| {
            self.hidden.get(&record.topic).is_none_or(|hidden| record.position > *hidden)
        };
        match &stored.body {
            Body::Event(record) => Ok(shows(record)),
            Body::Blank(record) if self.erased.contains(&record.position) => Ok(shows(record)),
            Body::Blank(_) => Err("the checksum of an event's data is wrong"),
            Body::Erasure { erased, .. } => Ok(erased.iter().any(|p| self.erased.contains(p))),
        }
    }
}

struct Output {
    file: Arc<dyn MediumFile>,
    segment: Segment,
    /// Of the segment's end, not written yet.
    bytes: Vec<u8>,
    erased: HashSet<Position>,
}

impl Output {
    /// What is left of a batch stays one.
    fn write(&mut self, batch: &[Stored]) -> io::Result<()> {
        for (i, stored) in batch.iter().enumerate() {
            let (start, more) = (self.bytes.len(), i + 1 < batch.len());
            let topic = match &stored.body {
                Body::Event(record) => {
                    encode_event(&mut self.bytes, record, more, 0);
                    Some(&record.topic)
                }
                Body::Blank(record) => {
                    encode_erased(&mut self.bytes, record, more);
                    self.erased.insert(record.position);
                    Some(&record.topic)
                }
                Body::Erasure { position, time, erased } => {
                    encode_erasure(&mut self.bytes, (*position, *time), erased, 0);
                    None
                }
            };
            let len = (self.bytes.len() - start) as u64;
            self.segment.add(stored.body.position(), stored.body.time(), topic, len);
        }
        if self.bytes.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let offset = self.segment.len - self.bytes.len() as u64;
        self.file.write_at(&self.bytes, offset)?;
        self.bytes.clear();
        Ok(())
    }
}
