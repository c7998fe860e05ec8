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

/// Where a topic lies in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Position,
    pub(crate) last: Position,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: Arc<str>,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<SegmentFile>,
    /// Bytes that readers may see.
    pub(crate) len: u64,
    pub(crate) last: Position,
    /// Shared with readers; copied only if one holds it while the segment grows.
    pub(crate) blocks: Arc<Vec<Block>>,
    pub(crate) topics: HashMap<Topic, Span>,
}

impl Segment {
    pub(crate) fn file_name(base: Position) -> String {
        format!("log/{:020}.seg", base.0)
    }

    /// Creates the file; once this returns, its name and header are durable.
    pub(crate) fn create(medium: &Arc<dyn Medium>, header: SegmentHeader) -> io::Result<Self> {
        let name = Self::file_name(header.base);
        let file = medium.create(&name)?;
        file.write_at(&header.encode(), 0)?;
        file.sync()?;
        medium.sync_folder("log")?;
        Ok(Self::new(medium, name.into(), header, file))
    }

    pub(crate) fn new(
        medium: &Arc<dyn Medium>,
        name: Arc<str>,
        header: SegmentHeader,
        file: Arc<dyn MediumFile>,
    ) -> Self {
        let last = header.base.before();
        let file = Arc::new(SegmentFile::new(medium, &name, file));
        let blocks = Arc::default();
        Self {
            name,
            header,
            file,
            len: SEGMENT_HEADER as u64,
            last,
            blocks,
            topics: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == SEGMENT_HEADER as u64
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
                Some(span) => span.last = position,
                None => {
                    self.topics.insert(topic.clone(), Span { first: position, last: position });
                }
            }
        }
        self.len += len;
        self.last = position;
    }

    /// The block in which `position` lies, or would.
    pub(crate) fn block_of(blocks: &[Block], position: Position) -> usize {
        blocks.partition_point(|block| block.first <= position).saturating_sub(1)
    }
}
