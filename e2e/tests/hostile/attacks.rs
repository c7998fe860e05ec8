//! The attacks, each with the rate that it must reach to count as one.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    frames,
    ground::{Ground, Wire, drain},
};

pub struct Attack {
    pub name: &'static str,
    /// What is counted.
    unit: &'static str,
    /// So many a second at least.
    least: f64,
    pub run: fn(&Arc<Ground>) -> JoinSet<()>,
}

impl Attack {
    /// What it came to, in words.
    pub fn measured(&self, ground: &Ground, seconds: f64, share: f64) -> String {
        let rate = ground.done() as f64 / seconds;
        let Self { name, unit, least, .. } = self;
        // Together they share the machine.
        let least = least * share;
        assert!(rate >= least, "{name}: {rate:.0} {unit}/s are no attack: {least:.0} are due");
        format!("{name}: {rate:.0} {unit}/s (at least {least:.0})")
    }
}

/// Against a server that anybody may talk to.
pub const PLAIN: &[Attack] = &[
    Attack { name: "slow heads", unit: "bytes", least: 150.0, run: slow_heads },
    Attack { name: "slow bodies", unit: "bytes", least: 150.0, run: slow_bodies },
    // Before the log is full of others' events, which an unknown id makes it read.
    Attack { name: "enormous ids", unit: "requests", least: 5.0, run: ids },
    Attack { name: "a byte at a time", unit: "bytes", least: 300.0, run: byte_at_a_time },
    Attack { name: "connections", unit: "connections", least: 300.0, run: connections },
    Attack {
        name: "subscribers that never read",
        unit: "subscribers",
        least: 200.0,
        run: never_reading,
    },
    Attack { name: "pages that nobody reads", unit: "requests", least: 100.0, run: pages },
    Attack { name: "publishes", unit: "requests", least: 200.0, run: publishes },
    Attack { name: "topics of one beginning", unit: "requests", least: 100.0, run: topics },
    Attack { name: "hundreds of patterns", unit: "subscriptions", least: 50.0, run: patterns },
    Attack { name: "enormous heads", unit: "requests", least: 30.0, run: heads },
    Attack { name: "rapid reset", unit: "streams", least: 1000.0, run: rapid_reset },
    Attack { name: "resets after the answer", unit: "streams", least: 300.0, run: late_reset },
    Attack { name: "continuations", unit: "frames", least: 1000.0, run: continuations },
    Attack { name: "settings", unit: "frames", least: 3000.0, run: settings },
    Attack { name: "pings", unit: "frames", least: 3000.0, run: pings },
    Attack { name: "no windows", unit: "streams", least: 100.0, run: no_windows },
];

/// Against one that speaks TLS.
pub const TLS: &[Attack] = &[
    Attack { name: "handshakes half-way", unit: "connections", least: 150.0, run: half_handshakes },
    Attack { name: "whole handshakes", unit: "handshakes", least: 200.0, run: handshakes },
    Attack { name: "rubbish for TLS", unit: "connections", least: 150.0, run: rubbish },
    Attack { name: "no windows", unit: "streams", least: 50.0, run: no_windows },
    Attack {
        name: "subscribers that never read",
        unit: "subscribers",
        least: 20.0,
        run: never_reading,
    },
];

/// So many of them at once, each again and again.
fn many<F: Future<Output = ()> + Send + 'static>(
    count: u64,
    ground: &Arc<Ground>,
    one: fn(Arc<Ground>, u64) -> F,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for n in 0..count {
        let ground = ground.clone();
        all.spawn(async move {
            loop {
                one(ground.clone(), n).await;
                tokio::task::yield_now().await;
            }
        });
    }
    all
}

/// Attackers have few addresses, each for many of them.
fn from(n: u64) -> String {
    format!("198.51.100.{}", 1 + n % 8)
}

/// Writes byte by byte, each half a second after the other, until it is cut off.
async fn trickle(ground: &Ground, stream: &mut (impl Wire + ?Sized), bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        ground.did(1);
        sleep(Duration::from_millis(500)).await;
    }
}

fn slow_heads(ground: &Arc<Ground>) -> JoinSet<()> {
    many(200, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        trickle(&ground, &mut stream, b"GET /topics/good HTTP/1.1 ").await;
    })
}

fn slow_bodies(ground: &Arc<Ground>) -> JoinSet<()> {
    many(200, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let head = "POST /topics/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        trickle(&ground, &mut stream, b"x").await;
    })
}

/// A body of events whose every byte is a chunk of its own.
fn byte_at_a_time(ground: &Arc<Ground>) -> JoinSet<()> {
    many(100, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let head = "POST /topics/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        for byte in b"data: one byte after the other\n\n".iter().cycle() {
            let chunk = [b"1\r\n", &[*byte][..], b"\r\n"].concat();
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
            ground.did(1);
            sleep(Duration::from_millis(50)).await;
        }
    })
}

/// Opened, and closed as soon as they are.
fn connections(ground: &Arc<Ground>) -> JoinSet<()> {
    many(50, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        }
        ground.did(1);
    })
}

/// They ask for much, take nothing of it, and stay as long as they may.
fn never_reading(ground: &Arc<Ground>) -> JoinSet<()> {
    let mut all = many(1500, ground, |ground, n| async move {
        let mut stream = ground.connect_inside(&from(n), false).await;
        let request = "GET /topics/large HTTP/1.1\r\nHost: localhost\r\n\r\n";
        if stream.write_all(request.as_bytes()).await.is_ok() {
            ground.did(1);
            sleep(Duration::from_millis(4000)).await;
        }
    });
    let feeding = ground.clone();
    all.spawn(async move {
        let large = "x".repeat(100_000);
        loop {
            let mut stream = feeding.connect_inside("198.51.100.99", false).await;
            let head = "POST /topics/large HTTP/1.0\r\nContent-Length: 100000\r\n\r\n";
            let _ = stream.write_all([head, &large].concat().as_bytes()).await;
            let _ = timeout(Duration::from_secs(1), drain(&mut stream)).await;
        }
    });
    all
}

fn pages(ground: &Arc<Ground>) -> JoinSet<()> {
    many(100, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let request = "GET /events?topic=**&last=1000 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
        for _ in 0..5 {
            if stream.write_all(request.as_bytes()).await.is_err() {
                return;
            }
            ground.did(1);
        }
        sleep(Duration::from_millis(500)).await;
    })
}

/// One request on a connection that closes after it.
async fn ask(ground: &Ground, n: u64, request: String) {
    let mut stream = ground.connect(&from(n)).await;
    // In pieces: the system would hold back what is larger than the window left.
    for piece in request.as_bytes().chunks(8192) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = timeout(Duration::from_secs(2), drain(&mut stream)).await;
    ground.did(1);
}

/// Requests on kept connections, as fast as they are answered.
async fn keep_asking(ground: &Ground, n: u64, request: impl Fn(u64) -> String) {
    let mut stream = ground.connect(&from(n)).await;
    let mut buffer = vec![0; 4096];
    for round in 0.. {
        if stream.write_all(request(round).as_bytes()).await.is_err() {
            return;
        }
        match timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
            Ok(Ok(1..)) => ground.did(1),
            _ => return,
        }
    }
}

fn publishes(ground: &Arc<Ground>) -> JoinSet<()> {
    many(16, ground, |ground, n| async move {
        keep_asking(&ground, n, |_| {
            "POST /topics/flood HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nflood"
                .into()
        })
        .await;
    })
}

/// Always new ones, which differ only at their end.
fn topics(ground: &Arc<Ground>) -> JoinSet<()> {
    many(16, ground, |ground, n| async move {
        let beginning = "same/".repeat(190);
        let salt = ground.done();
        keep_asking(&ground, n, |round| {
            format!("POST /topics/{beginning}{n}-{salt}-{round} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
        })
        .await;
    })
}

fn patterns(ground: &Arc<Ground>) -> JoinSet<()> {
    many(300, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let all: Vec<_> = (0..100).map(|p| format!("topic=*/*/x{n}/y{p}/**")).collect();
        let target = format!("/events?{}&topic=**", all[1..].join("&"));
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if stream.write_all(request.as_bytes()).await.is_ok() {
            ground.did(1);
            let _ = timeout(Duration::from_secs(2), drain(&mut stream)).await;
        }
    })
}

fn ids(ground: &Arc<Ground>) -> JoinSet<()> {
    many(8, ground, |ground, n| async move {
        let id = ["9".repeat(60_000), "a-".repeat(30_000), "\u{ff}".repeat(20_000)];
        let id = &id[usize::try_from(n % 3).unwrap()];
        ask(&ground, n, format!("GET /topics/good HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {id}\r\nAccept: application/json\r\nConnection: close\r\n\r\n")).await;
    })
}

fn heads(ground: &Arc<Ground>) -> JoinSet<()> {
    many(8, ground, |ground, n| async move {
        let lines = match n % 2 {
            0 => format!("X: {}\r\n", "y".repeat(1 << 20)),
            _ => "X: y\r\n".repeat(100_000),
        };
        ask(&ground, n, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await;
    })
}

/// A connection of HTTP/2, as far as it is one.
async fn h2(ground: &Ground, n: u64, settings: Vec<u8>) -> Box<dyn Wire> {
    let mut stream = ground.connect_inside(&from(n), true).await;
    let _ = stream.write_all(&[frames::PREFACE, &settings].concat()).await;
    stream
}

/// Sends what `more` makes, over and over, and reads whatever comes, until the connection ends.
async fn flood(stream: Box<dyn Wire>, ground: &Ground, mut more: impl FnMut() -> (Vec<u8>, u64)) {
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = async {
        loop {
            let (bytes, count) = more();
            if write.write_all(&bytes).await.is_err() {
                return;
            }
            ground.did(count);
            // Whoever else is on this thread has a turn.
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = writing => {}
        () = drain(&mut read) => {}
    }
}

fn rapid_reset(ground: &Arc<Ground>) -> JoinSet<()> {
    many(8, ground, |ground, n| async move {
        let stream = h2(&ground, n, frames::settings(&[])).await;
        let mut id = 1;
        flood(stream, &ground, || {
            let mut bytes = Vec::new();
            for _ in 0..50 {
                bytes.extend(frames::get(id, "/topics/good"));
                bytes.extend(frames::reset(id));
                id += 2;
            }
            (bytes, 50)
        })
        .await;
    })
}

/// Slow enough to be answered, and then reset: no limit on resets sees those.
fn late_reset(ground: &Arc<Ground>) -> JoinSet<()> {
    many(8, ground, |ground, n| async move {
        let mut stream = h2(&ground, n, frames::settings(&[])).await;
        let mut buffer = vec![0; 8192];
        for round in 0..1000 {
            let ids = (0..10).map(|k| 1 + 2 * (10 * round + k));
            let asked: Vec<u8> =
                ids.clone().flat_map(|id| frames::get(id, "/topics/good")).collect();
            let resets: Vec<u8> = ids.flat_map(frames::reset).collect();
            if stream.write_all(&asked).await.is_err() {
                return;
            }
            match timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                _ => return,
            }
            if stream.write_all(&resets).await.is_err() {
                return;
            }
            ground.did(10);
        }
    })
}

fn continuations(ground: &Arc<Ground>) -> JoinSet<()> {
    many(8, ground, |ground, n| async move {
        let stream = h2(&ground, n, frames::settings(&[])).await;
        let mut begun = false;
        flood(stream, &ground, || {
            let mut bytes = if begun { Vec::new() } else { frames::endless(1) };
            begun = true;
            bytes.extend(frames::continuation(1).repeat(20));
            (bytes, 20)
        })
        .await;
    })
}

fn settings(ground: &Arc<Ground>) -> JoinSet<()> {
    many(4, ground, |ground, n| async move {
        let stream = h2(&ground, n, frames::settings(&[])).await;
        flood(stream, &ground, || (frames::settings(&[(4, 65_535), (1, 4096)]).repeat(100), 100))
            .await;
    })
}

fn pings(ground: &Arc<Ground>) -> JoinSet<()> {
    many(4, ground, |ground, n| async move {
        let stream = h2(&ground, n, frames::settings(&[])).await;
        flood(stream, &ground, || (frames::ping().repeat(100), 100)).await;
    })
}

/// Streams and pages that are never given a window.
fn no_windows(ground: &Arc<Ground>) -> JoinSet<()> {
    many(30, ground, |ground, n| async move {
        let mut stream = h2(&ground, n, frames::no_window()).await;
        for k in 0..100 {
            let path = if k % 2 == 0 { "/topics/good?last=1000" } else { "/inspect" };
            if stream.write_all(&frames::get(1 + 2 * k, path)).await.is_err() {
                return;
            }
            ground.did(1);
        }
        let _ = timeout(Duration::from_secs(4), drain(&mut stream)).await;
    })
}

fn half_handshakes(ground: &Arc<Ground>) -> JoinSet<()> {
    many(500, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        ground.did(1);
        let _ = timeout(Duration::from_secs(2), drain(&mut stream)).await;
    })
}

fn handshakes(ground: &Arc<Ground>) -> JoinSet<()> {
    many(16, ground, |ground, n| async move {
        drop(ground.connect_inside(&from(n), true).await);
        ground.did(1);
    })
}

fn rubbish(ground: &Arc<Ground>) -> JoinSet<()> {
    many(16, ground, |ground, n| async move {
        let mut stream = ground.connect(&from(n)).await;
        let bytes: &[u8] = match n % 3 {
            0 => b"\x16\x03\x01\xff\xffrubbish rubbish",
            1 => b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            _ => b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        };
        let _ = stream.write_all(bytes).await;
        let _ = timeout(Duration::from_secs(1), drain(&mut stream)).await;
        ground.did(1);
    })
}
