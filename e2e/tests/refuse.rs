//! Everything that is refused: with which status, in which words, and without a trace.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Connection, Setup, get_json, request};

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
    check(
        400,
        "POST",
        "/topics/a",
        &[nd],
        b"[\"a\", \"x\", \"ev\"]",
        "line 1: it is no JSON object",
    );
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
