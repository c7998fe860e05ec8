//! Counts what topics hold by other limits than before: reads what the stream has, in the background; until that is done, changed limits act on older events as newer ones come.

use std::collections::HashMap;

use eventwall_log::{
    Entry, Filter, Keep, Position, Topic,
    kit::{Bucket, Buckets, Topics},
};

use crate::{
    index::Index,
    shared::{Shared, Witness},
    source::Want,
};

/// What is read at once.
const STEP: (usize, usize) = (4096, 4 << 20);

/// What is held of the topics that are counted, and up to where each is over its limits.
#[derive(Default)]
struct Held(HashMap<Topic, (Buckets, Option<Position>)>);

impl Held {
    fn add(&mut self, topics: &Topics, entry: &Entry) {
        let Entry::Event(record) = entry else { return };
        let limits = topics.limits(&record.topic);
        let counted = limits.max_events.is_some() || limits.max_bytes.is_some();
        if limits.keep == Keep::All && counted && topics.shows(&record.topic, record.position) {
            let bytes = record.cost() as u64;
            let (buckets, over) = self.0.entry(record.topic.clone()).or_default();
            let bucket = Bucket { last: record.position, events: 1, bytes };
            *over = buckets.add(bucket, &limits).or(*over);
        }
    }
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
    for (topic, (buckets, over)) in held.0 {
        index.topics.recounted(&topic, buckets, over);
    }
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
        let counted: Vec<_> = held.0.iter().collect();
        let [(topic, (buckets, None))] = counted[..] else { panic!("{counted:?}") };
        assert_eq!((topic.as_str(), buckets.iter().map(|b| b.last.0).sum::<u64>()), ("short", 3));
    }

    /// However much there is, limits are met to a thirty-second.
    #[test]
    fn a_topic_far_over_its_limit_is_cut_to_it() {
        let mut retention = Retention::default();
        retention.limits.max_events = Some(1000);
        let topics = Topics::new(retention.into());
        let mut held = Held::default();
        for position in 1..=100_000 {
            held.add(&topics, &event("a", position));
        }
        let (_, (buckets, over)) = held.0.into_iter().next().unwrap();
        assert!(over >= Some(Position(98_900)), "{over:?}");
        assert!(over <= Some(Position(99_000)) && buckets.iter().len() < 70);
    }
}
