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
    let interval = Duration::from_secs(1) / rate;
    let (cpu, began, mut count) = (process::cpu(server.pid()), Instant::now(), 0);
    let first_due = load.now();
    while began.elapsed() < 2 * time {
        let due = interval * count;
        if began.elapsed() < due {
            // The poll counts in whole milliseconds: the last one is spent looking.
            let left = due.saturating_sub(began.elapsed());
            load.turn(left.saturating_sub(Duration::from_millis(1)))?;
            continue;
        }
        let Some(by) = (0..PUBLISHERS).find(|by| !load.publishers[*by].waits) else {
            load.turn(Duration::from_millis(1))?;
            continue;
        };
        let due = first_due + u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        load.publish(by, &path, due)?;
        count += 1;
    }
    load.until_quiet(QUIET)?;
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    Ok(of(&load, subscribers, 0, Sample::new(load.received.events, took, used)))
}
