//! History: from the window, from disk, by many at once, and beside live events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::fan_out::of;
use crate::{
    contender::{Contender, Running},
    load::Load,
    process,
    sample::Sample,
};

const TOPIC: &str = "bench/history";
const LIVE: &str = "bench/wall";

/// So many events, and the settings that say where they are read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct History {
    events: usize,
    settings: [&'static str; 2],
}

pub(super) const FROM_WINDOW: History =
    History { events: 30_000, settings: ["--window-bytes", "256MiB"] };
pub(super) const FROM_DISK: History =
    History { events: 100_000, settings: ["--window-bytes", "1MiB"] };
pub(super) const FROM_DISK_BY_MANY: History =
    History { events: 20_000, settings: ["--window-bytes", "1MiB"] };

/// A server with its history, published in batches.
fn ready(contender: Contender, history: History) -> anyhow::Result<(Running, Load)> {
    let (server, mut load) = (contender.start(&history.settings)?, Load::new()?);
    load.publish_history(server.at, &server.publish(TOPIC), history.events)?;
    Ok((server, load))
}

/// Everybody at once, from the beginning to the end of the history.
pub(super) fn replay(contender: Contender, history: History, by: usize) -> anyhow::Result<Sample> {
    let (server, mut load) = ready(contender, history)?;
    let idle = process::memory(server.pid());
    let (pid, over) = (server.pid(), Arc::new(AtomicBool::new(false)));
    let watching = {
        let over = over.clone();
        std::thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = process::memory(pid).max(most);
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        })
    };
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    let wanted = (by * history.events) as u64;
    let read = load
        .subscribe(server.at, by, |_| format!("{}?since=1h", server.follow(TOPIC)))
        .and_then(|()| load.until(|load| load.received.events >= wanted));
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    over.store(true, Ordering::Relaxed);
    let most = watching.join().unwrap_or(0);
    read?;
    let memory = most.saturating_sub(idle) as f64;
    let out_of_order = load.received.out_of_order as f64;
    Ok(Sample { memory, out_of_order, ..Sample::new(load.received.events, took, used) })
}

/// Live events, due 20 times a second, while others read history as fast as they can and publish
/// elsewhere. Only the live ones' lateness counts.
pub(super) fn beside_live(contender: Contender) -> anyhow::Result<Sample> {
    let (server, mut load) = ready(contender, FROM_DISK)?;
    load.subscribe(server.at, 1000, |_| server.follow(LIVE))?;
    load.add_publishers(server.at, 4)?;
    let at = server.at;
    let follow = format!("{}?since=1h", server.follow(TOPIC));
    let publish = server.publish("bench/others");
    let others = std::thread::spawn(move || -> anyhow::Result<()> {
        let mut others = Load::new()?;
        others.subscribe(at, 50, |_| follow.clone())?;
        others.add_publishers(at, 4)?;
        let wanted = (50 * FROM_DISK.events) as u64;
        others.until(|load| {
            for by in 0..4 {
                if !load.publishers[by].waits {
                    let _ = load.publish(by, &publish, 0);
                }
            }
            load.received.events >= wanted
        })
    });
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    let interval = Duration::from_millis(50);
    load.publish_on_time(&server.publish(LIVE), interval, |count| {
        others.is_finished() && count >= 40
    })?;
    others.join().map_err(|_| anyhow::anyhow!("the others' thread panicked"))??;
    load.until_quiet(Duration::from_secs(1))?;
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    Ok(of(&load, 1000, 0, Sample::new(load.received.events, took, used)))
}
