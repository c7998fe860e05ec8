//! Counts what topics hold by other limits than before: reads what the stream has, in the background; until that is done, changed limits act on older events as newer ones come.

use std::collections::HashMap;

use eventwall_log::{
    Entry, Filter, Keep, Limits, Position, Topic,
    kit::{Bucket, Topics},
};

use crate::{
    index::Index,
    shared::{Shared, Witness},
    source::Want,
};

/// What is read at once.
const STEP: (usize, usize) = (4096, 4 << 20);

/// What is held of the topics that are counted, oldest first, in no more buckets than are exact enough.
#[derive(Default)]
struct Held(HashMap<Topic, Vec<Bucket>>);

/// Buckets of a topic; beyond, two and two become one.
const MOST_BUCKETS: usize = 256;

impl Held {
    fn add(&mut self, topics: &Topics, entry: &Entry) {
        let Entry::Event(record) = entry else { return };
        let Limits { max_events, max_bytes, keep, .. } = topics.limits(&record.topic);
        let counted = keep == Keep::All && (max_events.is_some() || max_bytes.is_some());
        if counted && topics.shows(&record.topic, record.position) {
            let bytes = record.cost() as u64;
            let buckets = self.0.entry(record.topic.clone()).or_default();
            buckets.push(Bucket { last: record.position, events: 1, bytes });
            if buckets.len() > MOST_BUCKETS {
                *buckets = buckets.chunks(2).map(together).collect();
            }
        }
    }

    fn into_buckets(self) -> impl Iterator<Item = (Topic, Bucket)> {
        let of_topic = |(topic, buckets): (Topic, Vec<Bucket>)| {
            buckets.into_iter().map(move |bucket| (topic.clone(), bucket))
        };
        self.0.into_iter().flat_map(of_topic)
    }
}

fn together(buckets: &[Bucket]) -> Bucket {
    let sum = |of: fn(&Bucket) -> u64| buckets.iter().map(of).sum();
    let last = buckets.last().map_or(Position::START, |bucket| bucket.last);
    Bucket { last, events: sum(|bucket| bucket.events), bytes: sum(|bucket| bucket.bytes) }
}

/// Everything that is there, by the limits that hold now.
pub(crate) async fn recount(shared: &Shared) -> Result<(), String> {
    // Not heads only: limits may be on bytes.
    let want = Want::of(&Filter::All, &shared.nats);
    let (mut held, mut from) = (Held::default(), shared.index().first_seq);
    let generation = shared.progress.borrow().generation;
    loop {
        let read = shared.stretch(&want, from, STEP, Witness::Ask).await?;
        shared.still(generation)?;
        let mut index = shared.index();
        for message in read.messages {
            from = message.mark.seq + 1;
            if let Some(entry) = index.placed(message) {
                held.add(&index.topics, &entry);
            }
        }
        if read.complete {
            return finish(&mut index, held, from);
        }
    }
}

/// With what came while it was read.
fn finish(index: &mut Index, mut held: Held, from: u64) -> Result<(), String> {
    let read = index.runs.position(from).before();
    if read < index.recent_after() && index.recent_after() < index.end {
        return Err("more came than could be counted".into());
    }
    for entry in index.recent_since(read) {
        held.add(&index.topics, &entry);
    }
    let retention = index.topics.retention().clone();
    index.topics.set_retention(retention, held.into_buckets());
    Ok(())
}

#[cfg(test)]
mod tests {
    use eventwall_log::{Fields, Record, Retention, Rule};

    use super::*;

    fn event(name: &str, position: u64) -> Entry {
        let record = Record {
            position: Position(position),
            time: 0,
            prev: Position::START,
            topic: name.parse().unwrap(),
            event: None,
            data: "x".into(),
            fields: Fields::default(),
        };
        Entry::Event(record.into())
    }

    #[test]
    fn only_what_has_a_limit_and_is_shown_is_counted() {
        let mut retention = Retention::default();
        let mut rule = Rule::of("short".parse().unwrap());
        rule.max_events = Some(Some(2));
        retention.rules = vec![rule];
        let mut topics = Topics::new(retention.into());
        topics.added(&"short".parse().unwrap(), Position(3), Position(1), 1);
        let mut held = Held::default();
        for entry in [event("short", 1), event("short", 3), event("other", 2)] {
            held.add(&topics, &entry);
        }
        assert_eq!(held.into_buckets().map(|(_, b)| b.last.0).collect::<Vec<_>>(), [3]);
    }
}
