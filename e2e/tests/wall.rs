//! The wall over raw sockets: its page, its files, its visitors' posts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_testkit::{Server, get, get_json, request};

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
