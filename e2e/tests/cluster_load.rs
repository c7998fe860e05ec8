//! What a log in NATS costs beside one on disk, in one run: from publish to delivery, publishes a second,
//! and what an event costs a node whose subscribers follow something else. Printed, never judged.
//! Small by default; `EVENTWALL_LOAD=full` makes it large.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use eventwall_testkit::{
    Connection, Follower, NatsCluster, NatsSetup, NatsVersion, Server, Setup, memory_kib,
};

fn full() -> bool {
    std::env::var("EVENTWALL_LOAD").is_ok_and(|load| load == "full")
}

fn size(small: usize, large: usize) -> usize {
    if full() { large } else { small }
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

/// Publishes one event on a connection that stays open.
fn publish(connection: &mut Connection, addr: SocketAddr, topic: &str, data: &str) {
    let length = data.len();
    let head = format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.send(head + data).unwrap();
    let response = connection.response().unwrap();
    assert_eq!(response.status, 201, "{}", response.text());
}

/// From publish at one node to delivery at another, in microseconds: half of them, and all but one
/// in a hundred, are no slower.
fn latency(publisher: &Server, follower: &Server) -> (u128, u128) {
    let count = size(100, 2000);
    let (ready, addr) = (Follower::start(follower.addr, "/topics/l", &[]), publisher.addr);
    ready.wait("it is live", |seen| !seen.events.is_empty());
    drop(ready);
    let (_, mut stream) =
        eventwall_testkit::stream(follower.addr, "/topics/l", &["Accept: text/event-stream"]);
    let reading = std::thread::spawn(move || {
        let mut took = Vec::new();
        let mut text = String::new();
        while took.len() < count {
            text += &String::from_utf8_lossy(&stream.chunk().unwrap().unwrap());
            let now = micros();
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(at) = data.and_then(|data| data.parse::<u128>().ok()) {
                    took.push(now.saturating_sub(at));
                }
                text = rest.to_owned();
            }
        }
        took
    });
    let mut connection = Connection::open(addr).unwrap();
    for _ in 0..count {
        publish(&mut connection, addr, "l", &micros().to_string());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut took = reading.join().unwrap();
    took.sort_unstable();
    (took[count / 2], took[count * 99 / 100])
}

/// Publishes a second of so many connections.
fn rate(node: &Server, connections: usize) -> f64 {
    let (each, addr) = (size(200, 20_000) / connections, node.addr);
    let began = Instant::now();
    let publishers: Vec<_> = (0..connections)
        .map(|n| {
            std::thread::spawn(move || {
                let mut connection = Connection::open(addr).unwrap();
                let data = "x".repeat(240);
                for _ in 0..each {
                    publish(&mut connection, addr, &format!("r/{n}"), &data);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    (each * connections) as f64 / began.elapsed().as_secs_f64()
}

fn cpu(node: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// What a node spends on events that nobody there follows.
fn unfollowed(publisher: &Server, idle: &Server) -> Duration {
    let (count, addr) = (size(2000, 100_000), publisher.addr);
    let _quiet = Follower::start(idle.addr, "/topics/quiet", &[]);
    let before = cpu(idle);
    let publishers: Vec<_> = (0..32)
        .map(|n| {
            std::thread::spawn(move || {
                let mut connection = Connection::open(addr).unwrap();
                let data = "x".repeat(240);
                for _ in 0..count / 32 {
                    publish(&mut connection, addr, &format!("u/{n}"), &data);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let end = eventwall_testkit::get_json(publisher.addr, "/topics/u/0")["cursor"].clone();
    eventwall_testkit::until("the other node has them, too", || {
        eventwall_testkit::get_json(idle.addr, "/topics/u/0")["cursor"] == end
    });
    (cpu(idle) - before) / u32::try_from(count).unwrap()
}

#[test]
fn a_log_in_nats_beside_one_on_disk() {
    let disk = Server::start();
    let setup = NatsSetup { sync_always: true, ..NatsSetup::default() };
    let nats = NatsCluster::start(NatsVersion::Newest, 3, &setup);
    let node = |replicas: usize| {
        let url = format!("{}?replicas={replicas}", nats.url(&format!("r{replicas}")));
        Setup::default().store(&url).start()
    };
    let (one, other_one, three, other_three) = (node(1), node(1), node(3), node(3));
    let show =
        |what: &str, (p50, p99): (u128, u128)| println!("{what}: p50 {p50} us, p99 {p99} us");
    show("publish to delivery, one node on disk", latency(&disk, &disk));
    show("… on another node, NATS with one replica", latency(&one, &other_one));
    show("… on another node, NATS with three replicas", latency(&three, &other_three));
    for connections in [1, 64] {
        println!(
            "publishes a second by {connections}: disk {:.0}, one replica {:.0}, three replicas {:.0}",
            rate(&disk, connections),
            rate(&one, connections),
            rate(&three, connections)
        );
    }
    println!(
        "CPU of a node for an event that nobody there follows: {:?}",
        unfollowed(&one, &other_one)
    );
    println!("memory of that node: {} KiB", memory_kib(other_one.pid()));
}
