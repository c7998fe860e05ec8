//! What an idle subscriber costs: the slope between few and many, after each has received 100 events, the
//! window has turned over, and ticks have come.

use std::time::Duration;

use crate::{
    contender::{Contender, Running},
    load::{Load, http2::Streams},
    process,
    sample::Sample,
};

const TOPIC: &str = "bench/wall";
const EVENTS: u64 = 100;
const FEW: usize = 1000;
/// The window and the log, so that they turn over soon, and ticks that come soon.
const SETTINGS: [&str; 6] = ["--window-bytes", "4MiB", "--max-bytes", "2MiB", "--heartbeat", "2s"];
/// Until everybody has had a tick or two.
const TICKS: Duration = Duration::from_secs(5);

/// Publishes to everybody, then to nobody until the window has turned over.
fn publish(load: &mut Load, server: &Running) -> anyhow::Result<()> {
    let (heard, unheard) = (server.publish(TOPIC), server.publish("bench/nobody"));
    for _ in 0..EVENTS {
        load.publish(0, &heard, 0)?;
        load.until(|load| !load.publishers[0].waits && load.received.missing[0] == 0)?;
    }
    for _ in 0..if server.contender.is_eventwall() { 15_000 } else { 0 } {
        load.publish(0, &unheard, 0)?;
        load.until(|load| !load.publishers[0].waits)?;
    }
    Ok(())
}

fn measured(server: &Running) -> (f64, f64) {
    (process::memory(server.pid()) as f64, process::kernel_memory() as f64)
}

fn slope(few: (f64, f64), many: (f64, f64), count: usize) -> Sample {
    let each = |few: f64, many: f64| (many - few) / count as f64;
    let (memory, kernel) = (each(few.0, many.0), each(few.1, many.1));
    Sample { memory, kernel, ..Sample::default() }
}

/// Over TLS if it speaks that.
pub(super) fn http1(contender: Contender, many: usize) -> anyhow::Result<Sample> {
    let (server, mut load) = (contender.start(&SETTINGS)?, Load::new()?);
    if let Some(certificate) = server.certificate() {
        load.speak_tls(certificate)?;
    }
    let few = step(&mut load, &server, FEW)?;
    let all = step(&mut load, &server, many - FEW)?;
    Ok(slope(few, all, many - FEW))
}

fn step(load: &mut Load, server: &Running, more: usize) -> anyhow::Result<(f64, f64)> {
    load.subscribe(server.at, more, |_| server.follow(TOPIC))?;
    // A new one each time: a connection that is quiet for too long is closed.
    load.publishers.clear();
    load.add_publishers(server.at, 1)?;
    publish(load, server)?;
    load.until_quiet(TICKS)?;
    Ok(measured(server))
}

/// So many streams a connection.
pub(super) fn http2(contender: Contender, each: usize) -> anyhow::Result<Sample> {
    let server = contender.start(&SETTINGS)?;
    let mut streams = Streams::new()?;
    let (few, many) = (FEW / each, 9000 / each);
    let path = server.follow(TOPIC);
    let mut seen = Vec::new();
    let mut events = 0;
    for connections in [few, many - few] {
        streams.open(server.at, (connections, each), &path)?;
        // A new one each time: a connection that is quiet for too long is closed.
        let mut load = Load::new()?;
        load.add_publishers(server.at, 1)?;
        publish(&mut load, &server)?;
        // Those of the first step get the events of the second, too.
        events += EVENTS * (if events == 0 { few } else { many } * each) as u64;
        streams.until(events)?;
        std::thread::sleep(TICKS);
        seen.push(measured(&server));
    }
    Ok(slope(seen[0], seen[1], (many - few) * each))
}
