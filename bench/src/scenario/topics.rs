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
    let mut names = paths.iter().map(String::as_str).cycle();
    let mut next = || names.next().unwrap_or_default();
    // Until every topic has had events, however long that takes.
    while load.sent() < 2 * topics as u64 {
        load.publish_by_all(&mut next)?;
    }
    load.until_quiet(Duration::from_millis(500))?;
    load.reset();
    let before = load.sent();
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    while began.elapsed() < time {
        load.publish_by_all(&mut next)?;
    }
    load.until_quiet(QUIET)?;
    let (took, used) = (began.elapsed() - QUIET, process::cpu(server.pid()) - cpu);
    Ok(of(&load, 1, before, Sample::new(load.received.events, took, used)))
}
