//! Hides events that are too old: whole segments by what the index knows of them, the one in
//! which the limit lies by reading on in it.

use std::collections::HashMap;

use super::{
    index::BlockPlace,
    scan::{Step, Walk},
    shared_index::SharedIndex,
};
use crate::{Millis, Position, Topic, ages::AgeScan};

/// Hides what one `max_age` is over for at `now`.
pub(crate) fn expire(shared: &SharedIndex, scan: &mut AgeScan, now: Millis) -> std::io::Result<()> {
    if !scan.is_over(scan.next, now) {
        return Ok(());
    }
    while skip_old_segment(shared, scan, now) {}
    let place = shared.read().place_of(scan.after.next())?;
    let Some(place) = place else { return Ok(()) };
    let (over, after) = read(&place, scan, now)?;
    let mut index = shared.write();
    for (topic, last) in over {
        if index.topics.limits(&topic).max_age == Some(scan.max_age) {
            index.topics.removed(&topic, last);
        }
    }
    scan.after = after;
    Ok(())
}

/// Hides a whole segment, if all of it is too old.
fn skip_old_segment(shared: &SharedIndex, scan: &mut AgeScan, now: Millis) -> bool {
    let mut index = shared.write();
    let index = &mut *index;
    let at = index.segments.partition_point(|segment| segment.last <= scan.after);
    let Some(segment) = index.segments.get(at).filter(|s| scan.is_over(s.newest, now)) else {
        return false;
    };
    for (topic, span) in &segment.topics {
        if index.topics.limits(topic).max_age == Some(scan.max_age) {
            index.topics.removed(topic, span.last);
        }
    }
    // The active segment goes on from here.
    scan.after = segment.last;
    at + 1 < index.segments.len()
}

/// The last position of each topic that is too old, and how far that goes.
fn read(
    place: &BlockPlace,
    scan: &mut AgeScan,
    now: Millis,
) -> std::io::Result<(HashMap<Topic, Position>, Position)> {
    let (mut over, mut after) = (HashMap::new(), scan.after);
    let mut walk = Walk::new(place.file.clone(), place.start, place.end);
    // What is damaged is told to those who read it.
    while let Step::Entry(_, stored) = walk.next()? {
        if stored.body.position() <= scan.after {
            continue;
        }
        if !scan.is_over(stored.body.time(), now) {
            scan.next = stored.body.time();
            break;
        }
        after = stored.body.position();
        if let Some(record) = stored.body.record() {
            over.insert(record.topic.clone(), record.position);
        }
    }
    Ok((over, after))
}
