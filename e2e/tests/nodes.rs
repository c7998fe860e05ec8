//! Nodes that share a log in NATS, from outside: cut off and back, over streams that are made anew, put
//! back or rolled back, fresh beside a long history, and gone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use eventwall_testkit::{
    Connection, Follower, Haproxy, NatsCluster, NatsSetup, NatsVersion, Proxy, Response, Server,
    Setup, get, get_json, request, until,
};

fn one_server(version: NatsVersion) -> NatsCluster {
    NatsCluster::start(version, 1, &NatsSetup::default())
}

fn node(nats: &NatsCluster) -> Server {
    Setup::default().store(&nats.url("main")).arg("--heartbeat").arg("200ms").start()
}

fn send(node: &Server, method: &str, target: &str, headers: &[&str], body: &str) -> Response {
    request(node.addr, method, target, headers, body.as_bytes())
}

fn try_publish(node: &Server, topic: &str, data: &str) -> Response {
    send(node, "POST", &format!("/topics/{topic}"), &[], data)
}

fn publish(node: &Server, topic: &str, data: &str) -> String {
    let answer = try_publish(node, topic, data);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn is_ready(node: &Server) -> bool {
    get(node.addr, "/readyz", &[]).status == 200
}

/// A follower from now on, which is there.
fn live(node: &Server, target: &str) -> Follower {
    let follower = Follower::start(node.addr, target, &[]);
    follower.wait("it is live", |seen| !seen.events.is_empty());
    follower
}

fn told(follower: &Follower) -> Vec<String> {
    let told = follower.seen().told().iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    told.into_iter().filter(|told| told != "tick").collect()
}

#[test]
fn two_nodes_are_one_wall() {
    let nats = one_server(NatsVersion::Oldest);
    let (one, two) = (node(&nats), node(&nats));
    let follower = live(&two, "/topics/a");
    let id = publish(&one, "a", "1");
    let seen = follower.wait_for("1");
    assert_eq!(seen.messages().next().unwrap().last_event_id, id, "one id on both");
    // What another node has just answered is the last here at once, too.
    let second = send(&two, "POST", "/topics/a", &[&format!("If-Match: {id}")], "2");
    assert_eq!(second.status, 201, "{}", second.text());
    follower.wait_for("2");
    // Typing and the like pass between the nodes, too, and leave no trace.
    until("an ephemeral event of the other node is shown", || {
        try_publish(&one, "a?ephemeral", "typing");
        follower.seen().data().contains(&"typing")
    });
    assert_eq!(get_json(one.addr, "/topics/a?last=9")["events"].as_array().unwrap().len(), 2);
    // Erased on one is erased on the other.
    let erased = send(&one, "DELETE", &format!("/events/{id}"), &[], "");
    assert_eq!(erased.status, 204, "{}", erased.text());
    until("the other node shows it no more", || {
        get_json(two.addr, "/topics/a?last=9")["events"].as_array().unwrap().len() == 1
    });
}

#[test]
fn a_node_that_is_cut_off_keeps_its_followers_and_catches_up_exactly() {
    let nats = one_server(NatsVersion::Newest);
    let line = Proxy::to(nats.servers[0].addr);
    let url = format!("nats://{}/main", line.addr);
    let one = Setup::default().store(&url).arg("--heartbeat").arg("200ms").start();
    let two = node(&nats);
    let follower = live(&one, "/topics/a");
    publish(&one, "a", "before");
    follower.wait_for("before");
    line.cut();
    until("it is not ready", || !is_ready(&one));
    let why = get(one.addr, "/readyz", &[]).text();
    assert!(why.contains("NATS"), "{why}");
    let refused = try_publish(&one, "a", "meanwhile");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("Retry-After").is_some());
    assert!(refused.json()["outcome"].is_null(), "it is surely not stored: {}", refused.text());
    assert_eq!(get(one.addr, "/healthz", &[]).status, 200, "it is alive all the same");
    let metrics = get(one.addr, "/metrics", &[]).text();
    assert!(metrics.contains("eventwall_log_up 0"), "{metrics}");
    for n in 0..50 {
        publish(&two, "a", &format!("{n}"));
    }
    // Its followers are still there, and tick.
    let ticks = |seen: &eventwall_testkit::Seen| {
        seen.events.iter().filter(|event| event.event == "eventwall:tick").count()
    };
    let before = ticks(&follower.seen());
    follower.wait("it ticks", |seen| ticks(seen) > before + 2);
    assert_eq!(follower.seen().connections, 1);
    line.heal();
    let seen = follower.wait_for("49");
    let expected: Vec<String> =
        ["before".to_owned()].into_iter().chain((0..50).map(|n| n.to_string())).collect();
    assert_eq!(seen.data(), expected);
    assert_eq!(seen.connections, 1, "on the same connection");
    until("it is ready again", || is_ready(&one));
    until("the metric says so", || {
        get(one.addr, "/metrics", &[]).text().contains("eventwall_log_up 1")
    });
    publish(&one, "a", "after");
    follower.wait_for("after");
    assert!(!told(&follower).contains(&"gap".to_owned()), "nothing was lost");
}

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

fn epoch(id: &str) -> &str {
    id.split_once('-').unwrap().0
}

fn position(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
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

/// Servers before 2.12 know no batches: what asks for one is told so, or split if it says so.
#[test]
fn a_batch_is_one_unit_where_the_servers_can_or_in_order_where_that_will_do() {
    let json = "Content-Type: application/x-ndjson";
    let lines = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("{{\"data\":\"{n}\"}}\n")).collect()
    };
    let old = one_server(NatsVersion::Oldest);
    let node_of_old = node(&old);
    let refused = send(&node_of_old, "POST", "/topics/a", &[json], &lines(0, 3));
    assert_eq!(refused.status, 501, "{}", refused.text());
    assert!(refused.text().contains("?atomic=false"), "{}", refused.text());
    assert_eq!(send(&node_of_old, "POST", "/topics/a", &[json], &lines(0, 1)).status, 201);
    let key = "Idempotency-Key: k";
    let split = send(&node_of_old, "POST", "/topics/a?atomic=false", &[json, key], &lines(1, 20));
    assert_eq!(split.status, 201, "{}", split.text());
    let ids = split.json()["ids"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 19);
    let again = send(&node_of_old, "POST", "/topics/a?atomic=false", &[json, key], &lines(1, 20));
    assert_eq!(again.json()["ids"].as_array().unwrap(), &ids, "a repeat changes nothing");
    // A condition is of the first; what is already there stays, and is named.
    let first = format!("If-Match: {}", ids[18].as_str().unwrap());
    let guarded = ["If-Match: x-1", &first].map(|condition| {
        send(&node_of_old, "POST", "/topics/a?atomic=false", &[json, condition], &lines(20, 22))
    });
    assert_eq!((guarded[0].status, guarded[1].status), (412, 201), "{}", guarded[1].text());
    assert_eq!(guarded[0].json()["ids"].as_array().unwrap().len(), 0);
    let new = one_server(NatsVersion::Newest);
    let node_of_new = node(&new);
    let unit = send(&node_of_new, "POST", "/topics/a", &[json, key], &lines(0, 900));
    assert_eq!(unit.status, 201, "{}", unit.text());
    assert_eq!(unit.json()["ids"].as_array().unwrap().len(), 900);
    let again = send(&node_of_new, "POST", "/topics/a", &[json, key], &lines(0, 900));
    assert_eq!((again.status, again.json()), (201, unit.json()), "{}", again.text());
    let other = send(&node_of_new, "POST", "/topics/a", &[json, key], &lines(0, 899));
    assert_eq!(other.status, 422, "{}", other.text());
    let large = send(&node_of_new, "POST", "/topics/a", &[json], &lines(0, 1001));
    assert_eq!(large.status, 501, "{}", large.text());
    assert_eq!(
        send(&node_of_new, "POST", "/topics/a?atomic=maybe", &[json], &lines(0, 2)).status,
        400
    );
    let page = get_json(node_of_new.addr, "/topics/a?last=1000");
    assert_eq!(page["events"].as_array().unwrap().len(), 900);
    // A stream of events goes through on both.
    for node in [&node_of_old, &node_of_new] {
        let events: String = (0..1500).map(|n| format!("data: s{n}\n\n")).collect();
        let streamed =
            send(node, "POST", "/topics/s", &["Content-Type: text/event-stream"], &events);
        assert_eq!(streamed.json()["count"], 1500, "{}", streamed.text());
    }
}

/// Node after node is drained and started again, behind a balancer that knows nothing of events.
#[test]
fn a_rolling_restart_behind_a_balancer_loses_nothing() {
    const FOLLOWERS: usize = 40;
    let nats = NatsCluster::start(NatsVersion::Newest, 3, &NatsSetup::default());
    let url = format!("{}?replicas=3", nats.url("main"));
    let start = || {
        let setup = Setup::default().store(&url).arg("--heartbeat").arg("500ms");
        // The balancer is another host to browsers.
        setup.arg("--drain-window").arg("1s").arg("--allow-host").arg("localhost").start()
    };
    let mut nodes = [start(), start(), start()];
    let balancer = Haproxy::before(&nodes.each_ref().map(|node| node.addr));
    let begin = get_json(nodes[0].addr, "/topics/a")["cursor"].as_str().unwrap().to_owned();
    let resume = format!("Last-Event-ID: {begin}");
    let followers: Vec<Follower> =
        (0..FOLLOWERS).map(|_| Follower::start(balancer.addr, "/topics/a", &[&resume])).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (stop, addr) = (stop.clone(), balancer.addr);
        std::thread::spawn(move || publish_until(&stop, addr))
    };
    for node in &mut nodes {
        let before = followers[0].seen().data().len();
        followers[0].wait("events flow", |seen| seen.data().len() > before + 200);
        node.signal("TERM");
        assert!(node.wait().success());
        node.restart();
    }
    stop.store(true, Ordering::SeqCst);
    let published = publisher.join().unwrap();
    let expected: Vec<String> = (0..published).map(|n| n.to_string()).collect();
    for follower in &followers {
        let seen = follower.wait_for(&(published - 1).to_string());
        assert_eq!(seen.data(), expected);
        assert!(!seen.told().contains(&"gap"));
    }
    let moved = followers.iter().filter(|follower| follower.seen().connections > 1).count();
    assert!(moved > FOLLOWERS / 2, "{moved} of {FOLLOWERS} had to move");
}

/// Numbers, each until it is acknowledged; answers how many.
fn publish_until(stop: &AtomicBool, addr: SocketAddr) -> usize {
    let mut next = 0;
    while !stop.load(Ordering::SeqCst) {
        let data = next.to_string();
        let sent = Connection::open(addr).and_then(|mut connection| {
            connection.send(format!(
                "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {data}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{data}",
                data.len()
            ))?;
            connection.response()
        });
        match sent {
            Ok(response) if response.status == 201 => next += 1,
            Ok(response) => assert_eq!(response.status, 503, "{}", response.text()),
            Err(_) => {}
        }
    }
    next
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

/// A node that is told of other limits tells the hub; older events are counted anew.
#[test]
fn limits_that_change_are_the_hubs() {
    let nats = one_server(NatsVersion::Oldest);
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("eventwall.toml");
    std::fs::write(&settings, "max_bytes = \"10MiB\"\n").unwrap();
    let start = || {
        let setup = Setup::default().store(&nats.url("main"));
        setup.arg("--config").arg(settings.to_str().unwrap())
    };
    let (one, two) = (start().start(), start().start());
    for n in 0..20 {
        publish(&one, "short", &n.to_string());
        publish(&one, "long", &n.to_string());
    }
    let rule = "[[retention]]\ntopics = \"short\"\nmax_events = 3\n";
    std::fs::write(&settings, format!("max_bytes = \"20MiB\"\n{rule}")).unwrap();
    let left = |server: &Server, topic: &str| {
        get_json(server.addr, &format!("/topics/{topic}?last=100"))["events"]
            .as_array()
            .unwrap()
            .len()
    };
    for node in [&one, &two] {
        node.signal("HUP");
        until("older events are counted, too", || left(node, "short") == 3);
        assert_eq!(left(node, "long"), 20);
    }
    let state = nats.servers[0].ask("$JS.API.STREAM.INFO.main").unwrap();
    assert_eq!(state["config"]["max_bytes"], 20 << 20);
    let third = start().start();
    assert_eq!(left(&third, "short"), 3);
    let mut other = eventwall_testkit::eventwall();
    let (code, _, words) = eventwall_testkit::run(other.args([
        "--listen",
        "127.0.0.1:0",
        "--store",
        &nats.url("main"),
    ]));
    assert_eq!(code, 4, "{words}");
    assert!(words.contains("keeps other limits than this node"), "{words}");
    assert_eq!(words.lines().count(), 1, "one plain sentence: {words}");
}

/// Nobody is told of a gap because a node could not look an id up.
#[test]
fn a_node_that_is_cut_off_guesses_nothing() {
    let nats = one_server(NatsVersion::Newest);
    let line = Proxy::to(nats.servers[0].addr);
    let url = format!("nats://{}/main", line.addr);
    let one = Setup::default().store(&url).start();
    let two = node(&nats);
    publish(&one, "a", "seen");
    line.cut();
    until("it is not ready", || !is_ready(&one));
    let newer = publish(&two, "a", "not seen here");
    let page = get(one.addr, &format!("/topics/a?after={newer}"), &["Accept: application/json"]);
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.header("Retry-After").is_some());
    let resume = format!("Last-Event-ID: {newer}");
    let stream = get(one.addr, "/topics/a", &["Accept: text/event-stream", &resume]);
    assert_eq!(stream.status, 200, "a stock EventSource would give up for ever");
    assert!(
        stream.text().starts_with("retry: ") && !stream.text().contains("gap"),
        "{}",
        stream.text()
    );
    line.heal();
    until("it is ready again", || is_ready(&one));
    let page = get_json(one.addr, &format!("/topics/a?after={newer}"));
    assert!(page["gap"].is_null(), "{page}");
}

/// Several that start in one moment, on a hub that is new or that was left, go by one list of epochs.
#[test]
fn nodes_that_start_together_agree() {
    let nats = one_server(NatsVersion::Newest);
    let mut ids: Vec<String> = Vec::new();
    for round in 0..3 {
        let starting: Vec<_> = (0..4)
            .map(|_| {
                let url = nats.url("main");
                std::thread::spawn(move || Setup::default().store(&url).start())
            })
            .collect();
        let mut nodes: Vec<Server> =
            starting.into_iter().map(|node| node.join().unwrap()).collect();
        for (n, node) in nodes.iter().enumerate() {
            ids.push(publish(node, "a", &format!("{round}-{n}")));
        }
        for node in &nodes {
            for (n, id) in ids.iter().enumerate() {
                let page = get_json(node.addr, &format!("/topics/a?after={id}"));
                assert!(page["gap"].is_null(), "{id}: {page}");
                assert_eq!(page["events"].as_array().unwrap().len(), ids.len() - n - 1, "{id}");
            }
        }
        for node in &mut nodes {
            // They say farewell, so that those who come next know that nobody is there.
            node.signal("TERM");
            assert!(node.wait().success());
        }
    }
    let epochs: std::collections::BTreeSet<&str> = ids.iter().map(|id| epoch(id)).collect();
    assert_eq!(epochs.len(), 3, "one for each time that nobody was there: {ids:?}");
}

/// A repeat is answered as the first time, whatever happened since.
#[test]
fn a_repeated_key_is_answered_before_any_condition() {
    let (oldest, newest) = (NatsVersion::Oldest, NatsVersion::Newest);
    // Replicated streams remember keys otherwise than others.
    for (version, servers) in [(oldest, 1), (newest, 1), (oldest, 3), (newest, 3)] {
        let nats = NatsCluster::start(version, servers, &NatsSetup::default());
        let url = format!("{}?replicas={servers}", nats.url("main"));
        let node = Setup::default().store(&url).start();
        let once = ["Idempotency-Key: k", "If-None-Match: *"];
        let first = send(&node, "POST", "/topics/a", &once, "x");
        assert_eq!(first.status, 201, "{}", first.text());
        publish(&node, "a", "another");
        let again = send(&node, "POST", "/topics/a", &once, "x");
        assert_eq!((again.status, again.json()), (201, first.json()), "{}", again.text());
        assert_eq!(send(&node, "POST", "/topics/a", &once, "y").status, 422);
        let other = ["Idempotency-Key: other", "If-None-Match: *"];
        assert_eq!(send(&node, "POST", "/topics/a", &other, "x").status, 412);
        let page = get_json(node.addr, "/topics/a?last=9");
        assert_eq!(page["events"].as_array().unwrap().len(), 2, "asking stored nothing: {page}");
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

/// The script of examples/cluster, as its first lines say.
#[test]
fn the_example_starts_three_of_each() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let ports = eventwall_testkit::port_range(3);
    let (nats, routes) = (eventwall_testkit::port_range(3), eventwall_testkit::port_range(3));
    let data = tempfile::tempdir().unwrap();
    let mut script = std::process::Command::new("sh");
    script.arg(format!("{root}/examples/cluster/start.sh"));
    script.env("EVENTWALL", eventwall_testkit::eventwall().get_program());
    script.env("DATA", data.path()).env("PORT", ports.to_string());
    script.env("NATS_PORT", nats.to_string()).env("ROUTE_PORT", routes.to_string());
    script.stdout(std::process::Stdio::piped()).env("XDG_CONFIG_HOME", "/nonexistent");
    let mut script = script.spawn().unwrap();
    let mut said = String::new();
    let mut out = std::io::BufReader::new(script.stdout.take().unwrap());
    while !said.ends_with("stops them.\n") {
        assert!(std::io::BufRead::read_line(&mut out, &mut said).unwrap() > 0, "{said}");
    }
    let addr = |n: u16| SocketAddr::from(([127, 0, 0, 1], ports + n));
    let id = eventwall_testkit::post(addr(0), "/topics/a", "hello");
    until("every node has it", || {
        (0..3).all(|n| get_json(addr(n), "/topics/a?last=1")["events"][0]["id"] == id.as_str())
    });
    let pid = script.id().to_string();
    assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
    assert!(script.wait().unwrap().success());
    until("all of them have ended", || (0..3).all(|n| Connection::open(addr(n)).is_err()));
}

#[test]
fn presence_is_of_all_nodes_and_ends_with_them() {
    let nats = one_server(NatsVersion::Oldest);
    let (one, mut two, mut three) = (node(&nats), node(&nats), node(&nats));
    let count =
        |server: &Server| get_json(server.addr, "/presence?topic=a")["presence"]["a"].clone();
    let _here = live(&one, "/topics/a");
    let _there: Vec<Follower> =
        (0..2).map(|_| Follower::start(two.addr, "/topics/a", &[])).collect();
    let _third = Follower::start(three.addr, "/events?topic=a&topic=b", &[]);
    until("all are counted", || count(&one) == 4);
    until("everywhere", || count(&two) == 4);
    let began = Instant::now();
    two.signal("TERM");
    two.wait();
    until("who ends in order takes them along", || count(&one) == 2);
    assert!(began.elapsed() < Duration::from_secs(8), "not only by the lease");
    three.kill();
    until("who dies, by the end of its lease", || count(&one) == 1);
}

#[test]
fn what_others_publish_to_the_stream_is_an_event() {
    let nats = one_server(NatsVersion::Oldest);
    let node = node(&nats);
    let follower = live(&node, "/topics/builds/main");
    let ack = nats.servers[0].ask_with("ew.main.t.builds.main", "is red").unwrap();
    assert_eq!(ack["stream"], "main", "{ack}");
    follower.wait_for("is red");
    let page = get_json(node.addr, "/topics/builds/main?last=1");
    assert_eq!(page["events"][0]["data"], "is red");
}
