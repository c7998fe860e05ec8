//! HTTP/2: many streams on one connection, each with its own end, and the clients that abuse that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::time::Duration;

use eventwall_testkit::{Connection, until};
use support::{
    http2::{Client, text},
    start,
};

const SHORT: Duration = Duration::from_millis(300);
const WINDOW: u32 = 65_535;
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn many_streams_share_a_connection() {
    let server = start(|_| {});
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let mut streams = Vec::new();
        for _ in 0..20 {
            let response = client.get("/topics/a").await;
            assert_eq!(response.status(), 200);
            assert!(response.headers().get("connection").is_none());
            streams.push(response.into_body());
        }
        let posted = client.send("POST", "/topics/a", &[], Some("hello")).await.unwrap();
        assert_eq!(posted.status(), 201);
        for stream in &mut streams {
            assert!(text(stream, Some("data: hello")).await.unwrap().contains("eventwall:tick"));
        }
        let metrics = client.send("GET", "/metrics", &[], None).await.unwrap();
        let metrics = text(&mut metrics.into_body(), None).await.unwrap();
        assert!(metrics.contains("eventwall_connections 1\n"), "{metrics}");
        assert!(metrics.contains("eventwall_subscribers 20\n"), "{metrics}");
    });
}

#[test]
fn a_connection_follows_no_more_than_it_may() {
    let server = start(|limits| {
        limits.subscriptions = 3;
        limits.connection_topics = 5;
    });
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let held = (client.get("/events?topic=a&topic=b").await, client.get("/topics/c").await);
        let refused = client.get("/events?topic=d&topic=e&topic=f").await;
        let words = text(&mut refused.into_body(), None).await.unwrap();
        assert!(words.starts_with("retry: ") && !words.contains("id:"), "{words}");
        let third = client.get("/topics/d").await;
        let refused = client.send("GET", "/topics/e", &[], None).await.unwrap();
        assert_eq!(refused.status(), 429);
        let words = text(&mut refused.into_body(), None).await.unwrap();
        assert!(words.contains("max_subscriptions"), "{words}");
        let page = client.send("GET", "/topics/e", &[("accept", "application/json")], None).await;
        assert_eq!(page.unwrap().status(), 200, "a page is no subscription");
        let waiting = [("accept", "application/json")];
        let refused = client.send("GET", "/topics/e?wait=9", &waiting, None).await.unwrap();
        assert_eq!(refused.status(), 429, "who waits for events follows them");
        drop((held, third));
        let again = until_answered(&mut client, "/topics/e").await;
        assert_eq!(again, 200);
    });
    server.until_metric("eventwall_refusals_total{status=\"200\",reason=\"subscriptions\"} 1");
}

#[test]
fn a_connection_that_asks_nothing_is_closed() {
    let server = start(|limits| {
        limits.idle_deadline = SHORT;
        limits.header_deadline = SHORT;
    });
    server.runtime.block_on(async {
        let silent = Client::plain(server.addr, WINDOW).await;
        silent.ended().await.unwrap();
        let mut asked = Client::plain(server.addr, WINDOW).await;
        assert_eq!(asked.get("/healthz").await.status(), 200);
        asked.ended().await.unwrap();
        let mut following = Client::plain(server.addr, WINDOW).await;
        let mut body = following.get("/topics/a").await.into_body();
        assert!(text(&mut body, Some("tick")).await.is_ok());
        tokio::time::sleep(3 * SHORT).await;
        let event = eventwall_log::NewEvent::new("a".parse().unwrap(), "still here");
        server.app.hub.publish(event.into(), Default::default()).await.unwrap();
        assert!(text(&mut body, Some("still here")).await.is_ok());
    });
}

/// The preface and nothing more, or not even all of it.
#[test]
fn a_preface_is_no_way_to_stay() {
    let server = start(|limits| {
        limits.idle_deadline = SHORT;
        limits.header_deadline = SHORT;
        limits.write_deadline = SHORT;
    });
    for begun in ["PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "P"] {
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send(begun).unwrap();
        assert!(connection.is_closed(), "{begun:?}");
    }
    server.until_metric("eventwall_cut_peers_total{reason=\"silent\"} 3");
}

#[test]
fn what_only_looks_like_a_preface_is_answered() {
    let server = start(|_| {});
    let mut connection = Connection::open(server.addr).unwrap();
    connection.send("P").unwrap();
    connection.send("R").unwrap();
    connection.send(format!("OPFIND / HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)).unwrap();
    assert_eq!(connection.response().unwrap().status, 404);
}

/// It opens streams and gives them no window: each is cut off by itself, and its neighbours stay.
#[test]
fn a_stream_that_gets_no_window_is_cut_off() {
    let server = start(|limits| limits.write_deadline = SHORT);
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, 200).await;
        let mut healthy = client.get("/topics/a").await.into_body();
        text(&mut healthy, Some("tick")).await.unwrap();
        let mut stuck = client.get("/topics/a").await.into_body();
        let mut page = client
            .send("GET", "/inspect", &[("accept", "text/html")], None)
            .await
            .unwrap()
            .into_body();
        for n in 0..30 {
            let event = eventwall_log::NewEvent::new("a".parse().unwrap(), format!("event {n}"));
            server.app.hub.publish(event.into(), Default::default()).await.unwrap();
            text(&mut healthy, Some(&format!("event {n}\n"))).await.unwrap();
        }
        let ended = async |body: &mut h2::RecvStream| loop {
            match body.data().await {
                // Nothing is released: the window stays shut.
                Some(Ok(_)) => {}
                Some(Err(error)) => break error.reason(),
                None => panic!("a clean end"),
            }
        };
        assert_eq!(ended(&mut stuck).await, Some(h2::Reason::CANCEL));
        assert_eq!(ended(&mut page).await, Some(h2::Reason::CANCEL));
        let event = eventwall_log::NewEvent::new("a".parse().unwrap(), "the end");
        server.app.hub.publish(event.into(), Default::default()).await.unwrap();
        text(&mut healthy, Some("the end")).await.unwrap();
    });
    server.until_metric("eventwall_cut_peers_total{reason=\"stuck\"} 2");
}

#[test]
fn while_draining_streams_end_cleanly() {
    let mut server = start(|_| {});
    let (client, mut body) = server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let mut body = client.get("/topics/a").await.into_body();
        text(&mut body, Some("tick")).await.unwrap();
        (client, body)
    });
    server.stop();
    let farewell = server.runtime.block_on(text(&mut body, None)).unwrap();
    assert!(farewell.starts_with("retry: "), "{farewell}");
    drop(body);
    server.runtime.block_on(client.ended()).unwrap();
    server.ended();
}

#[test]
fn bodies_of_every_size_arrive_whole() {
    let server = start(|limits| limits.body_bytes = 4 << 20);
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        for size in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 3_000_000] {
            let event = eventwall_log::NewEvent::new("a".parse().unwrap(), "X".repeat(size));
            server.app.hub.publish(event.into(), Default::default()).await.unwrap();
            let json = [("accept", "application/json")];
            let target = "/topics/a?last=1";
            let response = client.send("GET", target, &json, None).await.unwrap();
            let length = response.headers()["content-length"].to_str().unwrap().to_owned();
            let whole = text(&mut response.into_body(), None).await.unwrap();
            assert_eq!(whole.len().to_string(), length, "{size}");
            assert_eq!(whole.matches('X').count(), size);
        }
        let head = client.send("HEAD", "/topics/a", &[], None).await.unwrap();
        assert!(head.status() == 200 && head.headers().contains_key("etag"));
    });
}

/// Streams that are opened and reset at once, as fast as it goes: the connection ends, and nobody else's.
#[test]
fn a_rapid_reset_ends_only_its_own_connection() {
    let server = start(|_| {});
    let mut good = server.stream();
    server.runtime.block_on(async {
        let mut attack = Client::plain(server.addr, WINDOW).await;
        let resets = async {
            loop {
                // Dropped at once: a reset.
                if let Err(error) = attack.send_and_reset("/topics/a").await {
                    break error;
                }
            }
        };
        let ended = tokio::time::timeout(DEADLINE, resets).await.expect("it is never stopped");
        assert!(ended.is_go_away() || ended.is_io(), "{ended}");
    });
    server.publish("for the good");
    until("it is told", || {
        String::from_utf8_lossy(&good.chunk().unwrap().unwrap()).contains("for the good")
    });
}

/// Whoever opens many streams on few connections has no more of them than with a connection each.
#[test]
fn further_streams_count_as_connections_do() {
    let server = start(|limits| limits.connections = 5);
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(client.get("/topics/a").await);
        }
        assert!(held.iter().all(|response| response.status() == 200));
        let refused = client.send("GET", "/topics/a", &[], None).await.unwrap();
        assert_eq!(refused.status(), 503);
        let page = client.send("GET", "/topics/a", &[("accept", "application/json")], None).await;
        assert_eq!(page.unwrap().status(), 200, "who is inside keeps its service");
        drop(held);
        assert_eq!(until_answered(&mut client, "/topics/a").await, 200);
    });
}

/// A place is free again as soon as the server hears of it.
async fn until_answered(client: &mut Client, target: &str) -> u16 {
    let (mut status, began) = (0, std::time::Instant::now());
    while status != 200 && began.elapsed() < DEADLINE {
        status = client.send("GET", target, &[], None).await.unwrap().status().as_u16();
    }
    status
}

/// Else it would be refused for ever, though there is room for a new one.
#[test]
fn a_connection_that_is_refused_is_closed() {
    let server = start(|limits| limits.connections = 1);
    let inside = server.stream();
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let refused = client.send("GET", "/topics/a", &[], None).await.unwrap();
        assert_eq!(refused.status(), 503);
        let words = text(&mut refused.into_body(), None).await.unwrap();
        assert!(words.contains("max_connections"), "{words}");
        client.ended().await.unwrap();
    });
    drop(inside);
    until("there is room again", || {
        server.runtime.block_on(async {
            let mut client = Client::plain(server.addr, WINDOW).await;
            client.get("/topics/a").await.status() == 200
                && client.send("GET", "/topics/a", &[], None).await.is_ok()
        })
    });
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let server = start(|_| {});
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let length = [("content-length", "99999999999")];
        // Not one byte of it follows.
        let refused = client.begin("POST", "/topics/a", &length).await.unwrap();
        assert_eq!(refused.status(), 413);
    });
}

#[test]
fn too_many_headers_are_refused_as_over_http_1_1() {
    let server = start(|_| {});
    server.runtime.block_on(async {
        let mut client = Client::plain(server.addr, WINDOW).await;
        let many: Vec<_> = (0..101).map(|n| (format!("x-{n}"), "y")).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(client.send("GET", "/healthz", &many, None).await.unwrap().status(), 431);
    });
}
