//! Publishing, where the protocol is finer than a first example: names, formats, forms, keys and
//! conditions. docs/protocol.md names each of these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::thread;

use eventwall_testkit::{
    Connection, Follower, Response, Server, get, get_json, post, request, until,
};

const NDJSON: &str = "Content-Type: application/x-ndjson";
const STREAM: &str = "Content-Type: text/event-stream";

fn send(server: &Server, target: &str, headers: &[&str], body: &str) -> Response {
    request(server.addr, "POST", target, headers, body.as_bytes())
}

fn events(server: &Server, topic: &str) -> Vec<serde_json::Value> {
    let page = get_json(server.addr, &format!("/topics/{topic}?last=1000"));
    page["events"].as_array().unwrap().clone()
}

fn data(server: &Server, topic: &str) -> Vec<String> {
    let text = |event: &serde_json::Value| event["data"].as_str().unwrap().to_owned();
    events(server, topic).iter().map(text).collect()
}

#[test]
fn an_unnamed_event_is_a_message() {
    let server = Server::start();
    for query in ["", "?event=", "?event=message", "?event"] {
        post(server.addr, &format!("/topics/a{query}"), "x");
    }
    assert!(events(&server, "a").iter().all(|event| event["event"] == "message"));
    let stream = get(server.addr, "/topics/a?last=9&wait=0", &[]).text();
    assert!(!stream.contains("event:"), "{stream}");
    let longest = format!("/topics/a?event={}", "n".repeat(256));
    post(server.addr, &longest, "x");
    post(server.addr, "/topics/a?event=Eventwall:x", "case matters");
}

#[test]
fn names_of_the_hubs_own_are_refused_in_every_format() {
    let server = Server::start();
    let own = "eventwall:anything";
    let field = format!("Content-Disposition: form-data; name=\"event\"\r\n\r\n{own}\r\n--b--\r\n");
    let form =
        format!("--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nx\r\n--b\r\n{field}");
    for (target, kind, body) in [
        (format!("/topics/a?event={own}"), "Content-Type: text/plain", "x".to_owned()),
        (format!("/topics/a?ephemeral&event={own}"), "Content-Type: text/plain", "x".into()),
        ("/topics/a".into(), NDJSON, format!("{{\"data\":\"x\",\"event\":\"{own}\"}}")),
        ("/topics/a".into(), "Content-Type: multipart/form-data; boundary=b", form),
    ] {
        assert_eq!(send(&server, &target, &[kind], &body).status, 400, "{target} {kind}");
    }
    // A stream of another hub has them, and is welcome.
    let body = format!("event: {own}\ndata: x\n\ndata: kept\n\n");
    assert_eq!(send(&server, "/topics/a", &[STREAM], &body).json()["count"], 1);
    assert_eq!(data(&server, "a"), ["kept"]);
}

#[test]
fn the_query_names_an_event_only_where_the_body_is_one() {
    let server = Server::start();
    assert_eq!(send(&server, "/topics/a?event=q", &[NDJSON], "{\"data\":\"1\"}").status, 201);
    assert_eq!(send(&server, "/topics/a?event=q", &[STREAM], "data: 2\n\n").status, 201);
    let form = "Content-Type: multipart/form-data; boundary=b";
    let field = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let unnamed = field("data", "3") + &field("other", "x") + "--b--\r\n";
    let named = field("data", "old") + &field("event", "f") + &field("data", "4") + "--b--\r\n";
    assert_eq!(send(&server, "/topics/a?event=q", &[form], &unnamed).status, 201);
    assert_eq!(send(&server, "/topics/a?event=q", &[form], &named).status, 201);
    let events = events(&server, "a");
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["message", "message", "q", "f"]);
    assert_eq!(data(&server, "a"), ["1", "2", "3", "4"], "the last field of a name counts");
}

#[test]
fn a_form_sends_no_browser_to_another_host() {
    let server = Server::start();
    let form = "Content-Type: multipart/form-data; boundary=b";
    let body = "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nx\r\n--b--\r\n";
    let back = |referer: &str| {
        let referer = format!("Referer: {referer}");
        let response = send(&server, "/topics/a", &[form, "Accept: Text/HTML", &referer], body);
        (response.status, response.header("location").map(str::to_owned))
    };
    for (referer, location) in [
        (format!("http://{}/form", server.addr), "/form"),
        (format!("http://{}//evil.example/x", server.addr), "/"),
        ("http://evil.example/x".into(), "/"),
        ("/form".into(), "/"),
        ("nonsense nonsense".into(), "/"),
    ] {
        assert_eq!(back(&referer), (303, Some(location.into())), "{referer}");
    }
    let plain = send(&server, "/topics/a", &[form, "Accept: */*"], body);
    assert!(plain.status == 201 && plain.json()["id"].is_string(), "{}", plain.text());
}

#[test]
fn a_streamed_body_is_read_as_eventsource_would() {
    let server = Server::start();
    let body = "\u{feff}data:1\r\rdata\r\n\r\nid: up-1\nevent: message\ndata: 3\ndata:  4\n\n: hi\n\n\
                id: 9\n\nretry: 5\ntopic: b\nother: x\ndata: 5\n\ndata: never ended\n";
    let answer = send(&server, "/topics/a", &[STREAM], body);
    assert_eq!((answer.status, &answer.json()["count"]), (201, &4.into()));
    assert_eq!(data(&server, "a"), ["1", "", "3\n 4", "5"]);
    let events = events(&server, "a");
    assert!(events.iter().all(|event| event["id"] != "up-1" && event["event"] == "message"));
    assert_eq!(
        (&answer.json()["first"], &answer.json()["last"]),
        (&events[0]["id"], &events[3]["id"])
    );
    let nothing = send(&server, "/topics/a", &[STREAM], ": nothing\n\n");
    assert_eq!(
        (nothing.status, nothing.text().trim()),
        (201, r#"{"count":0,"first":null,"last":null}"#)
    );
}

#[test]
fn a_streamed_body_that_cannot_go_on_says_how_far_it_came() {
    let server = Server::start();
    let mut connection = Connection::open(server.addr).unwrap();
    let head = format!("POST /topics/a HTTP/1.1\r\nHost: {}\r\n{STREAM}\r\n", server.addr);
    connection.send(format!("{head}Content-Length: 99\r\n\r\ndata: 1\n\n")).unwrap();
    until("it is published", || data(&server, "a") == ["1"]);
    let id = events(&server, "a")[0]["id"].clone();
    connection.send("event: a\tb\ndata: 2\n\n").unwrap();
    let answer = connection.response().unwrap();
    let problem = answer.json();
    assert_eq!(answer.status, 400, "{problem}");
    assert_eq!((&problem["count"], &problem["first"], &problem["last"]), (&1.into(), &id, &id));
    assert_eq!(data(&server, "a"), ["1"]);
}

#[test]
fn a_streamed_body_ends_with_the_server() {
    let mut server = Server::start();
    let mut connection = Connection::open(server.addr).unwrap();
    let head = format!("POST /topics/a HTTP/1.1\r\nHost: {}\r\n{STREAM}\r\n", server.addr);
    connection.send(format!("{head}Content-Length: 99\r\n\r\ndata: 1\n\n")).unwrap();
    until("it is published", || data(&server, "a") == ["1"]);
    server.signal("TERM");
    let answer = connection.response().unwrap();
    assert_eq!((answer.status, &answer.json()["count"]), (503, &1.into()));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn lines_go_where_the_path_says() {
    let server = Server::start();
    let lines = "{\"topic\":\"b\",\"data\":\"1\",\"event\":null,\"x\":[]}\n \n{\"data\":\"2\\r3\"}";
    assert_eq!(send(&server, "/topics/a", &[NDJSON], lines).status, 201);
    assert_eq!(
        (data(&server, "a"), data(&server, "b").len()),
        (vec!["1".into(), "2\n3".into()], 0)
    );
    let broken = "{\"topic\":\"a\",\"data\":\"3\"}\n{\"topic\":\"c//d\",\"data\":\"4\"}";
    assert_eq!(send(&server, "/events", &[NDJSON], broken).status, 400);
    assert_eq!(data(&server, "a").len(), 2, "all or nothing");
}

#[test]
fn only_a_single_event_is_ephemeral() {
    let server = Server::start();
    let form = "Content-Type: multipart/form-data; boundary=b";
    for (target, headers, body) in [
        ("/topics/a?ephemeral", &[NDJSON][..], "{\"data\":\"x\"}"),
        ("/topics/a?ephemeral", &[STREAM], "data: x\n\n"),
        ("/topics/a?ephemeral", &[form], "--b--\r\n"),
        ("/events?ephemeral", &[NDJSON], "{\"topic\":\"a\",\"data\":\"x\"}"),
        ("/topics/a?ephemeral", &["Idempotency-Key: k"], "x"),
        ("/topics/a?ephemeral", &["If-None-Match: *"], "x"),
    ] {
        assert_eq!(send(&server, target, headers, body).status, 400, "{target} {headers:?}");
    }
    let shown = send(&server, "/topics/a?ephemeral=0", &[], "x");
    assert_eq!((shown.status, shown.text().as_str()), (202, ""), "whatever its value");
    assert!(data(&server, "a").is_empty());
}

#[test]
fn a_key_belongs_to_a_topic_and_to_what_was_published() {
    let mut server = Server::start();
    let keyed = |server: &Server, target: &str, headers: &[&str], body: &str| {
        send(server, target, &[&["Idempotency-Key: k"], headers].concat(), body)
    };
    let first = keyed(&server, "/topics/a", &[], "x").json();
    assert_ne!(keyed(&server, "/topics/b", &[], "x").json(), first, "another topic");
    assert_eq!(keyed(&server, "/topics/a?event=n", &[], "x").status, 422, "another name");
    let kept = keyed(&server, "/topics/a", &["If-None-Match: *"], "x");
    assert_eq!((kept.status, kept.json()), (201, first.clone()), "the key comes first");
    let line = |topic: &str| format!("{{\"topic\":\"{topic}\",\"data\":\"x\"}}\n");
    let batch = keyed(&server, "/events", &[NDJSON], &(line("c") + &line("a"))).json();
    assert_eq!(batch["ids"].as_array().unwrap().len(), 2);
    assert_eq!(keyed(&server, "/events", &[NDJSON], &(line("c") + &line("d"))).status, 422);
    server.kill();
    server.restart();
    assert_eq!(keyed(&server, "/topics/a", &[], "x").json(), first, "over a restart");
    assert_eq!(keyed(&server, "/events", &[NDJSON], &(line("c") + &line("a"))).json(), batch);
    assert_eq!((data(&server, "a").len(), data(&server, "c").len()), (2, 1));
    for bad in ["", " ", "\u{e9}", &"k".repeat(256)] {
        let key = format!("Idempotency-Key: {bad}");
        assert_eq!(send(&server, "/topics/a", &[&key], "x").status, 400, "{bad:?}");
    }
    assert_eq!(
        send(&server, "/topics/a", &[&format!("Idempotency-Key: {}", "k".repeat(255))], "x").status,
        201
    );
}

#[test]
fn the_nth_event_of_a_stream_has_its_number_as_key() {
    let server = Server::start();
    let key = |key: &str| format!("Idempotency-Key: {key}");
    let body = "event: eventwall:tick\ndata\n\ndata: 1\n\ndata: 2\n\n";
    assert_eq!(send(&server, "/topics/a", &[STREAM, &key("k")], body).json()["count"], 2);
    let second = send(&server, "/topics/a", &[&key("k/2")], "2").json();
    assert_eq!(second["id"], events(&server, "a")[1]["id"], "what is skipped is not counted");
    assert_eq!(send(&server, "/topics/a", &[&key("k/1")], "other").status, 422);
    assert_eq!(send(&server, "/topics/a", &[&key("k")], "1").status, 201);
    assert_eq!(data(&server, "a"), ["1", "2", "1"], "the key itself is free");
}

#[test]
fn a_condition_is_one_id_or_none() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a", "1");
    let status = |headers: &[&str]| send(&server, "/topics/a", headers, "x").status;
    for bad in ["*", "W/\"k-1\"", "\"k-1\", \"k-2\"", "\"k-1", "k-01", ""] {
        assert_eq!(status(&[&format!("If-Match: {bad}")]), 400, "If-Match: {bad}");
    }
    for bad in [&format!("\"{id}\""), "\"*\"", ""] {
        assert_eq!(status(&[&format!("If-None-Match: {bad}")]), 400, "If-None-Match: {bad}");
    }
    assert_eq!(status(&[&format!("If-Match: {id}"), "If-None-Match: *"]), 400, "never both");
    assert_eq!(status(&["If-Match: k3x9v0qa-1042"]), 412);
    assert_eq!(send(&server, "/topics/b", &[&format!("If-Match: {id}")], "x").header("etag"), None);
    let batch = "{\"data\":\"2\"}\n{\"data\":\"3\"}";
    let on_it = format!("If-Match: {id}");
    assert_eq!(send(&server, "/topics/a", &[NDJSON, &on_it], batch).status, 201);
    assert_eq!(data(&server, "a"), ["1", "2", "3"]);
    let tag = format!("If-None-Match: \"{id}\"");
    let read = get(server.addr, "/topics/a?last=1", &["Accept: application/json", &tag]);
    assert_eq!(read.status, 200, "conditions are for publishing");
}

#[test]
fn of_publishers_with_one_condition_one_wins() {
    let server = Server::start();
    let addr = server.addr;
    for round in 0..5 {
        let topic = format!("/topics/a{round}");
        let on_it = format!("If-Match: \"{}\"", post(addr, &topic, "0"));
        let racing = |_| {
            let (topic, on_it) = (topic.clone(), on_it.clone());
            thread::spawn(move || request(addr, "POST", &topic, &[&on_it], b"1").status)
        };
        let racers: Vec<_> = (0..4).map(racing).collect();
        let mut statuses: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412, 412, 412]);
    }
}

#[test]
fn nobody_is_shown_an_event_once_it_is_erased() {
    let server = Server::start();
    for n in 0..20 {
        let id = post(server.addr, "/topics/a", n.to_string());
        let target = format!("/events/{id}");
        let erased = request(server.addr, "DELETE", &target, &[], b"");
        assert_eq!((erased.status, erased.text().as_str()), (204, ""));
        let page = get_json(server.addr, "/topics/a?last=9");
        assert_eq!(page["events"].as_array().unwrap().len(), 0);
        let stream = get(server.addr, "/topics/a?since=1h&wait=0", &[]).text();
        assert!(!stream.contains("data: 1") && stream.contains("eventwall:tick"), "{stream}");
        assert_eq!(request(server.addr, "DELETE", &target, &[], b"").status, 404);
    }
    let kept = Follower::start(server.addr, "/topics/a?since=1h", &[]);
    let seen = kept.wait("live", |seen| seen.told().contains(&"live"));
    assert_eq!(seen.told(), ["tick", "live"], "an erasure is no gap");
}
