//! Deep replay: everything that was missed, from disk, for very many at once, in bounded memory; and
//! what is published meanwhile follows in order. Small by default; `EVENTWALL_LOAD=full` is a
//! thousand subscribers with ten thousand events each. Sizes and speeds are printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use eventwall_sse::{Decoder, Item};
use eventwall_testkit::{Connection, Server, Setup, allow_files, memory_kib, post, request};

/// Subscribers, and events that each has missed.
fn size() -> (usize, usize) {
    let full = std::env::var("EVENTWALL_LOAD").is_ok_and(|load| load == "full");
    if full { (1000, 10_000) } else { (200, 3_000) }
}

/// Publishes numbered events on a topic.
fn publish(server: &Server, topic: &str, numbers: std::ops::Range<usize>) {
    let padding = "x".repeat(200);
    for from in numbers.clone().step_by(1000) {
        let to = (from + 1000).min(numbers.end);
        let lines: String =
            (from..to).map(|n| format!("{{\"data\":\"{n} {padding}\"}}\n")).collect();
        let headers = &["Content-Type: application/x-ndjson"];
        let path = format!("/topics/{topic}");
        let answer = request(server.addr, "POST", &path, headers, lines.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// A stream after an id; nothing of it is read yet but its head.
fn follow(server: &Server, topic: &str, after: &str) -> Connection {
    let mut connection = Connection::open(server.addr).unwrap();
    let addr = server.addr;
    connection
        .send(format!(
            "GET /topics/{topic} HTTP/1.0\r\nHost: {addr}\r\nAccept: text/event-stream\r\nLast-Event-ID: {after}\r\n\r\n"
        ))
        .unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    connection
}

/// Reads a stream until it has seen all events up to `end`, each once and in order; answers how long
/// that took.
fn read_all(connection: &mut Connection, end: usize) -> Duration {
    let began = Instant::now();
    let (mut decoder, mut next, mut buffer) = (Decoder::new(), 0, vec![0; 64 * 1024]);
    let rest = connection.take_buffered();
    let mut stream = connection.stream().try_clone().unwrap();
    let mut take = |bytes: &[u8], next: &mut usize| {
        decoder.feed(bytes, |item| {
            let Item::Event(event) = item else { return };
            assert_ne!(event.event, "eventwall:gap", "{}", event.data);
            if event.event == "message" {
                assert!(event.data.starts_with(&format!("{next} ")), "{next}: {}", event.data);
                *next += 1;
            }
        });
    };
    take(&rest, &mut next);
    while next < end {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream ended after {next} events");
        take(&buffer[..read], &mut next);
    }
    began.elapsed()
}

/// The most memory that a process takes while something is done, in KiB.
fn peak_while(pid: u32, work: impl FnOnce() + Send) -> u64 {
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        let mut peak = memory_kib(pid);
        // Ends with the work however that ends, so that a failure in it is told, not waited for.
        while !working.is_finished() {
            peak = peak.max(memory_kib(pid));
            // How often it looks, not something that it waits for.
            std::thread::sleep(Duration::from_millis(5));
        }
        peak.max(memory_kib(pid))
    })
}

/// A server with so many events, an id before them, and the memory in KiB that it takes with so many
/// subscribers of another topic.
fn with_history(subscribers: usize, events: usize) -> (Server, String, u64) {
    allow_files(2 * subscribers as u64 + 1000);
    // A window that holds next to nothing of it.
    let server = Setup::default().arg("--window-bytes").arg("64KiB").start();
    let start = post(server.addr, "/topics/t", "start");
    publish(&server, "t", 0..events);
    let idle: Vec<_> = (0..subscribers).map(|_| follow(&server, "other", &start)).collect();
    let memory = memory_kib(server.pid());
    drop(idle);
    (server, start, memory)
}

#[test]
fn very_many_replay_from_disk_at_once_in_bounded_memory() {
    let (subscribers, events) = size();
    let (server, start, before) = with_history(subscribers, events);
    let live = events / 10;
    let began = Instant::now();
    let peak = peak_while(server.pid(), || {
        std::thread::scope(|scope| {
            for _ in 0..subscribers {
                scope.spawn(|| read_all(&mut follow(&server, "t", &start), events + live));
            }
            // Published while they replay.
            publish(&server, "t", events..events + live);
        });
    });
    let (took, total) = (began.elapsed(), subscribers * (events + live));
    let each = total as f64 / took.as_secs_f64() / 1000.0;
    println!(
        "verified: {subscribers} subscribers replayed {} events each in {took:?} ({each:.0} thousand a second): {before} KiB idle, {peak} KiB at most",
        events + live
    );
    assert!(peak < before + 64 * 1024, "from {before} to {peak} KiB");
}

#[test]
fn very_many_that_stop_reading_amid_a_replay_take_bounded_memory_and_go_on_exactly() {
    let (subscribers, events) = size();
    // More than sockets hold by themselves.
    let events = events.max(20_000);
    let (server, start, before) = with_history(subscribers, events);
    let mut stuck: Vec<_> = Vec::new();
    let peak = peak_while(server.pid(), || {
        stuck = (0..subscribers).map(|_| follow(&server, "t", &start)).collect();
        // Nobody is delayed by them.
        read_all(&mut follow(&server, "t", &start), events);
    });
    println!("verified: {subscribers} that stopped reading: {before} KiB idle, {peak} KiB at most");
    assert!(peak < before + 64 * 1024, "from {before} to {peak} KiB");
    for connection in stuck.iter_mut().step_by(subscribers / 10) {
        read_all(connection, events);
    }
}

#[test]
fn one_replays_a_log_from_disk_and_from_the_window() {
    let (_, events) = size();
    let events = 10 * events;
    for (window, from) in [("64KiB", "disk"), ("1GiB", "the window")] {
        let server = Setup::default().arg("--window-bytes").arg(window).start();
        let start = post(server.addr, "/topics/t", "start");
        publish(&server, "t", 0..events);
        let took = read_all(&mut follow(&server, "t", &start), events);
        let speed = events as f64 / took.as_secs_f64() / 1000.0;
        println!("verified: {events} events from {from} in {took:?}: {speed:.0} thousand a second");
    }
}
