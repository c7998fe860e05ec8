//! `kill -9` while publishes are in flight, again and again: every acknowledged event reaches
//! every subscriber, in order, once. One that was not acknowledged may appear, with its own
//! id and place.
//!
//! `EVENTWALL_ROUNDS` sets the number of rounds, `EVENTWALL_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use eventwall_testkit::{Connection, Follower, Seen, Server, get_json, history, post, until};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 50;
/// Acknowledged events that a round has at least.
const ENOUGH: usize = 1000;
const TOPIC: &str = "/topics/crash/test";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Acknowledged events: data and id, in the order in which each publisher had them.
type Acknowledged = Arc<Mutex<Vec<(String, String)>>>;

/// Publishes numbered events on one connection until the line breaks.
fn publish_until_killed(
    addr: SocketAddr,
    name: &str,
    acknowledged: &Acknowledged,
    count: &AtomicUsize,
) {
    let mut connection = Connection::open(addr).unwrap();
    for n in 0.. {
        let data = format!("{name}-{n}");
        let request = format!(
            "POST {TOPIC} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        );
        if connection.send(request).is_err() {
            return;
        }
        let Ok(response) = connection.response() else { return };
        assert_eq!(response.status, 201, "{}", response.text());
        let id = response.json()["id"].as_str().unwrap().to_owned();
        acknowledged.lock().unwrap().push((data, id));
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Publishes from all sides, kills the server in the middle, starts it again.
fn round(server: &mut Server, number: u64, acknowledged: &Acknowledged, rng: &mut SmallRng) {
    let count = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|p| {
            let (addr, acknowledged, count) = (server.addr, acknowledged.clone(), count.clone());
            let name = format!("r{number}p{p}");
            std::thread::spawn(move || publish_until_killed(addr, &name, &acknowledged, &count))
        })
        .collect();
    let kill_at = ENOUGH + rng.random_range(0..500);
    until("enough events are acknowledged", || count.load(Ordering::SeqCst) >= kill_at);
    server.kill();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert!(count.load(Ordering::SeqCst) >= ENOUGH);
    server.restart();
}

fn position(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

/// The log holds every acknowledged event once, under the id that was promised, each
/// publisher's in its order.
fn check_log(log: &[(String, String)], acknowledged: &[(String, String)]) {
    assert!(log.windows(2).all(|w| position(&w[0].1) < position(&w[1].1)), "ids out of order");
    let places: HashMap<_, _> = log.iter().enumerate().map(|(i, (data, _))| (data, i)).collect();
    assert_eq!(places.len(), log.len(), "an event is in the log twice");
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (data, id) in acknowledged {
        let place =
            *places.get(data).unwrap_or_else(|| panic!("{data} was acknowledged and is lost"));
        assert_eq!(log[place].1, *id, "{data} changed its id");
        let publisher = data.split('-').next().unwrap();
        let before = last.insert(publisher, place);
        assert!(before.is_none_or(|before| before < place), "{data} is out of order");
    }
}

fn check_subscriber(seen: &Seen, log: &[(String, String)]) {
    let gaps = seen.events.iter().filter(|event| event.event == "eventwall:gap").count();
    assert_eq!(gaps, 0, "nothing was removed, so there is no gap");
    let got: Vec<_> = seen.messages().map(|e| (e.data.clone(), e.last_event_id.clone())).collect();
    if got != log {
        let at = got.iter().zip(log).position(|(got, expected)| got != expected);
        let at = at.unwrap_or(got.len().min(log.len()));
        panic!(
            "differs from the log at {at}: {:?}, but the log has {:?}",
            got.get(at),
            log.get(at)
        );
    }
}

#[test]
fn no_kill_loses_or_doubles_an_acknowledged_event() {
    let seed = setting("EVENTWALL_SEED", rand::random());
    let rounds = setting("EVENTWALL_ROUNDS", 20);
    println!("seed {seed}, {rounds} rounds");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut server = Server::start();
    let start = get_json(server.addr, TOPIC)["cursor"].as_str().unwrap().to_owned();
    let subscribers: Vec<_> =
        (0..SUBSCRIBERS).map(|_| Follower::start(server.addr, TOPIC, &[])).collect();
    for subscriber in &subscribers {
        subscriber.wait("the first tick", |seen| !seen.events.is_empty());
    }
    let acknowledged = Acknowledged::default();
    for number in 0..rounds {
        round(&mut server, number, &acknowledged, &mut rng);
        let marker = format!("marker{number}-0");
        let id = post(server.addr, TOPIC, &marker);
        acknowledged.lock().unwrap().push((marker.clone(), id));
        let log = history(server.addr, "crash/test", &start);
        check_log(&log, &acknowledged.lock().unwrap());
        for subscriber in &subscribers {
            check_subscriber(&subscriber.wait_for(&marker), &log);
        }
    }
    let acknowledged = acknowledged.lock().unwrap().len();
    println!(
        "verified: {acknowledged} acknowledged events over {rounds} kills, each seen once by {SUBSCRIBERS} subscribers"
    );
}

/// Lines that break at random while the server lives: the same promise.
#[test]
fn no_cut_line_loses_or_doubles_an_event() {
    let seed = setting("EVENTWALL_SEED", rand::random());
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let server = Server::start();
    let start = get_json(server.addr, TOPIC)["cursor"].as_str().unwrap().to_owned();
    let subscribers: Vec<_> = (0..20).map(|_| Follower::start(server.addr, TOPIC, &[])).collect();
    for subscriber in &subscribers {
        subscriber.wait("the first tick", |seen| !seen.events.is_empty());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (addr, stop) = (server.addr, stop.clone());
        std::thread::spawn(move || {
            (0..)
                .take_while(|_| !stop.load(Ordering::SeqCst))
                .for_each(|n| drop(post(addr, TOPIC, n.to_string())));
        })
    };
    for _ in 0..100 {
        let subscriber = &subscribers[rng.random_range(0..subscribers.len())];
        let before = subscriber.seen().connections;
        subscriber.cut();
        subscriber.wait("it is back", |seen| seen.connections > before);
    }
    stop.store(true, Ordering::SeqCst);
    publisher.join().unwrap();
    post(server.addr, TOPIC, "end");
    let log = history(server.addr, "crash/test", &start);
    for subscriber in &subscribers {
        check_subscriber(&subscriber.wait_for("end"), &log);
    }
}
