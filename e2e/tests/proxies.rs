//! Behind real proxies, by the recipes that users are given (examples/proxies): nothing is held back,
//! quiet minutes pass, a proxy's restart is resumed, clients are known, and nothing is smuggled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use eventwall_testkit::{
    Certificate, Connection, DEADLINE, Follower, Front, FrontKind, Server, Setup, get, get_json,
    post, request, until,
};
use socket2::{Domain, SockAddr, Socket, Type};

fn server(kind: FrontKind) -> Server {
    setup().env("EVENTWALL_TEST", format!("{kind:?}")).start()
}

fn setup() -> Setup {
    let setup = Setup::default().args(["--trusted-proxy", "127.0.0.1", "--allow-anyone"]);
    setup.env("RUST_LOG", "info,eventwall_server=debug")
}

/// Each of these tests with each of the proxies.
macro_rules! behind_each {
    ($($test:ident),* $(,)?) => {
        behind_each!(@ nginx Nginx; $($test)*);
        behind_each!(@ caddy Caddy; $($test)*);
        behind_each!(@ haproxy Haproxy; $($test)*);
        behind_each!(@ apache Apache; $($test)*);
    };
    (@ $module:ident $kind:ident; $($test:ident)*) => {
        mod $module {
            use eventwall_testkit::FrontKind;
            $(#[test]
            fn $test() {
                super::$test(FrontKind::$kind);
            })*
        }
    };
}

behind_each!(
    what_is_published_arrives_at_once,
    a_body_that_is_a_stream_arrives_as_it_comes,
    streams_and_publishes_over_tls_and_http2,
    clients_are_known_and_cannot_be_forged,
    a_restart_of_the_proxy_is_resumed,
    a_restart_of_the_server_is_resumed,
    quiet_minutes_pass,
    topics_arrive_as_they_are_written,
    nothing_is_smuggled,
);

fn what_is_published_arrives_at_once(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    let follower = Follower::start(front.addr, "/topics/a", &[]);
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    for n in 0..20 {
        // The next is published only once the one before has arrived.
        post(server.addr, "/topics/a", format!("event {n}"));
        follower.wait_for(&format!("event {n}"));
    }
    assert_eq!(follower.seen().connections, 1);
}

fn a_body_that_is_a_stream_arrives_as_it_comes(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    let follower = Follower::start(server.addr, "/topics/a", &[]);
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    let mut connection = Connection::open(front.addr).unwrap();
    let host = front.addr;
    let head = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked";
    connection.send(format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n")).unwrap();
    for n in 0..5 {
        let event = format!("data: event {n}\n\n");
        connection.send(format!("{:x}\r\n{event}\r\n", event.len())).unwrap();
        follower.wait_for(&format!("event {n}"));
    }
    connection.send("0\r\n\r\n").unwrap();
    let answer = connection.response().unwrap();
    assert_eq!((answer.status, &answer.json()["count"]), (201, &5.into()), "{}", answer.text());
}

/// Follows with curl; answers its lines.
fn curl(certificate: &Certificate, addr: SocketAddr, words: &[&str]) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-N", "--http2", "--max-time", "60", "--cacert"]).arg(certificate.file());
    curl.args(&words[1..]).arg(format!("https://localhost:{}{}", addr.port(), words[0]));
    curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn over_tls(certificate: &Certificate, addr: SocketAddr, server: &Server) {
    let mut following = curl(certificate, addr, &["/topics/a", "--interface", "127.0.0.5"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut wait_for = |wanted: &str| lines.any(|line| line.unwrap() == wanted);
    assert!(wait_for("event: eventwall:tick"));
    let published =
        curl(certificate, addr, &["/topics/a", "-d", "over TLS", "-w", "%{http_version}"]);
    let published = published.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&published.stdout).into_owned();
    assert!(printed.contains("\"id\"") && printed.ends_with("\n2"), "{published:?}");
    assert!(wait_for("data: over TLS"));
    let _ = following.kill();
    let _ = following.wait();
    until("the client is known", || {
        server.log().lines().any(|l| l.contains("/topics/a") && l.contains("client=127.0.0.5"))
    });
}

fn streams_and_publishes_over_tls_and_http2(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    over_tls(&front.certificate, front.tls, &server);
}

/// Bytes are passed on: TLS, HTTP/2 and the PROXY header are the server's.
#[test]
fn haproxy_that_passes_bytes_on() {
    let certificate = Certificate::new();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let mut server = setup()
        .arg("--proxy-protocol")
        .args(["--tls-cert", &path(certificate.file()), "--tls-key", &path(certificate.key())])
        .start();
    let mut front = Front::start(FrontKind::HaproxyTcp, server.addr);
    over_tls(&certificate, front.addr, &server);
    front.kill();
    server.kill();
    server.restart();
    front.restart();
    let page = ["/topics/a?last=9", "-H", "Accept: application/json"];
    let page = curl(&certificate, front.addr, &page).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&page.stdout).contains("over TLS"), "{page:?}");
}

/// A connection from another address of this machine.
fn connect_from(source: &str, addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&SockAddr::from(source)).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

fn clients_are_known_and_cannot_be_forged(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    let forged = "X-Forwarded-For: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Real-IP: 8.8.8.8\r\nX-Forwarded-Host: evil.example";
    for (source, more) in [("127.0.0.5", ""), ("127.0.0.6", forged)] {
        let mut stream = connect_from(source, front.addr);
        let more = if more.is_empty() { String::new() } else { format!("{more}\r\n") };
        let (host, from) = (front.addr, source.replace('.', "-"));
        let head = format!("GET /presence?topic={from} HTTP/1.1\r\nHost: {host}\r\n{more}");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let asked = |line: &str| line.contains(&format!("topic={from}"));
        until("it is logged", || server.log().lines().any(asked));
        let log = server.log();
        let line = log.lines().find(|line| asked(line)).unwrap();
        assert!(line.contains(&format!("client={source}")), "{line}");
    }
}

/// Follows through the proxy while `disturb` is done to it; nobody misses or doubles anything.
fn resumes(server: &mut Server, front: &mut Front, disturb: impl Fn(&mut Server, &mut Front)) {
    let followers: Vec<_> = (0..5).map(|_| Follower::start(front.addr, "/topics/a", &[])).collect();
    for follower in &followers {
        follower.wait("the first tick", |seen| !seen.events.is_empty());
    }
    let mut expected = Vec::new();
    for round in 0..3 {
        for n in 0..5 {
            expected.push(format!("{round}.{n}"));
            post(server.addr, "/topics/a", expected.last().unwrap());
        }
        disturb(server, front);
    }
    for follower in &followers {
        let seen = follower.wait_for("2.4");
        assert_eq!(seen.data(), expected, "through {front:?}");
        assert!(seen.connections > 1);
    }
}

fn a_restart_of_the_proxy_is_resumed(kind: FrontKind) {
    let mut server = server(kind);
    let mut front = Front::start(kind, server.addr);
    resumes(&mut server, &mut front, |server, front| {
        front.kill();
        post(server.addr, "/topics/b", "while it is away");
        front.restart();
    });
}

/// A proxy answers a `502` or a `503` while its server is away, which would end a stock EventSource for
/// ever; so the server's drain tells them when to come back, and it is back by then.
fn a_restart_of_the_server_is_resumed(kind: FrontKind) {
    let mut server = server(kind);
    let mut front = Front::start(kind, server.addr);
    let ready = front.addr;
    let follower = Follower::start(front.addr, "/topics/a", &[]);
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    post(server.addr, "/topics/a", "before");
    follower.wait_for("before");
    server.signal("TERM");
    follower.wait("it is told when to come back", |seen| seen.retry.is_some());
    drop(follower);
    server.wait();
    server.restart();
    until("the proxy has noticed", || get(ready, "/healthz", &[]).status == 200);
    let last = get_json(server.addr, "/topics/a?last=1")["events"][0]["id"].clone();
    post(server.addr, "/topics/a", "after");
    let last = format!("Last-Event-ID: {}", last.as_str().unwrap());
    let again = Follower::start(front.addr, "/topics/a", &[&last]);
    assert_eq!(again.wait_for("after").data(), ["after"]);
    front.kill();
}

/// Longer than any of the proxies allows silence.
fn quiet_minutes_pass(kind: FrontKind) {
    let seconds = std::env::var("EVENTWALL_QUIET_SECONDS").map_or(70, |text| text.parse().unwrap());
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    let follower = Follower::start(front.addr, "/topics/a", &[]);
    let (began, quiet) = (Instant::now(), Duration::from_secs(seconds));
    follower.wait("the first tick", |seen| !seen.events.is_empty());
    while began.elapsed() < quiet {
        // What is waited for is time itself.
        std::thread::sleep(Duration::from_millis(200).min(quiet.saturating_sub(began.elapsed())));
    }
    post(server.addr, "/topics/a", "after a long time");
    let seen = follower.wait_for("after a long time");
    assert_eq!(seen.connections, 1, "it was cut off in between");
}

fn topics_arrive_as_they_are_written(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start(kind, server.addr);
    for (written, topic) in [
        ("a%2Fb", "a/b"),
        ("a%20b+c", "a b+c"),
        ("%C3%A9t%C3%A9", "été"),
        ("a%25b", "a%b"),
        ("a%3Fb%23c", "a?b#c"),
        ("a%5Cb", "a\\b"),
        ("~a;b=c,d", "~a;b=c,d"),
    ] {
        let id = post(front.addr, &format!("/topics/{written}"), topic);
        let page = get_json(server.addr, "/events?topic=**&last=1");
        let events = page["events"].as_array().unwrap();
        let event = events.iter().find(|event| event["id"] == id.as_str()).unwrap();
        assert_eq!((&event["topic"], &event["data"]), (&topic.into(), &topic.into()));
    }
    let many = (0..50).map(|n| format!("topic=t{n}/%2A%2A")).collect::<Vec<_>>().join("&");
    assert_eq!(
        get(front.addr, &format!("/events?{many}&last=1"), &["Accept: application/json"]).status,
        200
    );
}

/// A request that the proxy lets nobody make.
const FORBIDDEN: &str =
    "POST /topics/forbidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsmuggled";

fn forbid(kind: FrontKind, recipe: &str) -> String {
    match kind {
        FrontKind::Nginx => recipe.replace(
            "    location / {",
            "    location /topics/forbidden { return 403; }\n    location / {",
        ),
        FrontKind::Caddy => recipe
            .replace("\treverse_proxy", "\trespond /topics/forbidden* 403\n\treverse_proxy"),
        FrontKind::Haproxy | FrontKind::HaproxyTcp => recipe.replace(
            "    default_backend",
            "    http-request deny if { path_beg /topics/forbidden }\n    default_backend",
        ),
        FrontKind::Apache => recipe.replace(
            "    ProxyTimeout",
            "    <Location /topics/forbidden>\n        Require all denied\n    </Location>\n    ProxyTimeout",
        ),
    }
}

/// Messages whose end is where one reader sees it and another does not.
fn ambiguous() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let head = "POST /topics/a HTTP/1.1\r\nHost: localhost\r\n";
    let hidden = format!("0\r\n\r\n{FORBIDDEN}");
    let chunk = format!("{:x}\r\n{FORBIDDEN}\r\n0\r\n\r\n", FORBIDDEN.len());
    let spellings = [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\x0b",
        "transfer-encoding: CHUNKED",
        "Transfer_Encoding: chunked",
    ];
    for te in spellings {
        let lengths = [(hidden.len(), &hidden), (4, &chunk)];
        for (length, body) in lengths {
            let named = format!("{te:?} and a length of {length}");
            all.push((named, format!("{head}Content-Length: {length}\r\n{te}\r\n\r\n{body}")));
            let named = format!("a length of {length} and {te:?}");
            all.push((named, format!("{head}{te}\r\nContent-Length: {length}\r\n\r\n{body}")));
        }
    }
    let len = FORBIDDEN.len();
    for lengths in [
        format!("Content-Length: 0\r\nContent-Length: {len}"),
        format!("Content-Length: {len}\r\nContent-Length: 0"),
        format!("Content-Length: 0, {len}"),
        "Content-Length: +0".into(),
        "Content-Length: 0x0".into(),
        "Content-Length : 0".into(),
        "Content-Length: -1".into(),
        format!("X: y\nContent-Length: {len}"),
        format!("Content-Length:\r\n {len}"),
        String::new(),
    ] {
        let lines = if lengths.is_empty() { String::new() } else { format!("{lengths}\r\n") };
        all.push((format!("{lengths:?}"), format!("{head}{lines}\r\n{FORBIDDEN}")));
        let get = head.replace("POST", "GET");
        all.push((format!("GET, {lengths:?}"), format!("{get}{lines}\r\n{FORBIDDEN}")));
    }
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for size in [
        "0\n\r\n",
        "0\r\n\n",
        "0;x\n\r\n",
        "0 \r\n\r\n",
        "0x0\r\n\r\n",
        "-0\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "0;\r\nX: y\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
    ] {
        all.push((format!("a chunk {size:?}"), format!("{chunked}{size}{FORBIDDEN}")));
    }
    for line in [
        "GET /topics/a HTTP/1.1 x",
        "GET  /topics/a HTTP/1.1",
        "GET /topics/a HTTP/1.9",
        "GET http://localhost/topics/a HTTP/1.1",
        "POST /topics/a HTTP/1.0",
        "GET /topics/a",
    ] {
        let body = format!("Content-Length: {len}\r\nTransfer-Encoding: chunked");
        all.push((
            format!("{line:?}"),
            format!("{line}\r\nHost: localhost\r\n{body}\r\n\r\n{hidden}"),
        ));
    }
    all
}

fn nothing_is_smuggled(kind: FrontKind) {
    let server = server(kind);
    let front = Front::start_with(kind, server.addr, |recipe| forbid(kind, recipe));
    let denied = request(front.addr, "POST", "/topics/forbidden", &[], b"x");
    assert_eq!(denied.status, 403, "the proxy lets it through in the open");
    for (n, (what, bytes)) in ambiguous().into_iter().enumerate() {
        let mut connection = Connection::open(front.addr).unwrap();
        let short = Some(Duration::from_millis(100));
        connection.stream().set_read_timeout(short).unwrap();
        let _ = connection.send(&bytes);
        // Whatever is answered, a neighbour on the proxy's connections gets an answer of its own.
        let _ = connection.head();
        for neighbour in 0..3 {
            let topic = format!("n{n}-{neighbour}");
            let answer = get(front.addr, &format!("/presence?topic={topic}"), &[]);
            assert!(answer.text().contains(&topic), "after {what}: {}", answer.text());
        }
        drop(connection);
        let page = get_json(server.addr, "/topics/forbidden?last=1");
        assert_eq!(page["events"], serde_json::json!([]), "smuggled by {what}");
    }
}
