//! The keeper at its worst moments: each of these once lost, hid or kept something that it should
//! not have.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{event_texts, faulty::Faulty};
use crate::simulator::CrashMedium;
use crate::{
    AppendOptions, Batch, Budget, Clock, DiskConfig, DiskLog, Durability, Filter, IdempotencyKey,
    Keep, Log as _, NewEvent, OpenError, Position, ReadRange, Retention, Rule, disk::Medium,
};

const DEADLINE: Duration = Duration::from_secs(60);

fn rule(t: &str, change: impl FnOnce(&mut Rule)) -> Rule {
    let mut r = Rule::of(t.parse().unwrap());
    change(&mut r);
    r
}

async fn publish(log: &DiskLog, t: &str, data: &str) -> Position {
    log.append(NewEvent::new(t.parse().unwrap(), data).into(), AppendOptions::default())
        .await
        .unwrap()
        .last()
}

fn open(
    m: Arc<dyn Medium>,
    retention: Retention,
    durability: Durability,
) -> Result<DiskLog, OpenError> {
    let config = DiskConfig { retention, durability, keep_every: None, ..DiskConfig::default() };
    DiskLog::open(m, config).map(|l| l.0)
}

fn only(t: &str) -> Filter {
    Filter::topics([t.parse().unwrap()])
}

async fn page(log: &DiskLog, t: &str, after: Position) -> (Vec<String>, Option<Position>) {
    let (mut at, mut out, mut removed) = (after, vec![], None);
    loop {
        let p = log
            .read(ReadRange::after(at), &only(t), Budget { events: 9999, bytes: usize::MAX })
            .await
            .unwrap();
        if at == after {
            removed = p.removed;
        }
        out.extend(event_texts(&p.entries));
        at = p.examined;
        if at >= log.end() {
            return (out, removed);
        }
    }
}

#[tokio::test]
async fn a_sparse_topic_is_not_taken_for_hidden() {
    let mut r = Retention::bytes(1 << 30);
    r.rules = vec![
        rule("busy", |r| r.max_events = Some(Some(1))),
        rule("rare", |r| r.max_events = Some(Some(2))),
    ];
    let log = open(CrashMedium::new(), r, Durability::Sync).unwrap();
    for n in 0..3 {
        publish(&log, "rare", &n.to_string()).await;
        for _ in 0..300 {
            publish(&log, "busy", "x").await;
        }
    }
    assert_eq!(page(&log, "rare", Position(0)).await.0, ["1", "2"]);
    log.queue.ask_to_roll();
    publish(&log, "busy", "x").await;
    publish(&log, "busy", "x").await;
    publish(&log, "busy", "x").await;
    let before = page(&log, "rare", Position(1)).await;
    log.maintain().await;
    let after = page(&log, "rare", Position(1)).await;
    assert_eq!(before, after, "lost, and no gap is told");
}

#[tokio::test]
async fn states_that_fill_a_segment_do_not_keep_the_keeper_busy_for_ever() {
    let mut r = Retention::bytes(1 << 20); // segments of 64 KiB
    r.rules = vec![rule("state/**", |r| r.keep = Some(Keep::Latest))];
    let m = CrashMedium::new();
    let log = open(m.clone(), r, Durability::Sync).unwrap();
    for n in 0..17 {
        publish(&log, &format!("state/{n}"), &"s".repeat(4_000)).await;
    }
    let done = async {
        for _ in 0..300 {
            publish(&log, "busy", &"x".repeat(10_000)).await;
            log.maintain().await;
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("each pass comes to an end");
}

#[tokio::test]
async fn a_disk_that_was_full_at_a_roll_is_opened_again() {
    let m = Faulty::new();
    let log = open(m.clone(), Retention::bytes(1 << 20), Durability::Sync).unwrap();
    publish(&log, "a", &"x".repeat(70_000)).await; // the next one rolls
    m.ill.no_new_files.store(true, Ordering::SeqCst);
    let e =
        log.append(NewEvent::new("a".parse().unwrap(), "y").into(), AppendOptions::default()).await;
    assert!(e.is_err(), "{e:?}");
    m.ill.no_new_files.store(false, Ordering::SeqCst);
    while log.health().is_err() {
        tokio::task::yield_now().await;
    }
    publish(&log, "a", "acknowledged").await;
    log.close().await;
    drop(log);
    open(m.inner.copied(), Retention::bytes(1 << 20), Durability::Sync).unwrap();
}

#[tokio::test]
async fn an_erasure_while_compacting_is_no_damage() {
    let log = open(CrashMedium::new(), Retention::bytes(1 << 30), Durability::Sync).unwrap();
    let p = publish(&log, "a", "secret").await;
    publish(&log, "a", "b").await;
    log.queue.ask_to_roll();
    publish(&log, "a", "c").await;
    publish(&log, "a", "c").await;
    let job = crate::disk::compact::Job::new(&log.index.read(), 0..1, &[], 0).unwrap();
    log.erase(vec![p]).await.unwrap();
    publish(&log, "a", "c").await; // the overwriting is done
    let medium: Arc<dyn Medium> = CrashMedium::new();
    let done = job.run(&medium, &log.index, &mut |_| Ok(()));
    assert!(done.is_ok(), "{}", done.unwrap_err());
}

#[tokio::test]
async fn nothing_synced_is_removed_for_what_is_not() {
    let m = CrashMedium::new();
    let mut r = Retention::bytes(1 << 30);
    r.rules = vec![
        rule("state", |r| r.keep = Some(Keep::Latest)),
        rule("n", |r| r.max_events = Some(Some(1))),
    ];
    let log = open(m.clone(), r.clone(), Durability::None).unwrap();
    publish(&log, "state", "1").await;
    publish(&log, "n", "1").await;
    log.queue.ask_to_roll();
    publish(&log, "x", "x").await;
    log.queue.ask_to_roll();
    publish(&log, "x", "x").await; // the first segment is sealed and synced
    let saved = open(m.power_lost(), r.clone(), Durability::None).unwrap();
    assert_eq!(page(&saved, "state", Position(0)).await.0, ["1"]);
    publish(&log, "state", "2").await;
    publish(&log, "n", "2").await; // not synced
    log.maintain().await;
    let left = open(m.power_lost(), r, Durability::None).unwrap();
    println!(
        "state {:?}; n {:?}",
        page(&left, "state", Position(0)).await,
        page(&left, "n", Position(0)).await
    );
    assert!(
        !page(&left, "state", Position(0)).await.0.is_empty(),
        "the state is gone, both values of it"
    );
}

#[tokio::test]
async fn a_failed_folder_sync_loses_no_segment() {
    let m = Faulty::new();
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![
        rule("s1", |r| r.max_events = Some(Some(1))),
        rule("s2", |r| r.max_events = Some(Some(1))),
    ];
    let log = open(m.clone(), r.clone(), Durability::Sync).unwrap();
    let x = |n: usize| "x".repeat(n);
    for (t, n) in [
        ("long", 20_000),
        ("long", 20_000),
        ("s1", 40_000),
        ("long", 20_000),
        ("s1", 60_000),
        ("long", 30_000),
        ("s2", 60_000),
    ] {
        publish(&log, t, &x(n)).await;
    }
    publish(&log, "s1", "x").await; // hides all of s1 before: segments 0..2 are worth it
    m.ill.no_folder_sync.store(true, Ordering::SeqCst);
    log.maintain().await;
    m.ill.no_folder_sync.store(false, Ordering::SeqCst);
    publish(&log, "s2", "x").await; // now 1..3 are worth more
    log.maintain().await;
    let before = page(&log, "long", Position(0)).await.0.len();
    log.close().await;
    drop(log);
    let left = m.inner.copied();
    let log = open(left.clone(), r, Durability::Sync);
    assert_eq!(page(&log.unwrap(), "long", Position(0)).await.0.len(), before);
}

#[tokio::test]
async fn a_failed_removal_is_tried_again() {
    let m = Faulty::new();
    let log = open(m.clone(), Retention::bytes(1 << 20), Durability::Sync).unwrap();
    for n in 0..20 {
        publish(&log, "a", &format!("{n}{}", "x".repeat(64_000))).await;
    }
    m.ill.no_removal.store(true, Ordering::SeqCst);
    log.maintain().await;
    m.ill.no_removal.store(false, Ordering::SeqCst);
    for n in 0..10 {
        publish(&log, "a", &format!("{n}{}", "x".repeat(64_000))).await;
        log.maintain().await;
    }
    log.close().await;
    drop(log);
    open(m.inner.copied(), Retention::bytes(1 << 20), Durability::Sync).unwrap();
}

#[tokio::test]
async fn keys_outlive_their_events() {
    let m = CrashMedium::new();
    let mut r = Retention::bytes(1 << 30);
    r.rules = vec![rule("state", |r| r.keep = Some(Keep::Latest))];
    let log = open(m.clone(), r.clone(), Durability::Sync).unwrap();
    let keyed = || AppendOptions {
        key: Some(IdempotencyKey { scope: "".into(), key: "k".into() }),
        ..Default::default()
    };
    let old = || Batch::from(NewEvent::new("state".parse().unwrap(), "older".repeat(9999)));
    log.append(old(), keyed()).await.unwrap();
    publish(&log, "state", "new").await;
    publish(&log, "state", "new").await;
    publish(&log, "state", "new").await;
    assert!(log.append(old(), keyed()).await.unwrap().repeated);
    log.queue.ask_to_roll();
    publish(&log, "x", "x").await;
    publish(&log, "x", "x").await;
    publish(&log, "x", "x").await;
    log.maintain().await;
    log.close().await;
    drop(log);
    let log = open(m, r, Durability::Sync).unwrap();
    let again = log.append(old(), keyed()).await.unwrap();
    assert!(again.repeated, "a retry within 24 h made the old value the newest");
}

#[tokio::test]
async fn what_cannot_be_compacted_is_not_hidden() {
    let m = Faulty::new();
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("state/*", |r| r.keep = Some(Keep::Latest))];
    let log = open(m.clone(), r, Durability::Sync).unwrap();
    for n in 0..17 {
        publish(&log, &format!("state/{n}"), "s").await;
        publish(&log, "busy", &"x".repeat(66_000)).await;
    }
    m.ill.no_new_files.store(true, Ordering::SeqCst); // no room for a compacted file
    for _ in 0..20 {
        log.maintain().await;
    }
    let left = page(&log, "busy", Position(0)).await.0.len();
    assert!(left >= 15, "only {left} of 17 events are shown, and nothing was freed");
}

#[tokio::test]
async fn a_compaction_that_fails_leaves_no_file() {
    let m = Faulty::new();
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("a", |r| r.max_events = Some(Some(1)))];
    let log = open(m.clone(), r, Durability::Sync).unwrap();
    publish(&log, "b", &"x".repeat(20_000)).await;
    publish(&log, "a", &"x".repeat(60_000)).await;
    publish(&log, "a", "y").await;
    let seg = m.inner.segments()[0].clone();
    m.inner.tamper(&seg, |bytes| bytes[70_000] ^= 1);
    log.maintain().await;
    assert!(m.inner.list("log").unwrap().iter().all(|n| !n.ends_with(".new")));
}

#[tokio::test]
async fn what_is_hidden_goes_before_what_is_shown() {
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("state", |r| r.keep = Some(Keep::Latest))];
    let log = open(CrashMedium::new(), r, Durability::Sync).unwrap();
    for n in 0..4 {
        publish(&log, "history", &format!("{n}{}", "x".repeat(20_000))).await;
    }
    for _ in 0..40 {
        publish(&log, "state", &"s".repeat(30_000)).await;
    }
    log.maintain().await;
    let (left, _) = page(&log, "history", Position(0)).await;
    assert_eq!(left.len(), 4, "what is shown takes a tenth of max_bytes");
}

#[tokio::test]
async fn a_slow_reader_is_told_no_damage() {
    let m = CrashMedium::new();
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("a", |r| r.max_events = Some(Some(1)))];
    let log = open(m.clone(), r.clone(), Durability::Sync).unwrap();
    let p = publish(&log, "a", &"secret".repeat(999)).await;
    log.close().await;
    drop(log);
    let log = open(m, r, Durability::Sync).unwrap();
    // The snapshot is taken here; the thread pool is busy.
    let slow = log.read(ReadRange::after(Position(0)), &Filter::All, Budget::events(9));
    log.erase(vec![p]).await.unwrap();
    publish(&log, "a", "b").await;
    log.maintain().await;
    let page = slow.await;
    assert!(page.is_ok(), "{page:?}");
}

#[tokio::test]
async fn a_full_disk_is_emptied_of_what_is_too_old() {
    let clock = Arc::new(AtomicU64::new(1_700_000_000_000));
    let c = clock.clone();
    let read: Clock = Arc::new(move || c.load(Ordering::Relaxed));
    let mut r = Retention::bytes(1 << 20);
    r.limits.max_age = Some(1000);
    r.max_clock_step = 1 << 40;
    let config = DiskConfig {
        retention: r,
        clock: read.clone(),
        uptime: read,
        keep_every: None,
        ..DiskConfig::default()
    };
    let m = CrashMedium::new();
    let log = DiskLog::open(m.clone(), config).unwrap().0;
    for _ in 0..10 {
        publish(&log, "a", &"x".repeat(70_000)).await;
    }
    m.fill();
    clock.fetch_add(500_000, Ordering::Relaxed);
    for _ in 0..50 {
        log.maintain().await;
    }
    assert!(
        log.bytes() < 200_000,
        "{} bytes of events that are all too old stay on a full disk",
        log.bytes()
    );
}

#[tokio::test]
async fn an_erasure_that_failed_is_finished_later() {
    let m = Faulty::new();
    let log = open(m.clone(), Retention::default(), Durability::Sync).unwrap();
    let p = publish(&log, "a", "secret").await;
    m.ill.no_folder_sync.store(true, Ordering::SeqCst);
    log.erase(vec![p]).await.unwrap();
    while log.health().is_ok() {
        tokio::task::yield_now().await;
    }
    m.ill.no_folder_sync.store(false, Ordering::SeqCst);
    while log.health().is_err() {
        tokio::task::yield_now().await;
    }
    publish(&log, "a", "b").await;
    log.erase(vec![log.end()]).await.unwrap();
    publish(&log, "a", "c").await;
    log.maintain().await;
    let there =
        m.inner.segments().iter().any(|n| m.inner.bytes_of(n).windows(6).any(|w| w == b"secret"));
    assert!(!there, "acknowledged as erased, healthy again, and still on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_answered_once_it_is_done() {
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("a", |r| r.max_events = Some(Some(1)))];
    let log = open(CrashMedium::new(), r, Durability::Sync).unwrap();
    for _ in 0..10 {
        publish(&log, "a", &"x".repeat(70_000)).await;
    }
    let asks: Vec<_> = {
        let _hold = log.index.read(); // the keeper is busy
        (0..40).map(|_| log.maintain()).collect()
    };
    asks.into_iter().next_back().unwrap().await;
    let at_answer = log.bytes();
    log.maintain().await;
    assert_eq!(at_answer, log.bytes());
}

#[tokio::test]
async fn many_small_segments_that_cannot_be_merged_do_not_keep_it_busy() {
    let (m, r) = (Faulty::new(), Retention::bytes(1 << 20));
    for n in 0..10 {
        let log = open(m.clone(), r.clone(), Durability::Sync).unwrap();
        publish(&log, "a", &n.to_string()).await;
        log.close().await;
    }
    let log = open(m.clone(), r, Durability::Sync).unwrap();
    m.ill.no_new_files.store(true, Ordering::SeqCst);
    tokio::time::timeout(DEADLINE, log.maintain()).await.expect("a pass comes to an end");
    assert_eq!(page(&log, "a", Position::START).await.0.len(), 10);
}

/// Keys of events that are gone are kept while there is room, and no longer.
#[tokio::test]
async fn keys_do_not_crowd_out_events() {
    let mut r = Retention::bytes(1 << 20);
    r.rules = vec![rule("state/*", |r| r.keep = Some(Keep::Latest))];
    let log = open(CrashMedium::new(), r, Durability::None).unwrap();
    publish(&log, "state/0", "s").await;
    for n in 0..15_000 {
        let key = format!("0f8fad5b-d9cb-469f-a165-7086{n:08}").into();
        let key = Some(IdempotencyKey { scope: "sensor".into(), key });
        let event = NewEvent::new("temperature".parse().unwrap(), "x".repeat(60));
        log.append(event.into(), AppendOptions { key, ..Default::default() }).await.unwrap();
        if n % 300 == 0 {
            log.maintain().await;
        }
    }
    log.maintain().await;
    assert!(log.bytes() <= 1 << 20, "{} bytes", log.bytes());
    let shown = page(&log, "temperature", Position::START).await.0.len();
    assert!(shown > 4_000, "only {shown} are shown");
    assert_eq!(page(&log, "state/0", Position::START).await.0, ["s"]);
}
