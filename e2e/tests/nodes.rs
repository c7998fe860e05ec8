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
    Connection, Follower, Haproxy, NatsCluster, NatsSetup, NatsVersion, Proxy, Server, Setup,
    cluster::{epoch, is_ready, live, node, one_server, publish, send, try_publish},
    get, get_json, until,
};

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
    // Also once its first event is gone.
    let short = ["Content-Type: application/x-ndjson", "Idempotency-Key: short"];
    let whole = send(&node_of_new, "POST", "/topics/e", &short, &lines(0, 3)).json();
    let first = format!("/events/{}", whole["ids"][0].as_str().unwrap());
    assert_eq!(send(&node_of_new, "DELETE", &first, &[], "").status, 204);
    let again = send(&node_of_new, "POST", "/topics/e", &short, &lines(0, 3));
    assert_eq!((again.status, again.json()), (201, whole), "{}", again.text());
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

#[test]
fn what_became_of_posts_is_the_same_on_both_nodes() {
    let nats = one_server(NatsVersion::Newest);
    let (one, two) = (node(&nats), node(&nats));
    let page = get(one.addr, "/walls/test", &[]);
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap();
    let headers = ["Content-Type: application/json", &format!("Cookie: {cookie}")];
    let body = |msg: &str| format!(r#"{{"kind":"status","msg":"{msg}"}}"#);
    let mut ids = Vec::new();
    for i in 0..120 {
        // The cookie is good on every node.
        let node = if i % 2 == 0 { &one } else { &two };
        let posted = send(node, "POST", "/walls/test/posts", &headers, &body(&format!("post {i}")));
        assert_eq!(posted.status, 201, "{}", posted.text());
        ids.push(posted.json()["id"].as_str().unwrap().to_owned());
    }
    for (i, id) in ids.iter().enumerate().step_by(3) {
        let target = format!("/walls/test/posts/{id}");
        let (method, wanted) = if i % 2 == 0 { ("PUT", 201) } else { ("DELETE", 204) };
        let done = send(&two, method, &target, &headers, &body("changed"));
        assert_eq!(done.status, wanted, "{}", done.text());
    }
    let whole = |server: &Server| {
        let mut page = get_json(server.addr, "/walls/test/posts?count=200");
        page.as_object_mut().unwrap().remove("cursor");
        page
    };
    until("both nodes have the same", || {
        let (one, two) = (whole(&one), whole(&two));
        one == two && one["counts"]["posts"] == 100
    });
    // And so has a third, which was not there.
    let third = node(&nats);
    until("a new node has it, too", || whole(&third) == whole(&one));
    let older = format!("/walls/test/posts?before={}&count=60", ids[60]);
    assert_eq!(get_json(third.addr, &older)["events"], get_json(one.addr, &older)["events"]);
}
