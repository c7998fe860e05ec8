//! Paths and query strings: what is decoded, what is ignored, what counts when it is said twice,
//! and how topics, patterns, ids, numbers and times are spelt. docs/protocol.md names each of
//! these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Server, get, get_json, post, request};

const JSON: &[&str] = &["Accept: application/json"];

fn data(server: &Server, target: &str) -> Vec<String> {
    let page = get_json(server.addr, target);
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_path_is_decoded_once() {
    let server = Server::start();
    for (path, topic) in [
        ("a/b", "a/b"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%61/b", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("%C3%A9", "é"),
        ("...", "..."),
        ("*a", "*a"),
        ("a%3Fb", "a?b"),
    ] {
        let id = post(server.addr, &format!("/topics/{path}"), path);
        let page = get_json(server.addr, &format!("/topics/{path}?last=1"));
        let event = &page["events"][0];
        assert_eq!((&event["topic"], &event["id"]), (&topic.into(), &id.into()), "{path}");
    }
}

#[test]
fn topics_are_compared_as_bytes() {
    let server = Server::start();
    let composed = post(server.addr, "/topics/%C3%A9", "composed");
    let decomposed = post(server.addr, "/topics/e%CC%81", "decomposed");
    assert_ne!(composed, decomposed);
    assert_eq!(data(&server, "/topics/%C3%A9?last=9"), ["composed"]);
    assert!(data(&server, "/topics/E%CC%81?last=9").is_empty(), "case matters");
    let longest = format!("/topics/{}", "%C3%A9".repeat(512));
    post(server.addr, &longest, "1024 bytes");
    assert_eq!(get(server.addr, &format!("{longest}x"), JSON).status, 400);
}

#[test]
fn a_topic_needs_no_making() {
    let server = Server::start();
    let page = get_json(server.addr, "/topics/never/seen?last=9");
    assert_eq!(page["events"], serde_json::json!([]));
    assert_eq!(page["more"], false);
    assert!(page.get("gap").is_none());
}

#[test]
fn a_query_is_decoded_once() {
    let server = Server::start();
    for (event, name) in [
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%252B", "a%2B"),
        ("=x", "=x"),
        ("%C3%A9", "é"),
        ("a;b", "a;b"),
    ] {
        post(server.addr, &format!("/topics/a?event={event}"), "x");
        let page = get_json(server.addr, "/topics/a?last=1");
        assert_eq!(page["events"][0]["event"], name, "{event}");
    }
    post(server.addr, "/topics/a?%65vent=x&&", "x");
    assert_eq!(get_json(server.addr, "/topics/a?last=1")["events"][0]["event"], "x");
}

#[test]
fn unknown_parameters_are_ignored_however_they_are_spelt() {
    let server = Server::start();
    post(server.addr, "/topics/a?r=0.5&jsonp=%zz&%ff=%ff&Event=x", "1");
    let page = get_json(server.addr, "/topics/a?r=0.5&LAST=x&%zz&last=1&_=%&Topic=");
    assert_eq!(
        (&page["events"][0]["data"], &page["events"][0]["event"]),
        (&"1".into(), &"message".into())
    );
    let many = get(server.addr, "/events?topic=a&topics=%zz&wait=0&Wait=9", &[]);
    assert_eq!(many.status, 200);
}

#[test]
fn parameters_that_do_not_apply_are_ignored() {
    let server = Server::start();
    post(server.addr, "/topics/a", "1");
    let page = get(server.addr, "/topics/a?last=1&padding=x&tick=x&as=json", JSON);
    assert_eq!(page.json()["events"][0]["data"], "1");
    let stream = get(server.addr, "/topics/a?last=1&wait=0&limit=x&before=x&as=xml&tick=x", &[]);
    assert!(stream.text().ends_with("data: 1\n\n"), "{}", stream.text());
    assert_eq!(request(server.addr, "POST", "/topics/a?last=x&wait=x", &[], b"2").status, 201);
}

#[test]
fn of_a_parameter_said_twice_the_last_counts() {
    let server = Server::start();
    for n in 0..3 {
        post(server.addr, &format!("/topics/a?event=x&event=n{n}"), n.to_string());
    }
    assert_eq!(get_json(server.addr, "/topics/a?last=1")["events"][0]["event"], "n2");
    assert_eq!(data(&server, "/topics/a?last=3&last=1"), ["2"]);
    assert_eq!(data(&server, "/topics/a?last=3&last=").len(), 0, "the last is empty: none");
    assert_eq!(
        get(server.addr, "/topics/a?last=%zz&last=1", JSON).status,
        400,
        "none is malformed"
    );
    post(server.addr, "/topics/b", "b");
    assert_eq!(
        data(&server, "/events?topic=a&topic=b&topic=a&last=1"),
        ["2", "b"],
        "topics add up"
    );
}

#[test]
fn topics_of_a_query_are_counted_once_each() {
    let server = Server::start();
    let names = |n: usize| (0..n).map(|n| format!("&topic=t{n}")).collect::<String>();
    let status = |query: &str| get(server.addr, &format!("/events?x{query}"), JSON).status;
    assert_eq!((status(&names(100)), status(&names(101))), (200, 400));
    assert_eq!(status(&(names(100) + &names(100))), 200);
    assert_eq!(status(&(names(99) + "&topic=p/*&topic=p/*")), 200);
    assert_eq!(status(&(names(99) + "&topic=p/*&topic=q/*")), 400, "patterns count too");
}

#[test]
fn what_is_malformed_is_refused_where_it_counts() {
    let server = Server::start();
    for target in [
        "/topics/a%",
        "/topics/a%4",
        "/topics/a%zz",
        "/topics/%ff",
        "/topics/%C3",
        "/topics/a%00",
        "/topics/a?after=%zz",
        "/topics/a?since=%ff",
        "/topics/a?last=%",
        "/topics/a?wait=%zz",
        "/topics/a?as=%ff",
        "/topics/a?tick=%",
        "/events?topic=a&topic=%ff",
    ] {
        assert_eq!(get(server.addr, target, &[]).status, 400, "{target}");
    }
    assert_eq!(get(server.addr, "/topics/a?lastEventId=%zz%ff&wait=0", &[]).status, 200);
}

#[test]
fn numbers_are_digits_within_their_bounds() {
    let server = Server::start();
    let status = |query: &str| get(server.addr, &format!("/topics/a?wait=0&{query}"), &[]).status;
    for good in ["last=0", "last=007", "last=10000", "padding=65536", "padding=0"] {
        assert_eq!(status(good), 200, "{good}");
    }
    for bad in ["last=10001", "last=%2B5", "last=-1", "last=1.0", "last=1e3", "padding=65537"] {
        assert_eq!(status(bad), 400, "{bad}");
    }
    assert_eq!((status("wait=301"), status("wait=0")), (400, 200));
    let page = |query: &str| get(server.addr, &format!("/topics/a?{query}"), JSON).status;
    assert_eq!((page("limit=1000"), page("limit=1001")), (200, 400));
    assert_eq!((page("last=1000"), page("last=1001")), (200, 400));
}

#[test]
fn a_time_has_any_offset_and_a_duration_any_units() {
    let server = Server::start();
    post(server.addr, "/topics/a", "x");
    let time = get_json(server.addr, "/topics/a?last=1")["events"][0]["time"].clone();
    let time = time.as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
    let local = &time[..23];
    for since in [time.to_owned(), time.to_lowercase(), "1m%201ms".into(), "1h30m".into()] {
        assert_eq!(data(&server, &format!("/topics/a?since={since}")), ["x"], "{since}");
    }
    // What the clock says at a place to the west is later than here, to the east earlier.
    for (offset, expected) in [("%2B00:00", 1), ("-00:00", 1), ("%2B00:01", 1), ("-00:01", 0)] {
        let found = data(&server, &format!("/topics/a?since={local}{offset}"));
        assert_eq!(found.len(), expected, "{offset}");
    }
    let seen =
        |offset: &str| data(&server, &format!("/topics/a?since=2999-01-01T00:00:00{offset}"));
    assert!(seen("Z").is_empty() && seen("%2B23:59").is_empty());
    for bad in ["soon", "-5m", "5", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00"] {
        assert_eq!(get(server.addr, &format!("/topics/a?since={bad}"), &[]).status, 400, "{bad}");
    }
    for bad in ["%2B1:00", "%2B24:00", "%2B01:60", "%2B0100", "+01:00"] {
        let target = format!("/topics/a?since=2026-01-31T12:00:00{bad}");
        assert_eq!(get(server.addr, &target, &[]).status, 400, "{bad}");
    }
}

#[test]
fn an_id_has_one_spelling() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a", "x");
    let (epoch, position) = id.split_once('-').unwrap();
    let lower = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    assert!((1..=32).contains(&epoch.len()) && epoch.bytes().all(lower), "{id}");
    assert_eq!(position.parse::<u64>().unwrap().to_string(), position);
    let status = |after: &str| get(server.addr, &format!("/topics/a?after={after}"), JSON).status;
    assert_eq!((status(&id), status(&format!("{epoch}-0"))), (200, 200));
    assert_eq!(status(&format!("{epoch}-18446744073709551615")), 200);
    for bad in [
        format!("{epoch}-0{position}"),
        format!("{epoch}-18446744073709551616"),
        format!("{epoch}-"),
        epoch.to_owned(),
        format!("{}-{position}", epoch.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
        format!("%22{id}%22"),
        format!("{id}%20"),
        format!("{}-1", "e".repeat(33)),
    ] {
        assert_eq!(status(&bad), 400, "{bad}");
    }
    let all = get_json(server.addr, &format!("/topics/a?after={epoch}-0"));
    assert_eq!(all["events"][0]["id"], id, "position 0 is before every event");
}
