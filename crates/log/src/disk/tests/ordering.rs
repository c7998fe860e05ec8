//! Every acknowledgement and every delivery follows the sync that covers it; and a log
//! that did otherwise would be caught, which the mutations show.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{
    batch,
    gate::{Gate, GatedMedium},
};
use crate::simulator::{CrashMedium, Mutation};
use crate::{AppendError, AppendOptions, DiskConfig, DiskLog, Log as _};

const DEADLINE: Duration = Duration::from_secs(20);

/// Appends while the disk's sync is held up, and looks at what comes out before it is done.
async fn check_order(mutation: Option<Mutation>) -> Result<(), &'static str> {
    let gate = Arc::new(Gate::default());
    let medium = Arc::new(GatedMedium { inner: CrashMedium::new(), gate: gate.clone() });
    let config = DiskConfig { mutation, ..DiskConfig::default() };
    let (log, _) = DiskLog::open(medium, config).unwrap();
    let mut tail = log.tail(log.end());
    gate.close();
    let result = while_syncing(&log, &gate, &mut tail).await;
    gate.open();
    result
}

async fn while_syncing(
    log: &DiskLog,
    gate: &Gate,
    tail: &mut crate::Tail,
) -> Result<(), &'static str> {
    let texts = ["x".to_owned()];
    let mut append = std::pin::pin!(log.append(batch(&texts), AppendOptions::default()).fuse());
    let mut waited = false;
    let until = tokio::time::Instant::now() + DEADLINE;
    while !waited {
        assert!(tokio::time::Instant::now() < until, "no sync and no answer");
        if append.as_mut().now_or_never().is_some() {
            return Err("acknowledged before the sync");
        }
        waited = gate.somebody_waits();
        tokio::task::yield_now().await;
    }
    if append.as_mut().now_or_never().is_some() {
        return Err("acknowledged before the sync");
    }
    if tail.next().now_or_never().is_some() || log.end().0 != 0 {
        return Err("shown before the sync");
    }
    gate.open();
    append.await.map_err(|_| "never acknowledged")?;
    let page = tokio::time::timeout(DEADLINE, tail.next()).await.map_err(|_| "never shown")?;
    assert_eq!(page.unwrap().unwrap().entries.len(), 1);
    Ok(())
}

#[tokio::test]
async fn acknowledgement_and_delivery_follow_the_sync() {
    assert_eq!(check_order(None).await, Ok(()));
}

#[tokio::test]
async fn a_missing_sync_is_caught() {
    assert!(check_order(Some(Mutation::SkipSync)).await.is_err());
}

#[tokio::test]
async fn an_early_acknowledgement_is_caught() {
    assert!(check_order(Some(Mutation::AckBeforeSync)).await.is_err());
}

#[tokio::test]
async fn many_appends_share_one_sync() {
    let gate = Arc::new(Gate::default());
    let medium = Arc::new(GatedMedium { inner: CrashMedium::new(), gate: gate.clone() });
    let (log, _) = DiskLog::open(medium, DiskConfig::default()).unwrap();
    let log = Arc::new(log);
    gate.close();
    let append = |n: usize| {
        let log = log.clone();
        tokio::spawn(
            async move { log.append(batch(&[n.to_string()]), AppendOptions::default()).await },
        )
    };
    let all: Vec<_> = (0..100).map(append).collect();
    gate.open();
    for append in all {
        append.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_failed_sync_is_told_and_never_taken_back() {
    let medium = CrashMedium::new();
    let (log, _) = DiskLog::open(medium.clone(), DiskConfig::default()).unwrap();
    log.append(batch(&["before".into()]), AppendOptions::default()).await.unwrap();
    medium.fail_syncs();
    let unknown = log.append(batch(&["during".into()]), AppendOptions::default()).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown { .. })), "{unknown:?}");
    let refused = log.append(batch(&["after".into()]), AppendOptions::default()).await;
    assert!(matches!(refused, Err(AppendError::Stopped { .. })), "{refused:?}");
    assert!(log.health().is_err());
    let entries = super::read_all(&log).await.unwrap();
    assert_eq!(super::event_texts(&entries), ["before"], "readers go on, and see no more");
}
