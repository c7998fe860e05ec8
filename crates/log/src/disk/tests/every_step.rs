//! Power lost before and after every single step of everything that a log does, in every way that
//! the disk allows as long as these are few, and in many of them where they are not: what was
//! acknowledged is there, nothing is invented, nothing erased comes back, no position is used again,
//! and every id still names its event. `EVENTWALL_SEEDS` says how many scripts, `EVENTWALL_SEED`
//! repeats one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::read_all;
use crate::simulator::{CrashMedium, Mutation};
use crate::{
    AppendOptions, Batch, DiskConfig, DiskLog, Durability, Entry, EventId, IdempotencyKey, Keep,
    Log as _, NewEvent, Position, Resolution, Retention, Rule, Topic,
};

/// Ways of losing power that are tried at each step.
const MOST: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    /// A batch of so many events, with a key.
    Publish(usize),
    /// A new value of a state.
    Set,
    /// One of the last events, somewhere.
    Erase(usize),
    Roll,
    /// Compaction, unlinking, index files.
    Maintain,
    /// Closed in order, and opened: a new epoch.
    Reopen,
}

use Op::{Erase, Maintain, Publish, Reopen, Roll, Set};

/// Everything at least once, and each after each other.
const SCRIPT: [Op; 27] = [
    Publish(3),
    Set,
    Set,
    Roll,
    Set,
    Erase(1),
    Roll,
    Maintain,
    Publish(2),
    Reopen,
    Publish(4),
    Set,
    Erase(2),
    Roll,
    Erase(1),
    Maintain,
    Publish(1),
    Set,
    Reopen,
    Erase(1),
    Roll,
    Publish(3),
    Publish(3),
    Roll,
    Maintain,
    Reopen,
    Publish(1),
];

/// What was acknowledged, and what may have been done beside that.
#[derive(Debug, Clone, Default)]
struct Model {
    /// By text.
    published: BTreeMap<String, (EventId, Topic)>,
    /// In the order of the log.
    order: Vec<String>,
    erased: BTreeSet<String>,
    /// Under way: published, or erased.
    perhaps: BTreeSet<String>,
    highest: Position,
}

#[derive(Debug)]
struct Picture {
    what: String,
    images: Vec<Arc<CrashMedium>>,
}

struct Run {
    medium: Arc<CrashMedium>,
    log: DiskLog,
    model: Model,
    mutation: Option<Mutation>,
    durability: Durability,
    pictures: Arc<Mutex<Vec<Picture>>>,
    batches: usize,
}

/// Images checked, and the steps at which they were taken.
#[derive(Debug, Default)]
struct Tried {
    images: AtomicUsize,
    moments: Mutex<BTreeSet<String>>,
}

fn config(mutation: Option<Mutation>, durability: Durability) -> DiskConfig {
    let mut retention = Retention::bytes(1 << 20);
    let mut state = Rule::of("state".parse().unwrap());
    state.keep = Some(Keep::Latest);
    let mut few = Rule::of("few".parse().unwrap());
    few.max_events = Some(Some(4));
    retention.rules = vec![state, few];
    DiskConfig { retention, durability, keep_every: None, mutation, ..DiskConfig::default() }
}

/// What the texts of a batch are: some of a topic that keeps few.
fn batch(number: usize, events: usize) -> Vec<NewEvent> {
    let topic = |i: usize| if (number + i).is_multiple_of(2) { "few" } else { "all" };
    // Some fill several sectors, some share one.
    let text = |i: usize| format!("{number}.{i} {}", "x".repeat(700 * (i % 2)));
    (0..events).map(|i| NewEvent::new(topic(i).parse().unwrap(), text(i))).collect()
}

fn keyed(number: usize) -> AppendOptions {
    let key = IdempotencyKey { scope: "s".into(), key: number.to_string().into() };
    AppendOptions { key: Some(key), ..AppendOptions::default() }
}

impl Run {
    fn new(seed: u64, mutation: Option<Mutation>, durability: Durability) -> Self {
        let (medium, pictures) = (CrashMedium::new(), Arc::<Mutex<Vec<Picture>>>::default());
        watch(&medium, &pictures, seed);
        let (log, _) = DiskLog::open(medium.clone(), config(mutation, durability)).unwrap();
        Self { medium, log, model: Model::default(), mutation, durability, pictures, batches: 0 }
    }

    async fn run(mut self, script: &[Op], tried: &Tried) {
        for op in script {
            self.model.perhaps.clear();
            let before = self.model.clone();
            self.perform(*op).await;
            // The writer may still be at what follows its answer.
            let queue = self.log.queue.clone();
            assert!(tokio::task::spawn_blocking(move || queue.sync()).await.unwrap());
            // What was under way is neither required nor refused.
            let perhaps = self.model.perhaps.clone();
            let during = Model { perhaps, ..before };
            let pictures = std::mem::take(&mut *self.pictures.lock().unwrap());
            for Picture { what, images } in pictures {
                tried.moments.lock().unwrap().insert(format!("{op:?}: {what}"));
                for image in images {
                    println!("{op:?}: power lost {what}");
                    self.check(&during, image).await;
                    tried.images.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    async fn perform(&mut self, op: Op) {
        match op {
            Publish(events) => {
                let events = batch(self.batches, events);
                self.publish(events).await;
            }
            Set => {
                let event =
                    NewEvent::new("state".parse().unwrap(), format!("set {}", self.batches));
                self.publish(vec![event]).await;
            }
            Erase(back) => self.erase(back).await,
            Roll => {
                self.log.queue.ask_to_roll();
            }
            Maintain => self.log.maintain().await,
            Reopen => {
                self.log.close().await;
                let config = config(self.mutation, self.durability);
                self.log = DiskLog::open(self.medium.clone(), config).unwrap().0;
            }
        }
    }

    async fn publish(&mut self, events: Vec<NewEvent>) {
        let number = self.batches;
        self.batches += 1;
        let model = &mut self.model;
        model.perhaps = events.iter().map(|event| event.data.to_string()).collect();
        let batch = Batch::new(events.clone()).unwrap();
        let appended = self.log.append(batch, keyed(number)).await.unwrap();
        assert!(appended.ids[0].position > model.highest, "a position was used again");
        model.highest = appended.last();
        for (event, id) in events.into_iter().zip(&appended.ids) {
            model.order.push(event.data.to_string());
            model.published.insert(event.data.into(), (id.clone(), event.topic));
        }
    }

    async fn erase(&mut self, back: usize) {
        let model = &mut self.model;
        let Some(text) = model.order.iter().rev().nth(back) else { return };
        model.perhaps = BTreeSet::from([text.clone()]);
        let position = model.published[text].0.position;
        let at = self.log.erase(vec![position]).await.unwrap();
        model.highest = model.highest.max(at);
        model.erased.insert(text.clone());
    }

    async fn check(&self, model: &Model, image: Arc<CrashMedium>) {
        let opened = DiskLog::open(image.clone(), config(self.mutation, self.durability));
        let (log, _) = opened.unwrap_or_else(|why| panic!("it does not open: {why}"));
        let shown = check_events(&log, model, self.durability).await;
        check_whole_batches(&shown, model);
        let next = log.append(NewEvent::new("all".parse().unwrap(), "next").into(), keyed(9999));
        let next = next.await.unwrap();
        assert!(next.last() > model.highest, "a position was used again: {}", next.last());
        log.close().await;
        // What follows a crash has to stand a second one.
        let (log, _) = DiskLog::open(image, config(self.mutation, self.durability)).unwrap();
        assert!(read_texts(&log).await.iter().any(|(text, _)| text == "next"));
    }
}

async fn read_texts(log: &DiskLog) -> Vec<(String, Position)> {
    let entries = read_all(log).await.unwrap();
    let events = entries.iter().filter_map(|entry| match entry {
        Entry::Event(record) => Some((record.data.to_string(), record.position)),
        Entry::Erasure { .. } => None,
    });
    events.collect()
}

async fn check_events(log: &DiskLog, model: &Model, durability: Durability) -> Vec<String> {
    let read = read_texts(log).await;
    assert!(read.windows(2).all(|w| w[0].1 < w[1].1), "out of order");
    for (text, position) in &read {
        let Some((id, _)) = model.published.get(text) else {
            assert!(model.perhaps.contains(text), "{text:?} was invented");
            continue;
        };
        let erased = model.erased.contains(text) && durability == Durability::Sync;
        assert!(!erased, "{text:?} was erased");
        assert_eq!((id.position, log.epochs().id(*position)), (*position, id.clone()), "{text:?}");
    }
    let shown: Vec<String> = read.into_iter().map(|(text, _)| text).collect();
    if durability != Durability::Sync {
        return shown;
    }
    for (at, text) in model.order.iter().enumerate() {
        let (id, topic) = &model.published[text];
        let resolved = log.epochs().resolve(id, log.end());
        assert_eq!(resolved, Resolution::At(id.position), "the id of {text:?}");
        let later = |other: &&String| model.published[*other].1 == *topic;
        let newer = model.order[at + 1..].iter().filter(later).count();
        let due = match topic.as_str() {
            "state" => newer > 0,
            "few" => newer >= 4,
            _ => false,
        };
        // What is under way may be one more.
        let perhaps = model.perhaps.iter().any(|p| p.starts_with("set"))
            && topic.as_str() == "state"
            || !model.perhaps.is_empty() && topic.as_str() == "few";
        let gone = due || perhaps || model.erased.contains(text) || model.perhaps.contains(text);
        assert!(gone || shown.contains(text), "{text:?} was acknowledged and is lost");
    }
    shown
}

/// Of a batch under way there is all or nothing; of what keeps few, retention may have had its part.
fn check_whole_batches(shown: &[String], model: &Model) {
    let of_all = |text: &&String| {
        let (number, rest) = text.split_once('.').unwrap_or_default();
        let number: usize = number.parse().unwrap_or(0);
        let i: usize = rest.split(' ').next().and_then(|i| i.parse().ok()).unwrap_or(0);
        !(number + i).is_multiple_of(2) && !model.published.contains_key(*text)
    };
    let new: Vec<_> = model.perhaps.iter().filter(of_all).collect();
    let there = new.iter().filter(|text| shown.contains(text)).count();
    assert!(there == 0 || there == new.len(), "{there} of a batch of {}", new.len());
}

fn watch(medium: &CrashMedium, pictures: &Arc<Mutex<Vec<Picture>>>, seed: u64) {
    let (pictures, mut rng) = (pictures.clone(), SmallRng::seed_from_u64(seed));
    medium.watch(move |what, medium| {
        let images = medium.images(MOST, &mut rng);
        pictures.lock().unwrap().push(Picture { what: what.to_owned(), images });
    });
}

/// The moments that must have been tried, by what was under way and on which file.
const MOMENTS: [(&str, &str); 22] = [
    ("Publish", "before writing log/"),
    ("Publish", "after writing log/"),
    ("Publish", "before syncing log/"),
    ("Publish", "after syncing log/"),
    ("Roll", "before creating log/"),
    ("Roll", "after creating log/"),
    ("Roll", "after writing log/"),
    ("Roll", "before syncing log"),
    ("Erase", "before replacing state/erased"),
    ("Erase", "after replacing state/erased"),
    ("Erase", "after writing log/"),
    ("Maintain", "before replacing state/watermarks"),
    ("Maintain", "after writing log/"),
    ("Maintain", "before renaming log/"),
    ("Maintain", "after renaming log/"),
    ("Maintain", "before removing log/"),
    ("Maintain", "after removing log/"),
    ("Maintain", "before replacing log/"),
    ("Reopen", "before replacing state/closed"),
    ("Reopen", "before replacing state/epochs"),
    ("Reopen", "after replacing state/epochs"),
    ("Reopen", "after creating log/"),
];

fn random_script(seed: u64) -> Vec<Op> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let op = |rng: &mut SmallRng| match rng.random_range(0..10) {
        0..4 => Publish(rng.random_range(1..5)),
        4 => Set,
        5 => Erase(rng.random_range(0..6)),
        6..8 => Roll,
        8 => Maintain,
        _ => Reopen,
    };
    (0..20).map(|_| op(&mut rng)).collect()
}

#[tokio::test]
async fn no_loss_of_power_at_any_step_loses_or_invents_anything() {
    let tried = Tried::default();
    Run::new(0, None, Durability::Sync).run(&SCRIPT, &tried).await;
    for (op, step) in MOMENTS {
        let moments = tried.moments.lock().unwrap();
        let hit = moments.iter().any(|moment| moment.starts_with(op) && moment.contains(step));
        assert!(hit, "power was never lost {step} of {op}: {moments:#?}");
    }
    let setting = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let fresh = setting("EVENTWALL_SEED").unwrap_or_else(rand::random);
    for seed in (1..=setting("EVENTWALL_SEEDS").unwrap_or(5)).chain([fresh]) {
        println!("seed {seed}");
        Run::new(seed, None, Durability::Sync).run(&random_script(seed), &tried).await;
    }
    // Of what is not synced some may be lost, but nothing else is wrong.
    Run::new(0, None, Durability::None).run(&SCRIPT, &tried).await;
    println!(
        "verified: {} images of lost power, at each step of everything",
        tried.images.load(Ordering::SeqCst)
    );
    assert!(tried.images.load(Ordering::SeqCst) > 2000);
}

#[tokio::test]
async fn mistakes_are_noticed() {
    for (mutation, told) in [(Mutation::SkipSync, "the id of"), (Mutation::ForgetfulIndex, "lost")]
    {
        let run = tokio::spawn(async move {
            let run = Run::new(0, Some(mutation), Durability::Sync);
            run.run(&SCRIPT, &Tried::default()).await;
        });
        let failure = run.await.expect_err("it was not noticed").into_panic();
        let failure = failure.downcast::<String>().unwrap();
        assert!(failure.contains(told), "{mutation:?}: {failure}");
    }
}
