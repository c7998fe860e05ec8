//! A seeded run over a log in memory or on disk: every subscriber gets every matching event after
//! its start once, in order, or is told of the gap in which it lies; and no gap is told in which
//! nothing was lost. Limits of every kind remove events meanwhile, and the log on disk is
//! compacted, closed and opened again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use eventwall_log::{
    AppendOptions, Batch, Budget, Clock, DiskConfig, DiskLog, Durability, Entry, EventId, Filter,
    FsMedium, Keep, Log, MemoryLog, NewEvent, Position, ReadRange, Retention, Rule, Topic,
};
use eventwall_sse::{Decoder, Event, Item};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::{Duration, Instant};

use super::Mutation;
use crate::{
    FollowOptions, Follower, Framed, Start, Step, next::CaughtUp, start::start, window::Window,
};

const HEARTBEAT: Duration = Duration::from_secs(15);

struct Client {
    filter: Filter,
    /// `None` while disconnected.
    follower: Option<Follower>,
    decoder: Decoder,
    /// Everything up to here was before its start.
    baseline: Option<Position>,
    received: Vec<Position>,
    gaps: Vec<(Position, Position)>,
}

struct Simulation {
    rng: SmallRng,
    log: Arc<dyn Log>,
    /// The log's folder, if it is on disk.
    folder: Option<tempfile::TempDir>,
    retention: Retention,
    /// Milliseconds, for the log.
    clock: Arc<AtomicU64>,
    window: Window,
    published: Vec<(Position, Topic)>,
    clients: Vec<Client>,
    now: Instant,
    mutation: Option<Mutation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Disk,
}

/// Its events supersede each other.
const STATE: usize = 2;

fn topic(n: usize) -> Topic {
    format!("t/{n}").parse().unwrap()
}

/// Some runs forget nothing, some forget within a dozen events, by limits of all kinds.
fn retention(kind: Kind, rng: &mut SmallRng) -> Retention {
    let least = if kind == Kind::Disk { 150_000 } else { 2_000 };
    let few = rng.random_range(least..10 * least);
    let mut retention = Retention::bytes(if rng.random_bool(0.5) { 1 << 30 } else { few });
    let rule = |n: usize| Rule::of(topic(n).as_str().parse().unwrap());
    let mut counted = rule(1);
    counted.max_events = Some(Some(rng.random_range(1..50)));
    let mut state = rule(STATE);
    state.keep = Some(Keep::Latest);
    let mut aged = rule(3);
    aged.max_age = Some(Some(rng.random_range(1_000..60_000)));
    aged.max_bytes = Some(Some(rng.random_range(1_000..100_000)));
    retention.rules = [counted, state, aged].into_iter().filter(|_| rng.random_bool(0.5)).collect();
    if rng.random_bool(0.2) {
        retention.limits.max_age = Some(120_000);
    }
    retention
}

impl Simulation {
    async fn new(seed: u64, kind: Kind, mutation: Option<Mutation>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let retention = retention(kind, &mut rng);
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000));
        let read = clock_of(&clock);
        let folder = (kind == Kind::Disk).then(|| tempfile::tempdir().unwrap());
        let log: Arc<dyn Log> = match &folder {
            Some(folder) => open(folder, &retention, &clock).await,
            None => Arc::new(MemoryLog::with_uptime(retention.clone(), read.clone(), read)),
        };
        let window = Window::new(Position::START, rng.random_range(500..8_000));
        let (published, clients, now) = (Vec::new(), Vec::new(), Instant::now());
        Self { rng, log, folder, retention, clock, window, published, clients, now, mutation }
    }

    async fn run(mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            match self.rng.random_range(0..100) {
                0..40 => self.publish().await,
                40..60 => self.pump().await,
                60..70 => self.connect().await,
                70..80 => self.disconnect(),
                80..83 => self.log.maintain().await,
                83 => self.restart().await,
                84 => self.sweep(),
                85..88 => drop(self.clock.fetch_add(2_000, Ordering::Relaxed)),
                _ => self.step_one().await?,
            }
        }
        while self.window.tail() < self.log.end() {
            self.pump().await;
        }
        for at in 0..self.clients.len() {
            self.reconnect(at).await;
            while self.step(at).await? {}
        }
        self.clients.iter().try_for_each(|client| self.check(client))
    }

    async fn publish(&mut self) {
        for _ in 0..self.rng.random_range(1..6) {
            // On disk large enough to fill segments.
            let len = if self.folder.is_some() { self.rng.random_range(0..6_000) } else { 1 };
            let event = NewEvent::new(topic(self.rng.random_range(0..4)), "x".repeat(len));
            let name = event.topic.clone();
            let appended = self.log.append(Batch::from(event), AppendOptions::default()).await;
            self.published.push((appended.unwrap().last(), name));
        }
    }

    /// Moves a little of the log's tail into the window, as the tail task does.
    async fn pump(&mut self) {
        let budget = Budget { events: self.rng.random_range(1..8), bytes: usize::MAX };
        let range = ReadRange::after(self.window.tail());
        let page = self.log.read(range, &Filter::All, budget).await.unwrap();
        if let Some(removed) = page.removed {
            self.window.restart(removed);
        }
        for entry in page.entries {
            if let Entry::Event(record) = entry {
                let id = self.log.epochs().id(record.position);
                self.window.push(Framed::new(record, id));
            }
        }
        self.window.examined(page.examined);
    }

    /// The log is closed and opened again, and everybody is thrown out.
    async fn restart(&mut self) {
        let Some(folder) = &self.folder else { return };
        self.log.close().await;
        self.clients.iter_mut().for_each(|client| client.follower = None);
        // The folder's lock goes with it.
        self.log = Arc::new(MemoryLog::default());
        self.log = open(folder, &self.retention, &self.clock).await;
        self.window = Window::new(self.log.end(), self.rng.random_range(500..8_000));
    }

    fn sweep(&mut self) {
        let expired = self.window.expired(|event| self.log.expired(event.record()));
        self.window.sweep(&expired);
    }

    async fn connect(&mut self) {
        if self.clients.len() < 6 && self.rng.random_bool(0.5) {
            let wanted = (0..4).filter(|_| self.rng.random_bool(0.5)).map(topic);
            let wanted = wanted.collect::<Vec<_>>();
            let patterns =
                ["t/*", "**", "*/1", "x/*"].into_iter().filter(|_| self.rng.random_bool(0.2));
            let filter = Filter::select(wanted, patterns.map(|p| p.parse().unwrap()).collect());
            self.clients.push(Client {
                filter,
                follower: None,
                decoder: Decoder::new(),
                baseline: None,
                received: Vec::new(),
                gaps: Vec::new(),
            });
        }
        if !self.clients.is_empty() {
            let at = self.rng.random_range(0..self.clients.len());
            self.reconnect(at).await;
        }
    }

    async fn reconnect(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.follower.is_some() {
            return;
        }
        client.decoder.reconnected();
        let from = match client.decoder.last_event_id() {
            "" => Start::Now,
            id => Start::Resume(id.into()),
        };
        let started = start(&*self.log, client.filter.clone(), &from, 10_000).await.unwrap();
        let mut follower = Follower::new(started, FollowOptions::default(), HEARTBEAT, self.now);
        follower.mutation = self.mutation;
        client.follower = Some(follower);
    }

    fn disconnect(&mut self) {
        if !self.clients.is_empty() {
            let at = self.rng.random_range(0..self.clients.len());
            self.clients[at].follower = None;
        }
    }

    async fn step_one(&mut self) -> Result<(), String> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..self.clients.len());
        self.step(at).await.map(drop)
    }

    /// One step of one client; `false` if it has nothing to do.
    async fn step(&mut self, at: usize) -> Result<bool, String> {
        if self.rng.random_bool(0.05) {
            self.now += HEARTBEAT;
        }
        let client = &mut self.clients[at];
        let Some(follower) = &mut client.follower else { return Ok(false) };
        match follower.step(&self.window, &self.log.epochs(), self.now) {
            Step::Wait(_) | Step::End | Step::Lagging(_) => Ok(false),
            Step::Read(range) => {
                let budget = Budget { events: self.rng.random_range(1..6), bytes: usize::MAX };
                let page = self.log.read(range, &client.filter, budget).await.unwrap();
                follower.take_in(Arc::new(CaughtUp::new(range, page, &self.log.epochs(), 0)));
                Ok(true)
            }
            Step::Send(frames) => {
                // The line may break between any two frames.
                let arrive = if self.rng.random_bool(0.1) {
                    self.rng.random_range(0..=frames.len())
                } else {
                    frames.len()
                };
                frames[..arrive].iter().try_for_each(|frame| client.receive(frame))?;
                if arrive < frames.len() {
                    client.follower = None;
                    self.reconnect(at).await;
                }
                Ok(true)
            }
        }
    }

    fn check(&self, client: &Client) -> Result<(), String> {
        if client.received.windows(2).any(|w| w[0] >= w[1]) {
            return Err(format!("out of order or doubled: {:?}", client.received));
        }
        let received: BTreeSet<_> = client.received.iter().copied().collect();
        let baseline = client.baseline.unwrap_or_default();
        let expected: Vec<Position> = self
            .published
            .iter()
            .filter(|(position, topic)| *position > baseline && client.filter.matches(topic))
            .map(|(position, _)| *position)
            .collect();
        let last_state = self.published.iter().rfind(|(_, name)| *name == topic(STATE));
        let is_state = self.retention.rules.iter().any(|rule| rule.keep.is_some());
        let superseded = |p: &Position| {
            let published = self.published.iter().find(|(position, _)| position == p);
            is_state
                && published.is_some_and(|(_, name)| *name == topic(STATE))
                && last_state.is_some_and(|(last, _)| last > p)
        };
        let in_gap = |p: &Position| client.gaps.iter().any(|(after, to)| after < p && p <= to);
        if let Some(lost) =
            expected.iter().find(|p| !received.contains(p) && !in_gap(p) && !superseded(p))
        {
            return Err(format!("{lost} was lost in silence"));
        }
        let lost_something = |(after, to): &(Position, Position)| {
            expected.iter().any(|p| after < p && p <= to && !received.contains(p) && !superseded(p))
        };
        client
            .gaps
            .iter()
            .find(|gap| !lost_something(gap))
            .map_or(Ok(()), |gap| Err(format!("a gap was told where nothing was lost: {gap:?}")))
    }
}

impl Client {
    fn receive(&mut self, frame: &[u8]) -> Result<(), String> {
        let mut items = Vec::new();
        self.decoder.feed(frame, |item| items.push(item));
        items.into_iter().try_for_each(|item| match item {
            Item::Event(event) => self.event(&event),
            other => Err(format!("unexpected {other:?}")),
        })
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        let id: EventId = event.last_event_id.parse().map_err(|_| "an id that is none")?;
        match &*event.event {
            "eventwall:tick" | "eventwall:live" => drop(self.baseline.get_or_insert(id.position)),
            "eventwall:gap" => {
                let gap: serde_json::Value = serde_json::from_str(&event.data).unwrap();
                let position =
                    |key: &str| gap[key].as_str()?.parse().ok().map(|id: EventId| id.position);
                if gap["reason"] != "expired" {
                    return Err(format!("no log was replaced: {gap}"));
                }
                let to = position("through").or(position("resumed"));
                let span = position("after").zip(to);
                self.gaps.push(span.ok_or("a gap without ids")?);
            }
            _ => self.received.push(id.position),
        }
        Ok(())
    }
}

fn clock_of(clock: &Arc<AtomicU64>) -> Clock {
    let clock = clock.clone();
    Arc::new(move || clock.load(Ordering::Relaxed))
}

async fn open(
    folder: &tempfile::TempDir,
    retention: &Retention,
    clock: &Arc<AtomicU64>,
) -> Arc<dyn Log> {
    let config = DiskConfig {
        durability: Durability::None,
        retention: retention.clone(),
        clock: clock_of(clock),
        uptime: clock_of(clock),
        keep_every: None,
        ..DiskConfig::default()
    };
    Arc::new(DiskLog::open(FsMedium::open(folder.path()).unwrap(), config).unwrap().0)
}

async fn simulate(
    kind: Kind,
    seeds: impl Iterator<Item = u64>,
    mutation: Option<Mutation>,
) -> Result<(), String> {
    for seed in seeds {
        let run = Simulation::new(seed, kind, mutation).await.run(400).await;
        run.map_err(|error| format!("{kind:?}, seed {seed}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_loses_an_event_in_silence() {
    let fresh: u64 = rand::random();
    simulate(Kind::Memory, (0..600).chain([fresh]), None).await.unwrap();
}

#[tokio::test]
async fn nobody_loses_an_event_of_a_log_on_disk_in_silence() {
    let fresh: u64 = rand::random();
    simulate(Kind::Disk, (0..60).chain([fresh]), None).await.unwrap();
}

#[tokio::test]
async fn an_event_dropped_at_the_seam_is_noticed() {
    let noticed = simulate(Kind::Memory, 0..400, Some(Mutation::SkipAtSeam)).await.unwrap_err();
    assert!(noticed.contains("lost in silence"), "{noticed}");
}
