//! What a server says of itself and to pages of other origins. docs/protocol.md names each of
//! these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Response, Server, Setup, get, post, request, stream};

fn cors(response: &Response) -> Vec<&str> {
    let names = response.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[test]
fn without_a_configured_origin_nothing_speaks_of_cors() {
    let server = Server::start();
    let origin = "Origin: http://localhost:3000";
    for (method, target) in
        [("GET", "/topics/a?wait=0"), ("POST", "/topics/a"), ("OPTIONS", "/events")]
    {
        let asked = [origin, "Access-Control-Request-Method: POST"];
        let response = request(server.addr, method, target, &asked, b"x");
        assert!(cors(&response).is_empty(), "{method}: {:?}", response.headers);
        assert_eq!(response.status == 405, method == "OPTIONS");
    }
}

#[test]
fn a_preflight_says_what_is_allowed() {
    let server = Setup::default().arg("--cors-origin").arg("https://app.example").start();
    let ask = ["Origin: https://app.example", "Access-Control-Request-Method: DELETE"];
    let answer = request(server.addr, "OPTIONS", "/topics/a", &ask, b"");
    assert_eq!((answer.status, answer.header("access-control-max-age")), (200, Some("600")));
    let list = |name: &str| {
        let mut names: Vec<_> = answer
            .header(name)
            .unwrap()
            .split(',')
            .map(|name| name.trim().to_lowercase())
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(list("access-control-allow-methods"), "delete get head post");
    assert_eq!(
        list("access-control-allow-headers"),
        "accept authorization cache-control content-type idempotency-key if-match if-none-match last-event-id x-requested-with"
    );
    let error = get(server.addr, "/topics/a?after=x", &ask[..1]);
    assert_eq!(error.status, 400);
    assert_eq!(error.header("access-control-allow-origin"), Some("https://app.example"));
    let exposed = error.header("access-control-expose-headers").unwrap().to_lowercase();
    for name in ["etag", "retry-after", "eventwall-heartbeat"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[test]
fn any_origin_is_allowed_without_credentials() {
    let server = Setup::default().arg("--cors-origin").arg("*").start();
    let (head, _) = stream(server.addr, "/topics/a", &["Origin: https://any.example"]);
    assert_eq!(head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(head.header("access-control-allow-credentials"), None);
}

#[test]
fn every_answer_is_fresh() {
    let server = Server::start();
    post(server.addr, "/topics/a", "x");
    for (method, target, headers) in [
        ("GET", "/topics/a?wait=0", &[][..]),
        ("GET", "/topics/a", &["Accept: application/json"]),
        ("GET", "/topics/a?after=x", &[]),
        ("GET", "/nothing", &[]),
        ("POST", "/topics/a", &[]),
        ("POST", "/topics/a", &["Content-Type: application/x-ndjson"]),
        ("PUT", "/topics/a", &[]),
        ("GET", "/metrics", &[]),
        ("GET", "/topics/a", &["Host: evil.example"]),
    ] {
        let response = request(server.addr, method, target, headers, b"{\"data\":\"x\"}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{method} {target}");
        assert!(response.header("date").is_some(), "{method} {target}");
    }
}

#[test]
fn probes_say_ok_and_ready() {
    let server = Server::start();
    for (target, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let probe = get(server.addr, target, &[]);
        assert_eq!((probe.status, probe.text().as_str()), (200, text));
        assert!(probe.header("content-type").unwrap().starts_with("text/plain"));
    }
    let metrics = get(server.addr, "/metrics", &[]);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
}

#[test]
fn a_failing_disk_is_told_and_what_is_there_stays() {
    let mut server = Setup::default().failing_beyond(20).start();
    let id = post(server.addr, "/topics/a", "kept");
    let large = [b'x'; 30_000];
    let failed = request(server.addr, "POST", "/topics/a", &[], &large);
    assert_eq!((failed.status, failed.json().get("outcome")), (503, None), "it is known");
    assert!(failed.json()["detail"].as_str().unwrap().contains("not kept"), "{}", failed.text());
    assert!(failed.header("retry-after").is_some());
    let after = request(server.addr, "POST", "/topics/a", &[], b"small");
    assert_eq!((after.status, after.json().get("outcome")), (503, None), "nothing more is taken");
    let ready = get(server.addr, "/readyz", &[]);
    assert_eq!((ready.status, ready.header("retry-after")), (503, Some("5")));
    assert_eq!(ready.header("content-type"), Some("application/problem+json"));
    assert_eq!(get(server.addr, "/healthz", &[]).status, 200);
    let replay = get(server.addr, "/topics/a?last=1&wait=0", &[]).text();
    assert_eq!(replay, format!("id: {id}\ndata: kept\n\n"), "it goes on serving");
    server.kill();
    server.restart();
    assert_eq!(get(server.addr, "/readyz", &[]).status, 200);
}

#[test]
fn a_full_server_refuses_every_path_and_closes() {
    let server = Setup::default().arg("--max-connections").arg("1").start();
    let (_, mut inside) = stream(server.addr, "/topics/a", &[]);
    inside.text_until("tick").unwrap();
    for (method, target) in [("GET", "/topics/a"), ("POST", "/topics/a"), ("GET", "/")] {
        let refused = request(server.addr, method, target, &[], b"x");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{target}");
        assert_eq!(refused.header("connection"), Some("close"));
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    let probe = get(server.addr, "/readyz", &[]);
    assert_eq!((probe.status, probe.header("connection")), (200, Some("close")));
    for target in ["/topics/a?last=9", "/events?topic=*", "/topics/a//b"] {
        let stream = get(server.addr, target, &["Accept: text/event-stream"]);
        assert_eq!(stream.header("content-type"), Some("text/event-stream"));
        let text = stream.text();
        let retry = text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let retry: u64 = retry.unwrap().parse().unwrap();
        assert!(stream.status == 200 && (500..3500).contains(&retry), "{text}");
    }
}
