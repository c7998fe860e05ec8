//! Many topics, each with one subscriber.

use std::time::{Duration, Instant};

use super::fan_out::of;
use crate::{contender::Contender, load::Load, process, sample::Sample};

const PUBLISHERS: usize = 16;
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn one_subscriber_each(
    contender: Contender,
    topics: usize,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (server, mut load) = (contender.start(&[])?, Load::new()?);
    load.subscribe(server.at, topics, |number| server.follow(&format!("bench/{number}")))?;
    load.add_publishers(server.at, PUBLISHERS)?;
    let paths: Vec<String> =
        (0..topics).map(|number| server.publish(&format!("bench/{number}"))).collect();
    let mut next = 0;
    // Until every topic has had events, however long that takes.
    while next < 2 * topics {
        next = publish(&mut load, &paths, next)?;
    }
    load.until_quiet(Duration::from_millis(500))?;
    load.reset();
    let before = load.sent();
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    while began.elapsed() < time {
        next = publish(&mut load, &paths, next)?;
    }
    load.until_quiet(QUIET)?;
    let (took, used) = (began.elapsed() - QUIET, process::cpu(server.pid()) - cpu);
    Ok(of(&load, 1, before, Sample::new(load.received.events, took, used)))
}

/// Whoever has its answer publishes to the next topic.
fn publish(load: &mut Load, paths: &[String], mut next: usize) -> anyhow::Result<usize> {
    for by in 0..PUBLISHERS {
        if !load.publishers[by].waits {
            let due = load.now();
            load.publish(by, &paths[next % paths.len()], due)?;
            next += 1;
        }
    }
    load.turn(Duration::from_millis(100))?;
    Ok(next)
}
