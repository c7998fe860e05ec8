//! What is published, in every format, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Connection, Follower, Server, get_json, post, request, until};

#[test]
fn a_published_event_has_an_id_and_reaches_everyone_alike() {
    let server = Server::start();
    let stream = Follower::start(server.addr, "/topics/a", &[]);
    let many = Follower::start(server.addr, "/events?topic=a&topic=b", &[]);
    let json = Follower::start(server.addr, "/topics/a?as=json", &[]);
    for follower in [&stream, &many, &json] {
        follower.wait("the first tick", |seen| !seen.events.is_empty());
    }
    let id = post(server.addr, "/topics/a?event=ping", "hello");
    let seen = stream.wait_for("hello");
    let event = seen.messages().next().unwrap().clone();
    assert_eq!((&*event.event, &*event.last_event_id, event.topic), ("ping", &*id, None));
    let seen = many.wait_for("hello");
    let event = seen.messages().next().unwrap();
    assert_eq!((&event.last_event_id, event.topic.as_deref()), (&id, Some("a")));
    let seen = json.wait("an event", |seen| seen.messages().count() == 1);
    let object: serde_json::Value = serde_json::from_str(seen.data()[0]).unwrap();
    let page = get_json(server.addr, "/topics/a?last=9");
    assert_eq!(page["events"][0], object);
    assert_eq!((&object["id"], &object["topic"]), (&id.as_str().into(), &"a".into()));
    assert_eq!((&object["event"], &object["data"]), (&"ping".into(), &"hello".into()));
}

#[test]
fn the_body_is_the_data_whatever_its_type() {
    let server = Server::start();
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    for (body, data) in [
        (&b"hello"[..], "hello"),
        (b"", ""),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        ("é😀\0\u{feff}".as_bytes(), "é😀\0\u{feff}"),
        (b"data: no field\n\n", "data: no field\n\n"),
    ] {
        let response = request(server.addr, "POST", "/topics/a", &form, body);
        assert_eq!(response.status, 201);
        let page = get_json(server.addr, "/topics/a?last=1");
        assert_eq!(page["events"][0]["data"], data);
        let follower = Follower::start(server.addr, "/topics/a?last=1", &[]);
        let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
        assert_eq!(seen.data(), [data]);
    }
}

#[test]
fn conditions_and_keys() {
    let server = Server::start();
    let send = |topic: &str, header: &str, body: &str| {
        request(server.addr, "POST", &format!("/topics/{topic}"), &[header], body.as_bytes())
    };
    let first = send("a", "If-None-Match: *", "1");
    assert_eq!(first.status, 201);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let refused = send("a", "If-None-Match: *", "2");
    assert_eq!((refused.status, refused.header("etag")), (412, Some(&*format!("\"{id}\""))));
    assert_eq!(send("a", &format!("If-Match: \"{id}\""), "3").status, 201);
    assert_eq!(send("a", &format!("If-Match: {id}"), "4").status, 412);
    let once = send("b", "Idempotency-Key: k", "x");
    let again = send("b", "Idempotency-Key: k", "x");
    assert_eq!((again.status, again.json()), (201, once.json()));
    assert_eq!(send("b", "Idempotency-Key: k", "y").status, 422);
    assert_eq!(get_json(server.addr, "/topics/b?last=9")["events"].as_array().unwrap().len(), 1);
}

fn data_of(server: &Server, topic: &str) -> Vec<String> {
    let page = get_json(server.addr, &format!("/topics/{topic}?last=1000"));
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_batch_is_written_as_one_unit() {
    let server = Server::start();
    let nd = "Content-Type: application/x-ndjson; charset=utf-8";
    let lines = "{\"data\":\"1\"}\r\n\n{\"data\":\"2\",\"event\":\"ping\",\"id\":\"ignored\"}\n{\"data\":\"3\\n4\"}";
    let batch = |headers: &[&str], target: &str, body: &str| {
        let response = request(server.addr, "POST", target, headers, body.as_bytes());
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()["ids"].as_array().unwrap().clone()
    };
    let ids = batch(&[nd, "Idempotency-Key: k"], "/topics/a", lines);
    let page = get_json(server.addr, "/topics/a?last=9");
    let events = page["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>(), ids);
    assert_eq!(data_of(&server, "a"), ["1", "2", "3\n4"]);
    assert_eq!(events[1]["event"], "ping");
    assert_eq!(
        batch(&[nd, "Idempotency-Key: k"], "/topics/a", lines),
        ids,
        "a repeat publishes nothing"
    );
    assert_eq!(data_of(&server, "a").len(), 3);
    let many = "{\"topic\":\"b\",\"data\":\"x\"}\n{\"topic\":\"c\",\"data\":\"y\"}\n";
    assert_eq!(batch(&[nd], "/events", many).len(), 2);
    assert_eq!(
        (data_of(&server, "b"), data_of(&server, "c")),
        (vec!["x".into()], vec!["y".into()])
    );
}

#[test]
fn a_streamed_body_is_published_as_it_arrives() {
    let server = Server::start();
    let mut connection = Connection::open(server.addr).unwrap();
    let host = server.addr;
    connection.send(format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")).unwrap();
    let follower = Follower::start(server.addr, "/topics/a?last=9", &[]);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    connection.send(chunk("retry: 5\n\n: hi\n\nid: up-1\nevent: pi")).unwrap();
    connection.send(chunk("ng\ndata: 1\n\n")).unwrap();
    follower.wait_for("1");
    connection
        .send(chunk("event: eventwall:tick\ndata: \n\ntopic: elsewhere\ndata: 2\n\ndata: cut off"))
        .unwrap();
    follower.wait_for("2");
    connection.send("0\r\n\r\n").unwrap();
    let answer = connection.response().unwrap();
    assert_eq!((answer.status, &answer.json()["count"]), (201, &2.into()));
    let page = get_json(server.addr, "/topics/a?last=9");
    assert_eq!(
        (&answer.json()["first"], &answer.json()["last"]),
        (&page["events"][0]["id"], &page["events"][1]["id"])
    );
    assert_eq!(data_of(&server, "a"), ["1", "2"]);
}

/// A publisher that was cut off half-way repeats the whole request.
#[test]
fn a_repeated_stream_publishes_only_the_rest() {
    let server = Server::start();
    let headers = ["Content-Type: text/event-stream", "Idempotency-Key: k"];
    let send = |body: &str| request(server.addr, "POST", "/topics/a", &headers, body.as_bytes());
    assert_eq!(send("data: 1\n\ndata: 2\n\ndata: 3").json()["count"], 2);
    assert_eq!(send("data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n").json()["count"], 4);
    assert_eq!(data_of(&server, "a"), ["1", "2", "3", "4"]);
    let other = send("data: 1\n\ndata: other\n\n");
    assert_eq!((other.status, &other.json()["count"]), (422, &1.into()), "{}", other.text());
}

#[test]
fn an_html_form_publishes_and_sends_the_browser_back() {
    let server = Server::start();
    let form = |data: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{data}\r\n--b\r\nContent-Disposition: form-data; name=\"event\"\r\n\r\nping\r\n--b--\r\n"
        )
    };
    let send = |headers: &[&str]| {
        let headers = [&["Content-Type: multipart/form-data; boundary=b"], headers].concat();
        request(server.addr, "POST", "/topics/a", &headers, form("a\r\nb").as_bytes())
    };
    let plain = send(&[]);
    assert_eq!(plain.status, 201);
    let page = get_json(server.addr, "/topics/a?last=1");
    assert_eq!(
        (&page["events"][0]["data"], &page["events"][0]["event"]),
        (&"a\nb".into(), &"ping".into())
    );
    let html = "Accept: text/html,application/xhtml+xml";
    let referer = format!("Referer: http://{}/my/page?x=1", server.addr);
    let back = send(&[html, &referer]);
    assert_eq!((back.status, back.header("location")), (303, Some("/my/page?x=1")));
    let foreign = send(&[html, "Referer: http://evil.example/x"]);
    assert_eq!((foreign.status, foreign.header("location")), (303, Some("/")));
}

#[test]
fn an_ephemeral_event_reaches_who_is_live_and_is_nowhere_else() {
    let server = Server::start();
    let live = Follower::start(server.addr, "/topics/a", &[]);
    let many = Follower::start(server.addr, "/events?topic=*&as=json", &[]);
    let before = get_json(server.addr, "/topics/a")["cursor"].clone();
    let send = || request(server.addr, "POST", "/topics/a?ephemeral&event=typing", &[], b"row 2");
    // Until both are live, nobody is promised anything.
    until("it is seen", || {
        assert_eq!(send().status, 202);
        [&live, &many].iter().all(|follower| follower.seen().messages().count() > 0)
    });
    let seen = live.wait_for("row 2");
    let event = seen.messages().next().unwrap();
    assert_eq!((&*event.event, event.last_event_id.as_str().into()), ("typing", before.clone()));
    assert_eq!(many.seen().data()[0], r#"{"data":"row 2","event":"typing","topic":"a"}"#);
    assert_eq!(get_json(server.addr, "/topics/a")["cursor"], before);
    assert_eq!(data_of(&server, "a"), Vec::<String>::new());
    let keyed = request(server.addr, "POST", "/topics/a?ephemeral", &["Idempotency-Key: k"], b"x");
    assert_eq!(keyed.status, 400);
}

#[test]
fn an_erased_event_is_gone_for_every_reader() {
    let server = Server::start();
    let ids: Vec<_> = (0..3).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let erase = |id: &str| request(server.addr, "DELETE", &format!("/events/{id}"), &[], b"");
    assert_eq!(erase(&ids[1]).status, 204);
    assert_eq!(erase(&ids[1]).status, 404, "it is gone");
    assert_eq!(data_of(&server, "a"), ["0", "2"]);
    let told = |server: &Server| {
        let header = format!("Last-Event-ID: {}", ids[0]);
        let follower = Follower::start(server.addr, "/topics/a", &[&header]);
        follower.wait("live", |seen| seen.told().contains(&"live")).told().join(" ")
    };
    until("every window has dropped it", || told(&server) == "tick 2 live");
    let mut server = server;
    server.kill();
    server.restart();
    assert_eq!(
        (data_of(&server, "a").join(" "), told(&server)),
        ("0 2".into(), "tick 2 live".into())
    );
    let after = post(server.addr, "/topics/a", "3");
    assert_eq!(request(server.addr, "DELETE", &format!("/events/{after}"), &[], b"").status, 204);
}
