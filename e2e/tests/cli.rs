//! The command line as a newcomer uses it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use eventwall_testkit::{DEADLINE, Follower, Server, Setup, eventwall, get_json, post, run};

fn with(server: &Server, args: &[&str]) -> Command {
    let mut command = eventwall();
    command.args(args).arg("--server").arg(server.url(""));
    command
}

struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the process.
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("the command prints a line")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_teaches_by_example_and_fits_a_terminal() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["publish", "--help"],
        &["subscribe", "-h"],
        &["replay", "--help"],
    ] {
        let (code, out, _) = run(eventwall().args(args));
        assert_eq!(code, 0);
        assert!(out.contains("Example") && out.contains("eventwall "), "{args:?}");
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{args:?}");
    }
    let (_, long, _) = run(eventwall().arg("--help"));
    assert!(long.contains("Exit codes:") && long.contains("EVENTWALL_LISTEN"));
    let (code, out, _) = run(eventwall().arg("--version"));
    assert_eq!((code, &*out), (0, &*format!("eventwall {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, _, error) = run(eventwall().arg("--lisen"));
    assert!(code == 2 && error.contains("--listen"), "a typo is met with a hint: {error}");
}

#[test]
fn every_way_of_looking_shows_the_same_events() {
    let server = Server::start();
    let topic = "walls/lobby";
    let stock = Follower::start(server.addr, "/topics/walls/lobby", &[]);
    stock.wait("the first tick", |seen| !seen.events.is_empty());
    let follow =
        Running::start(&mut with(&server, &["subscribe", topic, "--last", "100", "--json"]));
    let curl = Command::new("curl")
        .args(["-sd", "hello", &server.url("/topics/walls/lobby")])
        .output()
        .unwrap();
    let by_curl: serde_json::Value = serde_json::from_slice(&curl.stdout).unwrap();
    let (code, by_command, _) =
        run(&mut with(&server, &["publish", topic, "two\nlines", "--event", "checkin"]));
    assert_eq!(code, 0);
    let json = ["Content-Type: application/json"];
    let by_page = eventwall_testkit::request(
        server.addr,
        "POST",
        "/walls/lobby/posts",
        &json,
        br#"{"kind":"status","msg":"hi"}"#,
    );
    let ids = [
        by_curl["id"].as_str().unwrap().to_owned(),
        by_command.trim().to_owned(),
        by_page.json()["id"].as_str().unwrap().to_owned(),
    ];
    let seen = stock.wait("three events", |seen| seen.messages().count() == 3);
    assert_eq!(seen.messages().map(|event| event.last_event_id.clone()).collect::<Vec<_>>(), ids);
    let page = get_json(server.addr, "/topics/walls/lobby?last=100");
    for (id, event) in ids.iter().zip(page["events"].as_array().unwrap()) {
        assert_eq!(event["id"], id.as_str());
        let line: serde_json::Value = serde_json::from_str(&follow.line()).unwrap();
        assert_eq!(&line, event);
    }
}

#[test]
fn every_line_of_a_pipe_is_an_event() {
    let server = Server::start();
    let mut command = with(&server, &["publish", "log s/é", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("one\n\nthree, without an end".as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let page = get_json(server.addr, "/topics/log%20s/%C3%A9?last=9");
    let events = page["events"].as_array().unwrap();
    let data: Vec<_> = events.iter().map(|event| event["data"].as_str().unwrap()).collect();
    assert_eq!(data, ["one", "", "three, without an end"]);
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().collect::<Vec<_>>(), ids);
}

fn pipe(server: &Server, args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = with(server, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

fn data(server: &Server, topic: &str) -> Vec<String> {
    let page = get_json(server.addr, &format!("/topics/{topic}?last=1000"));
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pipe_may_hold_json_lines_or_an_event_stream() {
    let server = Server::start();
    let lines = "{\"data\":\"1\",\"event\":\"ping\"}\n\n{\"data\":\"2\"}";
    let (code, ids, error) = pipe(&server, &["publish", "a", "-", "--format", "ndjson"], lines);
    assert_eq!((code, ids.lines().count()), (0, 2), "{error}");
    assert_eq!(data(&server, "a"), ["1", "2"]);
    let (code, _, error) = pipe(&server, &["publish", "a", "--format", "ndjson"], "rubbish\n");
    assert!(code == 6 && error.contains("the batch from line 1"), "{error}");
    let stream = "id: up-1\ndata: x\ndata: y\n\n: comment\n\ndata: z\n\ndata: cut off";
    let (code, last, error) =
        pipe(&server, &["publish", "b", "-", "--format", "event-stream"], stream);
    assert_eq!((code, last.lines().count()), (0, 1), "{error}");
    assert_eq!(data(&server, "b"), ["x\ny", "z"]);
}

#[test]
fn a_command_is_published_each_time() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let count = home.path().join("count");
    // Fails on its second run.
    let script = "echo x >> \"$1\"; n=$(wc -l < \"$1\"); test $n -ne 2; echo $n";
    let mut command = with(&server, &["publish", "clock", "--every", "20ms", "--event", "tick"]);
    command.args(["--", "sh", "-ec", script, "sh"]).arg(&count).stderr(Stdio::piped());
    let running = Running::start(&mut command);
    let ids: Vec<_> = (0..3).map(|_| running.line()).collect();
    drop(running);
    let page = get_json(server.addr, "/topics/clock?last=3");
    let events = page["events"].as_array().unwrap();
    assert_eq!(
        events.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>()[..3],
        ids[..3]
    );
    assert_eq!(data(&server, "clock")[..3], ["1", "3", "4"]);
    let (code, _, error) =
        run(&mut with(&server, &["publish", "clock", "--every", "0s", "--", "date"]));
    assert!(code == 2 && error.contains("--every 1s"), "{error}");
}

#[test]
fn a_clock_goes_on_when_its_server_is_back() {
    let mut server = Server::start();
    let mut command = with(&server, &["publish", "clock", "--every", "20ms"]);
    command.args(["--", "date"]);
    let clock = Running::start(&mut command);
    let before = clock.line();
    server.kill();
    server.restart();
    let after = clock.line();
    let position = |id: &str| id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    assert!(position(&after) > position(&before));
    server.kill();
    // One that never found its server is a mistake.
    let (code, _, error) = run(command.stderr(Stdio::piped()));
    assert!(code == 6 && error.contains("cannot reach"), "{error}");
}

#[test]
fn subscribe_takes_patterns_and_times() {
    let server = Server::start();
    post(server.addr, "/topics/rooms/1", "one");
    post(server.addr, "/topics/halls/1", "no");
    post(server.addr, "/topics/rooms/2", "two");
    let follow = Running::start(&mut with(&server, &["subscribe", "rooms/*", "--since", "10m"]));
    assert_eq!([follow.line(), follow.line()], ["rooms/1\tone", "rooms/2\ttwo"]);
}

#[test]
fn subscribe_survives_a_kill_and_misses_nothing() {
    let mut server = Server::start();
    let first = post(server.addr, "/topics/a", "0");
    let follow = Running::start(&mut with(&server, &["subscribe", "a", "--last", "1"]));
    assert_eq!(follow.line(), "0");
    server.kill();
    server.restart();
    for n in 1..4 {
        post(server.addr, "/topics/a", n.to_string());
    }
    assert_eq!([follow.line(), follow.line(), follow.line()], ["1", "2", "3"]);
    let after = Running::start(&mut with(&server, &["subscribe", "a", "b", "--after", &first]));
    assert_eq!(after.line(), "a\t1", "several topics are told apart");
}

#[test]
fn commands_that_fail_say_what_to_do() {
    let server = Server::start();
    let gone = ["--server", "http://127.0.0.1:1"];
    let (code, _, error) = run(eventwall().args(["publish", "a", "x"]).args(gone));
    assert!(code == 6 && error.contains("start a server with `eventwall`"), "{error}");
    let (code, _, error) = run(&mut with(&server, &["publish", "a//b", "x"]));
    assert!(code == 6 && error.contains("empty segment"), "{error}");
    let (code, _, error) = run(&mut with(&server, &["subscribe", "a", "--after", "rubbish"]));
    assert!(code == 6 && error.contains("k3x9v0qa-1042"), "{error}");
    let (code, _, error) = run(eventwall().args(["publish", "a", "x", "--server", "ftp://x"]));
    assert!(code == 2 && error.contains("http://127.0.0.1:8080"), "{error}");
    let (code, _, error) = run(&mut with(&server, &["replay", "no-such-file"]));
    assert!(code == 1 && error.contains("no-such-file"), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = Server::start();
    for n in 0..100 {
        post(server.addr, "/topics/a", n.to_string());
    }
    let mut command = with(&server, &["subscribe", "a", "--last", "100"]);
    let mut follow = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(follow.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    // Whatever did not fit the pipe meets its closed end.
    let addr = server.addr;
    let publisher = std::thread::spawn(move || {
        (0..50).for_each(|n| drop(post(addr, "/topics/a", n.to_string())));
    });
    let end = follow.wait_with_output().unwrap();
    publisher.join().unwrap();
    assert_eq!(
        (end.status.code(), String::from_utf8(end.stderr).unwrap()),
        (Some(0), String::new())
    );
}

#[test]
fn replay_posts_a_file_in_order() {
    let server = Server::start();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wall/samples/lobby.sse");
    let (code, _, progress) = run(&mut with(&server, &["replay", file, "--every", "0s..2ms"]));
    assert_eq!(code, 0, "{progress}");
    let page = get_json(server.addr, "/topics/walls/lobby?last=100");
    let events = page["events"].as_array().unwrap();
    assert_eq!(progress.lines().count(), events.len());
    assert!(progress.starts_with(&format!("1 of {}: ", events.len())));
    let kinds = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(["message", "checkin", "forward", "direct"].iter().all(|kind| kinds(kind) > 0));
}

#[test]
fn the_demo_plays_posts_at_once_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let mut command = eventwall();
    command
        .args(["--demo", "--listen", "127.0.0.1:0"])
        .env("HOME", home.path())
        .env_remove("XDG_DATA_HOME");
    let demo = Running::start(&mut command);
    let greeting: Vec<_> = (0..6).map(|_| demo.line()).collect();
    assert!(greeting[2].contains("/walls/lobby/screen"), "{greeting:?}");
    assert!(greeting[3].contains("in memory"), "{greeting:?}");
    let addr = greeting[1].split("http://").nth(1).unwrap().trim_end_matches('/').parse().unwrap();
    let follower = Follower::start(addr, "/topics/walls/lobby?last=5", &[]);
    follower.wait("two posts", |seen| seen.messages().count() >= 2);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn data_goes_to_the_platforms_folder() {
    let home = tempfile::tempdir().unwrap();
    let mut command = eventwall();
    command.args(["--listen", "127.0.0.1:0"]).env("XDG_DATA_HOME", home.path());
    let server = Running::start(&mut command);
    while server.line() != "Ctrl-C stops it." {}
    assert!(home.path().join("eventwall/log").is_dir());
}

#[test]
fn settings_come_from_the_environment_too() {
    let home = tempfile::tempdir().unwrap();
    let mut command = eventwall();
    command
        .env("EVENTWALL_LISTEN", "localhost:0")
        .env("EVENTWALL_DEMO", "1")
        .env("HOME", home.path());
    let server = Running::start(&mut command);
    server.line();
    assert!(server.line().contains("http://127.0.0.1:"));
    assert!(server.line().contains("/screen"));
    assert!(server.line().contains("in memory"));
}

#[test]
fn a_stopped_server_says_goodbye_to_its_streams() {
    for signal in ["TERM", "INT"] {
        let mut server = Setup::default().start();
        let followers: Vec<_> =
            (0..20).map(|_| Follower::start(server.addr, "/topics/a", &[])).collect();
        for follower in &followers {
            follower.wait("the first tick", |seen| !seen.events.is_empty());
        }
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        let mut retries: Vec<_> = followers
            .iter()
            .map(|follower| follower.wait("a retry", |seen| seen.retry.is_some()).retry)
            .collect();
        retries.dedup();
        assert!(retries.len() > 1, "everyone was given the same time to come back");
    }
}

#[test]
fn a_server_whose_greeting_nobody_reads_serves_all_the_same() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = eventwall();
    command.args(["--store", "memory", "--listen", &free.to_string()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    eventwall_testkit::until("it answers", || {
        std::net::TcpStream::connect(free).is_ok()
            && eventwall_testkit::get(free, "/healthz", &[]).status == 200
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn settings_that_could_never_work_are_refused_at_once() {
    for (args, words) in [
        (&["--cors-origin", "https://x.example/"][..], "without a path"),
        (&["--cors-origin", "null"], "https://example.org"),
        (&["--allow-host", "http://x:80"], "without a port"),
        (&["--listen", "8080"], "127.0.0.1:8080"),
        (&["--store", "memory", "--data", "x"], "leave one"),
    ] {
        let (code, _, error) = run(eventwall().args(args));
        assert!(code == 2 && error.contains(words), "{args:?}: {error}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut server = Setup::default().start();
    let mut held = eventwall_testkit::Connection::open(server.addr).unwrap();
    let host = server.addr;
    held.send(format!("POST /topics/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")).unwrap();
    assert_eq!(held.head().unwrap().status, 100, "it is under way, and holds the drain");
    server.signal("TERM");
    eventwall_testkit::until("it is draining", || {
        eventwall_testkit::get(server.addr, "/readyz", &[]).status == 503
    });
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
}
