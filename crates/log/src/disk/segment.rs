//! One segment file and its sparse indexes: by position and time in blocks, by topic in
//! spans. It says where to look; it never reads an entry itself.

use std::{collections::HashMap, io, sync::Arc};

use super::{
    Medium, MediumFile,
    file::SegmentFile,
    format::{SEGMENT_HEADER, SegmentHeader},
};
use crate::{Millis, Position, Record, Topic};

/// Bytes between two marks of the position index.
const BLOCK: u64 = 64 * 1024;

/// A mark of the sparse index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: Position,
    pub(crate) time: Millis,
    pub(crate) offset: u64,
}

/// Where a topic lies in a segment, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// The topic's last event before these, removed or not.
    pub(crate) prev: Position,
    /// The last event of the topic that these say is gone.
    pub(crate) lost: Position,
}

/// An entry that a segment takes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added<'a> {
    pub(crate) position: Position,
    pub(crate) time: Millis,
    /// Its length in the file, in bytes.
    pub(crate) len: u64,
    /// `None` of an erasure.
    pub(crate) record: Option<&'a Record>,
    /// Retention took the event, and only its key is there.
    pub(crate) removed: bool,
}

impl Span {
    fn of(added: &Added<'_>, prev: Position) -> Self {
        let Added { position, len, removed, .. } = *added;
        let lost = if removed { position } else { Position::START };
        Self { first: position, last: position, events: 1, bytes: len, prev, lost }
    }

    fn add(&mut self, added: &Added<'_>, prev: Position) {
        // What came between was compacted away.
        let gone = if prev > self.last { prev } else { Position::START };
        let removed = if added.removed { added.position } else { Position::START };
        self.lost = self.lost.max(gone).max(removed);
        self.last = added.position;
        self.events += 1;
        self.bytes += added.len;
    }
}

/// How far a segment's index file is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexed {
    /// The segment was opened by it, and not read since.
    Believed,
    /// It was made from the segment, or compared with it.
    Checked,
    /// The segment cannot be read to its end.
    Damaged,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: Arc<str>,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<SegmentFile>,
    /// Bytes that readers may see.
    pub(crate) len: u64,
    /// The last position that it covers.
    pub(crate) last: Position,
    /// The time of its last entry.
    pub(crate) newest: Millis,
    /// The time of its last event with an idempotency key; 0 if there is none.
    pub(crate) newest_key: Millis,
    /// Erased events were overwritten in it, but their heads still say more than they should.
    pub(crate) unscrubbed: bool,
    /// What its index file says is known to be true; `None`: it has none yet.
    pub(crate) indexed: Option<Indexed>,
    /// Bytes of that file.
    pub(crate) index_len: u64,
    /// Shared with readers; copied only if one holds it while the segment grows.
    pub(crate) blocks: Arc<Vec<Block>>,
    pub(crate) topics: HashMap<Topic, Span>,
}

impl Segment {
    /// The name of a segment's file: where it begins, and how often it was compacted.
    pub(crate) fn file_name(header: &SegmentHeader) -> String {
        match header.generation {
            0 => format!("log/{:020}.seg", header.base.0),
            generation => format!("log/{:020}-{generation:08}.seg", header.base.0),
        }
    }

    /// Creates the file; once this returns, its name and header are durable.
    pub(crate) fn create(medium: &Arc<dyn Medium>, header: SegmentHeader) -> io::Result<Self> {
        let name = Self::file_name(&header);
        let file = medium.create(&name)?;
        let begun = file
            .write_at(&header.encode(), 0)
            .and_then(|()| file.sync())
            .and_then(|()| medium.sync_folder("log"));
        if let Err(error) = begun {
            // Else an opening would find a file without a header among the others; should this
            // fail too, it passes over that.
            let _ = medium.remove(&name);
            return Err(error);
        }
        Ok(Self::new(medium, name.into(), header, file))
    }

    pub(crate) fn new(
        medium: &Arc<dyn Medium>,
        name: Arc<str>,
        header: SegmentHeader,
        file: Arc<dyn MediumFile>,
    ) -> Self {
        let last = header.base.before().max(header.through);
        let file = Arc::new(SegmentFile::new(medium, &name, file));
        let blocks = Arc::default();
        Self {
            name,
            header,
            file,
            len: SEGMENT_HEADER as u64,
            last,
            newest: 0,
            newest_key: 0,
            unscrubbed: false,
            indexed: None,
            index_len: 0,
            blocks,
            topics: HashMap::new(),
        }
    }

    /// Nothing was ever in it.
    pub(crate) fn is_unused(&self) -> bool {
        self.len == SEGMENT_HEADER as u64 && self.header.through == Position::START
    }

    /// Takes in the next entry.
    pub(crate) fn add(&mut self, added: &Added<'_>) {
        let Added { position, time, len, record, .. } = *added;
        if self.blocks.last().is_none_or(|block| self.len - block.offset >= BLOCK) {
            Arc::make_mut(&mut self.blocks).push(Block { first: position, time, offset: self.len });
        }
        if let Some(record) = record {
            match self.topics.get_mut(&record.topic) {
                Some(span) => span.add(added, record.prev),
                None => {
                    self.topics.insert(record.topic.clone(), Span::of(added, record.prev));
                }
            }
            if record.fields.key.is_some() {
                self.newest_key = time;
            }
        }
        self.len += len;
        self.last = self.last.max(position);
        self.newest = self.newest.max(time);
    }

    /// The block in which `position` lies, or would.
    pub(crate) fn block_of(blocks: &[Block], position: Position) -> usize {
        blocks.partition_point(|block| block.first <= position).saturating_sub(1)
    }
}
