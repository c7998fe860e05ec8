//! One run: what happens next, again and again, each time followed by its checks.

use std::sync::{Arc, atomic::Ordering};

use eventwall_log::{
    AppendOptions, Batch, EventId, Filter, IdempotencyKey, Keep, NewEvent, Position, Resolution,
    Retention, Rule, Topic, simulator::CrashMedium,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::{Duration, Instant};

use super::{
    Failure, Kind, Plan, Report,
    client::{Beginning, Client},
    model::{Event, Keyed, Model},
    world::World,
};
use crate::{
    Desk, FollowOptions, Follower, GapReason, Start, Step, Stretch, subscription::Subscriber,
};

const HEARTBEAT: Duration = Duration::from_secs(15);
const TOPICS: usize = 6;
/// Its events supersede each other.
const STATE: usize = 2;
const MAX_START: usize = 10_000;
/// For how long a key is remembered, in milliseconds: as the logs do by default.
const WINDOW: u64 = 24 * 60 * 60 * 1000;

/// Runs a plan to its end, within a tokio runtime.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn simulate(plan: Plan) -> Result<Report, Failure> {
    let mut run = Run::new(plan).map_err(|what| Failure { plan, step: 0, what })?;
    let done = run.all().await;
    done.map_err(|what| Failure { plan, step: run.step, what })?;
    Ok(run.report)
}

struct Run {
    plan: Plan,
    rng: SmallRng,
    world: World,
    model: Model,
    clients: Vec<Client>,
    now: Instant,
    step: usize,
    number: usize,
    /// The latest that the clock has been: the log may have taken it for true.
    latest: u64,
    backup: Option<(Arc<CrashMedium>, Model)>,
    report: Report,
}

fn topic(n: usize) -> Topic {
    // Legal by its making.
    format!("t/{n}").parse().unwrap_or_else(|_| unreachable!())
}

fn with_key(number: usize) -> AppendOptions {
    let key = IdempotencyKey { scope: "s".into(), key: number.to_string().into() };
    AppendOptions { key: Some(key), ..AppendOptions::default() }
}

/// Some runs forget nothing, some forget within a dozen events, by limits of all kinds.
fn retention(kind: Kind, rng: &mut SmallRng) -> Retention {
    let least = if kind == Kind::Memory { 2_000 } else { 150_000 };
    let few = rng.random_range(least..4 * least);
    let mut retention = Retention::bytes(if rng.random_bool(0.3) { 1 << 30 } else { few });
    let rule = |n: usize, change: &dyn Fn(&mut Rule)| {
        let mut rule = Rule::of(eventwall_log::TopicMatch::Topic(topic(n)));
        change(&mut rule);
        rule
    };
    let (events, age) = (rng.random_range(1..50), rng.random_range(1_000..60_000));
    let bytes = rng.random_range(1_000..100_000);
    let rules = [
        rule(1, &|rule| rule.max_events = Some(Some(events))),
        rule(STATE, &|rule| rule.keep = Some(Keep::Latest)),
        rule(3, &|rule| (rule.max_age, rule.max_bytes) = (Some(Some(age)), Some(Some(bytes)))),
    ];
    retention.rules = rules.into_iter().filter(|_| rng.random_bool(0.5)).collect();
    if rng.random_bool(0.2) {
        retention.limits.max_age = Some(120_000);
    }
    retention
}

impl Run {
    fn new(plan: Plan) -> Result<Self, String> {
        let mut rng = SmallRng::seed_from_u64(plan.seed);
        let retention = retention(plan.kind, &mut rng);
        let (model, world) = (Model::new(retention.clone()), World::new(plan, retention)?);
        let (clients, now, report) = (Vec::new(), Instant::now(), Report::default());
        let (step, number, latest, backup) = (0, 0, 0, None);
        Ok(Self { plan, rng, world, model, clients, now, step, number, latest, backup, report })
    }

    async fn all(&mut self) -> Result<(), String> {
        for step in 0..self.plan.steps {
            self.step = step;
            self.world.pass_time(self.rng.random_range(0..200));
            self.latest = self.latest.max(self.world.wall.load(Ordering::Relaxed));
            match self.rng.random_range(0..100) {
                0..30 => self.publish().await?,
                30..45 => self.world.pump().await?,
                45..54 => self.connect().await?,
                54..58 => self.disconnect(),
                58..60 => self.erase().await?,
                60..64 => self.world.log.maintain().await,
                64 => self.restart().await?,
                65..68 => self.crash().await?,
                68 => self.back_up(),
                69 => self.restore().await?,
                70 => self.world.shared.sweep(),
                74 => self.change_limits()?,
                75 => self.repeat().await?,
                71 => self.jump(),
                72..74 => {
                    let long = self.rng.random_bool(0.2);
                    self.world.pass_time(if long { 60_000 } else { 2_000 });
                }
                76 => self.now += HEARTBEAT,
                _ => self.step_some().await?,
            }
        }
        self.settle().await
    }

    /// In the end everybody gets all that is theirs, woken by nothing but news and time.
    async fn settle(&mut self) -> Result<(), String> {
        self.world.pump().await?;
        for _ in 0..2 {
            self.now += HEARTBEAT;
            let mut desk = self.desk();
            for at in 0..self.clients.len() {
                self.reconnect(at).await?;
                while self.step_one(at, &mut desk).await? {
                    // Lines still break.
                    self.reconnect(at).await?;
                }
            }
        }
        let end = self.world.log.end();
        let behind = |client: &&Client| client.cursor().is_none_or(|c| c.position < end);
        match self.clients.iter().find(behind) {
            Some(client) => Err(format!("{:?} never came to the end at {end}", client.cursor())),
            None => Ok(()),
        }
    }

    fn batch(&mut self) -> Vec<NewEvent> {
        let count = self.rng.random_range(1..5);
        let batch = (0..count).map(|_| {
            self.number += 1;
            let large = self.plan.kind != Kind::Memory && self.rng.random_bool(0.5);
            let padding = if large { self.rng.random_range(0..12_000) } else { 0 };
            let text = format!("{} {}", self.number, "x".repeat(padding));
            // Some topics are seldom published to, so that all of theirs is removed.
            let seldom = self.rng.random_bool(0.1);
            let of = if seldom { TOPICS / 2..TOPICS } else { 0..TOPICS / 2 };
            NewEvent::new(topic(self.rng.random_range(of)), text)
        });
        batch.collect()
    }

    async fn publish(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.random_range(1..5) {
            let events = self.batch();
            self.append(events).await?;
        }
        Ok(())
    }

    async fn append(&mut self, events: Vec<NewEvent>) -> Result<(), String> {
        let number = self.number;
        let keyed = self.rng.random_bool(0.3);
        let options = if keyed { with_key(number) } else { AppendOptions::default() };
        let batch = Batch::new(events.clone()).ok_or("an empty batch")?;
        let appended = self.world.log.append(batch, options).await;
        let ids = appended.map_err(|error| error.to_string())?.ids;
        if keyed {
            let (events, ids) = (events.clone(), ids.clone());
            self.model.keyed.insert(number, Keyed { events, ids });
        }
        for (event, id) in events.into_iter().zip(ids) {
            self.note_published(event, id)?;
        }
        Ok(())
    }

    /// A publisher that had no answer asks again: nothing is published twice.
    async fn repeat(&mut self) -> Result<(), String> {
        let count = self.model.keyed.len();
        if count == 0 {
            return Ok(());
        }
        let at = self.rng.random_range(0..count);
        let Some((number, keyed)) = self.model.keyed.iter().nth(at) else { return Ok(()) };
        let (number, keyed) = (*number, keyed.clone());
        let first = keyed.ids.first().map_or(Position::START, |id| id.position);
        let shown = self.world.visible(&Filter::All, first.before()).await?;
        // Later than that, and of what is gone, a key may be forgotten.
        let is_due = |id: &EventId| {
            let record = shown.iter().find(|record| record.position == id.position);
            record.is_some_and(|record| self.latest.saturating_sub(record.time) < WINDOW)
        };
        let remembered = keyed.ids.iter().all(is_due);
        if !remembered {
            self.model.keyed.remove(&number);
            return Ok(());
        }
        let batch = Batch::new(keyed.events).ok_or("an empty batch")?;
        let again = self.world.log.append(batch, with_key(number)).await;
        let again = again.map_err(|error| error.to_string())?;
        self.report.repeats += 1;
        if !again.repeated || again.ids != keyed.ids {
            return Err(format!("{:?} was published once more as {:?}", keyed.ids, again.ids));
        }
        Ok(())
    }

    /// Somebody changes what is kept, in some runs. What the log hides at once is still in the window
    /// for a while: who reads the one and then the other is told of a gap that was none.
    fn change_limits(&mut self) -> Result<(), String> {
        if !self.plan.seed.is_multiple_of(4) {
            return Ok(());
        }
        let all = (0..TOPICS).map(topic).collect();
        self.model.unseen.push((Position::START, self.world.log.end(), all));
        let retention = &mut self.world.retention;
        for rule in retention.rules.iter_mut().filter(|rule| rule.max_events.is_some()) {
            rule.max_events = Some(Some(self.rng.random_range(1..50)));
        }
        self.world.log.set_retention(retention.clone())
    }

    fn note_published(&mut self, event: NewEvent, id: EventId) -> Result<(), String> {
        let ahead = |client: &&Client| {
            let same = |cursor: &EventId| cursor.epoch == id.epoch;
            client.cursor().is_some_and(|cursor| same(cursor) && cursor.position >= id.position)
        };
        if let Some(client) = self.clients.iter().find(ahead) {
            return Err(format!("{:?} was told before {id} was there", client.cursor()));
        }
        self.report.published += 1;
        let NewEvent { topic, data, .. } = event;
        self.model.published(Event { id, topic, text: data.into() })
    }

    async fn erase(&mut self) -> Result<(), String> {
        let Some(position) = self.some_position() else { return Ok(()) };
        let at = self.world.log.erase(vec![position]).await.map_err(|error| error.to_string())?;
        self.model.highest = self.model.highest.max(at);
        // As the hub does before it answers.
        self.world.pump().await?;
        self.world.quiet().await?;
        self.model.erased.insert(position);
        self.report.erased += 1;
        Ok(())
    }

    fn some_position(&mut self) -> Option<Position> {
        let count = self.model.published.len();
        let at = if count == 0 { return None } else { self.rng.random_range(0..count) };
        self.model.published.keys().nth(at).copied()
    }

    /// Somebody sets the clock, and perhaps sets it back.
    fn jump(&mut self) {
        let by = self.rng.random_range(1..1_000_000_000);
        if self.rng.random_bool(0.5) {
            self.world.wall.fetch_add(by, Ordering::Relaxed);
        } else {
            self.world.wall.fetch_sub(by, Ordering::Relaxed);
        }
        self.report.clock_jumps += 1;
    }

    fn disconnect_all(&mut self) {
        self.clients.iter_mut().for_each(Client::disconnected);
    }

    /// Closed and opened again in order, or the disk copied while it was closed.
    async fn restart(&mut self) -> Result<(), String> {
        if self.plan.kind == Kind::Memory {
            return Ok(());
        }
        self.disconnect_all();
        self.world.log.close().await;
        let same = self.world.medium.clone();
        let medium = if self.rng.random_bool(0.5) { same.copied() } else { same };
        self.world.reopen(medium).await?;
        self.report.restarts += 1;
        self.check_ids("a restart")
    }

    /// Power is lost in the middle of something.
    async fn crash(&mut self) -> Result<(), String> {
        if self.plan.kind == Kind::Memory {
            return Ok(());
        }
        let crash = self.world.crash_soon(&mut self.rng);
        let (mut events, mut erased) = (Vec::new(), None);
        let which = self.rng.random_range(0..4);
        match which {
            0 => {
                events = self.batch();
                let batch = Batch::new(events.clone()).ok_or("an empty batch")?;
                let done = self.world.log.append(batch, AppendOptions::default()).await;
                drop(done.map_err(|error| error.to_string())?);
            }
            1 => {
                erased = self.some_position();
                let positions = erased.into_iter().collect();
                let done = self.world.log.erase(positions).await;
                done.map_err(|error| error.to_string())?;
            }
            2 => self.world.log.maintain().await,
            _ => self.world.reopen(self.world.medium.clone()).await?,
        }
        // What follows the answer to an erasure is a part of it.
        self.world.quiet().await?;
        self.world.log.maintain().await;
        self.world.quiet().await?;
        let (left, in_time) = crash.left(&mut self.rng);
        let count = [
            &mut self.report.crashes_while_publishing,
            &mut self.report.crashes_while_erasing,
            &mut self.report.crashes_while_compacting,
            &mut self.report.crashes_while_opening,
        ];
        self.report.crashes += 1;
        if let Some(count) = count.into_iter().nth(which) {
            *count += usize::from(in_time);
        }
        self.disconnect_all();
        self.world.reopen(left).await?;
        self.model.perhaps_erased.extend(erased);
        self.recover(events).await
    }

    /// After a crash: what was under way may be in the log, what was synced is, and nothing else.
    async fn recover(&mut self, events: Vec<NewEvent>) -> Result<(), String> {
        let end = self.world.log.end();
        if self.plan.kind == Kind::Unsynced {
            self.model.forget_after(end);
            // An erasure that was not synced may be undone.
            let erased = std::mem::take(&mut self.model.erased);
            self.model.perhaps_erased.extend(erased);
        }
        let known = self.model.published.keys().next_back().copied().unwrap_or_default();
        let new = self.world.visible(&Filter::All, known).await?;
        let mut first = None;
        for record in &new {
            let under_way = |event: &&NewEvent| event.data == record.data;
            let i = events.iter().position(|event| under_way(&event));
            let i = i.ok_or_else(|| format!("{} was invented", record.position))?;
            first = Some(Position(record.position.0 - i as u64));
        }
        if first.is_none() && !events.is_empty() {
            let first = self.world.log.epochs().spans().last().map_or(end, |span| span.first);
            let topics = events.iter().map(|event| event.topic.clone()).collect();
            self.model.unseen.push((known.next(), first, topics));
        }
        if let Some(first) = first {
            let epochs = self.world.log.epochs();
            for (i, event) in events.into_iter().enumerate() {
                let position = Position(first.0 + i as u64);
                self.note_published(event, epochs.id(position))?;
            }
        }
        if self.plan.kind == Kind::Unsynced {
            self.mark_stale();
            return Ok(());
        }
        self.check_ids("a crash")
    }

    /// Every id that was told still means the same.
    fn check_ids(&self, what: &str) -> Result<(), String> {
        let (epochs, end) = (self.world.log.epochs(), self.world.log.end());
        for client in self.clients.iter().filter(|client| !client.stale) {
            let Some(cursor) = client.cursor() else { continue };
            if epochs.resolve(cursor, end) != Resolution::At(cursor.position) {
                return Err(format!("after {what} {cursor} is not known, and it was told"));
            }
        }
        Ok(())
    }

    /// Who knows more than the log has now is to be told.
    fn mark_stale(&mut self) {
        let (epochs, end) = (self.world.log.epochs(), self.world.log.end());
        for client in &mut self.clients {
            let known =
                |cursor: &EventId| epochs.resolve(cursor, end) == Resolution::At(cursor.position);
            let stale = client.cursor().is_some_and(|cursor| !known(cursor));
            client.log_replaced(stale);
        }
    }

    fn back_up(&mut self) {
        if self.plan.kind != Kind::Memory {
            self.backup = Some((self.world.medium.copied(), self.model.clone()));
        }
    }

    async fn restore(&mut self) -> Result<(), String> {
        let Some((medium, model)) = &self.backup else { return Ok(()) };
        let (medium, model) = (medium.copied(), model.clone());
        self.disconnect_all();
        self.world.reopen(medium).await?;
        self.model = model;
        self.report.restores += 1;
        self.mark_stale();
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), String> {
        for _ in 0..self.plan.subscribers.div_ceil(16) {
            if self.clients.len() < self.plan.subscribers && self.rng.random_bool(0.5) {
                let filter = self.filter();
                self.clients.push(Client::new(filter, self.rng.random_bool(0.2)));
            }
            if !self.clients.is_empty() {
                let at = self.rng.random_range(0..self.clients.len());
                self.reconnect(at).await?;
            }
        }
        Ok(())
    }

    fn filter(&mut self) -> Filter {
        let wanted: Vec<_> = (0..TOPICS).filter(|_| self.rng.random_bool(0.3)).map(topic).collect();
        let patterns = ["t/*", "**", "*/1", "x/*"].into_iter();
        let patterns = patterns.filter(|_| self.rng.random_bool(0.15));
        Filter::select(wanted, patterns.filter_map(|p| p.parse().ok()).collect())
    }

    fn start(&mut self, at: usize) -> Start {
        match self.clients[at].last_event_id() {
            "" => match self.rng.random_range(0..4) {
                0 => Start::Last(self.rng.random_range(0..20)),
                1 => {
                    let now = self.world.wall.load(Ordering::Relaxed);
                    Start::Since(now.saturating_sub(self.rng.random_range(0..60_000)))
                }
                _ => Start::Now,
            },
            id => Start::Resume(id.into()),
        }
    }

    async fn reconnect(&mut self, at: usize) -> Result<(), String> {
        if self.clients[at].stream.is_some() {
            return Ok(());
        }
        let (from, filter) = (self.start(at), self.clients[at].filter.clone());
        let forgiving = matches!(from, Start::Last(_) | Start::Since(_)) || self.clients[at].stale;
        let visible = if forgiving { Some(self.world.visible_now(&filter).await?) } else { None };
        let named = self.world.shared.registry.name(filter.clone());
        let started = crate::start::start(&*self.world.log, filter, &from, MAX_START).await;
        let started = started.map_err(|error| error.to_string())?;
        let told = started.gap.as_ref().is_some_and(|gap| gap.reason != GapReason::Expired);
        if self.clients[at].stale && !told {
            return Err(format!("{from:?} is not known to this log, and no gap is told"));
        }
        let mut follower = Follower::new(started, FollowOptions::default(), HEARTBEAT, self.now);
        follower.mutation = self.plan.hub;
        let stream = Subscriber::new(follower, self.world.shared.clone(), named).into_stream();
        let beginning = Beginning { last: matches!(from, Start::Last(_)), visible };
        self.clients[at].connected(stream, beginning);
        self.report.resumes += usize::from(matches!(from, Start::Resume(_)));
        Ok(())
    }

    fn disconnect(&mut self) {
        for _ in 0..self.clients.len().div_ceil(16) {
            let at = self.rng.random_range(0..self.clients.len());
            self.clients[at].disconnected();
        }
    }

    async fn step_some(&mut self) -> Result<(), String> {
        let mut desk = self.desk();
        for _ in 0..self.clients.len().div_ceil(4) {
            let at = self.rng.random_range(0..self.clients.len());
            if !self.clients[at].slow || self.rng.random_bool(0.1) {
                self.step_one(at, &mut desk).await?;
            }
        }
        Ok(())
    }

    /// Those who take a step one after the other share what was decided for one of them.
    fn desk(&self) -> Desk {
        Desk::of(self.world.shared.clone(), self.now)
    }

    /// One step of one subscriber; `false` if it has nothing to do.
    async fn step_one(&mut self, at: usize, desk: &mut Desk) -> Result<bool, String> {
        let now = self.now;
        let client = &mut self.clients[at];
        let Some(stream) = &mut client.stream else { return Ok(false) };
        if let Some(until) = client.waiting {
            let woken = stream.has_news();
            self.report.woken += usize::from(woken);
            if !woken && now < until {
                return Ok(false);
            }
            client.waiting = None;
        }
        match stream.subscriber().step(desk) {
            Step::Wait(until) => client.waiting = Some(until),
            Step::End => return Err("a stream has ended by itself".into()),
            Step::Lagging(_) => return Err("nobody asked for a limit on lag".into()),
            Step::Read(range) => {
                let read = stream.subscriber().read_by(range, move || now).await;
                stream.subscriber().take_in(read.map_err(|error| error.to_string())?);
            }
            Step::Events(stretch) => {
                let frames = self.take_some(at, &stretch, desk);
                return self.send(at, &frames).await.map(|()| true);
            }
            Step::Send(frames) | Step::Ephemeral(frames) => {
                return self.send(at, &frames).await.map(|()| true);
            }
        }
        Ok(client.waiting.is_none())
    }

    /// A socket may have room for some of the events only.
    fn take_some(&mut self, at: usize, stretch: &Stretch, desk: &mut Desk) -> Vec<bytes::Bytes> {
        let Some(stream) = &mut self.clients[at].stream else { return Vec::new() };
        let subscriber = stream.subscriber();
        let mut frames = stretch.frames(subscriber.form());
        if self.rng.random_bool(0.3) {
            frames.truncate(self.rng.random_range(0..=frames.len()));
        }
        let bytes = frames.iter().map(bytes::Bytes::len).sum();
        subscriber.sent(stretch, (frames.len(), bytes), desk);
        frames
    }

    /// The line may break anywhere, also amid a frame.
    async fn send(&mut self, at: usize, frames: &[bytes::Bytes]) -> Result<(), String> {
        let all: usize = frames.iter().map(bytes::Bytes::len).sum();
        let breaks = self.rng.random_bool(0.05);
        let mut left = if breaks { self.rng.random_range(0..=all) } else { all };
        let client = &mut self.clients[at];
        let before = (client.delivered, client.gaps_told);
        for frame in frames {
            let part = frame.slice(..left.min(frame.len()));
            left -= part.len();
            client.receive(&part, &self.model)?;
        }
        self.report.delivered += client.delivered - before.0;
        self.report.gaps += client.gaps_told - before.1;
        if breaks {
            client.disconnected();
            self.report.lines_cut += 1;
        }
        Ok(())
    }
}
