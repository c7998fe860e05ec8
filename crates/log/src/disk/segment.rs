//! One segment file and its sparse indexes: by position and time in blocks, by topic in
//! spans. It says where to look; it never reads an entry itself.

use std::{collections::HashMap, io, sync::Arc};

use super::{
    Medium, MediumFile,
    file::SegmentFile,
    format::{SEGMENT_HEADER, SegmentHeader},
};
use crate::{Millis, Position, Topic};

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
            blocks,
            topics: HashMap::new(),
        }
    }

    /// Nothing was ever in it.
    pub(crate) fn is_unused(&self) -> bool {
        self.len == SEGMENT_HEADER as u64 && self.header.through == Position::START
    }

    /// Takes in the next entry, of `len` bytes; `topic` if it is an event.
    pub(crate) fn add(
        &mut self,
        position: Position,
        time: Millis,
        topic: Option<&Topic>,
        len: u64,
    ) {
        if self.blocks.last().is_none_or(|block| self.len - block.offset >= BLOCK) {
            Arc::make_mut(&mut self.blocks).push(Block { first: position, time, offset: self.len });
        }
        if let Some(topic) = topic {
            match self.topics.get_mut(topic) {
                Some(span) => {
                    span.last = position;
                    span.events += 1;
                    span.bytes += len;
                }
                None => {
                    let span = Span { first: position, last: position, events: 1, bytes: len };
                    self.topics.insert(topic.clone(), span);
                }
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
