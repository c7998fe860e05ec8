//! What becomes of a log in NATS: a stream that is made anew, put back or lost, read by a node that comes
//! late, or copied.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::{Duration, Instant};

use eventwall_testkit::{
    Follower, NatsCluster, NatsVersion, Server, Setup,
    cluster::{epoch, live, node, one_server, position, publish, send, try_publish},
    get_json, until,
};

fn delete_stream(nats: &NatsCluster) {
    let answer = nats.servers[0].ask("$JS.API.STREAM.DELETE.main").unwrap();
    assert_eq!(answer["success"], true, "{answer}");
}

/// Whoever followed is told of a gap before anything of the new stream; old ids are told apart.
#[test]
fn a_stream_that_is_made_anew_under_running_nodes_is_a_gap() {
    for version in [NatsVersion::Oldest, NatsVersion::Newest] {
        let nats = one_server(version);
        let (one, two) = (node(&nats), node(&nats));
        let follower = live(&one, "/topics/a");
        let other = live(&two, "/topics/b");
        let old: Vec<String> = (0..20).map(|n| publish(&one, "a", &format!("old {n}"))).collect();
        follower.wait_for("old 19");
        delete_stream(&nats);
        // A node makes what is missing; nobody has to restart it.
        until("events are taken again", || try_publish(&two, "a", "new").status == 201);
        let seen = follower.wait_for("new");
        let told = seen.told();
        let gap = told.iter().position(|told| *told == "gap").expect("it is told");
        let new = told.iter().position(|told| *told == "new").unwrap();
        assert!(gap < new, "{told:?}");
        other.wait("who follows another topic is told, too: nobody knows what was lost", |seen| {
            seen.told().contains(&"gap")
        });
        for server in [&one, &two] {
            let resumed =
                Follower::start(server.addr, "/topics/a", &[&format!("Last-Event-ID: {}", old[3])]);
            let told =
                resumed.wait_for("new").told().iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            assert_eq!(told.first().map(String::as_str), Some("gap"), "{told:?}");
        }
        let fresh = publish(&one, "a", "newer");
        assert!(!old.contains(&fresh) && epoch(&fresh) != epoch(&old[0]));
        assert!(position(&fresh) > position(&old[19]), "positions grow on");
    }
}

/// A server whose disk is put back to what it was takes events at places that had others.
#[test]
fn a_stream_that_is_put_back_under_running_nodes_resumes_exactly_or_tells_a_gap() {
    let mut nats = one_server(NatsVersion::Newest);
    let copies = tempfile::tempdir().unwrap();
    let (one, two) = (node(&nats), node(&nats));
    let kept: Vec<String> = (0..20).map(|n| publish(&one, "a", &format!("kept {n}"))).collect();
    let quiet = publish(&two, "quiet", "kept");
    nats.servers[0].kill();
    nats.servers[0].copy_store(&copies.path().join("store"));
    nats.servers[0].restart();
    until("events are taken again", || try_publish(&one, "other", "x").status == 201);
    until("the other takes events, too", || try_publish(&two, "other", "x").status == 201);
    let follower = live(&one, "/topics/a");
    let lost: Vec<String> = (0..20).map(|n| publish(&one, "a", &format!("lost {n}"))).collect();
    follower.wait_for("lost 19");
    nats.servers[0].kill();
    nats.servers[0].restore_store(&copies.path().join("store"));
    nats.servers[0].restart();
    until("events are taken again", || try_publish(&two, "a", "new").status == 201);
    let new: Vec<String> = (0..40).map(|n| publish(&two, "a", &format!("new {n}"))).collect();
    let seen = follower.wait_for("new 39");
    let told = seen.told();
    let gap = told.iter().position(|told| *told == "gap").expect("it is told");
    assert!(gap < told.iter().position(|told| *told == "new 0").unwrap(), "{told:?}");
    assert!(new.iter().all(|id| !lost.contains(id) && position(id) > position(&lost[19])));
    for server in [&one, &two] {
        // Whoever comes back hears that something may be lost, and gets all that is left.
        let resume = |id: &str, topic: &str| {
            let header = format!("Last-Event-ID: {id}");
            Follower::start(server.addr, &format!("/topics/{topic}"), &[&header])
        };
        let seen = resume(&kept[3], "a").wait_for("new 39");
        let told: Vec<&str> =
            seen.told().into_iter().filter(|t| *t != "tick" && *t != "live").collect();
        let left: Vec<String> = (4..20).map(|n| format!("kept {n}")).collect();
        assert_eq!(told[0], "gap", "{told:?}");
        assert_eq!(told[1..17], left, "a gap skips nothing that is left");
        assert!(told[17].starts_with("new"), "{told:?}");
        let beyond = resume(&lost[10], "a").wait_for("new 39");
        let told: Vec<&str> = beyond.told();
        assert_eq!(told[0], "gap", "{told:?}");
        assert!(!told.iter().any(|told| told.starts_with("kept")), "{told:?}");
        // Nobody knows whether anything of this topic was lost.
        let told = resume(&quiet, "quiet").wait("it is told", |seen| seen.told().contains(&"gap"));
        assert!(told.data().is_empty());
    }
}

/// Servers that come back with nothing at all are a hub again, without anybody's help.
#[test]
fn servers_that_have_lost_everything_are_filled_anew() {
    let mut nats = one_server(NatsVersion::Newest);
    let empty = tempfile::tempdir().unwrap();
    let node = node(&nats);
    let follower = live(&node, "/topics/a");
    publish(&node, "a", "before");
    follower.wait_for("before");
    nats.servers[0].kill();
    std::fs::create_dir(empty.path().join("store")).unwrap();
    nats.servers[0].restore_store(&empty.path().join("store"));
    nats.servers[0].restart();
    until("events are taken again", || try_publish(&node, "a", "after").status == 201);
    let seen = follower.wait_for("after");
    assert!(seen.told().contains(&"gap"), "{:?}", seen.told());
}

/// What was read once need not be read again by every node that comes.
#[test]
fn a_fresh_node_beside_a_long_history_answers_at_once() {
    const EVENTS: usize = 120_000;
    let nats = one_server(NatsVersion::Newest);
    let first = node(&nats);
    let line = format!("{{\"data\":\"{}\"}}\n", "x".repeat(100));
    let batch = line.repeat(1000);
    let ids: Vec<String> = (0..EVENTS / 1000)
        .map(|n| {
            let target = format!("/topics/t/{}", n % 50);
            let json = ["Content-Type: application/x-ndjson"];
            let answer = send(&first, "POST", &target, &json, &batch);
            assert_eq!(answer.status, 201, "{}", answer.text());
            answer.json()["ids"][0].as_str().unwrap().to_owned()
        })
        .collect();
    until("the cluster has a snapshot", || {
        let state = nats.servers[0].ask("$JS.API.STREAM.INFO.OBJ_main-blobs").unwrap();
        state["state"]["messages"].as_u64() > Some(0)
    });
    let began = Instant::now();
    let second = node(&nats);
    let took = began.elapsed();
    println!("a fresh node beside {EVENTS} events: {took:?}");
    for (n, id) in ids.iter().enumerate().step_by(17) {
        let page = get_json(second.addr, &format!("/topics/t/{}?after={id}&limit=5", n % 50));
        assert_eq!(page["events"].as_array().unwrap().len(), 5, "{page}");
        assert!(page["gap"].is_null(), "{page}");
        let last = get_json(second.addr, &format!("/topics/t/{}?last=3", n % 50));
        assert_eq!(last["events"].as_array().unwrap().len(), 3, "{last}");
    }
    assert!(took < Duration::from_secs(20));
}

fn copy(from: &str, to: &str, more: &[&str]) -> std::process::Output {
    let mut command = eventwall_testkit::eventwall();
    command.args(["log", "copy", from, to]).args(more).output().unwrap()
}

fn copied(from: &str, to: &str, more: &[&str]) -> String {
    let output = copy(from, to, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// From disk into NATS and back: ids of every server before resolve, gaps are told to whoever has one.
#[test]
fn a_log_that_is_copied_between_disk_and_nats_keeps_every_place() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("eventwall.toml");
    let limits = "[[retention]]\ntopics = \"short\"\nmax_events = 3\n";
    std::fs::write(&settings, limits).unwrap();
    let config = ["--config", settings.to_str().unwrap()];
    let with = |setup: Setup| setup.arg(config[0]).arg(config[1]);
    let first = folder.path().join("first");
    let mut disk = with(Setup::default().data(&first)).start();
    let mut ids: Vec<String> = (0..30).map(|n| publish(&disk, "a", &format!("{n}"))).collect();
    let short: Vec<String> = (0..10).map(|n| publish(&disk, "short", &format!("s{n}"))).collect();
    let keyed = send(&disk, "POST", "/topics/a", &["Idempotency-Key: k"], "keyed").json();
    // Another epoch, after positions that were skipped; and one that is erased.
    disk.kill();
    disk.restart();
    ids.extend((30..60).map(|n| publish(&disk, "a", &format!("{n}"))));
    assert_ne!(epoch(&ids[0]), epoch(&ids[59]));
    assert_eq!(send(&disk, "DELETE", &format!("/events/{}", ids[5]), &[], "").status, 204);
    let times = |server: &Server| -> Vec<(String, String, String)> {
        let page = get_json(server.addr, "/topics/a?last=100");
        let text = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap().to_owned();
        let events = page["events"].as_array().unwrap();
        events.iter().map(|e| (text(e, "id"), text(e, "data"), text(e, "time"))).collect()
    };
    let before = times(&disk);
    assert_eq!(before.len(), 60);
    disk.signal("TERM");
    disk.wait();
    // What its limits hide is gone for good.
    let mut compact = eventwall_testkit::eventwall();
    compact.args(["log", "compact", "--data", first.to_str().unwrap()]).args(config);
    let (code, _, words) = eventwall_testkit::run(&mut compact);
    assert_eq!(code, 0, "{words}");
    let nats = one_server(NatsVersion::Newest);
    let said = copied(first.to_str().unwrap(), &nats.url("main"), &config);
    assert!(said.starts_with("63 events copied from"), "{said}");
    let again = copy(first.to_str().unwrap(), &nats.url("main"), &config);
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && words.contains("name another"), "{words}");
    // A hub that is not there is not made by looking for it.
    let missing = copy(&nats.url("mian"), folder.path().join("x").to_str().unwrap(), &config);
    let words = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && words.contains("there is no hub mian"), "{words}");
    assert!(nats.servers[0].ask("$JS.API.STREAM.INFO.mian").unwrap()["error"].is_object());
    let second = folder.path().join("second");
    let check = |server: &Server| {
        assert_eq!(times(server), before, "events, ids and times");
        // A cursor of either epoch goes on exactly.
        for n in [0, 12, 31, 59] {
            let page = get_json(server.addr, &format!("/topics/a?after={}", ids[n]));
            assert!(page["gap"].is_null(), "{page}");
            let expected = 60 - n - 1 - usize::from(n < 5) + usize::from(n < 30);
            assert_eq!(page["events"].as_array().unwrap().len(), expected, "after {n}");
        }
        // Whoever missed what a limit had taken hears so; whoever did not, does not.
        let gap =
            |id: &str| get_json(server.addr, &format!("/topics/short?after={id}"))["gap"].clone();
        assert_eq!(gap(&short[2])["reason"], "expired");
        assert!(gap(&short[6]).is_null(), "{}", gap(&short[6]));
        let page = get_json(server.addr, &format!("/topics/never?after={}", ids[0]));
        assert!(page["gap"].is_null(), "nothing of this topic was ever lost: {page}");
        let left =
            get_json(server.addr, "/topics/short?last=9")["events"].as_array().unwrap().len();
        assert_eq!(left, 3);
    };
    {
        let node = with(Setup::default().store(&nats.url("main"))).start();
        check(&node);
        let new = publish(&node, "b", "on NATS");
        assert!(position(&new) > position(&ids[59]) && epoch(&new) != epoch(&ids[59]));
        // One that comes later knows as much.
        let mut other = with(Setup::default().store(&nats.url("main"))).start();
        check(&other);
        // What is in use cannot be copied, from or to.
        let mut node = node;
        node.signal("TERM");
        node.wait();
        for (from, to) in [
            (nats.url("main"), folder.path().join("busy").display().to_string()),
            (first.display().to_string(), nats.url("main")),
        ] {
            let busy = copy(&from, &to, &config);
            let words = String::from_utf8_lossy(&busy.stderr).into_owned();
            assert!(!busy.status.success(), "{words}");
            assert!(
                words.contains("nodes use the hub") || words.contains("name another"),
                "{words}"
            );
        }
        other.signal("TERM");
        other.wait();
    }
    copied(&nats.url("main"), second.to_str().unwrap(), &config);
    let back = with(Setup::default().data(&second)).start();
    check(&back);
    let repeated = send(&back, "POST", "/topics/a", &["Idempotency-Key: k"], "keyed").json();
    assert_eq!(repeated, keyed, "a key is remembered through both copies");
    let new = publish(&back, "b", "on disk again");
    assert!(position(&new) > position(&ids[59]));
    assert_eq!(get_json(back.addr, "/topics/b?last=9")["events"].as_array().unwrap().len(), 2);
    let mut verify = eventwall_testkit::eventwall();
    verify.args(["log", "verify", "--data", second.to_str().unwrap()]);
    let (code, out, error) = eventwall_testkit::run(&mut verify);
    assert_eq!(code, 0, "{out}{error}");
}
