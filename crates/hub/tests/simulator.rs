//! The simulator with fixed seeds and fresh ones: nobody loses an event in silence, whatever happens;
//! and every mistake that hub and log can be told to make is noticed.
//!
//! `EVENTWALL_SEEDS` says how many seeds of each kind, `EVENTWALL_SEED` repeats one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_hub::simulator::{Failure, HubMutation, Kind, Plan, Report, simulate};
use eventwall_log::simulator::Mutation;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().unwrap())
}

async fn simulate_all(
    seeds: impl Iterator<Item = u64>,
    plan: impl Fn(u64) -> Plan,
) -> Result<Report, Failure> {
    let mut all = Report::default();
    for seed in seeds {
        println!("seed {seed}");
        all += simulate(plan(seed)).await?;
    }
    println!("verified: {all:?}");
    Ok(all)
}

/// So many fixed seeds and a fresh one.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let fresh = setting("EVENTWALL_SEED").unwrap_or_else(rand::random);
    (0..setting("EVENTWALL_SEEDS").unwrap_or(count)).chain([fresh])
}

fn ok(run: Result<Report, Failure>) -> Report {
    run.unwrap_or_else(|failure| panic!("{failure}"))
}

#[tokio::test]
async fn nobody_loses_an_event_in_silence() {
    let report = ok(simulate_all(seeds(150), |seed| Plan::small(seed, Kind::Memory)).await);
    assert!(report.gaps > 100 && report.resumes > 1000 && report.erased > 100, "{report:#?}");
    assert!(
        report.clock_jumps > 100 && report.lines_cut > 100 && report.woken > 100,
        "{report:#?}"
    );
}

#[tokio::test]
async fn nobody_loses_an_event_of_a_log_on_disk_in_silence() {
    let report = ok(simulate_all(seeds(60), |seed| Plan::small(seed, Kind::Disk)).await);
    assert!(report.gaps > 50 && report.restarts > 50 && report.restores > 50, "{report:#?}");
    assert!(report.repeats > 20, "{report:#?}");
    assert!(
        report.crashes_while_publishing > 10 && report.crashes_while_erasing > 10,
        "{report:#?}"
    );
    assert!(
        report.crashes_while_compacting > 10 && report.crashes_while_opening > 10,
        "{report:#?}"
    );
}

#[tokio::test]
async fn what_is_not_synced_may_be_lost_but_not_in_silence() {
    let report = ok(simulate_all(seeds(40), |seed| Plan::small(seed, Kind::Unsynced)).await);
    assert!(report.crashes > 100 && report.gaps > 50, "{report:#?}");
}

#[tokio::test]
async fn thousands_of_subscribers_are_no_different() {
    let plan = |seed| Plan { steps: 150, subscribers: 2_000, ..Plan::small(seed, Kind::Disk) };
    let report = ok(simulate_all(seeds(1), plan).await);
    assert!(report.delivered > 10_000, "{report:#?}");
}

/// Or a failing seed could not be seen again.
#[tokio::test]
async fn one_seed_is_one_run() {
    for (seed, kind) in [(1, Kind::Memory), (2, Kind::Disk), (3, Kind::Disk), (4, Kind::Unsynced)] {
        let plan = Plan { steps: 600, subscribers: 30, ..Plan::small(seed, kind) };
        assert_eq!(simulate(plan).await, simulate(plan).await);
    }
}

/// Within so many seeds each of them is noticed.
const ENOUGH: u64 = 60;

async fn noticed(plan: impl Fn(u64) -> Plan) -> String {
    for seed in 0..ENOUGH {
        if let Err(failure) = simulate(plan(seed)).await {
            return failure.to_string();
        }
    }
    panic!("it was not noticed: {:?}", plan(0));
}

/// Which of its checks notices first is a matter of the seed; without the mistake, none does.
#[tokio::test]
async fn mistakes_of_the_hub_are_noticed() {
    for mistake in [HubMutation::SkipAtSeam, HubMutation::TickTooFar, HubMutation::HideGap] {
        let plan = |seed| Plan { hub: Some(mistake), ..Plan::small(seed, Kind::Memory) };
        println!("{mistake:?}: {}", noticed(plan).await);
    }
}

#[tokio::test]
async fn mistakes_of_the_log_are_noticed() {
    for (mistake, kind) in [
        (Mutation::SkipSync, Kind::Disk),
        (Mutation::CompactTooMuch, Kind::Disk),
        (Mutation::ForgetWatermarks, Kind::Disk),
        (Mutation::ShortWatermark, Kind::Disk),
        (Mutation::ForgetfulIndex, Kind::Disk),
        (Mutation::ReusePosition, Kind::Unsynced),
    ] {
        let (log, steps, subscribers) = (Some(mistake), 500, 24);
        let plan = |seed| Plan { log, steps, subscribers, ..Plan::small(seed, kind) };
        println!("{mistake:?}: {}", noticed(plan).await);
    }
}
