//! A seeded run: every subscriber gets every matching event after its start once, in order,
//! or is told of the gap in which it lies; and no gap is told in which nothing was lost.

use std::collections::BTreeSet;

use eventwall_log::{
    AppendOptions, Batch, Budget, Entry, EventId, Filter, Log as _, MemoryLog, NewEvent, Position,
    ReadRange, Retention, Topic, system_clock,
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
    log: MemoryLog,
    window: Window,
    published: Vec<(Position, Topic)>,
    clients: Vec<Client>,
    now: Instant,
    mutation: Option<Mutation>,
}

fn topic(n: usize) -> Topic {
    format!("t/{n}").parse().unwrap()
}

impl Simulation {
    fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        // Some runs forget nothing, some forget within a dozen events.
        let max_bytes =
            if rng.random_bool(0.5) { 1 << 30 } else { rng.random_range(2_000..20_000) };
        Self {
            log: MemoryLog::new(Retention { max_bytes }, system_clock()),
            window: Window::new(Position::START, rng.random_range(500..8_000)),
            published: Vec::new(),
            clients: Vec::new(),
            now: Instant::now(),
            rng,
            mutation,
        }
    }

    async fn run(mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            match self.rng.random_range(0..10) {
                0..4 => self.publish().await,
                4..6 => self.pump().await,
                6 => self.connect().await,
                7 => self.disconnect(),
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
            let event = NewEvent::new(topic(self.rng.random_range(0..4)), "x");
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
        let started = start(&self.log, client.filter.clone(), &from).await.unwrap();
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
            Step::Wait(_) | Step::End => Ok(false),
            Step::Read(range) => {
                let budget = Budget { events: self.rng.random_range(1..6), bytes: usize::MAX };
                let page = self.log.read(range, &client.filter, budget).await.unwrap();
                follower.take_in(CaughtUp::new(range, page, &self.log.epochs(), 0));
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
        let in_gap = |p: &Position| client.gaps.iter().any(|(after, to)| after < p && p <= to);
        if let Some(lost) = expected.iter().find(|p| !received.contains(p) && !in_gap(p)) {
            return Err(format!("{lost} was lost in silence"));
        }
        let lost_something = |(after, to): &(Position, Position)| {
            expected.iter().any(|p| after < p && p <= to && !received.contains(p))
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
                let span = position("after").zip(position("resumed"));
                self.gaps.push(span.ok_or("a gap without ids")?);
            }
            _ => self.received.push(id.position),
        }
        Ok(())
    }
}

async fn simulate(
    seeds: impl Iterator<Item = u64>,
    mutation: Option<Mutation>,
) -> Result<(), String> {
    for seed in seeds {
        let run = Simulation::new(seed, mutation).run(400).await;
        run.map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_loses_an_event_in_silence() {
    let fresh: u64 = rand::random();
    simulate((0..600).chain([fresh]), None).await.unwrap();
}

#[tokio::test]
async fn an_event_dropped_at_the_seam_is_noticed() {
    let noticed = simulate(0..400, Some(Mutation::SkipAtSeam)).await.unwrap_err();
    assert!(noticed.contains("lost in silence"), "{noticed}");
}
