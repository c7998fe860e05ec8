//! Bytes that change under the log: noticed, located, never served, never mistaken for a
//! torn tail.

use std::sync::Arc;

use super::{batch, event_texts, read_all};
use crate::simulator::CrashMedium;
use crate::{
    AppendOptions, DiskConfig, DiskLog, Entry, Log as _, OpenError, Retention,
    disk::format::SEGMENT_HEADER,
};

async fn filled(config: DiskConfig, events: usize) -> (Arc<CrashMedium>, DiskLog) {
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), config).unwrap();
    for n in 0..events {
        log.append(batch(&[format!("{n}")]), AppendOptions::default()).await.unwrap();
    }
    (medium, log)
}

fn reopen(medium: Arc<CrashMedium>) -> Result<DiskLog, OpenError> {
    DiskLog::open(medium, DiskConfig::default()).map(|(log, _)| log)
}

#[tokio::test]
async fn a_flipped_bit_in_what_was_synced_is_damage_at_that_place() {
    let (medium, log) = filled(DiskConfig::default(), 6).await;
    log.close().await;
    let name = medium.segments().remove(0);
    let len = medium.bytes_of(&name).len();
    let last_entry = SEGMENT_HEADER + (len - SEGMENT_HEADER) / 6 * 5;
    for byte in (0..last_entry).step_by(3) {
        let copy = medium.copied();
        copy.tamper(&name, |bytes| bytes[byte] ^= 1 << (byte % 8));
        match reopen(copy) {
            Err(OpenError::Damaged { file, offset, .. }) => {
                assert_eq!(file, name);
                let offset = usize::try_from(offset).unwrap();
                assert!(offset <= byte && byte - offset < 200, "byte {byte}, reported {offset}");
            }
            other => panic!("byte {byte}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn damage_that_comes_while_the_log_is_open_is_reported_by_the_read() {
    let config = DiskConfig { retention: Retention::bytes(1 << 30), ..DiskConfig::default() };
    let (medium, log) = filled(config, 3).await;
    log.close().await;
    let log = reopen(medium.clone()).unwrap();
    let name = medium.segments().remove(0);
    medium.tamper(&name, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let read = read_all(&log).await;
    assert!(read.unwrap_err().to_string().contains(&name));
}

#[tokio::test]
async fn a_missing_segment_is_noticed() {
    let small = DiskConfig { retention: Retention::bytes(1 << 20), ..DiskConfig::default() };
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), small).unwrap();
    for _ in 0..10 {
        log.append(batch(&["x".repeat(40_000)]), AppendOptions::default()).await.unwrap();
    }
    log.close().await;
    let names = medium.segments();
    assert!(names.len() > 3);
    crate::disk::Medium::remove(&*medium, &names[1]).unwrap();
    let error = reopen(medium).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("restore"), "{error}");
}

#[tokio::test]
async fn a_lost_state_folder_is_rebuilt_and_hides_no_gap() {
    let small = || DiskConfig { retention: Retention::bytes(1 << 20), ..DiskConfig::default() };
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), small()).unwrap();
    let mut last = None;
    for _ in 0..60 {
        let texts = ["x".repeat(40_000)];
        last = Some(log.append(batch(&texts), AppendOptions::default()).await.unwrap());
    }
    let last = last.unwrap();
    log.close().await;
    for key in ["state/epochs", "state/watermarks"] {
        crate::disk::Medium::remove(&*medium, key).unwrap();
    }
    let (log, _) = DiskLog::open(medium, small()).unwrap();
    let resolved = log.epochs().resolve(&last.ids[0], log.end());
    assert_eq!(resolved, crate::Resolution::At(last.last()));
    let filter = crate::Filter::topics(["other".parse().unwrap()]);
    let budget = crate::Budget { events: 9, bytes: 9 };
    let page = log.read(crate::ReadRange::after(crate::Position::START), &filter, budget).await;
    assert!(page.unwrap().removed.is_some(), "nobody knows what was removed, so it says so");
}

#[tokio::test]
async fn erased_bytes_leave_the_disk_and_the_log_opens_without_them() {
    let (medium, log) = filled(DiskConfig::default(), 0).await;
    let secret = "a most secret text";
    let texts = ["kept".to_owned(), secret.to_owned()];
    let appended = log.append(batch(&texts), AppendOptions::default()).await.unwrap();
    log.erase(vec![appended.last()]).await.unwrap();
    log.append(batch(&["after".into()]), AppendOptions::default()).await.unwrap();
    let name = medium.segments().remove(0);
    let found = |medium: &CrashMedium| {
        medium.bytes_of(&name).windows(secret.len()).any(|w| w == secret.as_bytes())
    };
    assert!(!found(&medium));
    log.close().await;
    let log = reopen(medium.copied()).unwrap();
    let entries = read_all(&log).await.unwrap();
    assert_eq!(event_texts(&entries), ["kept", "after"]);
    assert!(entries.iter().any(|entry| matches!(entry, Entry::Erasure { .. })));
    let back = log.read_back(&super::topic(), None, crate::Budget::events(9)).await.unwrap();
    assert_eq!(back.events.len(), 2);
}
