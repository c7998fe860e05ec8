//! Streams over HTTP/1 after their socket was taken back: what a client sends where none should, how it reads
//! or does not, how it leaves, and how many of them do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use eventwall_hub::Ephemeral;
use eventwall_server::{Settings, Tls};
use eventwall_testkit::{Certificate, Connection, stream, until};
use socket2::SockRef;
use support::{Running, http2::tls, start, start_with};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

fn subscribers(server: &Running, count: usize) {
    server.until_metric(&format!("eventwall_subscribers {count}"));
}

fn get_lines(server: &Running, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)
}

/// Data of every size up to more than a socket takes, numbered.
fn data(number: usize) -> String {
    let size = [1, 10, 100, 5000, 70_000, 300_000][number % 6];
    format!("{number}:{}", "x".repeat(size))
}

/// What a stream's events say, in order.
fn told(body: &str) -> Vec<&str> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter(|data| !data.is_empty()).collect()
}

fn dechunked(mut body: &[u8]) -> String {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        whole.extend(&body[end + 2..end + 2 + size]);
        assert_eq!(&body[end + 2 + size..end + 4 + size], b"\r\n");
        body = &body[end + 4 + size..];
        if size == 0 {
            assert!(body.is_empty(), "nothing comes after the last chunk");
            return String::from_utf8(whole).unwrap();
        }
    }
}

#[test]
fn what_comes_after_the_request_is_not_an_end_and_not_answered() {
    let server = start(|_| {});
    let mut connection = Connection::open(server.addr).unwrap();
    let both = get_lines(&server, "/topics/a") + &get_lines(&server, "/healthz");
    connection.send(both).unwrap();
    let head = connection.head().unwrap();
    assert_eq!(head.header("connection"), None, "or a broken line would look like an end");
    server.publish("one");
    connection.text_until("data: one\n").unwrap();
    connection.send("rubbish\r\n\r\n".repeat(1000)).unwrap();
    server.publish("two");
    connection.text_until("data: two\n").unwrap();
    subscribers(&server, 1);
}

#[test]
fn answers_before_a_stream_on_its_connection_are_whole() {
    let server = start(|_| {});
    (0..100).for_each(|n| server.publish(&format!("{n}:{}", "x".repeat(80_000))));
    let mut connection = Connection::open(server.addr).unwrap();
    let page = get_lines(&server, "/topics/a?since=1h")
        .replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n");
    // Together larger than what a socket takes while nobody reads.
    connection.send(page.repeat(8) + &get_lines(&server, "/topics/a")).unwrap();
    for _ in 0..8 {
        let page = connection.response().unwrap();
        assert!(page.json()["events"].as_array().unwrap().len() > 10);
    }
    assert_eq!(connection.head().unwrap().header("content-type"), Some("text/event-stream"));
    connection.text_until("eventwall:tick").unwrap();
    server.publish("live");
    connection.text_until("data: live\n").unwrap();
}

#[test]
fn head_takes_no_stream() {
    let server = start(|_| {});
    let mut connection = Connection::open(server.addr).unwrap();
    for _ in 0..2 {
        let lines = get_lines(&server, "/topics/a").replacen("GET", "HEAD", 1);
        connection.send(lines).unwrap();
        assert_eq!(connection.head().unwrap().header("content-type"), Some("text/event-stream"));
    }
    subscribers(&server, 0);
}

#[test]
fn a_stream_of_http_1_0_ends_with_its_connection() {
    let mut server = start(|limits| limits.drain_window = Duration::from_secs(1));
    let mut connection = Connection::open(server.addr).unwrap();
    let lines = get_lines(&server, "/topics/a?padding=100").replacen("HTTP/1.1", "HTTP/1.0", 1);
    connection.send(lines).unwrap();
    let head = connection.head().unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    subscribers(&server, 1);
    server.publish("one");
    server.publish("two");
    server.until_metric("eventwall_delivered_events_total 2");
    server.stop();
    let body = String::from_utf8(connection.rest().unwrap()).unwrap();
    assert!(body.starts_with(&format!(":{}\n\nid: ", " ".repeat(97))), "{body}");
    assert_eq!(told(&body), ["one", "two"]);
    assert!(body.lines().rev().nth(1).unwrap().starts_with("retry: "), "{body}");
    server.ended();
}

#[test]
fn a_stream_of_http_1_1_ends_with_a_last_chunk() {
    let mut server = start(|limits| limits.drain_window = Duration::from_secs(1));
    let (_, mut connection) = stream(server.addr, "/topics/a", &[]);
    connection.text_until("eventwall:tick").unwrap();
    server.publish("one");
    server.until_metric("eventwall_delivered_events_total 1");
    server.stop();
    let body = dechunked(&connection.rest().unwrap());
    assert_eq!(told(&body), ["one"]);
    assert!(body.contains("\nretry: "), "{body}");
    server.ended();
}

#[test]
fn who_closes_its_half_has_gone() {
    let server = start(|_| {});
    let connections: Vec<_> = (0..10).map(|_| stream(server.addr, "/topics/a", &[]).1).collect();
    subscribers(&server, 10);
    // Some with something unread before the end.
    for connection in &connections[..5] {
        connection.stream().try_clone().unwrap().write_all(b"GET / HTTP/1.1\r\n").unwrap();
    }
    connections.iter().for_each(|one| one.stream().shutdown(Shutdown::Write).unwrap());
    subscribers(&server, 0);
    server.until_metric("eventwall_connections 1");
}

#[test]
fn who_reads_late_gets_everything_and_holds_nobody_up() {
    let mut server = start(|limits| limits.drain_window = Duration::from_secs(1));
    let (_, late) = stream(server.addr, "/topics/a", &[]);
    let (_, mut prompt) = stream(server.addr, "/topics/a", &[]);
    let all: Vec<String> = (0..200).map(data).collect();
    for data in &all {
        server.publish(data);
        prompt.text_until(&format!("data: {data}\n")).unwrap();
    }
    let mut late = late;
    let mut text = late.text_until("data: 198:").unwrap();
    server.publish("last");
    text += &late.text_until("data: last\n").unwrap();
    server.stop();
    let seen = told(&text);
    assert_eq!(seen.len(), 201);
    assert!(seen.iter().zip(&all).all(|(seen, sent)| *seen == sent.as_str()));
    // The prompt one's end is clean, too.
    let mut rest = Vec::new();
    prompt.stream().try_clone().unwrap().read_to_end(&mut rest).unwrap();
    drop(late);
    server.ended();
}

async fn read_until(io: &mut (impl AsyncRead + Unpin), part: &str, to: &mut Vec<u8>) {
    while !String::from_utf8_lossy(to).contains(part) {
        assert!(io.read_buf(to).await.unwrap() > 0, "the stream ended before {part}");
    }
}

#[test]
fn over_tls_too_who_reads_late_gets_everything() {
    let certificate = Certificate::new();
    let held = Arc::new(Tls::load(&certificate.file(), &certificate.key()).unwrap());
    let mut settings = Settings { loopback_only: true, ..Settings::default() };
    settings.limits.drain_window = Duration::from_secs(1);
    let mut server = start_with(settings, Some(held));
    let mut body = Vec::new();
    let mut io = server.runtime.block_on(async {
        let mut io = tls(server.addr, &certificate.der(), &[b"http/1.1"]).await;
        let lines = "GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        io.write_all(lines.as_bytes()).await.unwrap();
        io
    });
    let all: Vec<String> = (0..200).map(data).collect();
    server.runtime.block_on(read_until(&mut io, "eventwall:tick", &mut body));
    all.iter().for_each(|data| server.publish(data));
    server.runtime.block_on(read_until(&mut io, "data: 0:", &mut body));
    server.stop();
    // An end of TLS's own, without which this would be an error.
    server.runtime.block_on(io.read_to_end(&mut body)).unwrap();
    let head = body.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let body = dechunked(&body[head + 4..]);
    let seen = told(&body);
    // What was not on its way when the server stopped comes with a resume; what came has no hole.
    assert!(!seen.is_empty() && seen.iter().zip(&all).all(|(seen, sent)| *seen == sent.as_str()));
    assert!(body.trim_end().lines().last().unwrap().starts_with("retry: "));
    server.ended();
}

#[test]
fn who_breaks_off_amid_a_frame_harms_nobody() {
    let server = start(|_| {});
    let large = "x".repeat(900_000);
    let (_, mut stays) = stream(server.addr, "/topics/a", &[]);
    for _ in 0..20 {
        let (_, leaves) = stream(server.addr, "/topics/a", &[]);
        SockRef::from(leaves.stream()).set_recv_buffer_size(4096).unwrap();
        server.publish(&large);
        until("some of it has come", || leaves.has_answer());
        SockRef::from(leaves.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(leaves);
        stays.text_until(&format!("data: {large}\n")).unwrap();
    }
    subscribers(&server, 1);
}

#[test]
fn thousands_may_leave_at_once_and_come_again() {
    let server = start(|limits| limits.connections = 10_000);
    for round in 0..2 {
        let mut all: Vec<Connection> = (0..2000)
            .map(|n| stream(server.addr, &format!("/topics/{}", ["a", "b"][n % 2]), &[]).1)
            .collect();
        subscribers(&server, 2000);
        server.publish(&format!("round {round}"));
        let last = all.len() - 2;
        all[0].text_until(&format!("data: round {round}\n")).unwrap();
        all[last].text_until(&format!("data: round {round}\n")).unwrap();
        drop(all);
        subscribers(&server, 0);
        server.until_metric("eventwall_connections 1");
    }
}

/// Whoever comes at any moment gets what follows its first tick, without a hole.
#[test]
fn there_is_no_seam_to_lose_an_event_in() {
    let server = Arc::new(start(|_| {}));
    let (joined, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let publishing = {
        let (server, joined, count) = (server.clone(), joined.clone(), count.clone());
        std::thread::spawn(move || {
            while !joined.load(Ordering::Relaxed) {
                server.publish(&count.fetch_add(1, Ordering::Relaxed).to_string());
            }
        })
    };
    let targets =
        ["/topics/a", "/events?topic=a&topic=b", "/events?topic=*", "/events?topic=**&topic=x"];
    let streams: Vec<Connection> =
        (0..24).map(|n| stream(server.addr, targets[n % targets.len()], &[]).1).collect();
    joined.store(true, Ordering::Relaxed);
    publishing.join().unwrap();
    let count = count.load(Ordering::Relaxed);
    server.publish("end");
    for mut stream in streams {
        let text = stream.text_until("data: end\n").unwrap();
        let first = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let after: usize = first.rsplit_once('-').unwrap().1.parse().unwrap();
        let expected: Vec<String> =
            (after..count).map(|n| n.to_string()).chain(["end".to_owned()]).collect();
        assert_eq!(told(&text), expected, "after {first}");
    }
}

/// Well before a tick would help.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn bursts_come_whole_without_another_event_or_a_tick() {
    let server = start(|_| {});
    let mut streams: Vec<Connection> =
        (0..4).map(|_| stream(server.addr, "/topics/a", &[]).1).collect();
    let large = "x".repeat(20_000);
    for burst in 0..15 {
        let began = Instant::now();
        (0..60).for_each(|_| server.publish(&large));
        server.publish(&format!("end {burst}"));
        for stream in &mut streams {
            stream.text_until(&format!("data: end {burst}\n")).unwrap();
        }
        assert!(began.elapsed() < SOON, "a burst took {:?}", began.elapsed());
    }
}

#[test]
fn ephemera_are_not_starved_by_events() {
    let server = start(|_| {});
    let mut stream = stream(server.addr, "/topics/a", &[]).1;
    stream.text_until("eventwall:tick").unwrap();
    for n in 0..50 {
        let began = Instant::now();
        server.publish(&n.to_string());
        let whisper = Ephemeral {
            topic: "a".parse().unwrap(),
            event: None,
            data: format!("whisper {n}").into(),
        };
        server.app.hub.publish_ephemeral(whisper);
        stream.text_until(&format!("data: whisper {n}\n")).unwrap();
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    }
}
