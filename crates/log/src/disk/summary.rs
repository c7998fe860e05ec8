//! What opening needs to know of a sealed segment: learnt by reading it once, or from the index file
//! beside it (`index_file`). It never says what readers may see.

use std::{io, sync::Arc};

use super::{
    Medium,
    format::{Bare, Body, SEGMENT_HEADER, SegmentHeader, Stored},
    index::Index,
    scan::{Step, Walk, WalkError},
    segment::{Added, Segment, Span},
};
use crate::{
    EventId, Position, Topic,
    buckets::Bucket,
    keys::KeyUses,
    topics::{Counted, Run},
};

#[derive(Debug)]
pub(crate) struct Summary {
    /// Its sparse indexes, and how far it goes.
    pub(crate) segment: Segment,
    /// Events in it, erased ones not counted.
    pub(crate) events: u64,
    /// What its erasures name.
    pub(crate) erasures: Vec<Position>,
    /// Its events without content.
    pub(crate) blank: Vec<Position>,
    /// Its newest idempotency keys.
    pub(crate) keys: KeyUses,
    /// See [`Counts`].
    pub(crate) counts: Option<Counts>,
}

/// What was counted of the segment's topics, for limits on events and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The limits by which they were counted.
    pub(crate) by: [u8; 8],
    /// The end of the log then: nothing beyond it is counted, and everything up to it was durable.
    pub(crate) as_of: EventId,
    pub(crate) topics: Vec<(Topic, Counted)>,
}

/// A sealed segment to be read.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) name: Arc<str>,
    pub(crate) header: SegmentHeader,
    pub(crate) len: u64,
}

impl Sealed {
    pub(crate) fn of(segment: &Segment) -> Self {
        let (name, header) = (segment.name.clone(), segment.header.clone());
        Self { name, header, len: segment.len }
    }

    fn damaged(&self, offset: u64, what: &'static str) -> WalkError {
        WalkError::Damaged { file: self.name.to_string(), offset, what }
    }
}

impl Summary {
    pub(crate) fn new(segment: Segment) -> Self {
        let (erasures, blank, keys) = (Vec::new(), Vec::new(), KeyUses::default());
        Self { segment, events: 0, erasures, blank, keys, counts: None }
    }

    /// Reads a sealed segment to its end. `pause` is called after every piece of so many bytes.
    pub(crate) fn read(
        medium: &Arc<dyn Medium>,
        sealed: &Sealed,
        is_erased: &dyn Fn(Position) -> bool,
        pause: &mut dyn FnMut(usize) -> Result<(), WalkError>,
    ) -> Result<Self, WalkError> {
        let file = medium.open(&sealed.name)?;
        let segment =
            Segment::new(medium, sealed.name.clone(), sealed.header.clone(), file.clone());
        let mut summary = Self::new(segment);
        let mut walk = Walk::new(file, SEGMENT_HEADER as u64, sealed.len);
        let (mut first, mut last, mut paused_at) = (None, Position::START, 0);
        loop {
            match walk.next()? {
                Step::End => return Ok(summary),
                Step::Bad(offset, what) => return Err(sealed.damaged(offset, what)),
                Step::Strange(offset) => return Err(sealed.damaged(offset, super::scan::STRANGE)),
                Step::Entry(offset, stored) => {
                    let lawful = lawful(&stored, last, is_erased);
                    lawful.map_err(|what| sealed.damaged(offset, what))?;
                    last = stored.body.position();
                    summary.add(&stored, &mut first);
                }
            }
            if walk.offset() >= paused_at + super::compact::PIECE as u64 {
                pause(super::compact::PIECE)?;
                paused_at = walk.offset();
            }
        }
    }

    /// Takes in the next entry; `first` is the first topic of its batch.
    fn add(&mut self, stored: &Stored, first: &mut Option<Topic>) {
        let record = stored.body.record();
        let (position, time) = (stored.body.position(), stored.body.time());
        let removed = stored.bare == Some(Bare::Removed);
        self.segment.add(&Added { position, time, len: stored.len as u64, record, removed });
        self.events += u64::from(matches!(stored.body, Body::Event(_)));
        match &stored.body {
            Body::Event(_) => {}
            Body::Blank(_) => self.blank.push(position),
            Body::Erasure { erased, .. } => self.erasures.extend(erased),
        }
        self.segment.unscrubbed |= matches!(stored.body, Body::Blank(_)) && stored.data_len > 0;
        if let Some(record) = record {
            let first = first.get_or_insert_with(|| record.topic.clone());
            self.keys.add(record, first);
        }
        if !stored.more {
            *first = None;
        }
    }

    /// Whether a segment is known to be as it was read here.
    pub(crate) fn agrees_with(&self, segment: &Segment) -> bool {
        let read = &self.segment;
        (read.len, read.last, read.newest, read.newest_key)
            == (segment.len, segment.last, segment.newest, segment.newest_key)
            && read.blocks == segment.blocks
            && read.topics == segment.topics
    }
}

/// No torn write makes an intact entry with an impossible position.
pub(crate) const OUT_OF_ORDER: &str = "an entry is out of order";
pub(crate) const NOT_ITS_DATA: &str = "the checksum of an event's data is wrong";

fn lawful(
    stored: &Stored,
    last: Position,
    is_erased: &dyn Fn(Position) -> bool,
) -> Result<(), &'static str> {
    let position = stored.body.position();
    if position <= last {
        return Err(OUT_OF_ORDER);
    }
    let blank = matches!(stored.body, Body::Blank(_)) && stored.bare.is_none();
    if blank && !is_erased(position) { Err(NOT_ITS_DATA) } else { Ok(()) }
}

impl Counts {
    /// What the index has counted by now of a segment's topics; `None` if nothing is counted.
    pub(crate) fn now(index: &Index, segment: &Segment) -> Option<Self> {
        let by = index.topics.retention().counting()?;
        let counted = |topic: &Topic| Some((topic.clone(), index.topics.counted(topic)?));
        let topics = segment.topics.keys().filter_map(counted).collect();
        Some(Self { by, as_of: index.epochs.id(index.end), topics })
    }
}

impl Index {
    /// Takes in a whole segment by what is known of it.
    pub(crate) fn adopt(&mut self, summary: Summary) {
        let Summary { segment, erasures, counts, .. } = summary;
        let counted = counts.map(|counts| counts.topics.into_iter().collect());
        let counted: std::collections::HashMap<Topic, Counted> = counted.unwrap_or_default();
        for (topic, span) in &segment.topics {
            self.topics.added_run(topic, &run(span), counted.get(topic));
        }
        Arc::make_mut(&mut self.erased).extend(erasures);
        self.end = self.end.max(segment.last);
        self.segments.push(segment);
    }
}

fn run(span: &Span) -> Run {
    let held = Bucket { last: span.last, events: span.events, bytes: span.bytes };
    Run { held, prev: span.prev, lost: span.lost }
}

impl From<WalkError> for io::Error {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io(error) => error,
            other => Self::other(other.to_string()),
        }
    }
}
