//! The HTTP surface over raw sockets: what is published, followed and paged, and what is
//! refused, with which words.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use eventwall_testkit::{Connection, Follower, Server, Setup, get, get_json, post, request};

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
fn a_stream_begins_at_once_with_a_tick() {
    let server = Server::start();
    let mut connection = Connection::open(server.addr).unwrap();
    let host = server.addr;
    connection
        .send(format!(
            "GET /topics/a HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
        ))
        .unwrap();
    let head = connection.head().unwrap();
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("vary", "Accept, Origin"),
        ("x-accel-buffering", "no"),
        ("eventwall-heartbeat", "15"),
    ] {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    let first = String::from_utf8(connection.chunk().unwrap().unwrap()).unwrap();
    let cursor = get_json(server.addr, "/topics/a")["cursor"].as_str().unwrap().to_owned();
    assert_eq!(first, format!("id: {cursor}\nevent: eventwall:tick\ndata: \n\n"));
}

#[test]
fn the_first_start_that_is_there_wins() {
    let server = Server::start();
    let ids: Vec<_> = (0..5).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let told = |query: String, header: &str| {
        let header = format!("Last-Event-ID: {header}");
        let headers: &[&str] = if header.ends_with(' ') { &[] } else { &[&header] };
        let follower = Follower::start(server.addr, &format!("/topics/a?{query}"), headers);
        let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
        seen.told().join(" ")
    };
    assert_eq!(told(format!("lastEventId={}", ids[1]), ""), "tick 2 3 4 live");
    assert_eq!(told(format!("lastEventID={}", ids[2]), ""), "tick 3 4 live");
    assert_eq!(told(format!("last_event_id={}&x=y&r=0.123", ids[3]), ""), "tick 4 live");
    assert_eq!(told(format!("lastEventId={}&lastEventId={}", ids[0], ids[3]), ""), "tick 4 live");
    assert_eq!(told(format!("lastEventId=&after={}", ids[3]), ""), "tick 4 live");
    assert_eq!(told(format!("after={}&last=5", ids[3]), ""), "tick 4 live");
    assert_eq!(told("last=2".into(), ""), "tick 3 4 live");
    assert_eq!(told("last=0".into(), ""), "tick live");
    assert_eq!(told(format!("after={}&last=5", ids[0]), &ids[3]), "tick 4 live");
}

#[test]
fn a_malformed_resume_is_a_gap_and_a_malformed_after_an_error() {
    let server = Server::start();
    post(server.addr, "/topics/a", "still there");
    for target in ["/topics/a?lastEventId=rubbish", "/topics/a?lastEventId=%ff%zz"] {
        let follower = Follower::start(server.addr, target, &[]);
        let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
        assert_eq!(seen.told(), ["gap", "tick", "still there", "live"], "{target}");
        assert!(seen.events[0].data.contains(r#""reason":"unknown""#));
    }
    let bad = get(server.addr, "/topics/a?after=rubbish", &[]);
    assert_eq!((bad.status, bad.json()["status"].as_u64()), (400, Some(400)));
    assert!(bad.json()["detail"].as_str().unwrap().contains("k3x9v0qa-1042"), "{}", bad.text());
}

/// Every kind of bad request gets a clear answer and changes nothing.
#[test]
fn bad_input_is_refused_with_words_and_changes_nothing() {
    let server = Setup::default().arg("--max-body").arg("1000").start();
    let before = get_json(server.addr, "/topics/a")["cursor"].clone();
    let check = |status, method: &str, target: &str, headers: &[&str], body: &[u8], words: &str| {
        let response = request(server.addr, method, target, headers, body);
        let what = format!("{method} {target} {headers:?}: {}", response.text());
        assert_eq!(response.status, status, "{what}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{what}");
        let problem = response.json();
        assert_eq!(problem["status"], status, "{what}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{what}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{what}");
        response
    };
    let long = format!("/topics/{}", "x".repeat(1025));
    for (target, words) in [
        ("/topics", "empty"),
        ("/topics/", "empty"),
        ("/topics/a/", "empty segment"),
        ("/topics//a", "empty segment"),
        ("/topics/a//b", "empty segment"),
        ("/topics/a%2F%2Fb", "empty segment"),
        ("/topics/a/../b", "`..`"),
        ("/topics/%2e", "`.`"),
        ("/topics/a/*", "many topics"),
        ("/topics/**", "many topics"),
        ("/topics/a%0Ab", "U+000A"),
        ("/topics/a%00", "U+0000"),
        ("/topics/a%C2%85", "U+0085"),
        ("/topics/a%ff", "UTF-8"),
        ("/topics/a%zz", "hexadecimal"),
        ("/topics/a%", "hexadecimal"),
        (&long, "1025 bytes"),
    ] {
        check(400, "POST", target, &[], b"x", words);
        check(400, "GET", target, &[], b"", words);
    }
    for (target, words) in [
        ("/topics/a?event=a%0Ab", "U+000A"),
        ("/topics/a?event=a%0Db", "U+000D"),
        ("/topics/a?event=a%00b", "U+0000"),
        ("/topics/a?event=eventwall:tick", "Eventwall's own"),
        ("/topics/a?event=%ff", "UTF-8"),
        ("/topics/a?event=%", "hexadecimal"),
    ] {
        check(400, "POST", target, &[], b"x", words);
    }
    let name = format!("/topics/a?event={}", "n".repeat(257));
    check(400, "POST", &name, &[], b"x", "257 bytes");
    check(400, "POST", "/topics/a", &[], b"\xff\xfe", "not UTF-8");
    check(413, "POST", "/topics/a", &[], &[b'x'; 1001], "larger than 1000 bytes");
    check(403, "POST", "/topics/$private/x", &[], b"x", "hub's own");
    check(403, "GET", "/topics/$private/x", &[], b"", "hub's own");
    let nd = "Content-Type: application/x-ndjson";
    let good = r#"{"data":"fine"}"#;
    for (body, words) in [
        ("", "no line"),
        ("\n \n", "no line"),
        (&format!("{good}\nrubbish"), "line 2: "),
        (&format!("{good}\n{{\"data\":5}}"), "line 2: "),
        (&format!("{good}\n{{}}"), "line 2: missing field `data`"),
        (&format!("{good}\n\n{{\"data\":\"x\",\"event\":\"eventwall:x\"}}"), "line 3: event names"),
    ] {
        check(400, "POST", "/topics/a", &[nd], body.as_bytes(), words);
    }
    let large = format!("{good}\n{{\"data\":\"{}\"}}", "x".repeat(1001));
    check(413, "POST", "/topics/a", &[nd], large.as_bytes(), "line 2: the event is larger");
    check(
        413,
        "POST",
        "/topics/a",
        &[nd],
        format!("{good}\n").repeat(10_001).as_bytes(),
        "10000 events",
    );
    check(400, "POST", "/events", &[nd], good.as_bytes(), "line 1: it names no");
    check(400, "POST", "/events", &[nd], br#"{"topic":"a//b","data":"x"}"#, "line 1: the topic");
    check(403, "POST", "/events", &[nd], br#"{"topic":"$x","data":"x"}"#, "line 1: $x");
    check(
        400,
        "POST",
        "/events",
        &[nd, "If-None-Match: *"],
        br#"{"topic":"a","data":"x"}"#,
        "one topic",
    );
    check(415, "POST", "/events", &[], b"x", "application/x-ndjson");
    check(413, "POST", "/topics/a", &[nd], &vec![b' '; (16 << 20) + 1], "larger than");
    let form = "Content-Type: multipart/form-data; boundary=b";
    check(400, "POST", "/topics/a", &["Content-Type: multipart/form-data"], b"x", "the form");
    check(400, "POST", "/topics/a", &[form], b"--b--\r\n", "no field `data`");
    let stream = "Content-Type: text/event-stream";
    check(400, "POST", "/topics/a", &[stream, "If-None-Match: *"], b"data: x\n\n", "one event");
    let large = format!("data: {}\n\n", "x".repeat(1001));
    check(413, "POST", "/topics/a", &[stream], large.as_bytes(), "larger than 1000");
    check(400, "DELETE", "/events/rubbish", &[], b"", "k3x9v0qa-1042");
    check(404, "DELETE", "/events/k3x9v0qa-1042", &[], b"", "no event");
    check(400, "POST", "/topics/a", &["If-Match: rubbish"], b"x", "If-Match");
    check(400, "POST", "/topics/a", &["If-None-Match: rubbish"], b"x", "If-None-Match");
    let key = format!("Idempotency-Key: {}", "k".repeat(256));
    check(400, "POST", "/topics/a", &[&key], b"x", "Idempotency-Key");
    check(400, "GET", "/topics/a?last=many", &[], b"", "`last`");
    check(400, "GET", "/topics/a?last=-1", &[], b"", "`last`");
    check(400, "GET", "/topics/a?last=99999", &[], b"", "from 0 to 10000");
    check(400, "GET", "/topics/a?limit=9999", &["Accept: application/json"], b"", "`limit`");
    check(400, "GET", "/topics/a?before=x", &["Accept: application/json"], b"", "`before`");
    check(400, "GET", "/topics/a?since=yesterday", &[], b"", "`since`");
    check(400, "GET", "/topics/a?wait=forever", &[], b"", "`wait`");
    check(400, "GET", "/topics/a?padding=99999999", &[], b"", "`padding`");
    check(400, "GET", "/events", &[], b"", "name the topics");
    check(400, "GET", "/events?topic=", &[], b"", "empty");
    check(400, "GET", "/events?topic=a&topic=%zz", &[], b"", "hexadecimal");
    check(400, "GET", "/events?topic=a/**/b", &[], b"", "last segment");
    check(403, "GET", "/events?topic=$private/*", &[], b"", "no pattern");
    let many: String = (0..101).map(|n| format!("topic=t{n}&")).collect();
    check(400, "GET", &format!("/events?{many}"), &[], b"", "101 topics");
    check(404, "GET", "/nothing/here", &[], b"", "/nothing/here");
    for (target, words) in [
        ("/walls/%ff", "the wall"),
        ("/walls/%zz", "the wall"),
        ("/walls/a%2Fb", "a wall"),
        ("/walls/a%00", "U+0000"),
    ] {
        check(400, "GET", target, &[], b"", words);
        for command in ["posts", "samples"] {
            check(400, "POST", &format!("{target}/{command}"), &[], b"{}", words);
        }
    }
    check(404, "GET", "/assets/%ff/x", &[], b"", "reload");
    check(404, "GET", "/assets/a/%ff", &[], b"", "reload");
    for target in ["/events", "/events?topic=%zz", "/topics/a?after=zz", "/topics/a%zz"] {
        let head = request(server.addr, "HEAD", target, &[], b"");
        assert_eq!(head.status, 400, "HEAD {target} as GET");
    }
    check(
        400,
        "GET",
        "/topics/a",
        &["Host: localhost", "Host: localhost"],
        b"",
        "more than one Host",
    );
    for (method, target, allow) in
        [("PUT", "/topics/a", "POST"), ("DELETE", "/events", "GET"), ("POST", "/healthz", "GET")]
    {
        let response = check(405, method, target, &[], b"", method);
        assert!(response.header("allow").unwrap().contains(allow));
    }
    check(403, "GET", "/topics/a", &["Host: evil.example"], b"", "--allow-host evil.example");
    check(
        403,
        "POST",
        "/topics/a",
        &["Origin: https://evil.example"],
        b"x",
        "--cors-origin https://evil.example",
    );
    check(403, "POST", "/topics/a", &["Origin: null"], b"x", "null");
    let after = get_json(server.addr, "/topics/a")["cursor"].clone();
    assert_eq!(after, before, "something was published");
}

#[test]
fn a_chunked_body_meets_the_limit_too() {
    let server = Setup::default().arg("--max-body").arg("1000").start();
    let mut connection = Connection::open(server.addr).unwrap();
    let host = server.addr;
    connection
        .send(format!(
            "POST /topics/a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .unwrap();
    for _ in 0..3 {
        let _ = connection.send(format!("1f4\r\n{}\r\n", "x".repeat(500)));
    }
    assert_eq!(connection.response().unwrap().status, 413);
}

#[test]
fn pages_walk_the_topic_in_both_directions() {
    let server = Server::start();
    let ids: Vec<_> = (0..25).map(|n| post(server.addr, "/topics/a", n.to_string())).collect();
    let data = |page: &serde_json::Value| {
        let events = page["events"].as_array().unwrap().iter();
        events
            .map(|event| event["data"].as_str().unwrap().parse::<usize>().unwrap())
            .collect::<Vec<_>>()
    };
    let page = get_json(server.addr, &format!("/topics/a?after={}&limit=10", ids[4]));
    assert_eq!((data(&page), &page["more"]), ((5..15).collect(), &true.into()));
    let cursor = page["cursor"].as_str().unwrap();
    let page = get_json(server.addr, &format!("/topics/a?after={cursor}"));
    assert_eq!((data(&page), &page["more"]), ((15..25).collect(), &false.into()));
    let page = get_json(server.addr, "/topics/a?last=10");
    assert_eq!((data(&page), &page["more"]), ((15..25).collect(), &true.into()));
    assert_eq!(page["cursor"], ids[24].as_str());
    let page = get_json(server.addr, &format!("/topics/a?before={}&last=10", ids[15]));
    assert_eq!((data(&page), &page["more"]), ((5..15).collect(), &true.into()));
    let page = get_json(server.addr, &format!("/topics/a?before={}&last=10", ids[5]));
    assert_eq!((data(&page), &page["more"]), ((0..5).collect(), &false.into()));
    post(server.addr, "/topics/b", "elsewhere");
    let page = get_json(server.addr, &format!("/topics/a?after={}", ids[24]));
    assert!(data(&page).is_empty() && page["cursor"] != ids[24].as_str(), "an empty page moves on");
    let now = get_json(server.addr, "/topics/a");
    assert_eq!((data(&now).len(), &now["cursor"]), (0, &page["cursor"]), "no start is now");
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
    eventwall_testkit::until("it is seen", || {
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
    eventwall_testkit::until("every window has dropped it", || told(&server) == "tick 2 live");
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

#[test]
fn head_names_the_last_event_and_ends() {
    let server = Server::start();
    let head = |target: &str| request(server.addr, "HEAD", target, &[], b"");
    assert_eq!(head("/topics/a").header("etag"), None);
    let id = post(server.addr, "/topics/a", "x");
    let response = head("/topics/a");
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let etag = format!("\"{id}\"");
    assert_eq!(response.header("etag"), Some(&*etag));
    let on_it = format!("If-Match: {etag}");
    assert_eq!(request(server.addr, "POST", "/topics/a", &[&on_it], b"y").status, 201);
    assert_eq!(head("/events?topic=a").status, 200);
    let page = request(server.addr, "HEAD", "/topics/a", &["Accept: application/json"], b"");
    assert_eq!(
        (page.header("content-type"), page.header("cache-control")),
        (Some("application/json"), Some("no-store"))
    );
    // What is erased keeps its place: conditions and `ETag` agree.
    let other = post(server.addr, "/topics/b", "x");
    assert_eq!(request(server.addr, "DELETE", &format!("/events/{other}"), &[], b"").status, 204);
    let etag = head("/topics/b").header("etag").unwrap().to_owned();
    assert_eq!(
        request(server.addr, "POST", "/topics/b", &[&format!("If-Match: {etag}")], b"y").status,
        201
    );
    assert_eq!(head("/topics/a//b").status, 400);
}

#[test]
fn patterns_follow_topics_that_exist_and_that_will() {
    let server = Server::start();
    for name in ["rooms/1", "rooms/2", "rooms/2/doors", "halls/1"] {
        post(server.addr, &format!("/topics/{name}"), name);
    }
    let told = |query: &str| {
        let follower = Follower::start(server.addr, &format!("/events?{query}&last=1"), &[]);
        follower.wait("live", |seen| seen.told().contains(&"live")).data().join(" ")
    };
    assert_eq!(told("topic=rooms/*"), "rooms/1 rooms/2");
    assert_eq!(told("topic=rooms/**"), "rooms/1 rooms/2 rooms/2/doors");
    assert_eq!(told("topic=*/1&topic=rooms%2F2"), "rooms/1 rooms/2 halls/1");
    let all = Follower::start(server.addr, "/events?topic=**", &[]);
    all.wait("the first tick", |seen| !seen.events.is_empty());
    post(server.addr, "/topics/made/later", "later");
    let seen = all.wait_for("later");
    assert_eq!(seen.messages().next().unwrap().topic.as_deref(), Some("made/later"));
}

#[test]
fn a_start_by_time() {
    let server = Server::start();
    post(server.addr, "/topics/a", "x");
    let told = |since: &str| {
        let follower = Follower::start(server.addr, &format!("/topics/a?since={since}"), &[]);
        follower.wait("live", |seen| seen.told().contains(&"live")).told().join(" ")
    };
    assert_eq!(told("10m"), "tick x live");
    assert_eq!(told("2011-09-01T00:00:00Z"), "tick x live");
    assert_eq!(told("2999-01-01T00:00:00Z"), "tick live");
    let page = get_json(server.addr, "/topics/a?since=1h");
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
}

#[test]
fn long_polling_in_all_its_forms() {
    let server = Server::start();
    let addr = server.addr;
    let first = post(addr, "/topics/a", "0");
    // Each is asked before its event is published, and ends with it.
    let asking = |target: String, headers: &'static [&'static str]| {
        let asked = std::thread::spawn(move || get(addr, &target, headers));
        move |data: &str| {
            post(addr, "/topics/a", data);
            asked.join().unwrap()
        }
    };
    let id =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("id: ").map(str::to_owned));
    let json =
        asking(format!("/topics/a?after={first}&wait=20"), &["Accept: application/json"])("1");
    let page = json.json();
    assert_eq!(page["events"][0]["data"], "1");
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    let stream =
        asking(format!("/topics/a?lastEventId={cursor}&wait=20&padding=2048"), &[])("2").text();
    assert!(
        stream.starts_with(":  ") && stream.find("id: ").unwrap() == 2048,
        "padding first, no tick"
    );
    assert!(stream.contains("data: 2\n") && !stream.contains("eventwall:"), "{stream}");
    let cursor = id(&stream).unwrap();
    let polyfill = asking(
        format!("/topics/a?lastEventId={cursor}"),
        &["X-Requested-With: XMLHttpRequest"],
    )("3")
    .text();
    assert!(polyfill.contains("data: 3\n") && !polyfill.contains("eventwall:"), "{polyfill}");
    let nothing = get(addr, "/topics/a?wait=1", &[]).text();
    assert!(nothing.contains("eventwall:tick") && id(&nothing) == id(&polyfill), "{nothing}");
    let nothing = get(addr, "/topics/a?wait=1", &["Accept: application/json"]).json();
    assert_eq!(nothing["events"].as_array().unwrap().len(), 0);
}

#[test]
fn pages_of_configured_origins_may_read_and_publish() {
    let server = Setup::default().arg("--cors-origin").arg("https://app.example").start();
    let origin = "Origin: https://app.example";
    let preflight = request(
        server.addr,
        "OPTIONS",
        "/topics/a",
        &[
            origin,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: last-event-id",
        ],
        b"",
    );
    let header = |name| preflight.header(name).unwrap_or_default().to_ascii_lowercase();
    assert_eq!(preflight.status, 200);
    assert_eq!(header("access-control-allow-origin"), "https://app.example");
    assert_eq!(header("access-control-allow-credentials"), "true");
    assert!(header("access-control-allow-headers").contains("last-event-id"));
    assert!(header("access-control-allow-methods").contains("post"));
    let mut stream = Connection::open(server.addr).unwrap();
    stream
        .send(format!("GET /topics/a HTTP/1.1\r\nHost: {}\r\n{origin}\r\n\r\n", server.addr))
        .unwrap();
    let head = stream.head().unwrap();
    assert_eq!(head.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(head.header("access-control-expose-headers").unwrap().contains("eventwall-heartbeat"));
    let other = get(server.addr, "/healthz", &["Origin: https://other.example"]);
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
    let local = get(server.addr, "/healthz", &["Origin: http://localhost:3000"]);
    assert_eq!((local.status, local.header("access-control-allow-origin")), (200, None));
}

#[test]
fn probes_answer() {
    let server = Server::start();
    assert_eq!(get(server.addr, "/healthz", &[]).text(), "ok\n");
    assert_eq!(get(server.addr, "/readyz", &[]).text(), "ready\n");
}

/// The value of a metric, labels included in its name; 0 if it is not there yet.
fn metric(server: &Server, name: &str) -> f64 {
    let text = get(server.addr, "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0.0)
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start();
    let followers: Vec<_> =
        (0..3).map(|_| Follower::start(server.addr, "/topics/a", &[])).collect();
    for follower in &followers {
        follower.wait("the first tick", |seen| !seen.events.is_empty());
    }
    assert!(
        metric(&server, "eventwall_subscribers ") >= 3.0
            && metric(&server, "eventwall_connections ") >= 4.0
    );
    let id = post(server.addr, "/topics/a", "x");
    followers.iter().for_each(|follower| drop(follower.wait_for("x")));
    assert_eq!(metric(&server, "eventwall_published_events_total "), 1.0);
    assert_eq!(metric(&server, "eventwall_delivered_events_total "), 3.0);
    assert!(metric(&server, "eventwall_delivered_bytes_total ") > 3.0 * 20.0);
    assert_eq!(metric(&server, "eventwall_delivery_lag_seconds_count "), 3.0);
    assert!(metric(&server, "eventwall_log_bytes ") > 64.0);
    assert_eq!(
        metric(&server, "eventwall_log_end_position ").to_string(),
        id.split('-').nth(1).unwrap()
    );
    let gap = Follower::start(server.addr, "/topics/a?lastEventId=rubbish", &[]);
    gap.wait("a gap", |seen| seen.told().contains(&"gap"));
    assert_eq!(metric(&server, "eventwall_gaps_total{reason=\"unknown\"} "), 1.0);
    assert_eq!(get(server.addr, "/nowhere", &[]).status, 404);
    assert_eq!(metric(&server, "eventwall_refusals_total{status=\"404\"} "), 1.0);
    drop((followers, gap));
    eventwall_testkit::until("the subscribers are gone", || {
        metric(&server, "eventwall_subscribers ") == 0.0
    });
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let server = Server::start();
    let follower = Follower::start(server.addr, "/topics/a?lastEventId=rubbish", &[]);
    follower.wait("a gap", |seen| seen.told().contains(&"gap"));
    assert_eq!(get(server.addr, "/nowhere", &[]).status, 404);
    let text = get(server.addr, "/metrics", &[]).text();
    let family = |name: &str| name.split('{').next().unwrap().trim_end_matches("_total").to_owned();
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| family(line.split(' ').next().unwrap()))
        .collect();
    let document = include_str!("../../docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows.map(|row| family(row.split('`').next().unwrap())).collect();
    assert_eq!(served, documented);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_wall_takes_posts_from_its_visitors_only() {
    let server = Server::start();
    let page = get(server.addr, "/walls/test", &[]);
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let host = format!("Origin: http://{}", server.addr);
    let json = "Content-Type: application/json";
    let send = |headers: &[&str], body: &str| {
        request(server.addr, "POST", "/walls/test/posts", headers, body.as_bytes())
    };
    let cookie = format!("Cookie: {cookie}");
    let posted = send(
        &[json, &host, &cookie],
        r#"{"kind":"status","msg":"hi","name":"Row 2","by":"forged","from":"forged"}"#,
    );
    assert_eq!((posted.status, &posted.json()["name"]), (201, &"Row 2".into()));
    let event = get_json(server.addr, "/topics/walls/test?last=1")["events"][0].clone();
    assert_eq!(event["data"], r#"{"from":"Row 2","msg":"hi"}"#);
    assert!(event["by"].as_str().unwrap().starts_with("visitor:"));
    for (status, headers, body, words) in [
        (422, &[json][..], r#"{"kind":"status","msg":""}"#, "empty"),
        (422, &[json], r#"{"kind":"nonsense"}"#, "nonsense"),
        (400, &[json], r#"{"kind":"#, "no post"),
        (415, &["Content-Type: text/plain"], "{}", "application/json"),
        (
            403,
            &[json, "Origin: http://localhost:1"],
            r#"{"kind":"status","msg":"x"}"#,
            "may not post",
        ),
    ] {
        let response = send(headers, body);
        assert_eq!(response.status, status, "{}", response.text());
        assert!(response.text().contains(words), "{}", response.text());
    }
    let too_long = format!(r#"{{"kind":"status","msg":"{}"}}"#, "x".repeat(2001));
    let response = send(&[json], &too_long);
    assert_eq!((response.status, &response.json()["field"]), (422, &"msg".into()));
    let refused = request(server.addr, "POST", "/walls/test/samples", &[], b"");
    assert_eq!(refused.status, 409, "the wall has a post");
    assert_eq!(
        get_json(server.addr, "/topics/walls/test?last=9")["events"].as_array().unwrap().len(),
        1
    );
    assert_eq!(get(server.addr, "/walls/a%2Fb", &[]).status, 400);
}

#[test]
fn the_pages_files_are_kept_for_ever_under_their_hash() {
    let server = Server::start();
    let page = get(server.addr, "/", &[]).text();
    let script = page.split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let file = get(server.addr, &script, &[]);
    assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(file.header("content-type"), Some("text/javascript; charset=utf-8"));
    let old = script.replacen("/assets/", "/assets/0", 1);
    assert_eq!(get(server.addr, &old, &[]).status, 404);
}
