//! How much one address, one topic and all together may take; and who is taken for whom behind proxies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::num::NonZeroU32;

use eventwall_server::{Access, ForwardedHeader, Public, Settings, Trust};
use eventwall_testkit::{Connection, Response, get, request, until};
use support::{Running, start, start_with};

const FROM: &str = "X-Forwarded-For: 203.0.113.5";
const ANOTHER: &str = "X-Forwarded-For: 203.0.113.6";

/// Behind a proxy on this machine.
fn behind(change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings = Settings { loopback_only: true, ..Settings::default() };
    settings.trust.proxies = vec!["127.0.0.1/32".parse().unwrap()];
    change(&mut settings);
    start_with(settings, None)
}

fn post(server: &Running, topic: &str, headers: &[&str]) -> Response {
    request(server.addr, "POST", &format!("/topics/{topic}"), headers, b"x")
}

#[test]
fn an_address_publishes_so_much_and_no_more() {
    let server = behind(|settings| {
        settings.limits.publish_rate = NonZeroU32::new(1);
        settings.limits.batch_events = 3;
    });
    let statuses: Vec<_> = (0..12).map(|_| post(&server, "a", &[FROM]).status).collect();
    assert_eq!(statuses[..10], [201; 10]);
    let refused = post(&server, "a", &[FROM]);
    assert_eq!(refused.status, 429, "{statuses:?}");
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("max_publish_rate"), "{}", refused.text());
    assert_eq!(post(&server, "a", &[ANOTHER]).status, 201, "another address");
    assert_eq!(post(&server, "a", &[]).status, 201, "this machine");
    let nd = "Content-Type: application/x-ndjson";
    let lines = b"{\"data\":\"1\"}\n{\"data\":\"2\"}\n{\"data\":\"3\"}\n";
    let batch = |from| request(server.addr, "POST", "/topics/a", &[from, nd], lines).status;
    assert_eq!((batch(FROM), batch(ANOTHER)), (429, 201), "each line counts");
    let ephemeral = request(server.addr, "POST", "/topics/a?ephemeral", &[FROM], b"x");
    assert_eq!(ephemeral.status, 429);
    server.until_metric("eventwall_refusals_total{status=\"429\",reason=\"rate\"} 5");
}

#[test]
fn a_topic_takes_so_much_from_all_together() {
    let server = behind(|settings| {
        settings.limits.topic_rate = NonZeroU32::new(1);
        settings.limits.batch_events = 1;
    });
    for n in 0..10 {
        assert_eq!(post(&server, "a", &[&format!("{FROM}{n}")]).status, 201);
    }
    let refused = post(&server, "a", &[ANOTHER]);
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("max_topic_rate"), "{}", refused.text());
    assert_eq!(post(&server, "b", &[ANOTHER]).status, 201);
}

/// What is streamed too fast comes more slowly, and all of it.
#[test]
fn a_streamed_publish_is_slowed_down() {
    let server = behind(|settings| {
        settings.limits.publish_rate = NonZeroU32::new(20);
        settings.limits.batch_events = 1;
    });
    let body = "data: x\n\n".repeat(200);
    let stream = "Content-Type: text/event-stream";
    let began = std::time::Instant::now();
    let first = request(server.addr, "POST", "/topics/a", &[FROM, stream], body.as_bytes());
    assert_eq!((first.status, &first.json()["count"]), (201, &200.into()));
    let more = "data: x\n\n".repeat(10);
    let more = request(server.addr, "POST", "/topics/a", &[FROM, stream], more.as_bytes());
    assert_eq!((more.status, &more.json()["count"]), (201, &10.into()));
    assert!(began.elapsed().as_millis() >= 400, "{:?}", began.elapsed());
}

#[test]
fn there_are_only_so_many_topics() {
    let server = start(|limits| limits.all_topics = 2);
    assert_eq!((post(&server, "a", &[]).status, post(&server, "b", &[]).status), (201, 201));
    let refused = post(&server, "c", &[]);
    assert_eq!(refused.status, 507);
    assert!(refused.text().contains("max_all_topics"), "{}", refused.text());
    assert_eq!(post(&server, "a", &[]).status, 201, "those that are there go on");
    let nd = "Content-Type: application/x-ndjson";
    let lines = b"{\"topic\":\"a\",\"data\":\"1\"}\n{\"topic\":\"d\",\"data\":\"2\"}\n";
    assert_eq!(request(server.addr, "POST", "/events", &[nd], lines).status, 507);
    let stream = "Content-Type: text/event-stream";
    let streamed = request(server.addr, "POST", "/topics/e", &[stream], b"data: 1\n\n");
    assert_eq!(streamed.status, 507);
    server.until_metric("eventwall_log_topics 2");
}

fn follow(server: &Running, headers: &[&str]) -> (Response, Connection) {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let mut connection = Connection::open(server.addr).unwrap();
    let host = server.addr;
    let head = "Accept: text/event-stream";
    connection
        .send(format!("GET /topics/a HTTP/1.1\r\nHost: {host}\r\n{head}\r\n{lines}\r\n"))
        .unwrap();
    (connection.head().unwrap(), connection)
}

#[test]
fn of_a_proxys_clients_each_has_its_own_connections() {
    let server = behind(|settings| settings.limits.address_connections = Some(2));
    let held = [follow(&server, &[FROM]), follow(&server, &[FROM])];
    let (head, mut refused) = follow(&server, &[FROM]);
    assert_eq!(head.status, 200);
    let words = String::from_utf8_lossy(&refused.rest().unwrap()).into_owned();
    assert!(words.contains("retry: ") && !words.contains("id:"), "{words}");
    let page = get(server.addr, "/topics/a", &["Accept: application/json", FROM]);
    assert_eq!(page.status, 429);
    assert!(page.text().contains("max_address_connections"), "{}", page.text());
    let (_, mut another) = follow(&server, &[ANOTHER]);
    assert!(another.text_until("id: ").is_ok(), "it follows");
    drop(held);
    until("its places are free again", || {
        get(server.addr, "/topics/a", &["Accept: application/json", FROM]).status == 200
    });
}

fn begins_with(server: &Running, header: &[u8]) -> Connection {
    let mut connection = Connection::open(server.addr).unwrap();
    connection.send(header).unwrap();
    connection.send(format!("GET /topics/a HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)).unwrap();
    connection
}

#[test]
fn the_proxy_protocol_names_the_client_of_a_connection() {
    let server = behind(|settings| {
        settings.trust.proxy_protocol = true;
        settings.limits.address_connections = Some(1);
        // Of whoever the PROXY header names, not of the proxy.
        settings.access = Access::everything();
    });
    let from = |n: u8| format!("PROXY TCP4 203.0.113.{n} 127.0.0.1 1234 80\r\n");
    let mut first = begins_with(&server, from(5).as_bytes());
    assert_eq!(first.head().unwrap().header("content-type"), Some("text/event-stream"));
    assert!(first.text_until("id: ").is_ok(), "it follows");
    let mut second = begins_with(&server, from(5).as_bytes());
    assert_eq!(second.head().unwrap().status, 429);
    // In two pieces, in version 2, and another address.
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 6, 127, 0, 0, 1, 4, 210, 0, 80]);
    let mut pieces = Connection::open(server.addr).unwrap();
    pieces.send(&v2[..14]).unwrap();
    std::thread::yield_now();
    pieces.send(&v2[14..]).unwrap();
    pieces.send(format!("GET /topics/a HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)).unwrap();
    assert_eq!(pieces.head().unwrap().status, 200);
    let mut none = Connection::open(server.addr).unwrap();
    none.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr)).unwrap();
    assert!(none.is_closed(), "a trusted proxy must begin with it");
}

#[test]
fn the_proxy_protocol_is_no_way_in_for_others() {
    let mut settings = Settings { loopback_only: true, ..Settings::default() };
    settings.trust = Trust {
        proxies: vec!["10.0.0.0/8".parse().unwrap()],
        header: ForwardedHeader::XForwarded,
        proxy_protocol: true,
    };
    let server = start_with(settings, None);
    let mut connection = begins_with(&server, b"PROXY TCP4 10.0.0.1 127.0.0.1 1234 80\r\n");
    assert_eq!(connection.head().unwrap().status, 400);
    assert_eq!(get(server.addr, "/healthz", &[]).status, 200, "others need none");
}

#[test]
fn a_url_has_its_bounds() {
    let server = start(|limits| limits.url_bytes = 200);
    let long = get(server.addr, &format!("/topics/{}", "x".repeat(200)), &[]);
    assert_eq!(long.status, 414);
    assert!(long.text().contains("max_url"), "{}", long.text());
    let fits =
        get(server.addr, &format!("/topics/{}", "x".repeat(180)), &["Accept: application/json"]);
    assert_eq!(fits.status, 200);
    server.until_metric("eventwall_refusals_total{status=\"414\",reason=\"too_large\"} 1");
}

fn public() -> Settings {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let access = Access::only(Public {
        read: patterns(&["news/*", "both"]),
        write: patterns(&["inbox/**", "both"]),
        post: Vec::new(),
    });
    Settings { loopback_only: true, access, ..Settings::default() }
}

#[test]
fn only_what_is_public_is_open() {
    let server = start_with(public(), None);
    let read = |target: &str| get(server.addr, target, &["Accept: application/json"]).status;
    assert_eq!(
        (read("/topics/news/1"), read("/topics/inbox/1"), read("/topics/x")),
        (200, 403, 403)
    );
    assert_eq!((read("/events?topic=news/*"), read("/events?topic=news/1&topic=both")), (200, 200));
    assert_eq!(read("/events?topic=news/**"), 403, "never narrowed");
    assert_eq!(read("/events?topic=news/1&topic=x"), 403);
    assert_eq!((read("/presence?topic=both"), read("/presence?topic=x")), (200, 403));
    assert_eq!(request(server.addr, "HEAD", "/topics/x", &[], b"").status, 403);
    assert_eq!(request(server.addr, "HEAD", "/events?topic=x", &[], b"").status, 403);
    let write = |target: &str, headers: &[&str], body: &str| {
        request(server.addr, "POST", target, headers, body.as_bytes()).status
    };
    assert_eq!((write("/topics/inbox/1", &[], "x"), write("/topics/news/1", &[], "x")), (201, 403));
    let nd = ["Content-Type: application/x-ndjson"];
    let lines = "{\"topic\":\"both\",\"data\":\"1\"}\n{\"topic\":\"x\",\"data\":\"2\"}\n";
    assert_eq!(write("/events", &nd, lines), 403);
    assert_eq!(write("/events", &nd, "{\"topic\":\"both\",\"data\":\"1\"}\n"), 201);
    // The answer to a condition tells of the last event.
    assert_eq!(write("/topics/inbox/2", &["If-None-Match: *"], "x"), 403);
    assert_eq!(write("/topics/both", &["If-None-Match: *"], "x"), 412);
    let id = eventwall_testkit::post(server.addr, "/topics/both", "x");
    let erased = request(server.addr, "DELETE", &format!("/events/{id}"), &[], b"");
    assert_eq!(erased.status, 403, "{}", erased.text());
    for target in ["/topics/$private/x", "/events?topic=$private/x"] {
        assert_eq!(read(target), 403);
    }
}

#[test]
fn the_metrics_are_for_those_near() {
    let mut settings = public();
    settings.trust.proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let server = start_with(settings, None);
    let metrics = |headers: &[&str]| get(server.addr, "/metrics", headers).status;
    assert_eq!(metrics(&[]), 200);
    assert_eq!(metrics(&["X-Forwarded-For: 192.168.1.7"]), 200);
    assert_eq!(metrics(&[FROM]), 403);
    let server = start_with(public(), None);
    assert_eq!(get(server.addr, "/metrics", &[FROM]).status, 403, "a proxy that is not trusted");
}

/// A rebound page can add a proxy's header to its requests, but its own host stays what it is.
#[test]
fn a_forwarded_host_opens_no_door() {
    let server = behind(|settings| settings.allowed_hosts = vec!["wall.test".into()]);
    let status = |headers: &[&str]| get(server.addr, "/healthz", headers).status;
    assert_eq!(status(&[FROM, "X-Forwarded-Host: wall.test"]), 200);
    assert_eq!(status(&["Host: evil.example", FROM, "X-Forwarded-Host: wall.test"]), 403);
    assert_eq!(status(&[FROM, "X-Forwarded-Host: evil.example"]), 403);
    let origin = "Origin: https://wall.test";
    let write = ["X-Forwarded-Host: wall.test", FROM, origin];
    assert_eq!(post(&server, "a", &write).status, 201);
}

/// Pages that nobody takes fill the room for them: then pages bring less, and the next ones the rest.
#[test]
fn pages_that_nobody_takes_have_a_bound() {
    let server = start(|limits| limits.all_pages_bytes = 2 << 20);
    for n in 0..100 {
        server.publish(&format!("{n:03}{}", "x".repeat(20_000)));
    }
    let target = "/topics/a?last=100";
    let page = || get(server.addr, target, &["Accept: application/json"]);
    assert_eq!(page().json()["events"].as_array().unwrap().len(), 100, "there is room");
    let mut held = Connection::open(server.addr).unwrap();
    let host = server.addr;
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    held.send(&request).unwrap();
    let mut small = None;
    until("there is no room", || {
        let page = page().json();
        let few = page["events"].as_array().unwrap().len() < 100;
        if few {
            small = Some(page);
        }
        few
    });
    let small = small.unwrap();
    assert_eq!(small["more"], true, "{small}");
    assert!(small["events"][0]["data"].as_str().unwrap().starts_with("099"), "the last of them");
    assert_eq!(held.response().unwrap().json()["events"].as_array().unwrap().len(), 100);
    until("there is room again", || page().json()["events"].as_array().unwrap().len() == 100);
}

/// Settings that make less public end what is followed, before anything new goes out.
#[test]
fn a_stream_of_what_is_no_longer_public_ends() {
    let server = start_with(public(), None);
    let (head, mut news) = stream_of(&server, "/topics/news/1");
    let (_, mut both) = stream_of(&server, "/topics/both");
    assert_eq!(head.status, 200);
    let mut less = public();
    less.access = Access::only(Public { read: vec!["both".parse().unwrap()], ..Public::default() });
    server.app.set_settings(less);
    for topic in ["news/1", "both"] {
        let event = eventwall_log::NewEvent::new(topic.parse().unwrap(), "new");
        server
            .runtime
            .block_on(server.app.hub.publish(event.into(), eventwall_log::AppendOptions::default()))
            .unwrap();
    }
    let mut rest = String::new();
    while let Some(chunk) = news.chunk().unwrap() {
        rest += &String::from_utf8_lossy(&chunk);
    }
    assert!(rest.contains("retry: ") && rest.contains("no longer public"), "{rest}");
    assert!(!rest.contains("data: new"), "{rest}");
    assert!(both.text_until("data: new").is_ok(), "others go on");
}

fn stream_of(server: &Running, target: &str) -> (Response, Connection) {
    let (head, mut connection) = eventwall_testkit::stream(server.addr, target, &[]);
    connection.text_until("eventwall:tick").unwrap();
    (head, connection)
}

/// Silence takes a place, too: an address has no more of it than of anything.
#[test]
fn connections_that_say_nothing_are_counted_by_address() {
    let mut settings = Settings { loopback_only: true, ..Settings::default() };
    settings.limits.address_connections = Some(1);
    settings.trust.proxies = vec!["127.0.0.1/32".parse().unwrap()];
    settings.trust.proxy_protocol = true;
    let server = start_with(settings, None);
    let header = b"PROXY TCP4 203.0.113.5 127.0.0.1 1234 80\r\n";
    let silent = || {
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send(header).unwrap();
        connection
    };
    let mut held = silent();
    until("its place is taken", || {
        // Not because one of these has not ended yet: those that are refused take no place.
        let taken = (0..5).all(|_| begins_with(&server, header).head().unwrap().status == 429);
        if !taken {
            // One of them came before it.
            held = silent();
        }
        taken
    });
    drop(held);
}
