//! Loss of power at random moments: what was acknowledged is there, nothing is invented, no
//! position is used twice. The seed is printed with a failure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::FutureExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{batch, event_texts, read_all};
use crate::simulator::CrashMedium;
use crate::{
    AppendOptions, DiskConfig, DiskLog, Durability, Entry, EventId, Log as _, Position, Resolution,
    Retention,
};

fn config(durability: Durability) -> DiskConfig {
    DiskConfig { durability, retention: Retention::bytes(1 << 30), ..DiskConfig::default() }
}

#[derive(Default)]
struct History {
    acknowledged: Vec<String>,
    sent: HashSet<String>,
    /// Which text an id was seen with, in any life of the log.
    ids: HashMap<EventId, String>,
    highest: Position,
}

impl History {
    fn check(&mut self, log: &DiskLog, entries: &[Entry]) {
        let texts = event_texts(entries);
        let found: HashSet<_> = texts.iter().collect();
        assert_eq!(found.len(), texts.len(), "an event is there twice");
        assert!(texts.iter().all(|text| self.sent.contains(text)), "an event was invented");
        let kept: Vec<_> = texts.iter().filter(|text| self.acknowledged.contains(text)).collect();
        assert_eq!(kept, self.acknowledged.iter().collect::<Vec<_>>(), "lost or out of order");
        let epochs = log.epochs();
        for entry in entries {
            let Entry::Event(record) = entry else { continue };
            let id = epochs.id(record.position);
            let before = self.ids.insert(id, record.data.to_string());
            assert!(before.is_none_or(|text| *text == *record.data), "an id changed its event");
        }
    }
}

async fn one_life(
    medium: Arc<CrashMedium>,
    history: &mut History,
    rng: &mut SmallRng,
) -> Arc<CrashMedium> {
    let (log, _) = DiskLog::open(medium.clone(), config(Durability::Sync)).unwrap();
    history.check(&log, &read_all(&log).await.unwrap());
    for id in history.ids.keys() {
        let resolved = log.epochs().resolve(id, log.end());
        assert!(
            matches!(resolved, Resolution::At(p) if p == id.position)
                || !history.acknowledged.contains(&history.ids[id])
        );
    }
    // Some wait for their answer, some are cut off by the crash.
    for n in 0..rng.random_range(0..12) {
        let texts: Vec<String> = (0..rng.random_range(1..4))
            .map(|i| {
                format!("{}-{n}-{i}-{}", history.sent.len(), "x".repeat(rng.random_range(0..900)))
            })
            .collect();
        history.sent.extend(texts.iter().cloned());
        let appended = log.append(batch(&texts), AppendOptions::default()).await.unwrap();
        assert!(appended.ids[0].position > history.highest, "a position was used again");
        history.highest = appended.last();
        history.acknowledged.extend(texts);
    }
    let unanswered: Vec<String> =
        (0..3).map(|i| format!("{}-u{i}-{}", history.sent.len(), "y".repeat(700))).collect();
    history.sent.extend(unanswered.iter().cloned());
    // It is handed over at its first poll; how far it gets is for the threads to decide.
    let answer = log.append(batch(&unanswered), AppendOptions::default()).now_or_never();
    let answered_before_the_crash = matches!(answer, Some(Ok(_)));
    let image = medium.crashed(rng);
    if answered_before_the_crash {
        history.acknowledged.extend(unanswered);
    }
    // Whatever this life still does, it does to the other disk.
    drop(log);
    image
}

#[tokio::test]
async fn no_crash_loses_an_acknowledged_event_or_uses_a_position_again() {
    let fresh: u64 = rand::random();
    for seed in (0..60).chain([fresh]) {
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut medium, mut history) = (CrashMedium::new(), History::default());
        for _ in 0..6 {
            medium = one_life(medium, &mut history, &mut rng).await;
        }
        let (log, _) = DiskLog::open(medium, config(Durability::Sync)).unwrap();
        history.check(&log, &read_all(&log).await.unwrap());
    }
}

/// A batch whose write is cut anywhere is not there at all, and the cut is reported.
#[tokio::test]
async fn a_torn_batch_leaves_nothing() {
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), config(Durability::Sync)).unwrap();
    log.append(batch(&["kept".into()]), AppendOptions::default()).await.unwrap();
    let name = medium.segments().remove(0);
    let whole_before = medium.bytes_of(&name).len();
    let texts: Vec<String> = (0..3).map(|n| format!("torn {n}")).collect();
    log.append(batch(&texts), AppendOptions::default()).await.unwrap();
    let whole = medium.bytes_of(&name).len();
    for cut in whole_before..whole {
        let torn = medium.copied();
        torn.tamper(&name, |bytes| bytes.truncate(cut));
        let (log, report) = DiskLog::open(torn, config(Durability::Sync)).unwrap();
        assert_eq!(event_texts(&read_all(&log).await.unwrap()), ["kept"], "cut at {cut}");
        let reported = report.torn.map(|torn| torn.bytes);
        assert_eq!(reported, (cut > whole_before).then_some((cut - whole_before) as u64));
    }
}

#[tokio::test]
async fn what_a_weaker_durability_loses_is_a_gap_for_those_who_saw_it() {
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), config(Durability::None)).unwrap();
    let seen = log.append(batch(&["lost".into()]), AppendOptions::default()).await.unwrap();
    let name = medium.segments().remove(0);
    let lost = medium.copied();
    lost.tamper(&name, |bytes| bytes.truncate(crate::disk::format::SEGMENT_HEADER));
    let (log, _) = DiskLog::open(lost, config(Durability::None)).unwrap();
    let new = log.append(batch(&["new".into()]), AppendOptions::default()).await.unwrap();
    assert!(new.last() > seen.last(), "the position is not used again");
    let resolved = log.epochs().resolve(&seen.ids[0], log.end());
    assert_eq!(resolved, Resolution::Beyond { end: Position::START });
}

#[tokio::test]
async fn copies_of_one_log_part_ways() {
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), config(Durability::Sync)).unwrap();
    let common = log.append(batch(&["common".into()]), AppendOptions::default()).await.unwrap();
    log.close().await;
    let (one, _) = DiskLog::open(medium.copied(), config(Durability::Sync)).unwrap();
    let (two, _) = DiskLog::open(medium.copied(), config(Durability::Sync)).unwrap();
    let in_one = one.append(batch(&["one".into()]), AppendOptions::default()).await.unwrap();
    two.append(batch(&["two".into()]), AppendOptions::default()).await.unwrap();
    let at = |log: &DiskLog, id| log.epochs().resolve(id, log.end());
    assert_eq!(at(&two, &common.ids[0]), Resolution::At(common.last()));
    assert_eq!(at(&two, &in_one.ids[0]), Resolution::Unknown);
}

#[tokio::test]
async fn an_orderly_restart_keeps_positions_dense_and_keys_known() {
    let medium = CrashMedium::new();
    let keyed = || AppendOptions {
        key: Some(crate::IdempotencyKey { scope: "".into(), key: "k".into() }),
        ..AppendOptions::default()
    };
    let (log, _) = DiskLog::open(medium.clone(), config(Durability::Sync)).unwrap();
    let first = log.append(batch(&["1".into(), "2".into()]), keyed()).await.unwrap();
    log.close().await;
    let (log, report) = DiskLog::open(medium, config(Durability::Sync)).unwrap();
    assert_eq!((report.events, report.torn), (2, None));
    let again = log.append(batch(&["1".into(), "2".into()]), keyed()).await.unwrap();
    assert!(again.repeated && again.ids == first.ids);
    let next = log.append(batch(&["3".into()]), AppendOptions::default()).await.unwrap();
    assert_eq!(next.last(), first.last().next());
}
