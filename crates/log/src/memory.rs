//! The log that is gone with the process: for tests, and walls that need no memory of
//! yesterday. It keeps every promise but durability.

use std::{
    collections::{HashSet, VecDeque},
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_core::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    AppendError, AppendOptions, Appended, BackPage, Batch, Budget, Capabilities, Clock, Entry,
    Epoch, Epochs, EventId, Filter, Keep, Log, Millis, Page, Position, ReadError, ReadRange,
    Record, Retention, Tail, Topic,
    ages::Ages,
    buckets::Bucket,
    log::{PageBuilder, last_id},
    seek::seek,
    sequencer::{Sequenced, Sequencer},
    system_clock, system_uptime,
    topics::Topics,
};

/// A log in memory, bounded by its retention.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
    end: watch::Receiver<Position>,
}

struct Inner {
    sequencer: Sequencer,
    topics: Topics,
    epochs: Arc<Epochs>,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// Nothing up to here is left for a tail that comes late.
    gone: Position,
    /// Hidden entries are swept out once there are so many in all.
    sweep_at: usize,
    ages: Ages,
    clock: Clock,
    /// `None` once closed.
    end: Option<watch::Sender<Position>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

const IDEMPOTENCY_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;
/// The newest entries stay even if they are hidden, for tails that have not read them yet.
const UNSWEPT: usize = 1024;

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// What the limits of each topic leave.
    Kept,
    /// Whatever is still there: for tails.
    Raw,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(Retention::default(), system_clock())
    }
}

impl MemoryLog {
    /// An empty log that keeps at most `retention`.
    #[must_use]
    pub fn new(retention: Retention, clock: Clock) -> Self {
        Self::with_uptime(retention, clock, system_uptime())
    }

    /// As [`MemoryLog::new`], with a clock that nobody sets of the caller's own.
    #[must_use]
    pub fn with_uptime(retention: Retention, clock: Clock, uptime: Clock) -> Self {
        let (sender, end) = watch::channel(Position::START);
        let ages = Ages::new(&retention, clock(), uptime);
        let inner = Inner {
            sequencer: Sequencer::new(Position(1), 0, IDEMPOTENCY_WINDOW_MS),
            topics: Topics::new(Arc::new(retention)),
            epochs: Arc::new(Epochs::new(Epoch::random())),
            entries: VecDeque::new(),
            bytes: 0,
            gone: Position::START,
            sweep_at: 2 * UNSWEPT,
            ages,
            clock,
            end: Some(sender),
        };
        Self { inner: Arc::new(Mutex::new(inner)), end }
    }

    /// The log, without what is too old by now.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.expire();
        inner
    }
}

impl Inner {
    fn append(&mut self, batch: Batch, options: AppendOptions) -> Result<Appended, AppendError> {
        self.check_open()?;
        let now = (self.clock)();
        let placed = self.sequencer.place(batch, options, now, (&self.topics, &self.epochs))?;
        let (positions, repeated) = match placed {
            Sequenced::Repeated(positions) => (positions, true),
            Sequenced::New(records) => {
                let positions = records.iter().map(|record| record.position).collect();
                records.into_iter().for_each(|record| self.store(Entry::Event(record)));
                (positions, false)
            }
        };
        self.settle();
        Ok(Appended { ids: positions.into_iter().map(|p| self.epochs.id(p)).collect(), repeated })
    }

    fn erase(&mut self, positions: &[Position]) -> Result<Position, AppendError> {
        self.check_open()?;
        let next = self.sequencer.next();
        let gone: HashSet<Position> = positions.iter().copied().filter(|p| *p < next).collect();
        for entry in &mut self.entries {
            if let Entry::Event(record) = entry
                && gone.contains(&record.position)
            {
                // The place and `prev` stay, as in every log; the content does not.
                self.bytes -= record.cost() as u64;
                *record = Arc::new(Record {
                    data: Box::default(),
                    fields: crate::Fields { flags: ERASED, ..Default::default() },
                    ..Record::clone(record)
                });
                self.bytes += record.cost() as u64;
            }
        }
        let (position, _) = self.sequencer.take_place((self.clock)());
        self.store(Entry::Erasure { position, erased: gone.into_iter().collect() });
        self.settle();
        Ok(position)
    }

    fn check_open(&self) -> Result<(), AppendError> {
        let stopped = || AppendError::Stopped { reason: "it is closed".into() };
        self.end.as_ref().map(drop).ok_or_else(stopped)
    }

    fn store(&mut self, entry: Entry) {
        self.bytes += entry.cost() as u64;
        if let Entry::Event(record) = &entry {
            let cost = record.cost() as u64;
            self.topics.added(&record.topic, record.position, record.prev, cost);
        }
        self.entries.push_back(entry);
        if self.entries.len() >= self.sweep_at {
            self.sweep(UNSWEPT);
        }
        self.shrink();
    }

    /// Hides what is too old.
    fn expire(&mut self) {
        let now = self.ages.now((self.clock)(), self.topics.retention().max_clock_step);
        for scan in &mut self.ages.scans {
            if !scan.is_over(scan.next, now) {
                continue;
            }
            let from = seek(&self.entries, |entry| entry.position() <= scan.after);
            for entry in self.entries.range(from..) {
                if let Entry::Event(record) = entry {
                    if !scan.is_over(record.time, now) {
                        scan.next = record.time;
                        break;
                    }
                    if self.topics.limits(&record.topic).max_age == Some(scan.max_age) {
                        self.topics.removed(&record.topic, record.position);
                    }
                }
                scan.after = entry.position();
            }
        }
    }

    /// Lets go of what is hidden, but for the newest entries.
    fn sweep(&mut self, unswept: usize) {
        let old = self.entries.len().saturating_sub(unswept);
        let newest = self.entries.split_off(old);
        let topics = &self.topics;
        let (bytes, gone) = (&mut self.bytes, &mut self.gone);
        self.entries.retain(|entry| {
            let kept = match entry {
                Entry::Event(record) => topics.shows(&record.topic, record.position),
                Entry::Erasure { .. } => false,
            };
            if !kept {
                *bytes -= entry.cost() as u64;
                *gone = entry.position().max(*gone);
            }
            kept
        });
        self.entries.extend(newest);
        self.sweep_at = 2 * self.entries.len().max(UNSWEPT);
    }

    /// Drops the oldest events until the log is a sixteenth below its limit, so that it need
    /// not be done for each event. States that nothing has superseded go last.
    fn shrink(&mut self) {
        let max = self.topics.retention().max_bytes;
        if self.bytes <= max {
            return;
        }
        let low = max - max / 16;
        self.sweep(0);
        let mut states = Vec::new();
        while self.bytes > low
            && self.entries.len() > 1
            && let Some(oldest) = self.entries.pop_front()
        {
            match &oldest {
                Entry::Event(record) if self.topics.limits(&record.topic).keep == Keep::Latest => {
                    states.push(oldest);
                }
                _ => self.drop(&oldest),
            }
        }
        let too_many = self.bytes > max;
        for state in states.into_iter().rev() {
            self.entries.push_front(state);
        }
        while too_many
            && self.bytes > low
            && self.entries.len() > 1
            && let Some(oldest) = self.entries.pop_front()
        {
            self.drop(&oldest);
        }
    }

    fn drop(&mut self, oldest: &Entry) {
        self.bytes -= oldest.cost() as u64;
        self.gone = self.gone.max(oldest.position());
        if let Entry::Event(record) = oldest {
            self.topics.removed(&record.topic, record.position);
        }
    }

    fn settle(&mut self) {
        self.sequencer.settled();
        if let Some(end) = &self.end {
            end.send_replace(self.sequencer.next().before());
        }
    }

    fn read(&self, range: ReadRange, filter: &Filter, budget: Budget, view: View) -> Page {
        let end = self.sequencer.next().before();
        let through = range.through.min(end);
        let removed = match view {
            View::Kept => self.topics.removed_after(filter, range.after, range.forgives),
            View::Raw => Some(self.gone).filter(|gone| *gone > range.after),
        };
        let removed = removed.map(|p| p.min(through));
        let mut page = PageBuilder::new(range.after, budget);
        let from = seek(&self.entries, |entry| entry.position() <= range.after);
        for entry in self.entries.range(from..).take_while(|entry| entry.position() <= through) {
            if self.shows(entry, view) && !page.push(entry.clone(), filter) {
                return page.finish(removed, self.topics.removals());
            }
        }
        page.examined(through);
        page.finish(removed, self.topics.removals())
    }

    fn shows(&self, entry: &Entry, view: View) -> bool {
        match entry {
            Entry::Event(record) if record.fields.flags & ERASED != 0 => false,
            Entry::Event(record) => {
                view == View::Raw || self.topics.shows(&record.topic, record.position)
            }
            Entry::Erasure { .. } => true,
        }
    }

    fn read_back(&self, topic: &Topic, before: Position, budget: Budget) -> BackPage {
        // From one to the one before it, so that other topics' events cost nothing.
        let last = self.event_at(self.topics.get(topic).last);
        let events = iter::successors(last, |event| self.event_at(event.prev));
        let shown = |event: &&Arc<Record>| {
            event.fields.flags & ERASED == 0 && self.topics.shows(topic, event.position)
        };
        let before = events.skip_while(|event| event.position >= before).filter(shown);
        BackPage::newest(before.cloned(), budget)
    }

    fn event_at(&self, position: Position) -> Option<&Arc<Record>> {
        let at = self.entries.partition_point(|entry| entry.position() < position);
        match self.entries.get(at) {
            Some(Entry::Event(record)) if record.position == position => Some(record),
            _ => None,
        }
    }
}

/// Marks an erased record inside this log; nobody outside ever sees one.
const ERASED: u16 = 1 << 15;

impl Log for MemoryLog {
    fn append(
        &self,
        batch: Batch,
        options: AppendOptions,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.lock().append(batch, options) })
    }

    fn read(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        let page = self.lock().read(range, filter, budget, View::Kept);
        Box::pin(async { Ok(page) })
    }

    fn read_back(
        &self,
        topic: &Topic,
        before: Option<Position>,
        budget: Budget,
    ) -> BoxFuture<'_, Result<BackPage, ReadError>> {
        let page = self.lock().read_back(topic, before.unwrap_or(Position(u64::MAX)), budget);
        Box::pin(async { Ok(page) })
    }

    fn last(&self, topic: &Topic) -> BoxFuture<'_, Result<Option<EventId>, ReadError>> {
        let inner = self.lock();
        let state = inner.topics.get(topic);
        let last = last_id(&inner.epochs, state.last, state.hidden);
        Box::pin(async { Ok(last) })
    }

    fn topics(&self, filter: &Filter) -> BoxFuture<'_, Result<Vec<Topic>, ReadError>> {
        let topics = self.lock().topics.matching(filter);
        Box::pin(async { Ok(topics) })
    }

    fn topic_count(&self) -> usize {
        self.lock().topics.count()
    }

    fn position_before(&self, time: Millis) -> BoxFuture<'_, Result<Position, ReadError>> {
        let inner = self.lock();
        let older = |entry: &&Entry| matches!(entry, Entry::Event(record) if record.time < time);
        let newer = |entry: &&Entry| matches!(entry, Entry::Event(record) if record.time >= time);
        let any_newer = inner.entries.iter().any(|entry| newer(&entry));
        let last_older = inner.entries.iter().rev().find(older).map(Entry::position);
        let end = inner.sequencer.next().before();
        let position = if any_newer { last_older.unwrap_or_default() } else { end };
        Box::pin(async move { Ok(position) })
    }

    fn tail(&self, after: Position) -> Tail {
        let log = self.clone();
        Tail::new(after, self.end.clone(), move |range, budget| {
            let page = log.lock().read(range, &Filter::All, budget, View::Raw);
            Box::pin(async { Ok(page) })
        })
    }

    fn end(&self) -> Position {
        *self.end.borrow()
    }

    fn erase(&self, positions: Vec<Position>) -> BoxFuture<'_, Result<Position, AppendError>> {
        Box::pin(async move { self.lock().erase(&positions) })
    }

    fn retention(&self) -> Arc<Retention> {
        self.lock().topics.retention().clone()
    }

    fn set_retention(&self, retention: Retention) -> Result<(), String> {
        let mut inner = self.lock();
        inner.ages.set(&retention);
        let held: Vec<_> = inner
            .entries
            .iter()
            .filter(|entry| inner.shows(entry, View::Kept))
            .filter_map(|entry| match entry {
                Entry::Event(record) => {
                    let bytes = record.cost() as u64;
                    let bucket = Bucket { last: record.position, events: 1, bytes };
                    Some((record.topic.clone(), bucket))
                }
                Entry::Erasure { .. } => None,
            })
            .collect();
        inner.topics.set_retention(Arc::new(retention), held.into_iter());
        inner.shrink();
        Ok(())
    }

    fn maintain(&self) -> BoxFuture<'_, ()> {
        self.lock().sweep(0);
        Box::pin(async {})
    }

    fn expired(&self, record: &Record) -> bool {
        let inner = self.lock();
        inner.ages.is_expired(record, inner.topics.limits(&record.topic).max_age)
    }

    fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn epochs(&self) -> Arc<Epochs> {
        self.lock().epochs.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_batches: true,
            conditional_append: true,
            retention_by_pattern: true,
            durable: false,
            chained: true,
            states_outlive_bytes: true,
        }
    }

    fn health(&self) -> Result<(), String> {
        self.lock().check_open().map_err(|error| error.to_string())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.lock().end = None;
        Box::pin(async {})
    }
}
