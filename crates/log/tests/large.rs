//! A large log opens by the index files beside its segments, and just as well without them.
//! Small by default; `EVENTWALL_LOAD=full` makes it ten million events. Times are printed, never
//! judged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{path::Path, time::Instant};

use eventwall_log::{
    AppendOptions, Batch, Budget, DiskConfig, DiskLog, Durability, FsMedium, Log as _, NewEvent,
    OpenReport, Position, Retention,
};

const TOPICS: usize = 1000;

fn config() -> DiskConfig {
    let durability = Durability::None;
    DiskConfig { durability, retention: Retention::bytes(1 << 40), ..DiskConfig::default() }
}

async fn fill(folder: &Path, events: usize) {
    let log = open(folder).0;
    let data = "x".repeat(200);
    for from in (0..events).step_by(1000) {
        let event = |n| NewEvent::new(format!("t/{}", n % TOPICS).parse().unwrap(), data.clone());
        let batch = Batch::new((from..from + 1000).map(event).collect()).unwrap();
        log.append(batch, AppendOptions::default()).await.unwrap();
    }
    // Or it may take the keeper some time to have made all index files.
    log.maintain().await;
    log.close().await;
}

fn open(folder: &Path) -> (DiskLog, OpenReport) {
    DiskLog::open(FsMedium::open(folder).unwrap(), config()).unwrap()
}

/// Opens it once, and answers its report and one topic as it is read.
async fn opened(folder: &Path, how: &str) -> (OpenReport, Vec<Position>) {
    let began = Instant::now();
    let (log, report) = open(folder);
    let (took, read) = (began.elapsed(), report.read >> 20);
    println!("{} events opened {how} in {took:?}, {read} MiB of them read", report.events);
    let back = log.read_back(&"t/7".parse().unwrap(), None, Budget::events(500)).await.unwrap();
    let positions = back.events.iter().map(|event| event.position).collect();
    log.close().await;
    (report, positions)
}

#[tokio::test]
async fn a_large_log_opens_by_its_index_files_and_without() {
    let full = std::env::var("EVENTWALL_LOAD").is_ok_and(|load| load == "full");
    let events = if full { 10_000_000 } else { 500_000 };
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    fill(folder.path(), events).await;
    println!("{events} events written and indexed in {:?}", began.elapsed());
    let (by, positions) = opened(folder.path(), "by index files").await;
    for file in std::fs::read_dir(folder.path().join("log")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (without, same) = opened(folder.path(), "without").await;
    assert_eq!((by.events, without.events), (events as u64, events as u64));
    assert_eq!((positions.len(), &positions), (500, &same));
    // All but what was not sealed yet.
    assert!(by.read <= 65 << 20 && without.read >= without.bytes - 1000, "{by:?} {without:?}");
}
