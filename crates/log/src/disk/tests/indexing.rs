//! Index files: a log opens by them as it does without, whatever happened to them or beside them.

use std::sync::Arc;

use super::{
    event_texts,
    gate::{Gate, GatedMedium},
    read_all,
};
use crate::simulator::{CrashMedium, Mutation};
use crate::{
    AppendOptions, Batch, Budget, DiskConfig, DiskLog, Durability, Filter, IdempotencyKey, Limits,
    Log as _, NewEvent, OpenReport, Position, ReadError, ReadRange, Retention, Topic,
    disk::{Medium as _, index_file::name_of},
};

fn config() -> DiskConfig {
    let mut retention = Retention::bytes(1 << 20);
    retention.max_clock_step = 0;
    DiskConfig { retention, keep_every: None, ..DiskConfig::default() }
}

fn counting(max_events: u64) -> DiskConfig {
    let mut config = config();
    config.retention.limits = Limits { max_events: Some(max_events), ..Limits::default() };
    config
}

fn open(medium: &Arc<CrashMedium>, config: DiskConfig) -> (DiskLog, OpenReport) {
    DiskLog::open(medium.clone(), config).unwrap()
}

fn topic(n: usize) -> Topic {
    format!("t/{}", n % 3).parse().unwrap()
}

/// Publishes so many events of 10 kB, the n-th with the key n.
async fn publish(log: &DiskLog, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let key = IdempotencyKey { scope: "".into(), key: n.to_string().into() };
        let options = AppendOptions { key: Some(key), ..AppendOptions::default() };
        let event = NewEvent::new(topic(n), format!("{n} {}", "x".repeat(10_000)));
        log.append(Batch::from(event), options).await.unwrap();
    }
}

fn index_files(medium: &CrashMedium) -> Vec<String> {
    let names = medium.list("log").unwrap().into_iter().filter(|name| name.ends_with(".idx"));
    names.map(|name| format!("log/{name}")).collect()
}

fn without_index_files(medium: &CrashMedium) -> Arc<CrashMedium> {
    let copy = medium.copied();
    index_files(&copy).iter().for_each(|name| copy.remove(name).unwrap());
    copy
}

/// A log of several sealed segments with their index files, closed.
async fn indexed(config: DiskConfig) -> Arc<CrashMedium> {
    let medium = CrashMedium::new();
    let (log, _) = open(&medium, config);
    publish(&log, 0..60).await;
    let erased = log.erase(vec![Position(3), Position(30)]).await.unwrap();
    assert!(erased > Position(60));
    // Once this is answered, their bytes are overwritten.
    publish(&log, 60..61).await;
    log.maintain().await;
    log.close().await;
    assert!(index_files(&medium).len() >= 3, "{:?}", medium.list("log"));
    medium
}

async fn texts(log: &DiskLog) -> Vec<String> {
    event_texts(&read_all(log).await.unwrap())
}

#[tokio::test]
async fn a_log_opens_by_its_index_files_as_it_does_without() {
    for config in [config, || counting(7)] {
        let medium = indexed(config()).await;
        let (by, report) = open(&medium.copied(), config());
        let (without, all) = open(&without_index_files(&medium), config());
        assert!(report.read < report.bytes / 3 && all.read >= all.bytes - 80, "{report:?} {all:?}");
        assert_eq!(OpenReport { read: 0, ..report }, OpenReport { read: 0, ..all });
        {
            let (by, without) = (by.index.read(), without.index.read());
            for topic in (0..3).map(topic) {
                let of = |index: &crate::disk::index::Index| {
                    (index.topics.get(&topic), index.topics.counted(&topic))
                };
                assert_eq!(of(&by), of(&without));
            }
            assert_eq!(by.erased, without.erased);
            for (by, without) in by.sealed().iter().zip(without.sealed()) {
                assert_eq!(
                    (by.len, by.last, by.newest),
                    (without.len, without.last, without.newest)
                );
                assert_eq!((&by.blocks, &by.topics), (&without.blocks, &without.topics));
                assert_eq!(by.unscrubbed, without.unscrubbed);
            }
        }
        assert_eq!(texts(&by).await, texts(&without).await);
        for n in [0, 20, 59] {
            let key = IdempotencyKey { scope: "".into(), key: n.to_string().into() };
            for log in [&by, &without] {
                let options = AppendOptions { key: Some(key.clone()), ..AppendOptions::default() };
                let event = NewEvent::new(topic(n), format!("{n} {}", "x".repeat(10_000)));
                assert!(log.append(Batch::from(event), options).await.unwrap().repeated, "{n}");
            }
        }
    }
}

#[tokio::test]
async fn limits_are_as_exact_after_an_opening_by_index_files() {
    let medium = indexed(counting(7)).await;
    let (log, _) = open(&medium, counting(7));
    assert_eq!(texts(&log).await.len(), 3 * 7);
    publish(&log, 61..64).await;
    assert_eq!(texts(&log).await.len(), 3 * 7, "one more and one less of each topic");
}

#[tokio::test]
async fn other_limits_hold_exactly_after_a_restart() {
    let medium = indexed(config()).await;
    let (log, report) = open(&medium, counting(4));
    assert_eq!(texts(&log).await.len(), 3 * 4);
    assert!(report.read > report.bytes / 2, "nothing was counted before, so all is read");
    log.maintain().await;
    log.close().await;
    let (log, report) = open(&medium, counting(5));
    assert!(report.read >= report.bytes - 80, "{report:?}");
    drop(log);
}

/// Also of events in the active segment, and in one that is about to be written to.
#[tokio::test]
async fn limits_that_change_while_it_is_open_are_exact_after_a_pass() {
    let medium = CrashMedium::new();
    let (log, _) = open(&medium, counting(20));
    publish(&log, 0..60).await;
    for (n, max) in [7, 2, 12].into_iter().enumerate() {
        log.set_retention(counting(max).retention).unwrap();
        log.maintain().await;
        let left = texts(&log).await.len() as u64;
        let at_most = 3 * max;
        assert!(left <= at_most, "{left} are left by {max}");
        publish(&log, 100 * (n + 1)..100 * (n + 1) + 60).await;
        assert_eq!(texts(&log).await.len() as u64, at_most, "by {max}");
    }
    log.maintain().await;
    log.close().await;
    let (log, report) = open(&medium, counting(12));
    assert!(report.read < report.bytes, "the files were made anew: {report:?}");
    assert_eq!(texts(&log).await.len(), 36);
}

#[tokio::test]
async fn a_bit_flipped_in_an_index_file_changes_nothing() {
    let medium = indexed(counting(7)).await;
    let (log, expected) = open(&medium.copied(), counting(7));
    let expected_texts = texts(&log).await;
    let name = index_files(&medium).remove(0);
    for byte in (0..medium.bytes_of(&name).len()).step_by(7) {
        let copy = medium.copied();
        copy.tamper(&name, |bytes| bytes[byte] ^= 1 << (byte % 8));
        let (log, report) = open(&copy, counting(7));
        assert_eq!(report.events, expected.events, "byte {byte}");
        assert_eq!(texts(&log).await, expected_texts, "byte {byte}");
        let key = IdempotencyKey { scope: "".into(), key: "1".into() };
        let options = AppendOptions { key: Some(key), ..AppendOptions::default() };
        let event = NewEvent::new(topic(1), format!("1 {}", "x".repeat(10_000)));
        assert!(log.append(Batch::from(event), options).await.unwrap().repeated, "byte {byte}");
    }
    for cut in [0, 1, 15, 60, medium.bytes_of(&name).len() - 1] {
        let copy = medium.copied();
        copy.tamper(&name, |bytes| bytes.truncate(cut));
        assert_eq!(open(&copy, counting(7)).1.events, expected.events, "cut to {cut}");
    }
}

/// Opening does not read what has an index file; so damage there is found by whoever reads it, and
/// by the keeper if nobody does.
#[tokio::test]
async fn damage_beside_an_index_file_is_never_served_and_told_with_its_place() {
    let medium = indexed(config()).await;
    let name = medium.segments().remove(1);
    for byte in (100..medium.bytes_of(&name).len()).step_by(9_973) {
        let copy = medium.copied();
        copy.tamper(&name, |bytes| bytes[byte] ^= 1);
        let (log, _) = open(&copy, config());
        assert!(log.damage().is_empty());
        let plenty = Budget { events: usize::MAX, bytes: usize::MAX };
        let page = log.read(ReadRange::after(Position::START), &Filter::All, plenty).await;
        let Err(ReadError::Damaged { file, offset, .. }) = page else {
            panic!("byte {byte}: {page:?}")
        };
        assert_eq!(file, name);
        assert!(offset <= byte as u64 && byte as u64 - offset < 11_000, "{offset} for {byte}");
        let damage = log.damage();
        assert_eq!((damage.len(), &damage[0].file, damage[0].offset), (1, &name, offset));
        log.maintain().await;
        assert_eq!(log.damage().len(), 1, "it is told once");
        assert!(log.health().is_ok(), "it still takes events");
    }
}

#[tokio::test]
async fn an_index_file_of_a_segment_that_is_gone_goes_too() {
    let medium = indexed(config()).await;
    let (log, _) = open(&medium, config());
    publish(&log, 100..300).await;
    log.maintain().await;
    log.close().await;
    let segments: Vec<_> = medium.segments().iter().map(|name| name_of(name)).collect();
    assert!(index_files(&medium).iter().all(|name| segments.contains(name)));
    let orphan = "log/00000000000000000001.idx";
    medium.replace(orphan, b"x").unwrap();
    drop(open(&medium, config()));
    assert!(!index_files(&medium).contains(&orphan.to_owned()));
}

/// Files that were copied at different moments, as no backup of ours makes them.
#[tokio::test]
async fn an_index_file_that_counts_what_the_log_no_longer_has_is_not_believed() {
    let medium = CrashMedium::new();
    let (log, _) = open(&medium, counting(5));
    publish(&log, 0..20).await;
    let older = medium.copied();
    publish(&log, 20..60).await;
    log.maintain().await;
    let name = index_files(&medium).remove(0);
    older.replace(&name, &medium.bytes_of(&name)).unwrap();
    let (log, report) = open(&older, counting(5));
    assert_eq!(texts(&log).await.len(), 15, "the newest five of each topic that are there");
    assert_eq!(report.events, 20);
    // Its positions go on beyond those that were counted; the file is as wrong as before.
    publish(&log, 60..61).await;
    let crashed = older.power_lost();
    let (log, _) = open(&crashed, counting(5));
    assert_eq!(texts(&log).await.len(), 15);
}

/// A copy of a log grew, and its segments were copied back without the files beside them.
#[tokio::test]
async fn an_index_file_of_another_life_is_not_believed_however_far_this_one_goes() {
    let medium = TwoLives::new().await;
    let (log, _) = open(&medium.mixed, counting(5));
    assert_eq!(texts(&log).await, medium.expected);
}

/// One log and a copy of it, each gone on by itself; then the files of the second with an index
/// file of the first.
struct TwoLives {
    mixed: Arc<CrashMedium>,
    expected: Vec<String>,
}

impl TwoLives {
    async fn new() -> Self {
        let first = CrashMedium::new();
        let (log, _) = open(&first, counting(5));
        publish(&log, 0..20).await;
        log.close().await;
        let second = first.copied();
        let (log, _) = open(&first, counting(5));
        publish(&log, 20..60).await;
        log.maintain().await;
        log.close().await;
        for _ in 0..2 {
            // Beyond all positions of the first.
            let (log, _) = open(&second.power_lost(), counting(5));
            drop(log);
            let (log, _) = open(&second, counting(5));
            publish(&log, 100..102).await;
        }
        let (log, _) = open(&second, counting(5));
        publish(&log, 103..104).await;
        let expected = texts(&log).await;
        log.close().await;
        let mixed = without_index_files(&second);
        let name = index_files(&first).remove(0);
        mixed.replace(&name, &first.bytes_of(&name)).unwrap();
        Self { mixed, expected }
    }
}

fn keyed_batch(number: usize, events: usize) -> (Batch, AppendOptions) {
    let key = IdempotencyKey { scope: "".into(), key: format!("batch {number}").into() };
    let event = |n: usize| NewEvent::new(topic(n), format!("{number}.{n}"));
    let batch = Batch::new((0..events).map(event).collect()).unwrap();
    (batch, AppendOptions { key: Some(key), ..AppendOptions::default() })
}

/// What is remembered is batches, not events: many large ones are known after any opening, and
/// answered whole.
#[tokio::test]
async fn keys_of_large_batches_are_known_after_a_restart_by_whatever_way_it_opens() {
    let large = || DiskConfig { retention: Retention::bytes(1 << 30), ..config() };
    let medium = CrashMedium::new();
    let (log, _) = open(&medium, large());
    let mut first_ids = Vec::new();
    for number in 0..60 {
        let (batch, options) = keyed_batch(number, 5_000);
        first_ids.push(log.append(batch, options).await.unwrap().ids);
    }
    log.maintain().await;
    log.close().await;
    for medium in [medium.copied(), without_index_files(&medium)] {
        let (log, _) = open(&medium, large());
        for number in [0, 1, 30, 59] {
            let (batch, options) = keyed_batch(number, 5_000);
            let again = log.append(batch, options).await.unwrap();
            assert!(again.repeated && again.ids == first_ids[number], "batch {number}");
        }
    }
}

/// A log of thousands of segments opens with few file descriptors.
#[tokio::test]
async fn few_files_are_open_at_once_however_many_segments_there_are() {
    let inner = CrashMedium::new();
    // Sixteen that nothing can be compacted of.
    let (log, _) = open(&inner, counting(1000));
    publish(&log, 0..95).await;
    log.maintain().await;
    log.close().await;
    assert!(index_files(&inner).len() >= 12, "{:?}", index_files(&inner));
    for inner in [inner.copied(), without_index_files(&inner)] {
        let gate = Arc::<Gate>::default();
        let medium = Arc::new(GatedMedium { inner, gate: gate.clone() });
        let (log, _) = DiskLog::open(medium, counting(1000)).unwrap();
        assert!(gate.most_open_files() <= 4, "{} files", gate.most_open_files());
        drop(log);
    }
}

/// With a durability below `sync`, what was counted must not be ahead of the disk.
#[tokio::test]
async fn an_index_file_never_says_more_than_a_loss_of_power_leaves() {
    let medium = CrashMedium::new();
    let config = || DiskConfig { durability: Durability::None, ..counting(5) };
    let (log, _) = open(&medium, config());
    publish(&log, 0..60).await;
    log.maintain().await;
    let left = medium.power_lost();
    assert!(!index_files(&left).is_empty());
    let (log, _) = open(&left, config());
    assert_eq!(texts(&log).await.len(), 15);
}

/// A wrong index file with a right checksum: a mistake of ours. The keeper finds it, makes it anew,
/// and removes nothing; the next opening is right.
#[tokio::test]
async fn an_index_file_that_is_wrong_is_noticed_and_costs_nothing_but_a_restart() {
    let wrong = || DiskConfig { mutation: Some(Mutation::ForgetfulIndex), ..config() };
    let medium = indexed(wrong()).await;
    let (log, _) = open(&medium, config());
    let only = |n: usize| Filter::topics([topic(n)]);
    let read = async |log: &DiskLog| {
        let plenty = Budget { events: usize::MAX, bytes: usize::MAX };
        let mut found = Vec::new();
        for n in 0..3 {
            let page = log.read(ReadRange::after(Position::START), &only(n), plenty).await.unwrap();
            found.push(page.entries.len());
        }
        found
    };
    let expected = read(&open(&without_index_files(&medium), config()).0).await;
    assert_ne!(read(&log).await, expected, "one topic of each segment is passed over");
    log.maintain().await;
    assert!(!log.damage().is_empty(), "it is told");
    log.close().await;
    let (log, _) = open(&medium, config());
    assert_eq!(read(&log).await, expected, "what it hid is shown");
    assert!(log.damage().is_empty());
}
