//! Takes erased data off the disk by overwriting it with zeros where it lies. The head, with
//! position and `prev`, stays.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{
    MediumFile,
    index::SharedIndex,
    scan::{Step, Walk},
    segment::Segment,
};
use crate::Position;

/// Where to look for one erased event.
struct Place {
    file: Arc<dyn MediumFile>,
    start: u64,
    end: u64,
}

pub(crate) fn overwrite(index: &SharedIndex, erased: &[Position]) -> io::Result<()> {
    let mut files = BTreeMap::new();
    for position in erased {
        if let Some(found) = find(index, *position) {
            let (name, place) = found?;
            zero(&place, *position)?;
            files.insert(name, place.file);
        }
    }
    files.values().try_for_each(|file| file.sync())?;
    index.write().mark_unscrubbed(erased);
    Ok(())
}

fn find(index: &SharedIndex, position: Position) -> Option<io::Result<(Arc<str>, Place)>> {
    let index = index.read();
    let at = index.segments.partition_point(|segment| segment.last < position);
    let segment = index.segments.get(at)?;
    let block = Segment::block_of(&segment.blocks, position);
    let start = segment.blocks.get(block)?.offset;
    let end = segment.blocks.get(block + 1).map_or(segment.len, |block| block.offset);
    let file = segment.file.get();
    Some(file.map(|file| (segment.name.clone(), Place { file, start, end })))
}

fn zero(place: &Place, position: Position) -> io::Result<()> {
    let mut walk = Walk::new(place.file.clone(), place.start, place.end);
    while let Step::Entry(offset, stored) = walk.next()? {
        if stored.body.position() == position && stored.body.is_event() {
            let data = offset + (stored.len - stored.data_len) as u64;
            return place.file.write_at(&vec![0; stored.data_len], data);
        }
    }
    Ok(())
}
