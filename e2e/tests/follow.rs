//! What is followed: streams, starts, patterns, long-polling, pages, and pages of other
//! origins.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Connection, Follower, Server, Setup, get, get_json, post, request, until};

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
fn presence_counts_who_follows_a_topic_by_name() {
    let server = Server::start();
    let count = |topic: &str| {
        let answer = get_json(server.addr, &format!("/presence?topic={topic}&topic=nobody"));
        assert_eq!(answer["presence"]["nobody"], 0);
        answer["presence"][topic].clone()
    };
    assert_eq!(count("a"), 0);
    let one = Follower::start(server.addr, "/topics/a", &[]);
    let two = Follower::start(server.addr, "/events?topic=a&topic=b", &[]);
    let _pattern = Follower::start(server.addr, "/events?topic=*", &[]);
    until("both are there", || (count("a"), count("b")) == (2.into(), 1.into()));
    drop(two);
    until("one has gone", || (count("a"), count("b")) == (1.into(), 0.into()));
    drop(one);
    until("the other, too", || count("a") == 0);
    let many: String = (0..101).map(|n| format!("topic={n}&")).collect();
    for query in ["", "?topic=", "?topic=a/*", "?topic=a//b", &format!("?{many}")] {
        let answer = get(server.addr, &format!("/presence{query}"), &[]);
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}
