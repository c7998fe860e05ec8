//! Reading the log for cursors behind the window: how many read at once, how much each may hold, and
//! who can have what another has just read. It decides nothing of what anybody gets.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use eventwall_log::{Budget, Filter, ReadError, ReadRange};
use tokio::{
    sync::Semaphore,
    time::{Duration, Instant},
};

use crate::{hub::Shared, next::CaughtUp};

/// Memory for what all of those hold who are behind the window, in bytes. With very many of them
/// each gets the least, and this is exceeded.
const ALL_BYTES: usize = 16 << 20;
/// What one of them holds at most, and at least.
const MOST_BYTES: usize = 64 << 10;
const LEAST_BYTES: usize = 4 << 10;
const MOST_EVENTS: usize = 1024;

/// Stretches that are kept for others, their bytes in all, and for how long: limits may have hidden
/// by then what was still there.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 4 << 20;
const KEPT_FOR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct CatchUps {
    /// Reads at once; more wait.
    reads: Semaphore,
    /// Subscribers behind the window.
    behind: Arc<AtomicUsize>,
    kept: Mutex<VecDeque<Kept>>,
}

/// What was read for somebody.
#[derive(Debug)]
struct Kept {
    filter: Filter,
    at: Instant,
    bytes: usize,
    read: Arc<CaughtUp>,
}

/// One subscriber behind the window, counted until it next waits for news.
#[derive(Debug)]
pub(crate) struct Behind(Arc<AtomicUsize>);

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CatchUps {
    pub(crate) fn new(reads: usize) -> Self {
        let (behind, kept) = (Arc::default(), Mutex::default());
        Self { reads: Semaphore::new(reads.max(1)), behind, kept }
    }

    /// One more is behind.
    pub(crate) fn enter(&self) -> Behind {
        self.behind.fetch_add(1, Ordering::Relaxed);
        Behind(self.behind.clone())
    }

    /// What one read may bring.
    fn budget(&self) -> Budget {
        let share = ALL_BYTES / self.behind.load(Ordering::Relaxed).max(1);
        Budget { events: MOST_EVENTS, bytes: share.clamp(LEAST_BYTES, MOST_BYTES) }
    }

    /// What was read a moment ago for the same topics and covers what follows.
    fn kept(
        &self,
        filter: &Filter,
        range: ReadRange,
        erasures: u64,
        now: Instant,
    ) -> Option<Arc<CaughtUp>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.at + KEPT_FOR > now && kept.read.erasures == erasures);
        let covers = |kept: &&Kept| kept.read.covers(range, erasures) && kept.filter == *filter;
        // The newest goes furthest.
        kept.iter().rev().find(covers).map(|kept| kept.read.clone())
    }

    fn keep(&self, filter: &Filter, read: &Arc<CaughtUp>, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = read.events.iter().map(|event| event.cost()).sum();
        kept.push_back(Kept { filter: filter.clone(), at: now, bytes, read: read.clone() });
        let mut all: usize = kept.iter().map(|kept| kept.bytes).sum();
        while let Some(oldest) = kept.front()
            && (kept.len() > KEPT || all > KEPT_BYTES)
        {
            all -= oldest.bytes;
            kept.pop_front();
        }
    }
}

impl Shared {
    /// What follows `range.after`, for a subscriber behind the window.
    pub(crate) async fn catch_up(
        &self,
        filter: &Filter,
        range: ReadRange,
        now: impl Fn() -> Instant,
    ) -> Result<Arc<CaughtUp>, ReadError> {
        let kept = || self.catch_ups.kept(filter, range, self.window().erasures(), now());
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        // Bounds what is read at once; closing it is not foreseen.
        let _permit = self.catch_ups.reads.acquire().await;
        // Somebody may have read it meanwhile.
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let began = now();
        let read = Arc::new(self.read_log(range, filter, self.catch_ups.budget()).await?);
        self.catch_ups.keep(filter, &read, began);
        Ok(read)
    }

    /// Reads the log and frames what it finds.
    pub(crate) async fn read_log(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> Result<CaughtUp, ReadError> {
        // Before the read: an erasure that comes after it is then noticed.
        let erasures = self.window().erasures();
        let page = self.log.read(range, filter, budget).await?;
        Ok(CaughtUp::new(range, page, &self.log.epochs(), erasures))
    }
}
