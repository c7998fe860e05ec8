//! Retention of every kind against a plain model, over maintenance, restarts and losses of power
//! at every step of all that (`EVENTWALL_SEEDS` says how many, `EVENTWALL_SEED` repeats one): what is within its limits is there, what is gone is told as a gap
//! to exactly those who missed it, and nothing else is.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

use crate::simulator::{CrashMedium, Mutation};
use crate::{
    AppendOptions, Batch, Budget, Clock, DiskConfig, DiskLog, Entry, Filter, Keep, Limits,
    Log as _, NewEvent, Position, ReadRange, Retention, Rule, Topic,
};

const TOPICS: [&str; 6] = ["all", "few", "some", "state/1", "state/2", "brief"];

/// More than the log adds to an event's data.
const HEAD: u64 = 100;

struct Published {
    position: Position,
    topic: Topic,
    time: u64,
    len: u64,
}

/// What the model knows.
#[derive(Default)]
struct Model {
    published: Vec<Published>,
    erased: HashSet<Position>,
    retention: Retention,
}

/// How often something happened that the test is about.
#[derive(Debug, Default)]
struct Hit {
    gaps: usize,
    compacted: usize,
    pictures: usize,
    unlinked: usize,
}

fn limits(rng: &mut SmallRng) -> Retention {
    let max_bytes = if rng.random_bool(0.5) { 1 << 20 } else { rng.random_range(200_000..900_000) };
    let mut retention = Retention::bytes(max_bytes);
    retention.max_clock_step = 1000;
    let mut add = |topics: &str, change: &dyn Fn(&mut Rule)| {
        let mut rule = Rule::of(topics.parse().unwrap());
        change(&mut rule);
        retention.rules.push(rule);
    };
    let (few, bytes) = (rng.random_range(1..20), rng.random_range(5_000..60_000));
    add("few", &|rule| rule.max_events = Some(Some(few)));
    add("some", &|rule| rule.max_bytes = Some(Some(bytes)));
    add("state/*", &|rule| rule.keep = Some(Keep::Latest));
    add("brief", &|rule| rule.max_age = Some(Some(5_000)));
    retention
}

impl Model {
    fn limits(&self, topic: &Topic) -> Limits {
        self.retention.limits_of(topic)
    }

    /// Later events of the same topic, and about what they take. Erased ones keep their place.
    fn after(&self, event: &Published) -> (u64, u64) {
        let later = self.published.iter().rev().take_while(|e| e.position > event.position);
        let mine = later.filter(|e| e.topic == event.topic);
        mine.fold((0, 0), |(events, bytes), e| (events + 1, bytes + e.len + HEAD))
    }

    fn is_superseded(&self, event: &Published) -> bool {
        self.limits(&event.topic).keep == Keep::Latest
            && self.published.iter().any(|e| e.topic == event.topic && e.position > event.position)
    }

    /// Whether retention may not have removed it yet, bytes of the whole log apart.
    fn is_due_to_stay(&self, event: &Published, now: u64) -> bool {
        let (events, bytes) = self.after(event);
        let limits = self.limits(&event.topic);
        limits.max_events.is_none_or(|max| events < max)
            && limits.max_bytes.is_none_or(|max| bytes + event.len + HEAD < max)
            && limits.max_age.is_none_or(|max| event.time + max >= now)
            && !self.is_superseded(event)
            && !self.erased.contains(&event.position)
    }

    /// Reads from a cursor and compares with what there should be.
    async fn check(
        &self,
        log: &DiskLog,
        filter: &Filter,
        after: Position,
        now: u64,
        hit: &mut Hit,
    ) {
        let (got, removed) = read(log, filter, after).await;
        let matching = || {
            let after = move |e: &&Published| e.position > after && filter.matches(&e.topic);
            self.published.iter().filter(after)
        };
        for position in &got {
            let event = self.published.iter().find(|e| e.position == *position);
            let event = event.unwrap_or_else(|| panic!("{position} was invented"));
            assert!(
                filter.matches(&event.topic) && *position > after,
                "{position} is not asked for"
            );
            assert!(!self.erased.contains(position), "{position} is erased");
        }
        let seen: HashSet<_> = got.iter().copied().collect();
        let oldest = self.oldest_by_bytes();
        for event in matching().filter(|e| self.is_due_to_stay(e, now) && e.position >= oldest) {
            assert!(
                seen.contains(&event.position),
                "{} of {} is early",
                event.position,
                event.topic
            );
        }
        let no_loss = |e: &Published| self.erased.contains(&e.position) || self.is_superseded(e);
        let lost = matching().rfind(|e| !seen.contains(&e.position) && !no_loss(e));
        // Of what was erased and then removed, or is a state, nobody can tell.
        let doubtful = |p: &Position| self.erased.contains(p);
        if !removed.as_ref().is_some_and(doubtful) {
            assert_eq!(removed, lost.map(|e| e.position), "after {after} of {filter:?}");
        }
        hit.gaps += usize::from(removed.is_some());
    }

    /// What is newer than this fits into `max_bytes`, with a segment to spare.
    fn oldest_by_bytes(&self) -> Position {
        let mut room = self.retention.max_bytes.saturating_sub(64 << 10);
        let fitting = self.published.iter().rev().take_while(|event| {
            room = room.saturating_sub(event.len + HEAD);
            room > 0
        });
        fitting.last().map_or(Position::START, |event| event.position)
    }
}

/// Everything after a cursor, and the gap that is told at its beginning.
async fn read(
    log: &DiskLog,
    filter: &Filter,
    after: Position,
) -> (Vec<Position>, Option<Position>) {
    let (mut got, mut at, mut removed) = (Vec::new(), after, None);
    while at < log.end() {
        let budget = Budget { events: 100, bytes: 1 << 20 };
        let page = log.read(ReadRange::after(at), filter, budget).await.unwrap();
        removed = if at == after { page.removed } else { removed };
        at = page.examined;
        got.extend(page.entries.iter().filter_map(|entry| match entry {
            Entry::Event(record) => Some(record.position),
            Entry::Erasure { .. } => None,
        }));
    }
    assert!(got.windows(2).all(|w| w[0] < w[1]), "out of order");
    (got, removed)
}

/// What a step was, and what is left if power is lost there.
type Pictures = Arc<Mutex<Vec<(String, Arc<CrashMedium>)>>>;

/// Takes a picture before and after each step from now on.
fn pictures(medium: &CrashMedium, seed: u64) -> Pictures {
    let taken = Pictures::default();
    let (pictures, mut rng) = (taken.clone(), SmallRng::seed_from_u64(seed));
    medium.watch(move |what, medium| {
        pictures.lock().unwrap().push((what.to_owned(), medium.crashed(&mut rng)));
    });
    taken
}

struct Run {
    rng: SmallRng,
    clock: Arc<AtomicU64>,
    medium: Arc<CrashMedium>,
    log: DiskLog,
    model: Model,
    mutation: Option<Mutation>,
}

fn open(
    medium: Arc<CrashMedium>,
    retention: &Retention,
    clock: &Arc<AtomicU64>,
    mutation: Option<Mutation>,
) -> DiskLog {
    let read = clock.clone();
    let clock: Clock = Arc::new(move || read.load(Ordering::Relaxed));
    let (uptime, retention) = (clock.clone(), retention.clone());
    let keep_every = None;
    let config =
        DiskConfig { retention, clock, uptime, keep_every, mutation, ..DiskConfig::default() };
    DiskLog::open(medium, config).unwrap().0
}

impl Run {
    fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000));
        let medium = CrashMedium::new();
        let model = Model { retention: limits(&mut rng), ..Model::default() };
        let log = open(medium.clone(), &model.retention, &clock, mutation);
        Self { rng, clock, medium, log, model, mutation }
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    async fn publish(&mut self) {
        let count = self.rng.random_range(1..8);
        let events: Vec<_> = (0..count)
            .map(|_| {
                let topic: Topic = TOPICS.choose(&mut self.rng).unwrap().parse().unwrap();
                NewEvent::new(topic, "x".repeat(self.rng.random_range(0..5_000)))
            })
            .collect();
        let about: Vec<_> = events.iter().map(|e| (e.topic.clone(), e.data.len() as u64)).collect();
        let batch = Batch::new(events).unwrap();
        let appended = self.log.append(batch, AppendOptions::default()).await.unwrap();
        let time = self.now();
        for (id, (topic, len)) in appended.ids.iter().zip(about) {
            self.model.published.push(Published { position: id.position, topic, time, len });
        }
    }

    async fn erase(&mut self) {
        if self.model.published.is_empty() {
            return;
        }
        let count = self.model.published.len();
        let position = self.model.published[self.rng.random_range(0..count)].position;
        self.log.erase(vec![position]).await.unwrap();
        self.model.erased.insert(position);
    }

    async fn check(&mut self, hit: &mut Hit) {
        let (filter, after) = (self.filter(), self.cursor());
        self.model.check(&self.log, &filter, after, self.now(), hit).await;
    }

    fn filter(&mut self) -> Filter {
        match self.rng.random_range(0..4) {
            0 => Filter::select([], vec!["**".parse().unwrap()]),
            1 => Filter::select([], vec!["state/*".parse().unwrap()]),
            _ => {
                let some = TOPICS.iter().filter(|_| self.rng.random_bool(0.3));
                Filter::topics(some.map(|topic| topic.parse().unwrap()))
            }
        }
    }

    fn cursor(&mut self) -> Position {
        let end = self.log.end().0;
        Position(if self.rng.random_bool(0.3) { 0 } else { self.rng.random_range(0..=end) })
    }

    /// Maintains the log and looks at what a loss of power at any step of it would leave.
    async fn maintain(&mut self, hit: &mut Hit) {
        let before = self.medium.segments().len();
        let pictures = pictures(&self.medium, self.rng.random());
        self.log.maintain().await;
        self.medium.unwatch();
        let pictures = std::mem::take(&mut *pictures.lock().unwrap());
        hit.unlinked += before.saturating_sub(self.medium.segments().len());
        hit.compacted +=
            pictures.iter().filter(|(what, _)| what.starts_with("after renaming")).count();
        for (what, left) in pictures {
            println!("power lost {what}");
            let log = open(left, &self.model.retention, &self.clock, self.mutation);
            for _ in 0..2 {
                let (filter, after) = (self.filter(), self.cursor());
                self.model.check(&log, &filter, after, self.now(), hit).await;
            }
            hit.pictures += 1;
        }
    }

    async fn restart(&mut self, crash: bool) {
        let left = if crash {
            let left = self.medium.crashed(&mut self.rng);
            self.log.close().await;
            left
        } else {
            self.log.close().await;
            self.medium.copied()
        };
        self.medium = left;
        let medium = self.medium.clone();
        self.log = open(medium, &self.model.retention, &self.clock, self.mutation);
    }

    async fn run(mut self, steps: usize, hit: &mut Hit) {
        for _ in 0..steps {
            match self.rng.random_range(0..100) {
                0..60 => self.publish().await,
                60..64 => self.erase().await,
                64..70 => drop(self.clock.fetch_add(900, Ordering::Relaxed)),
                70..73 => self.maintain(hit).await,
                73..76 => {
                    let crash = self.rng.random_bool(0.5);
                    self.restart(crash).await;
                }
                _ => self.check(hit).await,
            }
        }
        self.maintain(hit).await;
        for _ in 0..20 {
            self.check(hit).await;
        }
    }
}

#[tokio::test]
async fn what_is_gone_is_told_and_what_is_told_is_gone() {
    let seeds = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let fresh = seeds("EVENTWALL_SEED").unwrap_or_else(rand::random);
    let mut hit = Hit::default();
    for seed in (0..seeds("EVENTWALL_SEEDS").unwrap_or(4)).chain([fresh]) {
        println!("seed {seed}");
        Run::new(seed, None).run(300, &mut hit).await;
    }
    println!("verified: retention against a model: {hit:?}");
    assert!(hit.gaps > 100 && hit.compacted > 10, "{hit:?}");
    assert!(hit.pictures > 200 && hit.unlinked > 10, "{hit:?}");
}

/// A log that makes a mistake is caught within a few seeds.
#[tokio::test]
async fn mistakes_are_noticed() {
    let mistakes = [
        (Mutation::CompactTooMuch, "is early"),
        (Mutation::ForgetWatermarks, "after"),
        (Mutation::ExpireEarly, "is early"),
    ];
    for (mutation, told) in mistakes {
        let mut caught = None;
        for seed in 0..8 {
            let run = tokio::spawn(async move {
                Run::new(seed, Some(mutation)).run(300, &mut Hit::default()).await;
            });
            if let Err(failure) = run.await {
                caught = failure.into_panic().downcast::<String>().ok();
                break;
            }
        }
        let caught = caught.unwrap_or_else(|| panic!("{mutation:?} was not noticed"));
        assert!(caught.contains(told), "{mutation:?}: {caught}");
    }
}
