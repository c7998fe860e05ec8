//! A log on disk that is made out of another.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use eventwall_log::{
    Budget, DiskConfig, DiskImport, DiskLog, Entry, EpochSpan, Epochs, Fields, Filter, FsMedium,
    Log as _, Position, ReadRange, Record, Resolution,
    kit::{Known, Origin, Reach},
};

fn record(position: u64, name: &str) -> Arc<Record> {
    Arc::new(Record {
        position: Position(position),
        time: position,
        prev: Position::START,
        topic: name.parse().unwrap(),
        event: None,
        data: position.to_string().into(),
        fields: Fields::default(),
    })
}

fn known(name: &str, last: u64, hidden: u64) -> Known {
    let reach = Reach { last: Position(last), hidden: Position(hidden) };
    Known { topic: name.parse().unwrap(), reach, removed: Position(hidden), held: Vec::new() }
}

/// Of a hub that may have lost anything up to 100, some of `short` up to 120, and all of `gone`.
fn origin() -> Origin {
    let span = |name: &str, first, last: Option<u64>| EpochSpan {
        epoch: name.parse().unwrap(),
        first: Position(first),
        last: last.map(Position),
    };
    Origin {
        epochs: Epochs::from_spans(vec![span("a", 1, Some(60)), span("b", 101, None)]).unwrap(),
        end: Position(170),
        known: vec![known("whole", 150, 0), known("short", 160, 120), known("gone", 140, 140)],
        forgotten: Position::START,
        unsure: Position(100),
    }
}

async fn gap(log: &DiskLog, name: &str, after: u64) -> Option<u64> {
    let filter = Filter::topics([name.parse().unwrap()]);
    let range = ReadRange::after(Position(after));
    let page = log.read(range, &filter, Budget::events(100)).await.unwrap();
    page.removed.map(|removed| removed.0)
}

async fn left(log: &DiskLog, name: &str) -> Vec<u64> {
    let filter = Filter::topics([name.parse().unwrap()]);
    let range = ReadRange::after(Position::START);
    let page = log.read(range, &filter, Budget::events(100)).await.unwrap();
    let events = page.entries.iter().filter_map(|entry| match entry {
        Entry::Event(record) => Some(record.position.0),
        Entry::Erasure { .. } => None,
    });
    events.collect()
}

#[tokio::test]
async fn what_is_left_is_there_and_what_may_be_lost_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let medium = FsMedium::open(folder.path()).unwrap();
    let mut import = DiskImport::begin(medium.clone(), DiskConfig::default(), origin()).unwrap();
    import.place(vec![record(50, "whole")]).await.unwrap();
    import
        .place(vec![record(130, "short"), record(150, "whole"), record(160, "short")])
        .await
        .unwrap();
    import.finish().await.unwrap();
    // Twice: what is known outlives its being written anew.
    for _ in 0..2 {
        let (log, report) = DiskLog::open(medium.clone(), DiskConfig::default()).unwrap();
        assert_eq!(report.events, 4);
        assert_eq!(left(&log, "whole").await, [50, 150], "it hides nothing that is left");
        assert_eq!(left(&log, "short").await, [130, 160]);
        assert_eq!(gap(&log, "whole", 60).await, Some(100), "on both sides of what may be lost");
        assert_eq!(gap(&log, "whole", 100).await, None);
        assert_eq!(gap(&log, "short", 110).await, Some(120));
        assert_eq!(gap(&log, "short", 120).await, None);
        assert_eq!(gap(&log, "gone", 130).await, Some(140));
        assert_eq!(gap(&log, "never", 100).await, None);
        for id in ["a-50", "a-60", "b-150", "b-170"] {
            let id = id.parse().unwrap();
            assert_eq!(log.resolve(&id).await, Ok(Resolution::At(id.position)), "{id}");
        }
        log.maintain().await;
        log.close().await;
    }
}

#[tokio::test]
async fn no_place_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let medium = FsMedium::open(folder.path()).unwrap();
    let mut import = DiskImport::begin(medium, DiskConfig::default(), origin()).unwrap();
    import.place(vec![record(50, "whole")]).await.unwrap();
    let again = import.place(vec![record(50, "short")]).await.unwrap_err().to_string();
    assert!(again.contains("position 50 is taken"), "{again}");
}
