//! A disk that fails and is mended: what could not be stored is told and never appears, what was
//! shown is safe again before anything is built upon it, and no restart is needed.

use std::{sync::Arc, time::Duration};

use super::{batch, event_texts, read_all};
use crate::simulator::CrashMedium;
use crate::{
    AppendError, AppendOptions, DiskConfig, DiskLog, Durability, EventId, IdempotencyKey, Log as _,
};

const DEADLINE: Duration = Duration::from_secs(20);

fn open(medium: &Arc<CrashMedium>, durability: Durability) -> DiskLog {
    let config = DiskConfig { durability, ..DiskConfig::default() };
    DiskLog::open(medium.clone(), config).unwrap().0
}

fn keyed(key: &str) -> AppendOptions {
    let key = IdempotencyKey { scope: "".into(), key: key.into() };
    AppendOptions { key: Some(key), ..AppendOptions::default() }
}

async fn append(log: &DiskLog, text: &str) -> Result<EventId, AppendError> {
    let options = if text.starts_with("keyed") { keyed(text) } else { AppendOptions::default() };
    log.append(batch(&[text.into()]), options).await.map(|mut appended| appended.ids.remove(0))
}

async fn texts(log: &DiskLog) -> Vec<String> {
    event_texts(&read_all(log).await.unwrap())
}

async fn until_healthy(log: &DiskLog) {
    let healthy = async {
        while log.health().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, healthy).await.expect("the log takes events again");
}

/// What a restart finds after power was lost now.
async fn after_power_loss(medium: &CrashMedium) -> Vec<String> {
    texts(&open(&medium.power_lost(), Durability::Sync)).await
}

#[tokio::test]
async fn a_full_disk_is_told_and_got_over() {
    let medium = CrashMedium::new();
    let log = open(&medium, Durability::Sync);
    let before = append(&log, "keyed before").await.unwrap();
    medium.fill();
    let full = append(&log, "full").await;
    let Err(AppendError::NotStored { reason }) = full else { panic!("{full:?}") };
    assert!(log.health().unwrap_err() == reason, "{reason}");
    assert!(matches!(append(&log, "still full").await, Err(AppendError::Stopped { .. })));
    assert_eq!(texts(&log).await, ["keyed before"], "readers go on");
    medium.mend();
    until_healthy(&log).await;
    assert_eq!(append(&log, "keyed before").await, Ok(before.clone()), "keys are remembered");
    let after = append(&log, "after").await.unwrap();
    assert!(after.position.0 > before.position.0 + 1, "what was given out is not used again");
    assert_eq!(texts(&log).await, ["keyed before", "after"]);
    assert_eq!(after_power_loss(&medium).await, ["keyed before", "after"]);
}

#[tokio::test]
async fn a_failed_sync_is_never_taken_for_one_that_worked() {
    let medium = CrashMedium::new();
    let log = open(&medium, Durability::Sync);
    append(&log, "before").await.unwrap();
    medium.fail_syncs();
    let unknown = append(&log, "keyed lost").await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown { .. })), "{unknown:?}");
    assert_eq!(texts(&log).await, ["before"]);
    medium.mend();
    until_healthy(&log).await;
    assert_eq!(texts(&log).await, ["before"], "it did not come back");
    append(&log, "keyed lost").await.unwrap();
    assert_eq!(texts(&log).await, ["before", "keyed lost"], "its key was not used up");
    assert_eq!(after_power_loss(&medium).await, ["before", "keyed lost"]);
    assert!(medium.failed_syncs() > 0);
}

/// With a weaker durability events are shown before they are synced: when that fails they are
/// written anew, since the system may have dropped them.
#[tokio::test]
async fn what_was_shown_is_written_anew() {
    let medium = CrashMedium::new();
    let log = open(&medium, Durability::Interval(Duration::from_millis(5)));
    medium.fail_syncs();
    let shown = append(&log, "shown").await.unwrap();
    let failing = async {
        while log.health().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, failing).await.expect("the failure is noticed");
    assert_eq!(texts(&log).await, ["shown"]);
    medium.mend();
    until_healthy(&log).await;
    assert_eq!(after_power_loss(&medium).await, ["shown"], "safe before it goes on");
    let after = append(&log, "after").await.unwrap();
    assert!(after.position > shown.position);
    log.close().await;
    assert_eq!(after_power_loss(&medium).await, ["shown", "after"]);
}

/// Many failures in a row, with readers and restarts between.
#[tokio::test]
async fn again_and_again() {
    let mut medium = CrashMedium::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..12 {
        let log = open(&medium, Durability::Sync);
        for n in 0..5 {
            if n == 2 {
                if round % 2 == 0 { medium.fill() } else { medium.fail_syncs() }
            }
            let text = format!("{round}-{n}");
            match append(&log, &text).await {
                Ok(_) => acknowledged.push(text),
                Err(_) => {
                    medium.mend();
                    until_healthy(&log).await;
                }
            }
        }
        assert_eq!(texts(&log).await, acknowledged);
        drop(log);
        medium = medium.power_lost();
    }
    assert_eq!(acknowledged.len(), 12 * 4);
}
