//! How many events are taken, with one subscriber who gets them all.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::fan_out::of;
use crate::{contender::Contender, load::Load, process, sample::Sample};

const TOPIC: &str = "bench/wall";
const QUIET: Duration = Duration::from_secs(1);
/// Of an event that is streamed, its data with its lines' ends.
const STREAMED: usize = 240;

/// Every connection sends its next event once the last is acknowledged.
pub(super) fn requests(
    contender: Contender,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Sample> {
    let (server, mut load) = (contender.start(&[])?, Load::new()?);
    load.subscribe(server.at, 1, |_| server.follow(TOPIC))?;
    load.add_publishers(server.at, connections)?;
    let path = server.publish(TOPIC);
    let (cpu, began) = (process::cpu(server.pid()), Instant::now());
    while began.elapsed() < time {
        load.publish_by_all(|| &path)?;
    }
    let (took, used, sent) = (began.elapsed(), process::cpu(server.pid()) - cpu, load.sent());
    load.until_quiet(QUIET)?;
    Ok(of(&load, 1, 0, Sample::new(sent, took, used)))
}

/// One request whose body is a stream of events.
pub(super) fn one_stream(contender: Contender, time: Duration) -> anyhow::Result<Sample> {
    let server = contender.start(&[])?;
    let mut stream = TcpStream::connect(server.at)?;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        server.publish(TOPIC),
        server.at
    );
    stream.write_all(head.as_bytes())?;
    let event = format!("data: {}\n\n", "x".repeat(STREAMED - 8));
    let piece = event.repeat(256);
    let piece = format!("{:x}\r\n{piece}\r\n", piece.len());
    let (cpu, began, mut count) = (process::cpu(server.pid()), Instant::now(), 0);
    while began.elapsed() < time {
        stream.write_all(piece.as_bytes())?;
        count += 256;
    }
    stream.write_all(b"0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (took, used) = (began.elapsed(), process::cpu(server.pid()) - cpu);
    ensure!(
        answer.starts_with("HTTP/1.1 201") && answer.contains(&format!("\"count\":{count},")),
        "the stream was answered {answer}"
    );
    Ok(Sample::new(count, took, used))
}
