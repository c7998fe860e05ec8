//! Counts anew what topics hold, after limits were changed while the log was open: event by event, as
//! an opening does. Until then the new limits act on whole stretches of older events.

use std::{collections::HashMap, sync::Arc};

use super::{
    format::{Bare, SEGMENT_HEADER},
    index::Index,
    keeper::Keeper,
    scan::{Step, Walk, WalkError},
    segment::Indexed,
    summary::Sealed,
};
use crate::{
    Entry, Limits, Position, Retention, Topic,
    buckets::{Bucket, Buckets},
};

/// What is counted so far.
struct Counting<'a> {
    retention: &'a Retention,
    topics: HashMap<Topic, Count>,
}

struct Count {
    limits: Limits,
    buckets: Buckets,
    /// The topic is over its limits up to here.
    over: Option<Position>,
}

impl Counting<'_> {
    fn add(&mut self, topic: &Topic, held: Bucket) {
        let retention = self.retention;
        let count = self.topics.entry(topic.clone()).or_insert_with(|| Count {
            limits: retention.limits_of(topic),
            buckets: Buckets::default(),
            over: None,
        });
        count.over = count.buckets.add(held, &count.limits).or(count.over);
    }
}

impl Keeper {
    /// Counts anew, if limits were changed.
    pub(super) fn recount(&mut self) -> Result<(), String> {
        if !self.recounts {
            return Ok(());
        }
        let (segments, retention, end) = {
            let index = self.index.read();
            let segments: Vec<Sealed> = index.segments.iter().map(Sealed::of).collect();
            (segments, index.topics.retention().clone(), index.end)
        };
        let mut counting = Counting { retention: &retention, topics: HashMap::new() };
        for segment in &segments {
            match self.count(segment, &mut counting) {
                Ok(()) | Err(WalkError::Damaged { .. }) => {}
                Err(WalkError::Closing) => return Ok(()),
                Err(WalkError::Io(error)) => return Err(error.to_string()),
            }
        }
        let mut index = self.index.write();
        let same = Arc::ptr_eq(index.topics.retention(), &retention);
        // Else limits were changed again, or more came than is at hand: again at the next pass.
        if same && index.count_since(end, &mut counting) {
            index.take_counts(counting.topics);
            self.recounts = false;
        }
        Ok(())
    }

    fn count(&self, sealed: &Sealed, counting: &mut Counting<'_>) -> Result<(), WalkError> {
        let mut pause = self.pause(self.hurry);
        let file = self.medium.open(&sealed.name)?;
        let mut walk = Walk::new(file, SEGMENT_HEADER as u64, sealed.len);
        let mut paused_at = 0;
        // What is damaged is told to those who read it.
        while let Step::Entry(_, stored) = walk.next()? {
            if let Some(record) = stored.body.record()
                && stored.bare != Some(Bare::Removed)
            {
                let held = Bucket { last: record.position, events: 1, bytes: stored.len as u64 };
                counting.add(&record.topic, held);
            }
            if walk.offset() >= paused_at + super::compact::PIECE as u64 {
                pause(super::compact::PIECE)?;
                paused_at = walk.offset();
            }
        }
        Ok(())
    }
}

impl Index {
    /// Adds what came after `end`; `false` if not all of that is in memory.
    fn count_since(&self, end: Position, counting: &mut Counting<'_>) -> bool {
        let Some(since) = self.recent.since(end) else { return false };
        for entry in since {
            if let Entry::Event(record) = entry {
                let bytes = record.cost() as u64;
                counting.add(&record.topic, Bucket { last: record.position, events: 1, bytes });
            }
        }
        true
    }

    fn take_counts(&mut self, counts: HashMap<Topic, Count>) {
        for (topic, Count { buckets, over, .. }) in counts {
            self.topics.recounted(&topic, buckets, over);
        }
        // Their index files count by the old limits.
        for segment in &mut self.segments {
            segment.indexed = segment.indexed.filter(|indexed| *indexed == Indexed::Damaged);
        }
    }
}
