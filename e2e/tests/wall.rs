//! The wall over raw sockets: its page, its files, its visitors' posts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Write as _;

use eventwall_testkit::{Server, get, get_json, request, until};

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

/// A visitor with the cookie that a first visit gave.
struct Visitor {
    server: std::net::SocketAddr,
    cookie: String,
}

impl Visitor {
    fn come(server: std::net::SocketAddr) -> Self {
        let page = get(server, "/walls/test", &[]);
        let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap();
        Self { server, cookie: format!("Cookie: {cookie}") }
    }

    fn send(
        &self,
        method: &str,
        target: &str,
        key: &str,
        body: &str,
    ) -> eventwall_testkit::Response {
        let key = format!("Idempotency-Key: {key}");
        let headers = ["Content-Type: application/json", &self.cookie, &key];
        request(self.server, method, target, &headers, body.as_bytes())
    }

    fn post(&self, key: &str, msg: &str) -> String {
        let body = format!(r#"{{"kind":"status","msg":"{msg}"}}"#);
        let posted = self.send("POST", "/walls/test/posts", key, &body);
        assert_eq!(posted.status, 201, "{}", posted.text());
        posted.json()["id"].as_str().unwrap().to_owned()
    }
}

/// What the wall's posts say, oldest first.
fn says(server: std::net::SocketAddr, query: &str) -> Vec<String> {
    let page = get_json(server, &format!("/walls/test/posts?{query}"));
    let text = |event: &serde_json::Value| {
        let data = event["data"].as_str().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or(data.into());
        data["msg"].as_str().map_or_else(|| data.to_string(), Into::into)
    };
    page["events"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_post_is_sent_once_and_changed_and_removed_by_its_author_alone() {
    let mut server = Server::start();
    let (author, other) = (Visitor::come(server.addr), Visitor::come(server.addr));
    let first = author.post("k1", "frist");
    assert_eq!(author.post("k1", "frist"), first, "a repeat is the same post");
    let second = other.post("k2", "second");
    let third = author.post("k3", "third");
    let mine = format!("/walls/test/posts/{first}");
    let edit = r#"{"kind":"status","msg":"first"}"#;
    assert_eq!(other.send("PUT", &mine, "k4", edit).status, 403);
    assert_eq!(other.send("DELETE", &mine, "k5", "").status, 403);
    assert_eq!(author.send("PUT", &mine, "k6", edit).status, 201);
    assert_eq!(author.send("PUT", &mine, "k7", r#"{"kind":"status","msg":" "}"#).status, 422);
    assert_eq!(author.send("PUT", "/walls/other/posts/abc-1", "k8", edit).status, 404);
    assert_eq!(author.send("PUT", "/walls/test/posts/nonsense", "k9", edit).status, 400);
    let theirs = format!("/walls/test/posts/{third}");
    assert_eq!(author.send("DELETE", &theirs, "k10", "").status, 204);
    assert_eq!(author.send("DELETE", &theirs, "k11", "").status, 404, "it is gone");
    // Nobody else can write what only the wall says.
    let forged =
        request(server.addr, "POST", "/topics/walls/test?event=eventwall:remove", &[], b"{}");
    assert_eq!(forged.status, 400);

    let expected = ["first", "second"];
    for restart in [false, true] {
        if restart {
            server.kill();
            server.restart();
        }
        assert_eq!(says(server.addr, ""), expected);
        assert_eq!(says(server.addr, &format!("before={second}")), ["first"]);
        assert_eq!(says(server.addr, "count=1"), ["second"]);
        let page = get_json(server.addr, "/walls/test/posts");
        assert_eq!((&page["counts"]["posts"], &page["more"]), (&2.into(), &false.into()));
        assert_eq!(
            (&page["events"][0]["edited"], page["events"][1].get("edited")),
            (&true.into(), None)
        );
        let html = get(server.addr, "/walls/test", &[]).text();
        assert!(html.contains(">first</p>") && html.contains("2 posts"), "{html}");
        assert!(!html.contains("frist") && !html.contains("third"));
    }
    assert_eq!(get(server.addr, "/walls/test/posts?count=0", &[]).status, 400);
    assert_eq!(get(server.addr, "/walls/test/posts?before=x", &[]).status, 400);
}

#[test]
fn a_wall_of_many_posts_is_folded_once_and_kept() {
    let mut server = Server::start();
    let lines: String = (0..10_000).map(|i| format!("{{\"data\":\"post {i}\"}}\n")).collect();
    for _ in 0..2 {
        let ndjson = ["Content-Type: application/x-ndjson"];
        let sent = request(server.addr, "POST", "/topics/walls/test", &ndjson, lines.as_bytes());
        assert_eq!(sent.status, 201);
    }
    let count = |server: &Server| {
        get_json(server.addr, "/walls/test/posts?count=1")["counts"]["posts"].clone()
    };
    until("the fold", || count(&server) == 20_000);
    let state = server.data().join("state");
    let kept = || {
        std::fs::read_dir(&state)
            .unwrap()
            .flatten()
            .any(|file| file.file_name().to_string_lossy().starts_with("wall-"))
    };
    until("a checkpoint", kept);
    server.kill();
    server.restart();
    assert_eq!(request(server.addr, "POST", "/topics/walls/test", &[], b"one more").status, 201);
    until("the fold", || count(&server) == 20_001);
    let oldest = get_json(server.addr, "/walls/test/posts?count=1")["events"][0]["id"].clone();
    let before = format!("/walls/test/posts?count=200&before={}", oldest.as_str().unwrap());
    let page = get_json(server.addr, &before);
    assert_eq!(page["events"].as_array().unwrap().len(), 200);
    assert_eq!((&page["events"][199]["data"], &page["more"]), (&"post 9999".into(), &true.into()));
}

#[test]
fn every_view_is_in_the_readers_language_and_asks_nobody_else() {
    let server = Server::start();
    let german = ["Accept-Language: fr;q=0.5, de-CH"];
    for (target, words) in [
        ("/walls/test", "Zu den Beiträgen"),
        ("/walls/test/screen", "Schreib von deinem Telefon"),
        ("/walls/test/embed", "Wand öffnen"),
        ("/walls/test/poster", "Schau hoch."),
    ] {
        let page = get(server.addr, target, &german);
        assert_eq!(page.status, 200);
        let html = page.text();
        assert!(html.contains(words) && html.contains("<html lang=\"de\""), "{target}: {html}");
        let policy = page.header("content-security-policy").unwrap();
        let framed = policy.ends_with("frame-ancestors *");
        assert_eq!(framed, target.ends_with("embed"), "{target}: {policy}");
        assert_eq!(page.header("x-frame-options").is_none(), framed);
        // What is shown to be copied is no part of the page.
        let html = html.replace("&lt;iframe src=\"", "");
        for part in html.split("src=\"").chain(html.split("<link ")).skip(1) {
            assert!(!part.starts_with("http"), "{target} loads {part}");
        }
    }
    let manifest = get_json(server.addr, "/walls/test/manifest.webmanifest");
    assert_eq!(manifest["start_url"], "/walls/test");
    for icon in manifest["icons"].as_array().unwrap() {
        assert_eq!(get(server.addr, icon["src"].as_str().unwrap(), &[]).status, 200, "{icon}");
    }
}

#[test]
fn what_a_post_was_in_between_is_nobodys_to_read() {
    let server = Server::start();
    let author = Visitor::come(server.addr);
    let first = author.post("k1", "zero");
    let mine = format!("/walls/test/posts/{first}");
    let edit = |key: &str, msg: &str| {
        let body = format!(r#"{{"kind":"status","msg":"{msg}"}}"#);
        assert_eq!(author.send("PUT", &mine, key, &body).status, 201);
    };
    edit("k2", "thought-one");
    let others: Vec<_> =
        (0..10).map(|i| author.post(&format!("o{i}"), &format!("other {i}"))).collect();
    edit("k3", "thought-two");
    // A page of older posts shows the last edit, which came after all of it.
    assert_eq!(
        says(server.addr, &format!("before={}", others[2])),
        ["thought-two", "other 0", "other 1"]
    );
    let log =
        || get(server.addr, "/topics/walls/test?last=100", &["Accept: application/json"]).text();
    assert!(!log().contains("thought-one") && log().contains("thought-two"), "{}", log());
    assert_eq!(author.send("DELETE", &mine, "k4", "").status, 204);
    assert!(!log().contains("zero") && !log().contains("thought-two"), "{}", log());
    assert_eq!(get_json(server.addr, "/presence?topic=walls/test")["presence"]["walls/test"], 0);
}

#[test]
fn who_comes_to_no_open_wall_is_told_so_in_their_language_and_others_as_ever() {
    let server = eventwall_testkit::Setup::default().args(["--public-walls", "party"]).start();
    let html = "Accept: text/html,application/xhtml+xml";
    for (target, status, words) in [
        ("/walls/secret", 403, "Diese Wand ist nicht offen"),
        ("/walls/a%2Fb", 400, "Hier ist nichts"),
        ("/wals/party", 404, "Hier ist nichts"),
    ] {
        let page = get(server.addr, target, &[html, "Accept-Language: de"]);
        let text = page.text();
        assert_eq!(page.status, status, "{target}");
        assert!(text.contains(words) && text.contains("lang=\"de\""), "{target}: {text}");
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(!text.contains("href=\"/\""), "the lobby is not open either: {text}");
        let problem = get(server.addr, target, &[]);
        assert_eq!((problem.status, &problem.json()["status"]), (status, &status.into()));
    }
    let slash = get(server.addr, "/walls/party/", &[]);
    assert_eq!((slash.status, slash.header("location")), (308, Some("/walls/party")));
    let posted = request(server.addr, "POST", "/wals/party", &[], b"");
    assert_eq!(posted.status, 404);
    assert!(posted.text().contains("there is nothing at /wals/party"), "{}", posted.text());
    let open = Server::start();
    let page = get(open.addr, "/a&b'c", &[html]).text();
    assert!(page.contains("href=\"/\"") && page.contains("at /a&amp;b&#39;c:"), "{page}");
}

#[test]
fn a_wall_may_be_of_a_server_that_starts_with_fewer_events_than_a_page_has() {
    let server = eventwall_testkit::Setup::default().args(["--max-start-events", "10"]).start();
    for _ in 0..12 {
        request(server.addr, "POST", "/topics/walls/lobby", &[], b"x");
    }
    assert_eq!(get(server.addr, "/", &["Accept: text/html"]).status, 200);
    let page = get_json(server.addr, "/walls/lobby/posts");
    assert_eq!(page["events"].as_array().unwrap().len(), 10);
    let before = format!("/walls/lobby/posts?before={}", page["oldest"].as_str().unwrap());
    assert_eq!(get_json(server.addr, &before)["events"].as_array().unwrap().len(), 2);
}

/// Begins to take posts away that were edited, by their author and by the operator in turn, and waits for no answer.
fn take_away_and_go(author: &Visitor, round: &str) {
    for i in 0..20 {
        let post = author.post(&format!("{round}p{i}"), "first words");
        let body = r#"{"kind":"status","msg":"second words"}"#;
        let mine = format!("/walls/test/posts/{post}");
        assert_eq!(author.send("PUT", &mine, &format!("{round}e{i}"), body).status, 201);
        let target = if i % 2 == 0 { format!("/events/{post}") } else { mine };
        let head = format!(
            "DELETE {target} HTTP/1.1\r\nHost: {}\r\n{}\r\n\r\n",
            author.server, author.cookie
        );
        let mut line = std::net::TcpStream::connect(author.server).unwrap();
        line.write_all(head.as_bytes()).unwrap();
    }
}

/// The posts that were told to be gone, and whether something of them is still in the log.
fn taken_away(server: std::net::SocketAddr) -> (usize, bool) {
    get(server, "/walls/test/posts", &[]);
    let log = get_json(server, "/topics/walls/test?last=1000");
    let events = log["events"].as_array().unwrap();
    let posts_of = |name: &str| -> Vec<String> {
        let told = events.iter().filter(|event| event["event"] == name);
        let data = told.map(|event| serde_json::from_str(event["data"].as_str().unwrap()).unwrap());
        data.map(|data: serde_json::Value| data["post"].as_str().unwrap().to_owned()).collect()
    };
    let gone = posts_of("eventwall:remove");
    let edited = posts_of("eventwall:edit");
    let left = gone.iter().any(|post| {
        edited.contains(post) || events.iter().any(|event| event["id"] == post.as_str())
    });
    (gone.len(), left)
}

#[test]
fn what_was_begun_to_be_taken_away_is_gone_though_nobody_waits_for_it() {
    let mut server = Server::start();
    let author = Visitor::come(server.addr);
    take_away_and_go(&author, "stays ");
    until("some to be told gone, and gone", || {
        let (told, left) = taken_away(server.addr);
        told > 0 && !left
    });
    for (round, signal) in [("stops ", "TERM"), ("dies ", "KILL")] {
        take_away_and_go(&author, round);
        server.signal(signal);
        server.wait();
        server.restart();
        until("what was told gone to be gone", || !taken_away(server.addr).1);
    }
}

#[test]
fn no_edit_outlives_a_post_that_is_taken_away_at_the_same_time() {
    let server = Server::start();
    let author = Visitor::come(server.addr);
    let mut outcomes = [0; 2];
    for i in 0..40 {
        let post = author.post(&format!("p{i}"), "first words");
        let mine = format!("/walls/test/posts/{post}");
        let (removed, edited) = std::thread::scope(|scope| {
            let body = r#"{"kind":"status","msg":"second words"}"#;
            let edited = scope.spawn(|| author.send("PUT", &mine, &format!("e{i}"), body).status);
            (author.send("DELETE", &mine, &format!("r{i}"), "").status, edited.join().unwrap())
        });
        assert_eq!(removed, 204);
        assert!(edited == 201 || edited == 404, "{edited}");
        outcomes[usize::from(edited == 201)] += 1;
        let log = get_json(server.addr, "/topics/walls/test?last=1000").to_string();
        assert!(!log.contains("words"), "{i}: {log}");
    }
    eprintln!("edits that came too late, and in time: {outcomes:?}");
}

#[test]
fn a_post_that_an_operator_erases_is_taken_from_the_pages_that_show_it_too() {
    let server = Server::start();
    let author = Visitor::come(server.addr);
    let (post, kept) = (author.post("k1", "rude"), author.post("k2", "kind"));
    let body = r#"{"kind":"status","msg":"ruder"}"#;
    assert_eq!(author.send("PUT", &format!("/walls/test/posts/{post}"), "k3", body).status, 201);
    let cursor = get_json(server.addr, "/walls/test/posts")["cursor"].clone();
    let erased = format!("/events/{post}");
    assert_eq!(request(server.addr, "DELETE", &erased, &[], b"").status, 204);
    let after = format!("/topics/walls/test?after={}", cursor.as_str().unwrap());
    let told = get_json(server.addr, &after);
    let [event] = told["events"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(event["event"], "eventwall:remove");
    assert_eq!(event["data"], format!(r#"{{"post":"{post}"}}"#));
    assert!(event["by"].is_null(), "by nobody who could be named: {event}");
    let log = get_json(server.addr, "/topics/walls/test?last=100").to_string();
    assert!(!log.contains("rude") && log.contains("kind"), "{log}");
    until("one post", || get_json(server.addr, "/walls/test/posts")["counts"]["posts"] == 1);
    // A part of a post is not erased alone.
    let edit = r#"{"kind":"status","msg":"kinder"}"#;
    let edited = author.send("PUT", &format!("/walls/test/posts/{kept}"), "k4", edit).json();
    let part = format!("/events/{}", edited["id"].as_str().unwrap());
    let refused = request(server.addr, "DELETE", &part, &[], b"");
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains(&format!("erase {kept}")), "{}", refused.text());
    // Once more is too late; and what is no post goes without a word.
    assert_eq!(request(server.addr, "DELETE", &erased, &[], b"").status, 404);
    let other = request(server.addr, "POST", "/topics/elsewhere", &[], b"x").json();
    let erased = format!("/events/{}", other["id"].as_str().unwrap());
    assert_eq!(request(server.addr, "DELETE", &erased, &[], b"").status, 204);
    let last = get_json(server.addr, "/topics/elsewhere?last=9");
    assert_eq!(last["events"].as_array().unwrap().len(), 0, "{last}");
    assert_eq!(says(server.addr, ""), ["kinder"], "{kept}");
}

#[test]
fn a_wall_is_found_behind_any_number_of_changes() {
    let server = Server::start();
    let author = Visitor::come(server.addr);
    let first = author.post("k", "changed often");
    author.post("k2", "steady");
    let mine = format!("/walls/test/posts/{first}");
    for i in 0..60 {
        let body = format!(r#"{{"kind":"status","msg":"version {i}"}}"#);
        assert_eq!(author.send("PUT", &mine, &format!("e{i}"), &body).status, 201);
    }
    // Those superseded are erased: what is left of all of it is one.
    assert_eq!(says(server.addr, ""), ["version 59", "steady"]);
    // What others publish may be no post at all: the page goes on from where it came to.
    for _ in 0..60 {
        let odd = [r#"{"data":"x","event":"odd"}"#; 10].join("\n");
        let ndjson = ["Content-Type: application/x-ndjson"];
        request(server.addr, "POST", "/topics/walls/test", &ndjson, odd.as_bytes());
    }
    let mut page = get_json(server.addr, "/walls/test/posts");
    let mut reads = 0;
    while page["events"].as_array().unwrap().is_empty() {
        assert_eq!(page["more"], true);
        page = get_json(
            server.addr,
            &format!("/walls/test/posts?before={}", page["oldest"].as_str().unwrap()),
        );
        reads += 1;
        assert!(reads < 5);
    }
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
}

#[test]
fn posts_that_grew_too_old_are_counted_no_more_and_large_ones_make_small_pages() {
    let server = eventwall_testkit::Setup::default().args(["--max-age", "3s"]).start();
    let count = || get_json(server.addr, "/walls/test/posts")["counts"]["posts"].clone();
    for _ in 0..3 {
        request(server.addr, "POST", "/topics/walls/test", &[], b"soon gone");
    }
    until("three posts", || count() == 3);
    until("none", || count() == 0);
    let posted = request(server.addr, "POST", "/topics/walls/kept", &[], b"to be erased");
    until("one post", || get_json(server.addr, "/walls/kept/posts")["counts"]["posts"] == 1);
    let erased = format!("/events/{}", posted.json()["id"].as_str().unwrap());
    assert_eq!(request(server.addr, "DELETE", &erased, &[], b"").status, 204);
    until("no post", || get_json(server.addr, "/walls/kept/posts")["counts"]["posts"] == 0);
    let large = "`a`".repeat(300_000);
    for _ in 0..5 {
        request(server.addr, "POST", "/topics/walls/large", &[], large.as_bytes());
    }
    let page = get(server.addr, "/walls/large", &[]);
    assert!(page.body.len() < 2_000_000, "{} bytes", page.body.len());
    assert_eq!(get_json(server.addr, "/walls/large/posts")["more"], true);
}
