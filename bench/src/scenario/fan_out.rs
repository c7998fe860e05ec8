//! One topic, many subscribers.

use std::time::{Duration, Instant};

use crate::{
    contender::{Contender, Running},
    load::Load,
    process,
    sample::Sample,
};

const TOPIC: &str = "bench/wall";
/// Events before anything is counted.
const WARM_UP: u64 = 20;
/// What comes later than this after the last publish is lost.
const QUIET: Duration = Duration::from_secs(2);

/// A server with its subscribers, who have all got something, and publishers.
fn ready(
    contender: Contender,
    subscribers: usize,
    publishers: usize,
) -> anyhow::Result<(Running, Load)> {
    let (server, mut load) = (contender.start(&[])?, Load::new()?);
    load.subscribe(server.at, subscribers, |_| server.follow(TOPIC))?;
    load.add_publishers(server.at, publishers)?;
    for _ in 0..WARM_UP {
        load.publish(0, &server.publish(TOPIC), 0)?;
        load.until(|load| !load.publishers[0].waits && load.received.missing[0] == 0)?;
    }
    load.reset();
    Ok((server, load))
}

/// So many events are on their way at any time, each until everybody has it.
pub(super) fn one_at_a_time(
    contender: Contender,
    subscribers: usize,
    outstanding: usize,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (server, mut load) = ready(contender, subscribers, outstanding)?;
    let path = server.publish(TOPIC);
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    while began.elapsed() < time {
        for by in 0..outstanding {
            if !load.publishers[by].waits && load.received.missing[by] == 0 {
                let due = load.now();
                load.publish(by, &path, due)?;
            }
        }
        load.turn(Duration::from_millis(100))?;
    }
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    let delivered = load.received.events;
    load.until_quiet(QUIET)?;
    Ok(of(&load, subscribers, WARM_UP, Sample::new(delivered, took, used)))
}

/// Every publisher sends its next event once the last is acknowledged, whoever has it.
pub(super) fn saturated(
    contender: Contender,
    subscribers: usize,
    publishers: usize,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (server, mut load) = ready(contender, subscribers, publishers)?;
    let path = server.publish(TOPIC);
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    while began.elapsed() < time {
        load.publish_by_all(|| &path)?;
    }
    // What is still on its way counts, with the time that it takes.
    load.until_quiet(QUIET)?;
    let (took, used) = (began.elapsed() - QUIET, process::cpu(server.pid()) - cpu);
    let delivered = load.received.events;
    Ok(of(&load, subscribers, WARM_UP, Sample::new(delivered, took, used)))
}

/// With how late its events came, and whether all did.
pub(super) fn of(load: &Load, subscribers: usize, before: u64, sample: Sample) -> Sample {
    let lateness = &load.received.lateness;
    let at = |quantile| lateness.value_at_quantile(quantile) as f64 / 1000.0;
    let due = (load.sent() - before) * subscribers as u64;
    Sample {
        p50: at(0.5),
        p99: at(0.99),
        lost: due.saturating_sub(load.received.events) as f64,
        out_of_order: load.received.out_of_order as f64,
        ..sample
    }
}
