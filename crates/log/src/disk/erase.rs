//! Takes erased data off the disk by overwriting it with zeros where it lies. The head, with
//! position and `prev`, stays.

use std::{collections::BTreeMap, io};

use super::{
    index::BlockPlace,
    scan::{Step, Walk},
    shared_index::SharedIndex,
};
use crate::Position;

pub(crate) fn overwrite(index: &SharedIndex, erased: &[Position]) -> io::Result<()> {
    let mut files = BTreeMap::new();
    for position in erased {
        let place = index.read().place_of(*position)?;
        if let Some(place) = place {
            zero(&place, *position)?;
            files.insert(place.name, place.file);
        }
    }
    files.values().try_for_each(|file| file.sync())?;
    index.write().mark_unscrubbed(erased);
    Ok(())
}

fn zero(place: &BlockPlace, position: Position) -> io::Result<()> {
    let mut walk = Walk::new(place.file.clone(), place.start, place.block_end);
    while let Step::Entry(offset, stored) = walk.next()? {
        if stored.body.position() == position && stored.body.is_event() {
            let data = offset + (stored.len - stored.data_len) as u64;
            return place.file.write_at(&vec![0; stored.data_len], data);
        }
    }
    Ok(())
}
