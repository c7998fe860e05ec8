//! The log, its disk, the clocks, and the hub's own parts over it, without their tasks.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use eventwall_log::{
    AppendError, AppendOptions, Budget, Clock, DiskConfig, DiskLog, Durability, Entry,
    ExpectedLast, Filter, Log, MemoryLog, NewEvent, Position, ReadRange, Record, Retention, Tail,
    simulator::{CrashMedium, Mutation},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{Kind, Plan};
use crate::{HubConfig, hub::Shared};

/// Steps of the disk in which a crash may come.
const STEPS: usize = 40;

#[derive(Debug)]
pub(super) struct World {
    plan: Plan,
    pub(super) log: Arc<dyn Log>,
    pub(super) medium: Arc<CrashMedium>,
    pub(super) shared: Arc<Shared>,
    tail: Tail,
    pub(super) retention: Retention,
    /// Milliseconds; somebody may set it.
    pub(super) wall: Arc<AtomicU64>,
    /// Milliseconds; nobody can set it.
    pub(super) uptime: Arc<AtomicU64>,
}

fn clock_of(time: &Arc<AtomicU64>) -> Clock {
    let time = time.clone();
    Arc::new(move || time.load(Ordering::Relaxed))
}

impl World {
    pub(super) fn new(plan: Plan, retention: Retention) -> Result<Self, String> {
        let medium = CrashMedium::new();
        let wall = Arc::new(AtomicU64::new(1_700_000_000_000));
        let uptime = Arc::new(AtomicU64::new(0));
        let log = open(plan, &medium, &retention, (&wall, &uptime))?;
        let (shared, tail) = hub(&log, plan.seed);
        Ok(Self { plan, log, medium, shared, tail, retention, wall, uptime })
    }

    pub(super) fn pass_time(&self, milliseconds: u64) {
        self.wall.fetch_add(milliseconds, Ordering::Relaxed);
        self.uptime.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Moves the log's tail into the window, as the tail task does.
    pub(super) async fn pump(&mut self) -> Result<(), String> {
        while self.shared.window().tail() < self.log.end() {
            let page = self.tail.next().await.map_err(|error| error.to_string())?;
            self.shared.take_in(page.ok_or("the tail has ended")?);
        }
        Ok(())
    }

    /// Closes the log, and opens what is on a disk.
    pub(super) async fn reopen(&mut self, medium: Arc<CrashMedium>) -> Result<(), String> {
        self.log.close().await;
        self.medium = medium;
        self.log = open(self.plan, &self.medium, &self.retention, (&self.wall, &self.uptime))?;
        (self.shared, self.tail) = hub(&self.log, self.plan.seed);
        Ok(())
    }

    /// A loss of power at one of the next steps of the disk; `None` if there are fewer.
    pub(super) fn crash_soon(&self, rng: &mut SmallRng) -> Crash {
        // Early as often as late.
        let before = rng.random_range(1..STEPS);
        let (at, mut ways) = (rng.random_range(0..before), SmallRng::seed_from_u64(rng.random()));
        let (left, mut step) = (Arc::new(Mutex::new(None)), 0);
        let slot = left.clone();
        self.medium.watch(move |_, medium| {
            if step == at {
                let image = medium.crashed(&mut ways);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
            }
            step += 1;
        });
        Crash { medium: self.medium.clone(), left }
    }

    /// Waits until the log has done all that follows its last answer: it takes one thing after the
    /// other, and this is refused.
    pub(super) async fn quiet(&self) -> Result<(), String> {
        let nobodys = "x-1".parse().map_err(|_| "an id that is none")?;
        let expected_last = Some(ExpectedLast::Id(nobodys));
        let options = AppendOptions { expected_last, ..AppendOptions::default() };
        let topic = "quiet".parse().map_err(|_| "a topic that is none")?;
        match self.log.append(NewEvent::new(topic, "").into(), options).await {
            Err(AppendError::Condition { .. }) => Ok(()),
            other => Err(format!("a condition that cannot hold was met: {other:?}")),
        }
    }

    /// All events after a position that the log shows to who reads them.
    pub(super) async fn visible(
        &self,
        filter: &Filter,
        after: Position,
    ) -> Result<Vec<Arc<Record>>, String> {
        let (mut at, mut found) = (after, Vec::new());
        let budget = Budget { events: 10_000, bytes: 1 << 30 };
        while at < self.log.end() {
            let page = self.log.read(ReadRange::after(at), filter, budget).await;
            let page = page.map_err(|error| error.to_string())?;
            at = page.examined;
            found.extend(page.entries.into_iter().filter_map(|entry| match entry {
                Entry::Event(record) => Some(record),
                Entry::Erasure { .. } => None,
            }));
        }
        Ok(found)
    }

    pub(super) async fn visible_now(
        &self,
        filter: &Filter,
    ) -> Result<(HashSet<Position>, Position), String> {
        let end = self.log.end();
        let visible = self.visible(filter, Position::START).await?;
        Ok((visible.iter().map(|record| record.position).collect(), end))
    }
}

/// A loss of power that is about to come.
pub(super) struct Crash {
    medium: Arc<CrashMedium>,
    left: Arc<Mutex<Option<Arc<CrashMedium>>>>,
}

impl Crash {
    /// What is left on the disk, and whether it came in time.
    pub(super) fn left(self, rng: &mut SmallRng) -> (Arc<CrashMedium>, bool) {
        self.medium.unwatch();
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let in_time = left.is_some();
        (left.unwrap_or_else(|| self.medium.crashed(rng)), in_time)
    }
}

fn hub(log: &Arc<dyn Log>, seed: u64) -> (Arc<Shared>, Tail) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let config = HubConfig { window_bytes: rng.random_range(500..40_000), ..HubConfig::default() };
    Shared::new(log.clone(), &config)
}

fn open(
    plan: Plan,
    medium: &Arc<CrashMedium>,
    retention: &Retention,
    (wall, uptime): (&Arc<AtomicU64>, &Arc<AtomicU64>),
) -> Result<Arc<dyn Log>, String> {
    let (clock, uptime) = (clock_of(wall), clock_of(uptime));
    let durability = match plan.kind {
        Kind::Memory => {
            return Ok(Arc::new(MemoryLog::with_uptime(retention.clone(), clock, uptime)));
        }
        Kind::Disk => Durability::Sync,
        Kind::Unsynced => Durability::None,
    };
    let (retention, keep_every, mutation): (_, _, Option<Mutation>) =
        (retention.clone(), None, plan.log);
    let config = DiskConfig {
        durability,
        retention,
        clock,
        uptime,
        keep_every,
        mutation,
        ..DiskConfig::default()
    };
    // A log that a crash left so that it does not open is the worst of all losses.
    let (log, _) = DiskLog::open(medium.clone(), config).map_err(|error| error.to_string())?;
    Ok(Arc::new(log))
}
