//! Facing others: what must be decided before, what is public, TLS from the command line on, and what can
//! be changed while the server runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::process::Command;

use eventwall_testkit::{Certificate, Setup, eventwall, get, request, run, until};

fn refused(words: &[&str]) -> String {
    let (code, out, error) = run(eventwall().args(words));
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    error
}

#[test]
fn off_the_machine_access_is_decided_first() {
    let error = refused(&["--listen", "0.0.0.0:0", "--store", "memory"]);
    for way in ["--public-walls", "--public-read", "--allow-anyone", "127.0.0.1"] {
        assert!(error.contains(way), "{error}");
    }
    let behind = refused(&["--store", "memory", "--trusted-proxy", "127.0.0.1"]);
    assert!(behind.contains("behind a proxy") && behind.contains("--public-walls"), "{behind}");
    let alone = refused(&["--store", "memory", "--proxy-protocol"]);
    assert!(alone.contains("--trusted-proxy"), "{alone}");
    let small = refused(&["--store", "memory", "--max-all-bodies", "1KiB"]);
    assert!(small.contains("max_body"), "{small}");
    let both = refused(&["--allow-anyone", "--public-read", "news"]);
    assert!(both.contains("leave one of the two out"), "{both}");
    let own = refused(&["--public-read", "$private/**"]);
    assert!(own.contains("never public"), "{own}");
    let wall = refused(&["--public-walls", "a/b"]);
    assert!(wall.contains("no wall"), "{wall}");
    let proxy = refused(&["--trusted-proxy", "proxy.example"]);
    assert!(proxy.contains("10.0.0.0/8"), "{proxy}");
}

#[test]
fn a_public_wall_is_read_and_posted_to_and_nothing_else() {
    let server = Setup::default()
        .args(["--public-walls", "lobby", "--public-read", "news/*"])
        .args(["--allow-host", "wall.test"])
        .start();
    let status = |target: &str| get(server.addr, target, &[]).status;
    assert_eq!((status("/"), status("/walls/lobby"), status("/walls/other")), (200, 200, 403));
    let page = get(server.addr, "/", &[]).text();
    assert!(page.contains("<meta name=\"eventwall:may\" content=\"post\">"), "{page}");
    let json = "Content-Type: application/json";
    let post = br#"{"kind":"status","msg":"hello"}"#;
    let posted = |wall: &str| {
        let target = format!("/walls/{wall}/posts");
        request(server.addr, "POST", &target, &[json], post)
    };
    assert_eq!((posted("lobby").status, posted("other").status), (201, 403));
    assert_eq!(request(server.addr, "POST", "/walls/lobby/samples", &[], b"").status, 403);
    // Whoever publishes to a wall directly could post in anybody's name.
    let forged = request(server.addr, "POST", "/topics/walls/lobby", &[], b"x");
    assert_eq!(forged.status, 403);
    assert!(forged.text().contains("post to from its page"), "{}", forged.text());
    let read = |target: &str| get(server.addr, target, &["Accept: application/json"]);
    assert!(read("/topics/walls/lobby?last=1").text().contains("hello"));
    assert_eq!((read("/topics/news/1").status, read("/events?topic=**").status), (200, 403));
    assert!(server.greeting.contains("post to walls/lobby"), "{}", server.greeting);
    assert!(!server.greeting.contains("curl"), "{}", server.greeting);
    // Without the lobby, the greeting names another wall.
    let other = Setup::default().args(["--public-walls", "news"]).start();
    assert!(other.greeting.contains("/walls/news\n"), "{}", other.greeting);
    // A variable that is set to nothing is not set.
    let empty = Setup::default().env("EVENTWALL_PUBLIC_WALLS", "").env("EVENTWALL_TLS_CERT", "");
    assert!(empty.start().greeting.contains("curl"));
    // A page that is only read shows no form.
    let server = Setup::default().args(["--public-read", "walls/*"]).start();
    let page = get(server.addr, "/", &[]).text();
    assert!(page.contains("<meta name=\"eventwall:may\" content=\"\">"), "{page}");
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn tls_works_from_the_command_line_on() {
    let certificate = Certificate::new();
    let (cert, key) = (certificate.file(), certificate.key());
    let server =
        Setup::default().args(["--tls-cert", path(&cert), "--tls-key", path(&key)]).start();
    assert!(server.greeting.contains("https://127.0.0.1"), "{}", server.greeting);
    let url = format!("https://{}", server.addr);
    let client = |words: &[&str]| {
        let mut command = eventwall();
        command.args(words).args(["--server", &url]);
        command
    };
    // The system's own list of authorities, which this one is not on.
    let (code, _, error) = run(&mut client(&["publish", "a", "hello"]));
    assert_eq!(code, 6, "{error}");
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let mut trusting = client(&["publish", "a", "hello"]);
    let (code, id, error) = run(trusting.env("SSL_CERT_FILE", &cert));
    assert_eq!((code, error.as_str()), (0, ""), "{id}");
    let mut curl = Command::new("curl");
    let target = format!("{url}/topics/a?last=1");
    let curl = curl.args(["-sS", "--cacert", path(&cert), "-H", "Accept: application/json"]);
    let (code, page, error) = run(curl.arg(target));
    assert_eq!(code, 0, "{error}");
    assert!(page.contains("hello"), "{page}");
    // Visitors' cookies never leave TLS.
    let mut curl = Command::new("curl");
    let (_, head, _) = run(curl.args(["-sSI", "--cacert", path(&cert), &format!("{url}/")]));
    assert!(head.to_lowercase().contains("; secure"), "{head}");
}

#[test]
fn what_cannot_be_tls_is_explained() {
    let certificate = Certificate::new();
    let (cert, key) = (certificate.file(), certificate.key());
    let one = refused(&["--store", "memory", "--tls-cert", path(&cert)]);
    assert!(one.contains("--tls-key"), "{one}");
    let missing = ["--store", "memory", "--tls-cert", "/nowhere.pem", "--tls-key", path(&key)];
    let missing = refused(&missing);
    assert!(missing.contains("/nowhere.pem: No such file"), "{missing}");
    let swapped = ["--store", "memory", "--tls-cert", path(&key), "--tls-key", path(&cert)];
    assert!(refused(&swapped).contains("no certificate in it"));
}

/// Whoever has renewed a certificate sends SIGHUP, or waits a few seconds.
#[test]
fn a_renewed_certificate_and_new_settings_need_no_restart() {
    let certificate = Certificate::new();
    let (cert, key) = (certificate.file(), certificate.key());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "public_read = [\"a\"]\n").unwrap();
    let server = Setup::default()
        .args(["--tls-cert", path(&cert), "--tls-key", path(&key), "--config", path(&file)])
        .start();
    let answers = |ca: &std::path::Path, target: &str| {
        let mut curl = Command::new("curl");
        let url = format!("https://{}{target}", server.addr);
        let json = "Accept: application/json";
        let words = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", json, "--cacert"];
        run(curl.args(words).arg(ca).arg(url)).1
    };
    let old = folder.path().join("old.pem");
    std::fs::copy(&cert, &old).unwrap();
    assert_eq!(
        (answers(&cert, "/topics/a"), answers(&cert, "/topics/b")),
        ("200".into(), "403".into())
    );
    certificate.renew();
    std::fs::write(&file, "public_read = [\"b\"]\nmax_connections = 10\n").unwrap();
    server.signal("HUP");
    until("both hold", || answers(&cert, "/topics/b") == "200");
    assert_eq!(
        (answers(&cert, "/topics/a"), answers(&old, "/topics/b")),
        ("403".into(), "000".into())
    );
    // What would leave the door open is refused, and what held goes on to hold.
    std::fs::write(&file, "public_read = [\"b\"]\nallow_anyone = true\n").unwrap();
    server.signal("HUP");
    until("it is said", || server.log().contains("leave one of the two out"));
    assert_eq!(
        (answers(&cert, "/topics/b"), answers(&cert, "/topics/a")),
        ("200".into(), "403".into())
    );
}
