//! Memory under load: it stays flat however long a busy topic runs, and is bounded by what is
//! kept however many topics there are. Small by default; `EVENTWALL_LOAD=full` runs the sizes
//! that the numbers in the release notes come from. Speeds are printed, never judged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use eventwall_testkit::{Connection, Server, Setup, allow_files, get_json, memory_kib, request};

fn full() -> bool {
    std::env::var("EVENTWALL_LOAD").is_ok_and(|load| load == "full")
}

/// A stream that nobody reads.
fn idle(server: &Server, topic: &str) -> Connection {
    let mut connection = Connection::open(server.addr).unwrap();
    let addr = server.addr;
    let ask = format!(
        "GET /topics/{topic} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n\r\n"
    );
    connection.send(ask).unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    connection
}

/// Reads until so many events have come.
fn read_events(connection: &Connection, expected: usize) {
    let mut stream = connection.stream().try_clone().unwrap();
    let (mut buffer, mut events, mut last) = (vec![0; 64 * 1024], 0, 0);
    while events < expected {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream ended after {events} events");
        // The data of an event begins with an x, wherever the pieces are cut.
        for byte in &buffer[..read] {
            events += usize::from(last == b' ' && *byte == b'x');
            last = *byte;
        }
    }
}

/// One publish after the other on one connection, so many a second.
fn publish_steadily(server: &Server, topic: &str, per_second: u32, seconds: u32) {
    let mut connection = Connection::open(server.addr).unwrap();
    let (addr, data, began) = (server.addr, "x".repeat(200), Instant::now());
    for n in 0..per_second * seconds {
        let due = began + Duration::from_secs(1) * n / per_second;
        // The pace is the test's input, not something it waits for.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 200\r\n\r\n{data}"
        );
        connection.send(request).unwrap();
        assert_eq!(connection.response().unwrap().status, 201);
    }
}

#[test]
fn a_busy_topic_beside_idle_subscribers_takes_no_growing_memory() {
    let (idle_streams, seconds) = if full() { (5000, 60) } else { (500, 6) };
    allow_files(idle_streams + 1000);
    // A window that is full from early on: what grows after that is a leak.
    let server =
        Setup::default().arg("--window-bytes").arg("1MiB").arg("--durability").arg("interval");
    let server = server.arg("--max-bytes").arg("8MiB").start();
    let _idle: Vec<_> = (0..idle_streams).map(|n| idle(&server, &format!("idle/{n}"))).collect();
    let busy: Vec<_> = (0..100).map(|_| idle(&server, "busy")).collect();
    std::thread::scope(|scope| {
        let expected = 1000 * (seconds / 2) as usize * 2;
        busy.iter().for_each(|stream| drop(scope.spawn(move || read_events(stream, expected))));
        publish_steadily(&server, "busy", 1000, seconds / 2);
        let half_way = memory_kib(server.pid());
        publish_steadily(&server, "busy", 1000, seconds / 2);
        let end = memory_kib(server.pid());
        println!(
            "{idle_streams} idle streams, 1000 events/s to 100 for {seconds} s: {half_way} KiB half-way, {end} KiB at the end"
        );
        assert!(end < half_way + 8 * 1024, "from {half_way} to {end} KiB");
        // The scope ends once every reader has all of it.
    });
}

#[test]
fn very_many_topics_take_bounded_memory() {
    let topics = if full() { 100_000 } else { 20_000 };
    let server = Setup::default().arg("--durability").arg("interval").start();
    let publish = |from: usize, to: usize| {
        let lines: String =
            (from..to).map(|n| format!("{{\"topic\":\"many/{n}\",\"data\":\"x\"}}\n")).collect();
        let headers = &["Content-Type: application/x-ndjson"];
        let answer = request(server.addr, "POST", "/events", headers, lines.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    publish(0, 100);
    let (few, small) = (cost(&server), memory_kib(server.pid()));
    (100..topics).step_by(1000).for_each(|from| publish(from, (from + 1000).min(topics)));
    let (many, large) = (cost(&server), memory_kib(server.pid()));
    let each = (large - small) * 1024 / topics as u64;
    println!(
        "{topics} topics: {each} bytes each in memory, a publish takes {many:?}, {few:?} among 100"
    );
    // The window and the log's newest entries have bounds of their own, filled or not.
    let bound = 64 * 1024 + topics as u64 * 2;
    assert!(large - small < bound, "{} KiB for {topics} topics", large - small);
    let page = get_json(server.addr, &format!("/topics/many/{}?last=1", topics / 2));
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
}

/// The middle of what single publishes take.
fn cost(server: &Server) -> Duration {
    let mut connection = Connection::open(server.addr).unwrap();
    let addr = server.addr;
    let mut took: Vec<_> = (0..500)
        .map(|n| {
            let began = Instant::now();
            let topic = n % 100;
            connection
                .send(format!(
                    "POST /topics/many/{topic} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 1\r\n\r\nx"
                ))
                .unwrap();
            assert_eq!(connection.response().unwrap().status, 201);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}
