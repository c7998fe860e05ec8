//! What is kept, as seen from outside: limits by topic, states, gaps, over restarts too.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;

use eventwall_testkit::{Follower, Server, Setup, get_json, post, request, until};

const LIMITS: &str = r#"
[[retention]]
topics = "short/**"
max_events = 3

[[retention]]
topics = "lamps/*"
keep = "latest"

[[retention]]
topics = "brief"
max_age = "1s"
"#;

fn limited(folder: &tempfile::TempDir, more: &str) -> Server {
    let file = folder.path().join("wall.toml");
    fs::write(&file, format!("{more}\n{LIMITS}")).unwrap();
    Setup::default().arg("--config").arg(file.to_str().unwrap()).start()
}

fn data(server: &Server, target: &str) -> Vec<String> {
    let page = get_json(server.addr, target);
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_topic_keeps_its_newest_and_tells_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = limited(&folder, "");
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(post(server.addr, "/topics/short/a", format!("short {n}")));
        post(server.addr, "/topics/long", format!("long {n}"));
    }
    for _ in 0..2 {
        assert_eq!(data(&server, "/topics/short/a?last=9"), ["short 6", "short 7", "short 8"]);
        assert_eq!(data(&server, "/topics/long?last=20").len(), 9);
        for start in [format!("after={}", ids[0]), "since=1h".into()] {
            let page = data(&server, &format!("/topics/short/a?{start}"));
            assert_eq!(page, ["short 6", "short 7", "short 8"], "however it is asked: {start}");
        }
        // The page and the log's files agree after a restart, in which the window is gone.
        server.signal("TERM");
        server.wait();
        server.restart();
    }
    let resume = format!("Last-Event-ID: {}", ids[1]);
    let both = Follower::start(server.addr, "/events?topic=short/a&topic=long", &[&resume]);
    let seen = both.wait("live", |seen| seen.told().contains(&"live"));
    let mut expected = vec!["tick".to_owned(), "gap".into()];
    expected.extend((1..6).map(|n| format!("long {n}")));
    expected.extend((6..9).flat_map(|n| [format!("short {n}"), format!("long {n}")]));
    expected.push("live".into());
    assert_eq!(seen.told(), expected, "a gap skips nothing that is left");
    let gap: serde_json::Value = serde_json::from_str(&seen.events[1].data).unwrap();
    assert_eq!((&gap["after"], &gap["through"]), (&ids[1].clone().into(), &ids[5].clone().into()));
    assert_eq!(gap["reason"], "expired");
    let last_gone = format!("Last-Event-ID: {}", ids[5]);
    let complete = Follower::start(server.addr, "/topics/short/a", &[&last_gone]);
    let seen = complete.wait("live", |seen| seen.told().contains(&"live"));
    assert_eq!(seen.told(), ["tick", "short 6", "short 7", "short 8", "live"], "no false gap");
}

#[test]
fn a_thousand_states_come_on_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = limited(&folder, "");
    let lines = |round: usize| -> String {
        (0..1000)
            .map(|n| format!("{{\"topic\": \"lamps/{n}\", \"data\": \"{round}-{n}\"}}\n"))
            .collect()
    };
    for round in 0..3 {
        let batch = lines(round);
        let headers = &["Content-Type: application/x-ndjson"];
        let answer = request(server.addr, "POST", "/events", headers, batch.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    post(server.addr, "/topics/lamps/7", "on");
    let follower = Follower::start(server.addr, "/events?topic=lamps/*&last=1", &[]);
    let seen = follower.wait("live", |seen| seen.told().contains(&"live"));
    let states: Vec<_> = seen.data();
    assert_eq!(states.len(), 1000);
    assert_eq!(states.iter().filter(|state| state.starts_with("2-")).count(), 999);
    assert_eq!(states.last(), Some(&"on"));
    assert!(!seen.told().contains(&"gap"), "a superseded state is no loss");
    post(server.addr, "/topics/lamps/7", "off");
    assert_eq!(follower.wait_for("off").data().len(), 1001);
}

#[test]
fn old_events_are_gone_from_pages_streams_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = limited(&folder, "");
    let first = post(server.addr, "/topics/brief", "first");
    post(server.addr, "/topics/long", "stays");
    let second = post(server.addr, "/topics/brief", "second");
    until("they are too old", || data(&server, "/topics/brief?last=9").is_empty());
    // Followers read memory first, which forgets them a moment later.
    until("a gap is told", || {
        let page = get_json(server.addr, &format!("/topics/brief?after={first}"));
        page["gap"]["resumed"] == second.as_str() && page["events"].as_array().unwrap().is_empty()
    });
    assert_eq!(data(&server, "/topics/long?last=9"), ["stays"]);
    let page = get_json(server.addr, &format!("/topics/brief?after={second}"));
    assert!(page.get("gap").is_none(), "{page}");
}

#[test]
fn space_is_given_back_and_states_stay() {
    let folder = tempfile::tempdir().unwrap();
    let server = limited(&folder, "max_bytes = \"1MiB\"");
    for n in 0..20 {
        post(server.addr, &format!("/topics/lamps/{n}"), format!("lamp {n}"));
    }
    for _ in 0..60 {
        post(server.addr, "/topics/long", "x".repeat(50_000));
    }
    let size = || -> u64 {
        let files = fs::read_dir(server.data().join("log")).unwrap();
        // One may be removed while it is looked at.
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
    };
    until("the log is within its bytes", || size() <= 1 << 20);
    for n in 0..20 {
        assert_eq!(data(&server, &format!("/topics/lamps/{n}?last=1")), [format!("lamp {n}")]);
    }
}
