//! A server with ten thousand open streams that is asked to stop: each gets a `retry:` of its own
//! and a clean end, within the deadline, and whoever comes meanwhile is asked to come back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::{Duration, Instant};

use eventwall_testkit::{Connection, Server, allow_files, get, memory_kib, post, until};

const STREAMS: usize = 10_000;

fn open_stream(server: &Server) -> Connection {
    let mut connection = Connection::open(server.addr).unwrap();
    let addr = server.addr;
    let ask =
        format!("GET /topics/a HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n\r\n");
    connection.send(ask).unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    connection
}

/// Everything up to the clean end of a chunked body.
fn rest(connection: &mut Connection) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = connection.chunk().expect("a clean end, not a cut line") {
        text.extend(chunk);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn ten_thousand_streams_end_cleanly_within_the_deadline() {
    allow_files(STREAMS as u64 + 500);
    let mut server = Server::start();
    let before = memory_kib(server.pid());
    let mut streams: Vec<_> = (0..STREAMS).map(|_| open_stream(&server)).collect();
    let each = (memory_kib(server.pid()) - before) / (STREAMS as u64 / 1024);
    println!("{STREAMS} streams open, {each} bytes each in a debug build");
    let id = post(server.addr, "/topics/a", "the last event");
    let began = Instant::now();
    server.signal("TERM");
    until("it is draining", || get(server.addr, "/readyz", &[]).status == 503);
    let mut waits = Vec::new();
    for stream in &mut streams {
        let text = rest(stream);
        assert!(text.contains(&format!("id: {id}\ndata: the last event\n\n")), "{text}");
        let retry = text.rsplit_once("retry: ").unwrap_or_else(|| panic!("no retry: {text}")).1;
        waits.push(retry.trim().parse::<u64>().unwrap());
    }
    let took = began.elapsed();
    println!("all ended after {took:?}");
    assert!(took < Duration::from_secs(10), "the deadline of a drain is ten seconds: {took:?}");
    assert_eq!(server.wait().code(), Some(0));
    waits.sort_unstable();
    let (first, last) = (waits[STREAMS / 100], waits[STREAMS - STREAMS / 100]);
    assert!(last - first > 2000, "from {first} to {last} ms is a stampede");
}
