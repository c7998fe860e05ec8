//! How late events are when they come at a given rate, due at given times whatever happens.

use std::time::{Duration, Instant};

use super::fan_out::of;
use crate::{contender::Contender, load::Load, process, sample::Sample};

const TOPIC: &str = "bench/wall";
/// So many publishers share the work, so that a slow answer holds nothing up.
const PUBLISHERS: usize = 16;
const QUIET: Duration = Duration::from_secs(1);

pub(super) fn at_rate(
    contender: Contender,
    subscribers: usize,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (server, mut load) = (contender.start(&[])?, Load::new()?);
    load.subscribe(server.at, subscribers, |_| server.follow(TOPIC))?;
    load.add_publishers(server.at, PUBLISHERS)?;
    let path = server.publish(TOPIC);
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    let interval = Duration::from_secs(1) / rate;
    load.publish_on_time(&path, interval, |_| began.elapsed() >= 2 * time)?;
    load.until_quiet(QUIET)?;
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    Ok(of(&load, subscribers, 0, Sample::new(load.received.events, took, used)))
}
