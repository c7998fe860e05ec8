//! Pages of JSON: their members, bounds, directions and waits. docs/protocol.md names each of
//! these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    thread,
    time::{Duration, Instant},
};

use eventwall_testkit::{Connection, Server, Setup, get, get_json, post, stream};
use serde_json::Value;

const JSON: &[&str] = &["Accept: application/json"];

fn data(page: &Value) -> String {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn status(server: &Server, target: &str) -> u16 {
    get(server.addr, target, JSON).status
}

#[test]
fn a_page_has_these_members() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a?event=e", "x");
    let answer = get(server.addr, "/topics/a?last=1", JSON);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("vary", "Accept, Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let page = answer.json();
    let time = page["events"][0]["time"].as_str().unwrap();
    let event = format!(
        "{{\"id\":\"{id}\",\"topic\":\"a\",\"event\":\"e\",\"time\":\"{time}\",\"data\":\"x\"}}"
    );
    let expected = format!("{{\"events\":[{event}],\"cursor\":\"{id}\",\"more\":false}}");
    assert_eq!(answer.text(), expected);
}

#[test]
fn a_page_brings_at_most_its_limit() {
    let server = Setup::default().arg("--max-page").arg("120").start();
    let topics = ["a", "b", "c"];
    for n in 0..41 {
        for topic in topics {
            post(server.addr, &format!("/topics/{topic}"), n.to_string());
        }
    }
    let page = |query: &str| get_json(server.addr, &format!("/events?topic=*&{query}"));
    let count = |query: &str| page(query)["events"].as_array().unwrap().len();
    assert_eq!((count("since=1h"), count("since=1h&limit=120")), (100, 120));
    assert_eq!((count("since=1h&limit=7"), count("since=1h&limit=0")), (7, 1));
    assert_eq!((count("last=40"), count("last=2&limit=6")), (120, 6), "so many of each topic");
    for bad in ["since=1h&limit=121", "last=121", "last=41", "last=2&limit=5"] {
        assert_eq!(status(&server, &format!("/events?topic=*&{bad}")), 400, "{bad}");
    }
    let one = get_json(server.addr, "/topics/a?last=9&limit=2");
    assert_eq!((data(&one).as_str(), &one["more"]), ("39 40", &true.into()), "the newest");
    let before = one["events"][0]["id"].as_str().unwrap();
    for (query, expected) in [("&last=2", "37 38"), ("&last=9&limit=1", "38")] {
        let page = get_json(server.addr, &format!("/topics/a?before={before}{query}"));
        assert_eq!((data(&page).as_str(), &page["more"]), (expected, &true.into()));
    }
    let rest = get_json(server.addr, &format!("/topics/a?before={before}"));
    assert_eq!(rest["events"].as_array().unwrap().len(), 39);
    assert_eq!(rest["more"], false);
}

#[test]
fn a_cursor_reads_on_without_gap_or_double() {
    let server = Server::start();
    let mut expected = Vec::new();
    for n in 0..7 {
        for topic in ["a", "b", "other"] {
            let text = format!("{topic}{n}");
            post(server.addr, &format!("/topics/{topic}"), &text);
            expected.extend((topic != "other").then_some(text));
        }
    }
    let mut page = get_json(server.addr, "/events?topic=a&topic=b&since=1h&limit=3");
    let mut read = vec![data(&page)];
    while page["more"] == true {
        let cursor = page["cursor"].as_str().unwrap().to_owned();
        let target = format!("/events?topic=a&topic=b&after={cursor}&limit=3");
        page = get_json(server.addr, &target);
        read.push(data(&page));
    }
    assert_eq!(read.join(" ").trim(), expected.join(" "));
    let cursor = page["cursor"].as_str().unwrap();
    post(server.addr, "/topics/a", "next");
    let target = format!("/events?topic=a&topic=b&after={cursor}");
    let (_, mut on) = stream(server.addr, &target, &[]);
    let text = on.text_until("eventwall:live").unwrap();
    assert_eq!(text.matches("\ndata: next\n").count(), 1, "{text}");
    assert_eq!(text.matches("topic: ").count(), 1, "{text}");
}

#[test]
fn a_page_is_bounded_in_bytes() {
    let server = Server::start();
    for n in 0..8 {
        post(server.addr, "/topics/a", format!("{n}:{}", "x".repeat(900_000)));
    }
    for (query, newest) in [("since=1h", "0:"), ("last=8", "7:")] {
        let page = get_json(server.addr, &format!("/topics/a?{query}"));
        let events = page["events"].as_array().unwrap();
        assert!((1..8).contains(&events.len()) && page["more"] == true, "{}", events.len());
        let outer = if newest == "0:" { events.first() } else { events.last() };
        assert!(outer.unwrap()["data"].as_str().unwrap().starts_with(newest));
    }
}

#[test]
fn pages_read_backwards_from_an_event() {
    let server = Server::start();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(post(server.addr, "/topics/a", format!("a{n}")));
        ids.push(post(server.addr, "/topics/b", format!("b{n}")));
    }
    let page = |query: String| get_json(server.addr, &format!("/events?topic=*&{query}"));
    let both = page(format!("before={}&last=2", ids[6]));
    assert_eq!((data(&both).as_str(), &both["more"]), ("a1 b1 a2 b2", &true.into()));
    assert_eq!(both["cursor"], ids[5].as_str(), "reading on from it goes forward");
    let first = page(format!("before={}&last=9", ids[1]));
    assert_eq!((data(&first).as_str(), &first["more"]), ("a0", &false.into()));
    // A start elsewhere in the query does not count.
    let first = page(format!("before={}&last=9&after={}&lastEventId=x", ids[1], ids[3]));
    assert_eq!((data(&first).as_str(), first.get("gap")), ("a0", None));
    let unknown = page("before=k3x9v0qa-7&last=1".into());
    assert_eq!(data(&unknown), "a3 b3", "from the end");
    assert_eq!(unknown["gap"]["reason"], "replaced");
    assert_eq!(status(&server, "/topics/a?before=x"), 400);
}

#[test]
fn a_page_tells_one_gap_before_its_events() {
    let mut server = Setup::default().arg("--max-events-per-topic").arg("2").start();
    let ids: Vec<_> = (0..6)
        .map(|n| post(server.addr, &format!("/topics/{}", ["a", "b"][n % 2]), n.to_string()))
        .collect();
    // What is over a limit may stay in memory for a while.
    server.kill();
    server.restart();
    let page = get_json(server.addr, &format!("/events?topic=*&after={}", ids[0]));
    assert_eq!(data(&page), "2 3 4 5");
    let gap = serde_json::json!({"after": ids[0], "resumed": ids[1], "reason": "expired"});
    assert_eq!(page["gap"], gap);
    let again = get_json(server.addr, &format!("/events?topic=*&after={}", ids[1]));
    assert_eq!((data(&again).as_str(), again.get("gap")), ("2 3 4 5", None), "told once");
    let foreign = get_json(server.addr, "/topics/a?after=k3x9v0qa-7");
    assert_eq!((data(&foreign).as_str(), &foreign["gap"]["reason"]), ("2 4", &"replaced".into()));
    let unknown = get_json(server.addr, "/topics/a?lastEventId=x");
    assert_eq!((data(&unknown).as_str(), &unknown["gap"]["reason"]), ("2 4", &"unknown".into()));
    for start in ["since=1h", "last=9"] {
        assert!(get_json(server.addr, &format!("/topics/a?{start}")).get("gap").is_none());
    }
}

#[test]
fn a_superseded_state_is_no_gap() {
    let mut server = Setup::default().arg("--keep").arg("latest").start();
    let ids: Vec<_> = (0..4).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    server.kill();
    server.restart();
    let page = get_json(server.addr, &format!("/topics/a?after={}", ids[0]));
    assert_eq!((data(&page).as_str(), page.get("gap")), ("3", None));
    let resume = format!("Last-Event-ID: {}", ids[0]);
    let polled = get(server.addr, "/topics/a?wait=0", &[&resume]).text();
    assert_eq!(polled, format!("id: {}\ndata: 3\n\n", ids[3]));
}

#[test]
fn a_page_waits_for_an_event_a_gap_or_its_time() {
    let server = Server::start();
    let addr = server.addr;
    let id = post(addr, "/topics/a", "0");
    let began = Instant::now();
    for query in ["last=1".into(), "lastEventId=x".into(), format!("after={id}x")] {
        get(addr, &format!("/topics/a?{query}&wait=300"), JSON);
    }
    let empty = get_json(addr, &format!("/topics/b?after={id}&wait=0"));
    assert_eq!((data(&empty).as_str(), &empty["cursor"]), ("", &id.as_str().into()));
    let waiting = thread::spawn(move || get_json(addr, "/topics/b?wait=300&last=1"));
    // What is not followed does not end it; what is does.
    post(addr, "/topics/a", "1");
    post(addr, "/topics/b", "2");
    assert_eq!(data(&waiting.join().unwrap()), "2");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_waiting_page_is_answered_when_the_server_stops() {
    let mut server = Server::start();
    let mut connection = Connection::open(server.addr).unwrap();
    let host = format!("Host: {}\r\n", server.addr);
    // The first answer says that the connection is served.
    connection.send(format!("GET /healthz HTTP/1.1\r\n{host}\r\n")).unwrap();
    assert_eq!(connection.response().unwrap().status, 200);
    let head = format!("GET /topics/a?wait=300 HTTP/1.1\r\n{host}{}\r\n\r\n", JSON[0]);
    connection.send(head).unwrap();
    server.signal("TERM");
    let answer = connection.response().unwrap();
    // The signal may have come first.
    assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
    assert_eq!(server.wait().code(), Some(0));
}
