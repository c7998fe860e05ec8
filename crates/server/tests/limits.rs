//! Deadlines and limits over real sockets, with the limits made small: the worst clients get a
//! plain answer or none, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::time::{Duration, Instant};

use eventwall_testkit::{Connection, Follower, get, request, until};

use support::{ORIGIN, start};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let server = start(|limits| limits.header_deadline = SHORT);
    for begun in ["", "GET / HT", "GET /topics/a HTTP/1.1\r\nHost: loc"] {
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send(begun).unwrap();
        assert!(connection.is_closed(), "{begun:?}");
    }
}

#[test]
fn a_kept_connection_does_not_stay_for_ever() {
    let server = start(|limits| limits.header_deadline = SHORT);
    let mut connection = Connection::open(server.addr).unwrap();
    connection.send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)).unwrap();
    assert_eq!(connection.response().unwrap().status, 200);
    assert!(connection.is_closed());
}

#[test]
fn a_body_that_never_ends_is_answered() {
    let server = start(|limits| limits.body_deadline = SHORT);
    let mut connection = Connection::open(server.addr).unwrap();
    let head = format!(
        "POST /topics/a HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nhalf",
        server.addr
    );
    connection.send(head).unwrap();
    let response = connection.response().unwrap();
    assert!(
        response.status == 408 && response.text().contains("longer than"),
        "{}",
        response.text()
    );
    assert_eq!(server.app.hub.log().end().0, 0, "nothing was published");
}

#[test]
fn a_streamed_publish_that_falls_silent_is_answered() {
    let server = start(|limits| limits.stream_deadline = SHORT);
    let mut connection = Connection::open(server.addr).unwrap();
    let head = format!("POST /topics/a HTTP/1.1\r\nHost: {}\r\n", server.addr);
    let stream = "Content-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: 1\n\n";
    connection.send(head + stream).unwrap();
    let response = connection.response().unwrap();
    assert_eq!((response.status, &response.json()["count"]), (408, &1.into()));
    assert_eq!(server.app.hub.log().end().0, 1, "what came before is published");
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let server = start(|_| {});
    for more in ["", "Expect: 100-continue\r\n"] {
        let mut connection = Connection::open(server.addr).unwrap();
        let host = server.addr;
        connection.send(format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: 99999999999\r\n\r\n")).unwrap();
        assert_eq!(connection.response().unwrap().status, 413);
    }
}

#[test]
fn all_bodies_together_have_a_bound() {
    let server = start(|limits| limits.all_bodies_bytes = 512 * 1024);
    let host = server.addr;
    let hold = || {
        let mut held = Connection::open(server.addr).unwrap();
        held.send(format!(
            "POST /topics/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 409601\r\n\r\n"
        ))
        .unwrap();
        held.send(vec![b'x'; 409_600]).unwrap();
        held
    };
    let publish = || request(server.addr, "POST", "/topics/a", &[], &[b'x'; 200_000]);
    // The two do not fit together; which of them is refused is a race, so try until it is this.
    let mut held = hold();
    until("a second body finds no room", || {
        let refused = publish();
        if refused.status == 201 {
            held = hold();
        }
        refused.status == 503 && refused.header("retry-after") == Some("1")
    });
    drop(held);
    until("there is room again", || publish().status == 201);
    let metrics = get(server.addr, "/metrics", &[]).text();
    assert!(!metrics.contains("reason=\"bodies\"} 0\n"), "it is counted: {metrics}");
}

#[test]
fn a_subscriber_that_never_reads_is_cut_off_and_delays_nobody() {
    let server = start(|limits| {
        limits.write_deadline = SHORT;
        limits.connections = 2;
    });
    let stuck = server.stream();
    let reading = Follower::start(server.addr, "/topics/a", &[]);
    reading.wait("the first tick", |seen| !seen.events.is_empty());
    let big = "x".repeat(500_000);
    for n in 0..24 {
        server.publish(&format!("{n}:{big}"));
    }
    let seen = reading.wait("all events", |seen| seen.messages().count() == 24);
    assert_eq!(seen.connections, 1, "who reads is not disturbed");
    // The stuck one's place is free again, though its client still holds the socket.
    until("its place is free", || {
        get(server.addr, "/topics/b", &["Accept: application/json"]).status == 200
    });
    drop(stuck);
    until("it is counted", || {
        get(server.addr, "/metrics", &[])
            .text()
            .contains("eventwall_cut_peers_total{reason=\"stuck\"} 1\n")
    });
}

/// It takes a little now and then, so it is never stuck; but it does not keep up.
#[test]
fn a_subscriber_that_stays_behind_is_cut_off_and_resumes() {
    let server = start(|limits| limits.max_lag = Some(SHORT));
    let mut slow = server.stream();
    let (big, mut published) = ("x".repeat(500_000), 0);
    let cut = || get(server.addr, "/metrics", &[]).text().contains("{reason=\"lag\"} 1\n");
    let (mut seen, mut ended) = (String::new(), false);
    until("it is cut off", || {
        // For each event that it takes there are two more.
        for _ in 0..2 {
            server.publish(&format!("{published}:{big}"));
            published += 1;
        }
        match slow.chunk().unwrap() {
            Some(piece) => seen += &String::from_utf8_lossy(&piece),
            None => ended = true,
        }
        ended || cut()
    });
    while let Some(piece) = slow.chunk().unwrap_or_default() {
        seen += &String::from_utf8_lossy(&piece);
    }
    assert!(cut() && seen.ends_with("\n\n"), "a clean end");
    let id = seen.rsplit("id: ").next().unwrap().lines().next().unwrap();
    let path = format!("/topics/a?after={id}");
    let missed = get(server.addr, &path, &["Accept: application/json"]).json();
    let came = seen.matches(":xxx").count();
    assert!(came < published && missed["gap"].is_null(), "{came} came, {missed}");
    assert!(missed["events"][0]["data"].as_str().unwrap().starts_with(&format!("{came}:")));
}

#[test]
fn a_full_server_asks_newcomers_back_and_keeps_those_inside() {
    let server = start(|limits| limits.connections = 1);
    let mut inside = server.stream();
    let page = get(server.addr, "/topics/a", &["Accept: application/json"]);
    assert_eq!((page.status, page.header("retry-after")), (503, Some("1")));
    assert!(page.text().contains("full"), "{}", page.text());
    let stream = get(server.addr, "/topics/a", &["Accept: text/event-stream"]);
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    let retry: u64 = stream.text().trim().strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!(retry >= 500 && !stream.text().contains("id:"));
    // Without CORS, a page of another origin would see a failure and give up for ever.
    let page = get(server.addr, "/topics/a", &["Accept: text/event-stream", ORIGIN]);
    assert_eq!(page.header("access-control-allow-origin"), Some("https://app.example"));
    server.publish("still served");
    assert!(String::from_utf8(inside.chunk().unwrap().unwrap()).unwrap().contains("still served"));
    drop(inside);
    until("there is room again", || get(server.addr, "/healthz", &[]).status == 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = start(|_| {});
    let header = format!("X-Large: {}", "x".repeat(400_000));
    let mut connection = Connection::open(server.addr).unwrap();
    let _ = connection
        .send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n{header}\r\n\r\n", server.addr));
    assert_eq!(connection.response().unwrap().status, 431);
}

#[test]
fn while_draining_streams_end_and_newcomers_are_asked_back() {
    let mut server = start(|_| {});
    let mut stream = server.stream();
    // What is begun holds the drain, so that there is time to look.
    let mut slow = server.half_a_publish();
    server.stop();
    let farewell = String::from_utf8(stream.chunk().unwrap().unwrap()).unwrap();
    assert!(farewell.starts_with("retry: "), "{farewell}");
    assert_eq!(stream.chunk().unwrap(), None, "a clean end");
    assert_eq!(get(server.addr, "/readyz", &[]).status, 503);
    assert_eq!(get(server.addr, "/healthz", &[]).status, 200);
    assert_eq!(request(server.addr, "POST", "/topics/a", &[], b"x").status, 503);
    let again = get(server.addr, "/topics/a", &["Accept: text/event-stream"]);
    assert!(again.status == 200 && again.text().starts_with("retry: "), "{}", again.text());
    let page = get(server.addr, "/topics/a", &["Accept: text/event-stream", ORIGIN]);
    assert_eq!(page.header("access-control-allow-origin"), Some("https://app.example"));
    slow.send("cd").unwrap();
    assert_eq!(slow.response().unwrap().status, 201, "what was begun is finished");
    server.ended();
}

#[test]
fn a_drain_does_not_wait_for_connections_held_in_reserve() {
    let mut server = start(|limits| limits.drain_deadline = Duration::from_secs(3600));
    let mut reserve = Connection::open(server.addr).unwrap();
    assert_eq!(get(server.addr, "/healthz", &[]).status, 200, "the one before it was accepted");
    server.stop();
    server.ended();
    assert!(reserve.is_closed());
}

#[test]
fn a_drain_ends_by_its_deadline() {
    let mut server = start(|limits| limits.drain_deadline = SHORT);
    let mut slow = server.half_a_publish();
    let began = Instant::now();
    server.stop();
    server.ended();
    assert!(began.elapsed() >= SHORT, "it was given its time");
    assert!(slow.is_closed());
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let server = start(|_| {});
    let mut connection = Connection::open(server.addr).unwrap();
    let host = server.addr;
    let publish = |data: &str| {
        format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n{data}")
    };
    connection
        .send(format!(
            "{}{}GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
            publish("1"),
            publish("2")
        ))
        .unwrap();
    let statuses: Vec<_> = (0..3).map(|_| connection.response().unwrap().status).collect();
    assert_eq!(statuses, [201, 201, 200]);
}

#[test]
fn an_enormous_id_is_a_gap_and_not_told_back() {
    let server = start(|_| {});
    for id in ["9".repeat(60_000), "a-".repeat(30_000), "\u{ff}".repeat(20_000)] {
        let page = get(
            server.addr,
            "/topics/a",
            &["Accept: application/json", &format!("Last-Event-ID: {id}")],
        );
        assert_eq!((page.status, &page.json()["gap"]["reason"]), (200, &"unknown".into()));
        assert!(page.body.len() < 600, "{}", page.text());
    }
}

/// A streamed body may be as long as it likes, but what is held of it takes room like any other.
#[test]
fn what_is_held_of_a_streamed_body_has_a_bound() {
    let server = start(|limits| limits.all_bodies_bytes = 512 * 1024);
    let host = server.addr;
    let stream = || {
        let mut connection = Connection::open(host).unwrap();
        let head = "Content-Type: text/event-stream\r\nContent-Length: 9000000";
        connection
            .send(format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n"))
            .unwrap();
        connection
    };
    let mut held = stream();
    // A line that does not end, so that there is nothing to publish yet.
    held.send([b"data: ", &vec![b'x'; 300_000][..]].concat()).unwrap();
    until("it takes up the room", || {
        // Which of the two finds no room is a race.
        if held.has_answer() {
            held = stream();
            held.send([b"data: ", &vec![b'x'; 300_000][..]].concat()).unwrap();
        }
        let refused = request(host, "POST", "/topics/a", &[], &[b'x'; 300_000]);
        refused.status == 503 && refused.text().contains("max_all_bodies")
    });
    // Ended, it is published, and what follows needs none.
    held.send("\n\ndata: short\n\n").unwrap();
    until("there is room again", || {
        request(host, "POST", "/topics/a", &[], &[b'x'; 300_000]).status == 201
    });
    let mut refused = stream();
    refused.send([b"data: ", &vec![b'x'; 900_000][..]].concat()).unwrap();
    assert_eq!(refused.response().unwrap().status, 503);
}

/// Whoever looks after it, and its balancer, must see that it is full and not broken.
#[test]
fn a_full_server_answers_probes() {
    let server = start(|limits| limits.connections = 1);
    let _inside = server.stream();
    for target in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(server.addr, target, &[]).status, 200, "{target}");
    }
    assert_eq!(get(server.addr, "/topics/a", &[]).status, 503);
}
