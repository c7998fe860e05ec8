//! Tests that look beneath the log: at the order of its writes and syncs, and at what a
//! crash may leave. What is public is tested in `tests/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod crash;
mod damage;
mod every_step;
mod faulty;
mod gate;
mod heal;
mod indexing;
mod keeping;
mod ordering;
mod regressions;
mod truth;

fn topic() -> crate::Topic {
    "t".parse().unwrap()
}

fn batch(texts: &[String]) -> crate::Batch {
    let events = texts.iter().map(|text| crate::NewEvent::new(topic(), text.clone())).collect();
    crate::Batch::new(events).unwrap()
}

async fn read_all(log: &crate::DiskLog) -> Result<Vec<crate::Entry>, crate::ReadError> {
    use crate::Log as _;
    let plenty = crate::Budget { events: usize::MAX, bytes: usize::MAX };
    let (mut entries, mut after) = (Vec::new(), crate::Position::START);
    while after < log.end() {
        let range = crate::ReadRange::after(after);
        let page = log.read(range, &crate::Filter::All, plenty).await?;
        after = page.examined;
        entries.extend(page.entries);
    }
    Ok(entries)
}

fn event_texts(entries: &[crate::Entry]) -> Vec<String> {
    let events = entries.iter().filter_map(|entry| match entry {
        crate::Entry::Event(record) => Some(record.data.to_string()),
        crate::Entry::Erasure { .. } => None,
    });
    events.collect()
}
