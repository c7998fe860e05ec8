//! Time that does not pass as it should: a process that is stopped for a while, and a clock that jumps.
//! `EVENTWALL_STOP_SECONDS` says for how long it is stopped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use eventwall_testkit::{Connection, Follower, Server, Setup, get, get_json, post, until};

fn stop_for() -> Duration {
    let seconds = std::env::var("EVENTWALL_STOP_SECONDS").map_or(3, |n| n.parse().unwrap());
    Duration::from_secs(seconds)
}

/// What was under way goes on; who could not reach it comes back, and nobody misses anything.
#[test]
fn a_server_that_was_stopped_for_a_while_goes_on_where_it_was() {
    let server = Server::start();
    let followers: Vec<_> =
        (0..20).map(|_| Follower::start(server.addr, "/topics/a", &[])).collect();
    for follower in &followers {
        follower.wait("the first tick", |seen| !seen.events.is_empty());
    }
    (0..50).for_each(|n| drop(post(server.addr, "/topics/a", n.to_string())));
    server.signal("STOP");
    // Sent, and not answered while it is stopped.
    let mut waiting = Connection::open(server.addr).unwrap();
    let head = "POST /topics/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n50";
    waiting.send(head).unwrap();
    for follower in followers.iter().step_by(2) {
        follower.cut();
    }
    // The test's own input: for how long the process gets no time.
    std::thread::sleep(stop_for());
    server.signal("CONT");
    assert_eq!(waiting.response().unwrap().status, 201);
    (51..100).for_each(|n| drop(post(server.addr, "/topics/a", n.to_string())));
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    for follower in &followers {
        let seen = follower.wait_for("99");
        assert_eq!(seen.data(), expected);
        assert!(!seen.told().contains(&"gap"));
    }
}

/// Debian's library that tells programs another time.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let file = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    folders.map(file).find(|file| file.exists()).expect("install the package faketime")
}

/// A server whose clock is set by what a file says.
fn with_clock(file: &std::path::Path, limits: &str) -> Server {
    fs::write(file, "+0").unwrap();
    Setup::default()
        .env("LD_PRELOAD", library().to_str().unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .arg("--max-age")
        .arg(limits)
        .arg("--max-clock-step")
        .arg("3s")
        .start()
}

fn texts(server: &Server) -> Vec<String> {
    let page = get_json(server.addr, "/topics/a?last=90");
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_clock_that_jumps_loses_nothing_until_it_has_stood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock");
    let server = with_clock(&file, "1h");
    let first = post(server.addr, "/topics/a", "before");
    let follower = Follower::start(server.addr, "/topics/a", &[&format!("Last-Event-ID: {first}")]);
    // Set wrong for a moment, as after a resume from sleep or by a bad time server.
    let jumped = Instant::now();
    fs::write(&file, "+10d").unwrap();
    post(server.addr, "/topics/a", "ahead");
    let seen = texts(&server);
    if jumped.elapsed() < Duration::from_secs(2) {
        assert_eq!(seen, ["before", "ahead"], "a jump alone removes nothing");
    }
    fs::write(&file, "-10d").unwrap();
    post(server.addr, "/topics/a", "behind");
    let page = get_json(server.addr, "/topics/a?last=90");
    let times: Vec<&str> =
        page["events"].as_array().unwrap().iter().map(|e| e["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "time never falls along the log: {times:?}");
    // Ahead again, for good: then what is too old by it goes, and is told.
    fs::write(&file, "+20d").unwrap();
    until("what is too old is gone", || texts(&server).is_empty());
    post(server.addr, "/topics/a", "after");
    assert_eq!(texts(&server), ["after"]);
    let seen = follower.wait_for("after");
    assert_eq!(
        seen.data(),
        ["ahead", "behind", "after"],
        "who was there all the time missed nothing"
    );
    let late = Follower::start(server.addr, "/topics/a", &[&format!("Last-Event-ID: {first}")]);
    let told = late.wait_for("after").told().join(" ");
    assert!(told.contains("gap"), "who comes back is told of the gap: {told}");
    assert_eq!(get(server.addr, "/readyz", &[]).status, 200);
}
