//! `kill -9` at chosen system calls of the real binary on a real file system: amid a write, a sync, a
//! roll, a compaction, a removal. Whatever the moment, every acknowledged event is there afterwards,
//! once and in order, for the log and for a subscriber that comes back. A moment that was never hit
//! fails the test. `EVENTWALL_SEED` repeats a run, `EVENTWALL_ROUNDS` says how often each moment is
//! aimed at.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use eventwall_testkit::{
    Connection, Follower, Server, Setup, eventwall, get_json, history, post, run, until,
};
use rand::{SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

const KEPT: &str = "/topics/kept";
/// Of this only the newest few stay, so that there is something to compact.
const FEW: &str = "/topics/few";
/// Events of each topic that one life publishes at most.
const ENOUGH: usize = 150;
const CALLS: [&str; 4] = ["pwrite64", "fdatasync", "rename", "unlink"];

/// The moments, by the call that is under way and the file that it is about.
const MOMENTS: [&str; 8] = [
    "a write to a segment",
    "a sync of a segment",
    "a roll",
    "a compaction",
    "a compaction's rename",
    "a segment's removal",
    "an index file's rename",
    "a state's rename",
];

const COMPACTION: &str = MOMENTS[3];

/// Which moment a traced call is.
fn moment(line: &str) -> Option<&'static str> {
    let is = |call: &str| line.contains(&format!(" {call}("));
    let first = line.split_once('(')?.1;
    let about =
        |end: &str| first.contains(&format!("{end}>")) || first.contains(&format!("{end}\""));
    let at = if is("pwrite64") && about(".seg") {
        // The header is written at the beginning.
        if line.contains(", 80, 0") { 2 } else { 0 }
    } else if is("fdatasync") && about(".seg") {
        1
    } else if is("unlink") && about(".seg") {
        5
    } else if is("rename") && about(".seg") {
        4
    } else if is("rename") && about(".idx") {
        6
    } else if is("rename") && first.contains("/state/") {
        7
    } else {
        return None;
    };
    Some(MOMENTS[at])
}

/// When a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is only watched.
    Never,
    /// One of its threads makes this call for the n-th time.
    AtCall(&'static str, usize),
    /// A compaction has begun to write. Several threads make the same calls then, so they are not
    /// counted; each sync takes a while, so that there is time to see it.
    Compacting,
}

/// A server that is killed when it makes a call.
fn traced(addr: SocketAddr, data: &Path, config: &str, end: End) -> Child {
    let trace = data.with_extension("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-s", "256", "-o"]).arg(trace);
    command.args(["-e", &format!("trace={}", CALLS.join(","))]);
    match end {
        End::Never => {}
        End::AtCall(call, n) => {
            command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")]);
        }
        End::Compacting => drop(command.args(["-e", "inject=fdatasync:delay_enter=4000"])),
    }
    command.arg(eventwall().get_program());
    command.args(["--listen", &addr.to_string(), "--config", config, "--data"]).arg(data);
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap()
}

/// A connection to the server once it answers; `None` if it is gone before.
fn connect(server: &mut Child, addr: SocketAddr) -> Option<Connection> {
    let mut connected = None;
    until("the server answers or is gone", || {
        connected = Connection::open(addr).ok();
        connected.is_some() || server.try_wait().unwrap().is_some()
    });
    connected
}

/// Publishes on one connection; `None` once the line breaks.
fn publish(connection: &mut Connection, topic: &str, data: &str) -> Option<String> {
    let len = data.len();
    let request =
        format!("POST {topic} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len}\r\n\r\n{data}");
    connection.send(request).ok()?;
    let response = connection.response().ok()?;
    assert_eq!(response.status, 201, "{}", response.text());
    Some(response.json()["id"].as_str().unwrap().to_owned())
}

/// Kills the traced process; strace ends with it.
fn kill(data: &Path) {
    let trace = fs::read_to_string(data.with_extension("trace")).unwrap_or_default();
    if let Some(pid) = trace.split_whitespace().next() {
        let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
    }
}

/// Whether a compaction's file is there that has not got its name.
fn is_compacting(data: &Path) -> bool {
    let names = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().file_name());
    // An index file is written so too, but begins with the name of a segment that is there.
    names.into_iter().any(|name| {
        let name = name.to_string_lossy().into_owned();
        let segment = data.join("log").join(name.replace(".new", ".seg"));
        name.ends_with(".new") && !segment.exists()
    })
}

fn kill_while_compacting(data: &Path, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        if is_compacting(data) {
            return kill(data);
        }
        std::thread::yield_now();
    }
}

struct Lives {
    server: Server,
    config: String,
    follower: Follower,
    start: String,
    acknowledged: Vec<(String, String)>,
    number: usize,
}

impl Lives {
    fn new(folder: &Path) -> Self {
        let file = folder.join("wall.toml");
        let settings = "max_bytes = \"4MiB\"\n[[retention]]\ntopics = \"few\"\nmax_events = 2\n";
        fs::write(&file, settings).unwrap();
        let config = file.to_str().unwrap().to_owned();
        let setup = Setup::default().arg("--config").arg(&config).data(&folder.join("data"));
        let server = setup.start();
        let start = get_json(server.addr, KEPT)["cursor"].as_str().unwrap().to_owned();
        let follower = Follower::start(server.addr, KEPT, &[]);
        follower.wait("the first tick", |seen| !seen.events.is_empty());
        Self { server, config, follower, start, acknowledged: Vec::new(), number: 0 }
    }

    /// One life under observation, until it is killed or has done enough. Answers its calls.
    fn live(&mut self, end: End) -> Vec<String> {
        self.server.kill();
        let (addr, data) = (self.server.addr, self.server.data().to_owned());
        let mut traced = traced(addr, &data, &self.config, end);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if end == End::Compacting {
                scope.spawn(|| kill_while_compacting(&data, &over));
            }
            if let Some(connection) = connect(&mut traced, addr) {
                self.publish_until_killed(connection, &data);
            }
            over.store(true, Ordering::SeqCst);
        });
        if traced.try_wait().unwrap().is_none() {
            // It did not come to that call.
            kill(&data);
        }
        traced.wait().unwrap();
        let trace = fs::read_to_string(data.with_extension("trace")).unwrap();
        trace.lines().map(str::to_owned).collect()
    }

    fn publish_until_killed(&mut self, mut connection: Connection, data: &Path) {
        let large = "x".repeat(12_000);
        for n in 0..ENOUGH {
            self.number += 1;
            let text = self.number.to_string();
            let Some(id) = publish(&mut connection, KEPT, &text) else { return };
            self.acknowledged.push((text, id));
            if publish(&mut connection, FEW, &large).is_none() {
                return;
            }
            if n % 30 == 29 {
                // It may be killed while it does that.
                let _ = eventwall().args(["log", "compact", "--data"]).arg(data).output();
            }
        }
    }

    /// Everything that was acknowledged is there, once, in order, and nobody was told of a gap.
    fn check(&mut self) {
        self.server.restart();
        let marker = format!("marker {}", self.number);
        let id = post(self.server.addr, KEPT, &marker);
        self.acknowledged.push((marker.clone(), id));
        let log = history(self.server.addr, "kept", &self.start);
        let mut rest = log.iter();
        for (text, id) in &self.acknowledged {
            let found = rest.find(|(data, _)| data == text);
            let (_, found) = found.unwrap_or_else(|| panic!("{text:?} is lost or out of order"));
            assert_eq!(found, id, "the id of {text:?}");
        }
        let mut unique: Vec<_> = log.iter().map(|(data, _)| data).collect();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), log.len(), "an event is there twice");
        let seen = self.follower.wait_for(&marker);
        let got: Vec<_> =
            seen.messages().map(|e| (e.data.clone(), e.last_event_id.clone())).collect();
        assert_eq!(got, log, "the subscriber has what the log has");
        assert!(!seen.told().contains(&"gap"), "nothing was lost, so there is no gap");
        let data = self.server.data();
        let (code, _, error) = run(eventwall().args(["log", "verify", "--data"]).arg(data));
        assert_eq!(code, 0, "{error}");
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn no_kill_at_any_call_loses_or_doubles_an_acknowledged_event() {
    let seed = setting("EVENTWALL_SEED", rand::random());
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut lives = Lives::new(folder.path());
    // At which of its calls, by thread, a life comes to each moment.
    let mut chances: BTreeMap<&str, Vec<End>> =
        BTreeMap::from([(COMPACTION, vec![End::Compacting])]);
    let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for line in lives.live(End::Never) {
        let call = CALLS.into_iter().find(|call| line.contains(&format!(" {call}(")));
        let Some(call) = call else { continue };
        let thread = line.split_whitespace().next().unwrap_or_default().to_owned();
        let n = counts.entry((thread, call)).or_default();
        *n += 1;
        if let Some(moment) = moment(&line) {
            chances.entry(moment).or_default().push(End::AtCall(call, *n));
        }
    }
    lives.check();
    let rounds = setting("EVENTWALL_ROUNDS", 2);
    let (mut hit, mut kills): (BTreeMap<&str, u64>, u64) = (BTreeMap::new(), 0);
    while let Some(wanted) = MOMENTS.iter().find(|m| hit.get(*m).is_none_or(|n| *n < rounds)) {
        kills += 1;
        assert!(kills < 30 * (rounds + 1), "never killed amid {wanted}: {hit:?}");
        let of = chances.get(wanted).unwrap_or_else(|| panic!("no life came to {wanted}"));
        let end = *of.choose(&mut rng).unwrap();
        let calls = lives.live(end);
        if let Some(moment) = ended_amid(&lives, end, &calls) {
            *hit.entry(moment).or_default() += 1;
        }
        lives.check();
    }
    let acknowledged = lives.acknowledged.len();
    println!(
        "verified: {acknowledged} acknowledged events over {kills} kills, each there and seen once: {hit:?}"
    );
}

/// Amid what a life was ended.
fn ended_amid(lives: &Lives, end: End, calls: &[String]) -> Option<&'static str> {
    match end {
        End::Never => None,
        End::Compacting => is_compacting(lives.server.data()).then_some(COMPACTION),
        End::AtCall(call, _) => {
            let of_call = |line: &&String| line.contains(&format!(" {call}("));
            let open = |line: &&String| line.ends_with("= ?") || line.contains("<unfinished");
            calls.iter().rev().find(of_call).filter(open).and_then(|line| moment(line))
        }
    }
}
