//! The protocol beneath the protocol: framing in HTTP/1.0 and HTTP/1.1, heads, methods, hosts.
//! docs/protocol.md names each of these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    net::{Shutdown, SocketAddr},
    process::Command,
};

use eventwall_testkit::{Connection, Server, Setup, get, get_json, post, request, stream};

const JSON: &str = "Accept: application/json";

/// Sends bytes and reads until the server closes.
fn raw(addr: SocketAddr, bytes: &str) -> String {
    let mut connection = Connection::open(addr).unwrap();
    connection.send(bytes).unwrap();
    String::from_utf8(connection.rest().unwrap()).unwrap()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let host = format!("Host: {}\r\n", server.addr);
    let publish =
        |data: &str| format!("POST /topics/a HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\n{data}");
    let page = format!("GET /topics/a?last=9 HTTP/1.1\r\n{host}{JSON}\r\n\r\n");
    let poll = format!("GET /topics/a?last=1&wait=0 HTTP/1.1\r\n{host}\r\n");
    let mut connection = Connection::open(server.addr).unwrap();
    connection
        .send([&publish("1"), &publish("2"), &*page, &*poll, &publish("3"), &*page].concat())
        .unwrap();
    let answers: Vec<_> = (0..6).map(|_| connection.response().unwrap()).collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 201, 200, 200, 201, 200]);
    let count = |answer: usize| answers[answer].json()["events"].as_array().unwrap().len();
    assert_eq!((count(2), count(5)), (2, 3));
    assert!(answers[3].text().ends_with("data: 2\n\n"), "a stream that ends lets others follow");
}

#[test]
fn a_stream_is_chunked_for_http_1_1() {
    let server = Server::start();
    let (head, mut connection) = stream(server.addr, "/topics/a", &["Accept-Encoding: gzip, br"]);
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!((head.header("content-length"), head.header("content-encoding")), (None, None));
    connection.text_until("eventwall:tick").unwrap();
    let poll = get(server.addr, "/topics/a?wait=0", &[]);
    assert_eq!(poll.header("transfer-encoding"), Some("chunked"), "read to the last chunk");
}

#[test]
fn http_1_0_gets_no_chunks_and_the_end_of_the_connection() {
    let server = Server::start();
    for keep in ["", "Connection: keep-alive\r\n"] {
        let publish = format!("POST /topics/a HTTP/1.0\r\n{keep}Content-Length: 5\r\n\r\nhello");
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send(publish).unwrap();
        assert_eq!(connection.response().unwrap().status, 201);
        // What has no length cannot be followed by anything, whatever was asked.
        let answer =
            raw(server.addr, &format!("GET /topics/a?last=1&wait=0 HTTP/1.0\r\n{keep}\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.0 200 ok\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("keep-alive"), "{head}");
        assert!(body.starts_with("id: ") && body.ends_with("\ndata: hello\n\n"), "{body}");
    }
    let (_, mut live) = {
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send("GET /topics/a HTTP/1.0\r\n\r\n").unwrap();
        (connection.head().unwrap(), connection)
    };
    post(server.addr, "/topics/a", "later");
    let mut server = server;
    server.signal("TERM");
    let body = String::from_utf8(live.rest().unwrap()).unwrap();
    assert!(body.contains("data: later\n\n") && body.ends_with("\n\n"), "{body}");
    server.wait();
}

#[test]
fn curl_works_with_http_1_0_too() {
    let server = Server::start();
    let curl = |args: &[&str], path: &str| {
        let options = ["-sS", "--http1.0", "-m", "20"];
        let url = server.url(path);
        let output = Command::new("curl").args(options).args(args).arg(url).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let published = curl(&["-d", "hello"], "/topics/a");
    assert!(published.starts_with("{\"id\":"), "{published}");
    assert!(curl(&["-N"], "/topics/a?last=1&wait=0").ends_with("data: hello\n\n"));
}

#[test]
fn head_answers_for_every_path_what_get_would_without_a_body() {
    let server = Server::start();
    post(server.addr, "/topics/a", "x");
    for (target, headers) in [
        ("/topics/a?wait=0", &[][..]),
        ("/topics/never", &[JSON]),
        ("/topics/a", &[JSON]),
        ("/topics/a?last=1", &[JSON]),
        ("/events?topic=a&wait=0", &[]),
        ("/events?topic=*", &[JSON]),
        ("/topics", &[]),
        ("/topics/a?last=x", &[]),
        ("/topics/a?padding=99999999", &[]),
        ("/topics/a?wait=x", &[JSON]),
        ("/topics/a?limit=99999", &[JSON]),
        ("/topics/a?before=x", &[JSON]),
        ("/events", &[]),
        ("/healthz", &[]),
        ("/readyz", &[]),
        ("/metrics", &[]),
        ("/", &[]),
        ("/walls/x", &[]),
        ("/nothing", &[]),
    ] {
        let got = get(server.addr, target, headers);
        let mut connection = Connection::open(server.addr).unwrap();
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let host = format!("Host: {}\r\n", server.addr);
        let next = format!("GET /healthz HTTP/1.1\r\n{host}\r\n");
        connection.send(format!("HEAD {target} HTTP/1.1\r\n{host}{lines}\r\n{next}")).unwrap();
        let head = connection.head().unwrap();
        assert_eq!(head.status, got.status, "{target}");
        for name in ["content-type", "cache-control", "vary", "eventwall-heartbeat", "allow"] {
            assert_eq!(head.header(name), got.header(name), "{target}: {name}");
        }
        let length = head.header("content-length");
        // The metrics count this request, so their length may differ.
        let differs = length.is_some() && length != got.header("content-length");
        assert!(!differs || target == "/metrics" || target == "/", "{target}: {length:?}");
        let next = connection.response().unwrap();
        assert_eq!((next.status, next.text().as_str()), (200, "ok\n"), "{target} had a body");
    }
}

#[test]
fn a_body_is_ignored_where_none_is_expected() {
    let server = Server::start();
    let id = post(server.addr, "/topics/a", "x");
    let host = format!("Host: {}\r\n", server.addr);
    let erase = format!("/events/{id}");
    let mut connection = Connection::open(server.addr).unwrap();
    for (method, target, status) in
        [("GET", "/topics/a?last=1", 200), ("GET", "/healthz", 200), ("DELETE", &*erase, 204)]
    {
        let head = format!("{method} {target} HTTP/1.1\r\n{host}{JSON}\r\n");
        connection.send(format!("{head}Content-Length: 4\r\n\r\nGET ")).unwrap();
        assert_eq!(connection.response().unwrap().status, status, "{method} {target}");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n");
        connection.send(chunked).unwrap();
        let status = if method == "DELETE" { 404 } else { status };
        assert_eq!(connection.response().unwrap().status, status, "{method} {target}, chunked");
    }
}

#[test]
fn a_body_may_come_in_chunks_or_not_at_all() {
    let server = Server::start();
    let host = format!("Host: {}\r\n", server.addr);
    let mut connection = Connection::open(server.addr).unwrap();
    for body in ["Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "\r\n"] {
        connection.send(format!("POST /topics/a HTTP/1.1\r\n{host}{body}")).unwrap();
        assert_eq!(connection.response().unwrap().status, 201);
    }
    let page = get_json(server.addr, "/topics/a?last=9");
    assert_eq!(
        (&page["events"][0]["data"], &page["events"][1]["data"]),
        (&"hello".into(), &"".into())
    );
}

#[test]
fn what_is_no_http_is_refused_and_closed() {
    let server = Server::start();
    let host = format!("Host: {}\r\n", server.addr);
    let lengths = "Content-Length: 3\r\nContent-Length: 4\r\n";
    for bytes in [
        "GARBAGE\r\n\r\n".into(),
        format!("GET /healthz HTTP/2.0\r\n{host}\r\n"),
        format!("GET /heal thz HTTP/1.1\r\n{host}\r\n"),
        format!("POST /topics/a HTTP/1.1\r\n{host}{lengths}\r\nabcd"),
    ] {
        let answer = raw(server.addr, &bytes);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bytes:?}: {answer}");
    }
    let head = |bytes: usize| get(server.addr, "/healthz", &[&format!("X: {}", "x".repeat(bytes))]);
    assert_eq!((head(60_000).status, head(140_000).status), (200, 431));
}

#[test]
fn one_host_is_named_wherever_the_server_listens() {
    for server in [Server::start(), Setup::default().everywhere().start()] {
        let host = format!("Host: {}\r\n", server.addr);
        for (heads, status) in [("", 400), (&*host, 200), (&*format!("{host}{host}"), 400)] {
            let close = "Connection: close\r\n";
            let answer = raw(server.addr, &format!("GET /healthz HTTP/1.1\r\n{close}{heads}\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{heads:?}: {answer}");
        }
        assert!(raw(server.addr, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    }
}

#[test]
fn the_rule_for_loopback_reads_host_and_origin() {
    let server = Setup::default().arg("--allow-host").arg("wall.test").start();
    let status = |headers: &[&str]| get(server.addr, "/healthz", headers).status;
    for host in
        ["localhost", "LOCALHOST:1", "a.localhost", "127.1.2.3:9", "[::1]:1", "wall.test:80"]
    {
        assert_eq!(status(&[&format!("Host: {host}")]), 200, "{host}");
        let origin = format!("Origin: https://{}", host.to_lowercase());
        assert_eq!(status(&["Host: localhost", &origin]), 200, "{origin}");
    }
    for host in ["wall.example", "10.0.0.1", "localhost.wall.example", "localhost:1@x", "[::2]"] {
        assert_eq!(status(&[&format!("Host: {host}")]), 403, "{host}");
        assert_eq!(status(&["Host: localhost", &format!("Origin: http://{host}")]), 403, "{host}");
    }
    let absolute = |host: &str| {
        let head = format!("GET http://{host}/healthz HTTP/1.1\r\nConnection: close\r\n");
        raw(server.addr, &format!("{head}Host: localhost\r\n\r\n"))[9..12].to_owned()
    };
    assert_eq!((absolute("localhost"), absolute("wall.example")), ("200".into(), "403".into()));
    let open = Setup::default().everywhere().start();
    let foreign = ["Host: wall.example", "Origin: https://other.example"];
    assert_eq!(get(open.addr, "/healthz", &foreign).status, 200, "not on loopback");
}

#[test]
fn accept_names_a_media_type_whatever_its_spelling_or_weight() {
    let server = Server::start();
    let kind = |headers: &[&str]| {
        let response = get(server.addr, "/topics/a?wait=0", headers);
        response.header("content-type").unwrap().to_owned()
    };
    let (page, stream) = ("application/json", "text/event-stream");
    for accept in ["application/json", "text/html, Application/JSON;q=0.1", "application/json,*/*"]
    {
        assert_eq!(kind(&[&format!("Accept: {accept}")]), page, "{accept}");
    }
    for accept in [
        "*/*",
        "application/*",
        "application/json-seq",
        "application/json, text/event-stream;q=0.1",
    ] {
        assert_eq!(kind(&[&format!("Accept: {accept}")]), stream, "{accept}");
    }
    assert_eq!(kind(&[]), stream);
    assert_eq!(kind(&[JSON, "Accept: text/event-stream"]), stream, "the headers add up");
}

#[test]
fn a_client_that_half_closes_is_taken_for_gone() {
    let server = Server::start();
    let (_, mut connection) = stream(server.addr, "/topics/a", &[]);
    connection.text_until("eventwall:tick").unwrap();
    connection.stream().shutdown(Shutdown::Write).unwrap();
    assert!(connection.is_closed());
}

#[test]
fn unknown_paths_and_methods_are_named() {
    let server = Server::start();
    for (method, target, status, allow) in [
        ("GET", "/nothing", 404, None),
        ("GET", "/events/", 404, None),
        ("PUT", "/topics/a", 405, Some("GET,HEAD,POST")),
        ("OPTIONS", "/topics/a", 405, Some("GET,HEAD,POST")),
        ("DELETE", "/events?topic=a", 405, Some("GET,HEAD,POST")),
        ("GET", "/events/k3-1", 405, Some("DELETE")),
        ("POST", "/readyz", 405, Some("GET,HEAD")),
    ] {
        let response = request(server.addr, method, target, &[], b"");
        assert_eq!(
            (response.status, response.header("allow")),
            (status, allow),
            "{method} {target}"
        );
    }
}
