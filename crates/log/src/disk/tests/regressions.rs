//! Bugs that were, each with the course of events that showed it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{batch, event_texts, read_all};
use crate::simulator::{CrashMedium, Mutation};
use crate::{
    AppendOptions, Batch, Budget, DiskConfig, DiskLog, Entry, Filter, IdempotencyKey, Log as _,
    NewEvent, Position, ReadRange, Resolution, Retention, disk::Medium as _,
};

fn keeping(max_bytes: u64) -> DiskConfig {
    DiskConfig { retention: Retention::bytes(max_bytes), ..DiskConfig::default() }
}

fn open(medium: &Arc<CrashMedium>, config: DiskConfig) -> DiskLog {
    DiskLog::open(medium.clone(), config).unwrap().0
}

fn large() -> DiskConfig {
    keeping(1 << 30)
}

fn keyed() -> AppendOptions {
    let key = IdempotencyKey { scope: "".into(), key: "k".into() };
    AppendOptions { key: Some(key), ..AppendOptions::default() }
}

fn plain() -> AppendOptions {
    AppendOptions::default()
}

fn event(topic: &str, data: &str) -> NewEvent {
    NewEvent::new(topic.parse().unwrap(), data)
}

/// A clock that a test sets.
fn clock() -> (Arc<AtomicU64>, impl Fn() -> DiskConfig) {
    let now = Arc::new(AtomicU64::new(1_000_000));
    let read = now.clone();
    let config = move || {
        let read = read.clone();
        DiskConfig { clock: Arc::new(move || read.load(Ordering::SeqCst)), ..large() }
    };
    (now, config)
}

/// A kill leaves bytes in the system's cache; they are shown after the restart, and later events
/// follow them; then power is lost.
#[tokio::test]
async fn what_an_opening_finds_is_synced_before_it_is_built_upon() {
    let medium = CrashMedium::new();
    let log = open(&medium, DiskConfig { mutation: Some(Mutation::SkipSync), ..large() });
    log.append(batch(&["cached".into()]), plain()).await.unwrap();
    drop(log);
    let log = open(&medium, large());
    log.append(batch(&["synced".into()]), plain()).await.unwrap();
    let log = open(&medium.power_lost(), large());
    assert_eq!(event_texts(&read_all(&log).await.unwrap()), ["cached", "synced"]);
}

#[tokio::test]
async fn an_erased_event_keeps_its_key_over_a_restart() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    let first = log.append(batch(&["secret".into()]), keyed()).await.unwrap();
    log.erase(vec![first.last()]).await.unwrap();
    log.close().await;
    let log = open(&medium, large());
    assert!(log.append(batch(&["secret".into()]), keyed()).await.unwrap().repeated);
}

#[tokio::test]
async fn a_keyed_batch_over_topics_is_recalled_whole_and_under_its_first() {
    let medium = CrashMedium::new();
    let both = || Batch::new(vec![event("a", "1"), event("b", "2")]).unwrap();
    let log = open(&medium, large());
    let first = log.append(both(), keyed()).await.unwrap();
    log.close().await;
    let log = open(&medium, large());
    assert_eq!(log.append(both(), keyed()).await.unwrap().ids, first.ids);
    let other = log.append(event("b", "other").into(), keyed()).await.unwrap();
    assert!(!other.repeated, "the key of another topic");
}

#[tokio::test]
async fn a_key_whose_window_is_over_begins_anew() {
    let (now, config) = clock();
    let config = || DiskConfig { idempotency_window: 1000, ..config() };
    let medium = CrashMedium::new();
    let log = open(&medium, config());
    log.append(batch(&["day 1".into()]), keyed()).await.unwrap();
    now.fetch_add(1500, Ordering::SeqCst);
    log.append(batch(&["day 2".into()]), keyed()).await.unwrap();
    assert!(log.append(batch(&["day 2".into()]), keyed()).await.unwrap().repeated);
    log.close().await;
    let log = open(&medium, config());
    assert!(log.append(batch(&["day 2".into()]), keyed()).await.unwrap().repeated);
}

#[tokio::test]
async fn a_read_that_an_erasure_overtakes_finds_no_damage() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    let appended = log.append(batch(&["one".into(), "two".into()]), plain()).await.unwrap();
    log.close().await;
    let log = open(&medium, large());
    let reading = log.read(ReadRange::after(Position::START), &Filter::All, Budget::events(9));
    let back = log.read_back(&super::topic(), None, Budget::events(9));
    log.erase(vec![appended.last()]).await.unwrap();
    // The overwriting follows the answer: another append comes after it.
    log.append(batch(&["three".into()]), plain()).await.unwrap();
    assert_eq!(event_texts(&reading.await.unwrap().entries), ["one"]);
    assert_eq!(back.await.unwrap().events.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_beyond_the_end() {
    let log = Arc::new(open(&CrashMedium::new(), large()));
    let appending = log.clone();
    let writer = tokio::spawn(async move {
        for n in 0..5000 {
            appending.append(batch(&[format!("{n}")]), plain()).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let range = ReadRange::after(log.end());
        let page = log.read(range, &Filter::All, Budget::events(99)).await.unwrap();
        assert!(page.examined <= log.end());
    }
}

#[tokio::test]
async fn a_log_that_lost_its_newest_segments_does_not_hide_it() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    log.append(batch(&["1".into()]), plain()).await.unwrap();
    log.close().await;
    let log = open(&medium, large());
    let seen = log.append(batch(&["2".into(), "3".into()]), plain()).await.unwrap();
    log.close().await;
    drop(open(&medium, large()));
    for name in &medium.segments()[1..] {
        medium.remove(name).unwrap();
    }
    let log = open(&medium, large());
    let resolved = log.epochs().resolve(&seen.ids[0], log.end());
    assert_eq!(resolved, Resolution::Beyond { end: Position(1) });
}

/// Removals become durable one by one, in order: no crash leaves a hole.
#[tokio::test]
async fn dropped_segments_that_come_back_leave_no_hole() {
    let medium = CrashMedium::new();
    let log = open(&medium, keeping(1 << 20));
    for _ in 0..12 {
        log.append(batch(&["x".repeat(70_000)]), plain()).await.unwrap();
    }
    log.close().await;
    let before = medium.segments().len();
    let log = open(&medium, keeping(500_000));
    log.append(batch(&["y".into()]), plain()).await.unwrap();
    log.maintain().await;
    assert!(medium.segments().len() + 2 < before);
    use rand::SeedableRng as _;
    for seed in 0..20 {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
        drop(open(&medium.crashed(&mut rng), keeping(1 << 20)));
    }
}

#[tokio::test]
async fn a_lost_list_of_erased_events_is_read_from_the_log() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    let appended = log.append(batch(&["1".into(), "2".into()]), plain()).await.unwrap();
    log.erase(vec![appended.last()]).await.unwrap();
    log.close().await;
    medium.remove("state/erased").unwrap();
    let log = open(&medium, large());
    assert_eq!(event_texts(&read_all(&log).await.unwrap()), ["1"]);
}

/// A later version's entry is refused, not cut off as if a crash had torn it.
#[tokio::test]
async fn an_intact_entry_of_a_later_version_is_kept() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    log.append(batch(&["1".into()]), plain()).await.unwrap();
    log.append(batch(&["2".into()]), plain()).await.unwrap();
    log.close().await;
    let name = medium.segments().remove(0);
    medium.tamper(&name, |bytes| {
        let at = memchr::memmem::rfind(bytes, &crate::disk::format::MAGIC).unwrap();
        bytes[at + 24] = 3;
        let len =
            |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap()) as usize;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes[at..at + 20]);
        sum.update(&bytes[at + 24..at + 24 + len(at + 4)]);
        bytes[at + 20..at + 24].copy_from_slice(&sum.finalize().to_le_bytes());
    });
    let error = DiskLog::open(medium, large()).unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}

#[tokio::test]
async fn damage_at_the_end_of_a_log_that_was_closed_in_order_is_no_torn_tail() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    log.append(batch(&["1".into(), "2".into()]), plain()).await.unwrap();
    log.close().await;
    let name = medium.segments().remove(0);
    let flipped = medium.copied();
    flipped.tamper(&name, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(DiskLog::open(flipped, large()).is_err());
    let shorter = medium.copied();
    shorter.tamper(&name, |bytes| bytes.truncate(64));
    assert!(DiskLog::open(shorter, large()).is_err());
}

#[tokio::test]
async fn an_epoch_that_may_have_given_ids_is_not_forgotten() {
    let medium = CrashMedium::new();
    let log = open(&medium, large());
    log.append(batch(&["1".into()]), plain()).await.unwrap();
    log.close().await;
    let log = open(&medium, large());
    let backup = medium.copied();
    let seen = log.append(batch(&["2".into()]), plain()).await.unwrap();
    let log = open(&backup, large());
    let resolved = log.epochs().resolve(&seen.ids[0], log.end());
    assert_eq!(resolved, Resolution::Beyond { end: Position(1) }, "nothing is sent twice");
}

#[tokio::test]
async fn time_does_not_fall_over_an_erasure_and_a_restart() {
    let (now, config) = clock();
    let medium = CrashMedium::new();
    let log = open(&medium, config());
    log.append(batch(&["a".into()]), plain()).await.unwrap();
    now.store(2_000_000, Ordering::SeqCst);
    let second = log.append(batch(&["b".into()]), plain()).await.unwrap();
    log.erase(vec![second.last()]).await.unwrap();
    log.close().await;
    now.store(1_500_000, Ordering::SeqCst);
    let log = open(&medium, config());
    log.append(batch(&["c".into()]), plain()).await.unwrap();
    let entries = read_all(&log).await.unwrap();
    assert!(matches!(entries.last(), Some(Entry::Event(record)) if record.time >= 2_000_000));
}

/// Memory bounds count every field.
#[test]
fn the_cost_of_an_event_counts_its_fields() {
    let mut heavy = event("t", "");
    heavy.source_id = Some("i".repeat(1000).into());
    heavy.by = Some("b".repeat(1000).into());
    assert!(Batch::from(heavy).cost() > 2000);
}

/// Each opening leaves a segment, but no open file: a process has few of those.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn many_openings_leave_few_files_open() {
    let folder = tempfile::tempdir().unwrap();
    let open_segments = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let files = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        let ours = files.filter(|file| file.starts_with(folder.path()));
        ours.filter(|file| file.extension().is_some_and(|extension| extension == "seg")).count()
    };
    let mut log = None;
    for n in 0..30 {
        drop(log.take());
        let medium = crate::FsMedium::open(folder.path()).unwrap();
        let opened = DiskLog::open(medium, large()).unwrap().0;
        opened.append(batch(&[n.to_string()]), plain()).await.unwrap();
        log = Some(opened);
    }
    assert_eq!(open_segments(), 1);
    let log = log.unwrap();
    assert_eq!(read_all(&log).await.unwrap().len(), 30);
    let back = log.read_back(&super::topic(), None, Budget::events(25)).await.unwrap();
    assert_eq!((back.events.len(), back.more), (25, true));
    assert_eq!(open_segments(), 1);
}

/// The files that a backward read would open later are gone when their turn comes.
#[tokio::test]
async fn a_backward_read_that_retention_overtakes_brings_what_is_left() {
    let medium = CrashMedium::new();
    for n in 0..3 {
        let log = open(&medium, large());
        log.append(batch(&[n.to_string()]), plain()).await.unwrap();
        log.close().await;
    }
    let log = open(&medium, large());
    let reading = log.read_back(&super::topic(), None, Budget::events(9));
    let newest = medium.segments().split_off(2);
    let two = newest.iter().map(|name| medium.bytes_of(name).len() as u64);
    log.set_retention(Retention::bytes(two.sum())).unwrap();
    log.maintain().await;
    let page = reading.await.unwrap();
    let data: Vec<_> = page.events.iter().map(|event| &*event.data).collect();
    assert_eq!((data, page.more), (vec!["2"], false));
    medium.remove(&medium.segments()[0]).unwrap();
    medium.sync_folder("log").unwrap();
    let error = log.read_back(&super::topic(), None, Budget::events(9)).await.unwrap_err();
    assert!(error.to_string().contains(".seg is gone"), "{error}");
}
