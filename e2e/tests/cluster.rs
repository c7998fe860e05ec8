//! Three nodes over three NATS servers, while in turn each kind of thing fails: servers that lead and
//! servers that follow are killed, stopped and cut off from each other; nodes are killed, stopped, cut
//! off and drained. Publishers repeat what was not acknowledged, subscribers hop from node to node.
//! Every acknowledged event reaches every subscriber once, all in one order.
//!
//! `EVENTWALL_ROUNDS` sets how often each kind of fault comes, `EVENTWALL_SUBSCRIBERS` the number of
//! subscribers, `EVENTWALL_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use eventwall_sse::{Decoder, Item};
use eventwall_testkit::{
    Connection, NatsCluster, NatsSetup, NatsVersion, Proxy, Server, Setup, get_json,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};

const PUBLISHERS: u64 = 4;
/// Acknowledged events between two faults.
const ENOUGH: usize = 1000;
const TOPICS: [&str; 3] = ["a/1", "a/2", "b"];
/// How long what is stopped or cut off is so.
const OUTAGE: Duration = Duration::from_secs(4);
/// Whatever failed, the cluster takes events again by then.
const RECOVERY: Duration = Duration::from_secs(60);
/// A line that says nothing for so long is left for another node.
const SILENCE: Duration = Duration::from_secs(3);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillLeader,
    KillFollower,
    StopLeader,
    StopFollower,
    CutLeader,
    HoldLeader,
    CutFollower,
    KillNode,
    StopNode,
    CutNode,
    HoldNode,
    DrainNode,
}

const FAULTS: [Fault; 12] = [
    Fault::KillLeader,
    Fault::KillFollower,
    Fault::StopLeader,
    Fault::StopFollower,
    Fault::CutLeader,
    Fault::HoldLeader,
    Fault::CutFollower,
    Fault::KillNode,
    Fault::StopNode,
    Fault::CutNode,
    Fault::HoldNode,
    Fault::DrainNode,
];

struct Cluster {
    nats: NatsCluster,
    nodes: Vec<Server>,
    /// From each node to each server.
    lines: Vec<Vec<Proxy>>,
}

impl Cluster {
    fn start() -> Self {
        let setup = NatsSetup { sync_always: true, ..NatsSetup::default() };
        let nats = NatsCluster::start(NatsVersion::Newest, 3, &setup);
        let lines: Vec<Vec<Proxy>> = (0..3)
            .map(|_| nats.servers.iter().map(|server| Proxy::to(server.addr)).collect())
            .collect();
        let nodes = lines.iter().map(|lines| {
            let hosts: Vec<String> = lines.iter().map(|line| line.addr.to_string()).collect();
            let url = format!("nats://{}/main?replicas=3", hosts.join(","));
            Setup::default().store(&url).arg("--heartbeat").arg("1s").start()
        });
        let nodes = nodes.collect();
        Self { nats, nodes, lines }
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }

    /// Makes something fail for a while.
    fn strike(&mut self, fault: Fault, rng: &mut SmallRng) {
        let leader = wait_for("a server leads", || self.nats.leader("main"));
        let follower = (leader + rng.random_range(1..3)) % 3;
        let node = rng.random_range(0..3);
        match fault {
            Fault::KillLeader => self.kill_server(leader),
            Fault::KillFollower => self.kill_server(follower),
            Fault::StopLeader => self.stop_server(leader),
            Fault::StopFollower => self.stop_server(follower),
            Fault::CutLeader => self.isolate(leader, false),
            Fault::HoldLeader => self.isolate(leader, true),
            Fault::CutFollower => self.isolate(follower, false),
            Fault::KillNode => {
                self.nodes[node].kill();
                std::thread::sleep(Duration::from_millis(500));
                self.nodes[node].restart();
            }
            Fault::StopNode => {
                self.nodes[node].signal("STOP");
                std::thread::sleep(OUTAGE);
                self.nodes[node].signal("CONT");
            }
            Fault::CutNode => {
                self.lines[node].iter().for_each(Proxy::cut);
                std::thread::sleep(OUTAGE);
                self.lines[node].iter().for_each(Proxy::heal);
            }
            Fault::HoldNode => {
                self.lines[node].iter().for_each(Proxy::hold);
                std::thread::sleep(OUTAGE);
                self.lines[node].iter().for_each(Proxy::heal);
            }
            Fault::DrainNode => {
                self.nodes[node].signal("TERM");
                assert!(self.nodes[node].wait().success());
                self.nodes[node].restart();
            }
        }
    }

    fn kill_server(&mut self, n: usize) {
        self.nats.servers[n].kill();
        std::thread::sleep(OUTAGE / 2);
        self.nats.servers[n].restart();
    }

    fn stop_server(&self, n: usize) {
        self.nats.servers[n].signal("STOP");
        std::thread::sleep(OUTAGE);
        self.nats.servers[n].signal("CONT");
    }

    fn isolate(&self, n: usize, hold: bool) {
        self.nats.isolate(n, hold);
        std::thread::sleep(OUTAGE);
        self.nats.rejoin(n);
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + RECOVERY;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What everybody shares.
struct World {
    nodes: Vec<SocketAddr>,
    stop: AtomicBool,
    count: AtomicUsize,
    /// Milliseconds since the start at the last acknowledgement, and the longest time without one.
    last: AtomicU64,
    longest: AtomicU64,
    began: Instant,
    acknowledged: Mutex<Vec<(String, String)>>,
}

impl World {
    fn acknowledge(&self, data: String, id: String) {
        self.acknowledged.lock().unwrap().push((data, id));
        self.count.fetch_add(1, Ordering::SeqCst);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        let pause = now.saturating_sub(self.last.swap(now, Ordering::SeqCst));
        self.longest.fetch_max(pause, Ordering::SeqCst);
    }

    /// Numbered events, each until it is acknowledged, whichever node takes it.
    fn publish(&self, name: u64, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        for n in 0_u64.. {
            let (data, topic) = (format!("p{name}-{n}"), TOPICS[rng.random_range(0..3)]);
            loop {
                if self.stop.load(Ordering::SeqCst) {
                    return;
                }
                let node = self.nodes[rng.random_range(0..self.nodes.len())];
                match publish_once(node, topic, &data) {
                    Ok(Some(id)) => break self.acknowledge(data, id),
                    Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
            // A steady publisher, so that the subscribers' threads get their share.
            std::thread::sleep(Duration::from_millis(rng.random_range(0..15)));
        }
    }
}

/// The id, if it was acknowledged; `None` if it is to be repeated.
fn publish_once(node: SocketAddr, topic: &str, data: &str) -> io::Result<Option<String>> {
    let mut connection = Connection::open(node)?;
    connection.stream().set_read_timeout(Some(Duration::from_secs(8)))?;
    connection.send(format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: {node}\r\nIdempotency-Key: {data}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{data}",
        data.len()
    ))?;
    let response = connection.response()?;
    match response.status {
        201 => Ok(Some(response.json()["id"].as_str().unwrap().to_owned())),
        503 => {
            assert!(response.header("Retry-After").is_some(), "{}", response.text());
            Ok(None)
        }
        other => panic!("a publish was answered {other}: {}", response.text()),
    }
}

/// Events and gaps that a subscriber was shown: ids and data.
type Shown = Arc<Mutex<Vec<(String, String)>>>;

/// Follows everything, now here, now there, always from its last event id.
fn hop(world: &World, seed: u64, shown: &Shown, cursor: String) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut decoder = Decoder::new();
    let mut cursor = cursor;
    while !world.stop.load(Ordering::SeqCst) {
        let node = world.nodes[rng.random_range(0..world.nodes.len())];
        let stay = rng.random_range(5..200);
        let _ = follow(world, node, (&mut decoder, &mut cursor), (stay, shown));
        decoder = Decoder::new();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..100)));
    }
}

fn follow(
    world: &World,
    node: SocketAddr,
    (decoder, cursor): (&mut Decoder, &mut String),
    (stay, shown): (usize, &Shown),
) -> io::Result<()> {
    let mut connection = Connection::open(node)?;
    connection.stream().set_read_timeout(Some(SILENCE))?;
    connection.send(format!(
        "GET /events?topic=a/*&topic=b HTTP/1.1\r\nHost: {node}\r\nAccept: text/event-stream\r\nLast-Event-ID: {cursor}\r\n\r\n"
    ))?;
    let head = connection.head()?;
    assert_eq!(head.status, 200, "stock EventSource would give up for ever");
    let mut seen = 0;
    while seen < stay && !world.stop.load(Ordering::SeqCst) {
        let Some(chunk) = connection.chunk()? else { return Ok(()) };
        let mut shown = shown.lock().unwrap();
        decoder.feed(&chunk, |item| {
            if let Item::Event(event) = item {
                if !event.last_event_id.is_empty() {
                    cursor.clone_from(&event.last_event_id);
                }
                if event.event == "eventwall:gap" || !event.event.starts_with("eventwall:") {
                    seen += 1;
                    shown.push((event.last_event_id, event.data));
                }
            }
        });
    }
    Ok(())
}

/// Everything after a cursor, as one node has it.
fn history(node: SocketAddr, after: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut cursor = after.to_owned();
    loop {
        let page = wait_for("a page is answered", || {
            let target = format!("/events?topic=a/*&topic=b&after={cursor}");
            let page = get_json(node, &target);
            page["cursor"].is_string().then_some(page)
        });
        assert!(page["gap"].is_null(), "{}", page["gap"]);
        let text = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap().to_owned();
        let events = page["events"].as_array().unwrap();
        all.extend(events.iter().map(|event| (text(event, "id"), text(event, "data"))));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["more"] == false {
            return all;
        }
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap()
}

/// Every acknowledged event is there once, under the id that was promised, each publisher's in order.
fn check_log(log: &[(String, String)], acknowledged: &[(String, String)]) {
    let places: HashMap<&str, usize> =
        log.iter().enumerate().map(|(place, (_, data))| (&**data, place)).collect();
    assert_eq!(places.len(), log.len(), "an event is in the log twice");
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (data, id) in acknowledged {
        let place = places.get(&**data);
        let place = *place.unwrap_or_else(|| panic!("{data} ({id}) was acknowledged and is lost"));
        assert_eq!(log[place].0, *id, "{data} changed its id");
        let before = last.insert(data.split('-').next().unwrap(), place);
        assert!(before.is_none_or(|before| before < place), "{data} is out of order");
    }
}

#[test]
fn whatever_fails_everybody_sees_every_acknowledged_event_once_in_one_order() {
    let seed = setting("EVENTWALL_SEED", rand::random());
    let (rounds, subscribers) =
        (setting("EVENTWALL_ROUNDS", 1), setting("EVENTWALL_SUBSCRIBERS", 200));
    println!("seed {seed}, {rounds} rounds of {} faults, {subscribers} subscribers", FAULTS.len());
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut cluster = Cluster::start();
    let begin =
        get_json(cluster.nodes[0].addr, "/events?topic=b")["cursor"].as_str().unwrap().to_owned();
    let world = Arc::new(World {
        nodes: cluster.addrs(),
        stop: AtomicBool::new(false),
        count: AtomicUsize::new(0),
        last: AtomicU64::new(0),
        longest: AtomicU64::new(0),
        began: Instant::now(),
        acknowledged: Mutex::default(),
    });
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|p| {
            let (world, seed) = (world.clone(), rng.random());
            spawn(move || world.publish(p, seed))
        })
        .collect();
    let shown: Vec<Shown> = (0..subscribers).map(|_| Shown::default()).collect();
    let hoppers: Vec<_> = shown
        .iter()
        .map(|shown| {
            let (world, seed, shown, begin) =
                (world.clone(), rng.random(), shown.clone(), begin.clone());
            spawn(move || hop(&world, seed, &shown, begin))
        })
        .collect();
    let mut happened: BTreeMap<Fault, u64> = BTreeMap::new();
    for _ in 0..rounds {
        let mut faults = FAULTS;
        faults.shuffle(&mut rng);
        for fault in faults {
            enough(&world);
            world.longest.store(0, Ordering::SeqCst);
            cluster.strike(fault, &mut rng);
            let before = world.count.load(Ordering::SeqCst);
            wait_for("events are acknowledged again", || {
                (world.count.load(Ordering::SeqCst) > before + 50).then_some(())
            });
            *happened.entry(fault).or_default() += 1;
            let longest = world.longest.load(Ordering::SeqCst);
            println!("{fault:?}: at most {longest} ms without an acknowledgement");
        }
    }
    enough(&world);
    assert!(FAULTS.iter().all(|fault| happened.get(fault) == Some(&rounds)), "{happened:?}");
    finish(&cluster, &world, publishers, (hoppers, &shown), &begin);
}

/// Waits until enough events are acknowledged.
fn enough(world: &World) {
    let before = world.count.load(Ordering::SeqCst);
    wait_for("enough events are acknowledged", || {
        (world.count.load(Ordering::SeqCst) >= before + ENOUGH).then_some(())
    });
}

fn finish(
    cluster: &Cluster,
    world: &Arc<World>,
    publishers: Vec<JoinHandle<()>>,
    (hoppers, shown): (Vec<JoinHandle<()>>, &[Shown]),
    begin: &str,
) {
    // Publishers stop first: what subscribers are to see in the end stands still.
    let last = {
        let stopping = world.clone();
        stopping.stop.store(true, Ordering::SeqCst);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        hoppers.into_iter().for_each(|hopper| hopper.join().unwrap());
        history(cluster.nodes[0].addr, begin)
    };
    let acknowledged = world.acknowledged.lock().unwrap();
    println!("{} events acknowledged, {} in the log", acknowledged.len(), last.len());
    for node in &cluster.nodes {
        assert_eq!(history(node.addr, begin), last, "all nodes have one order");
    }
    check_log(&last, &acknowledged);
    for (n, shown) in shown.iter().enumerate() {
        let mut shown = shown.lock().unwrap().clone();
        let cursor = shown.last().map_or_else(|| begin.to_owned(), |(id, _)| id.clone());
        shown.extend(history(cluster.nodes[n % 3].addr, &cursor));
        if shown != last {
            let at = shown.iter().zip(&last).position(|(shown, log)| shown != log);
            let at = at.unwrap_or(shown.len().min(last.len()));
            panic!(
                "subscriber {n} differs from the log at {at}: it was shown {:?}, and the log has {:?}",
                shown.get(at),
                last.get(at)
            );
        }
    }
}
