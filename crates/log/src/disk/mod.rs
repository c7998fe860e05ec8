//! The disk log: segments of checksummed entries, one writer that groups waiting publishes
//! into one sync, and readers that see only what is committed.
//!
//! * `format` is bytes, `segment` and `file` an indexed file, `scan` a walk through one.
//! * `open` and `recovery` open a log, `recall` its idempotency keys.
//! * `queue` is the way to the `writer`, which appends; `heal` gets it over a failure and `erase`
//!   overwrites.
//! * `index` is what readers see, `shared_index` its lock; `read` reads.
//! * `keeper` takes away what is over its limits: `age` finds what is too old, `choose`
//!   what is worth it, `reclaim` gives it back, `compact` rewrites; `recount` counts anew when
//!   limits change.
//! * `summary` is what an opening needs to know of a sealed segment, `index_file` where that is
//!   kept, `indexing` how the keeper makes it.
//! * `import` makes a log out of another.
//! * `survey` looks at the files from outside.
//! * `persist` keeps what outlives retention; `medium` and `fs` are the file system.
//! * `mutation` is the mistakes that tests must notice.
//!
//! Nothing but the writer thread ever writes to a segment that readers know; the keeper thread
//! writes new ones, and overwrites in them what was erased while it did.

mod age;
mod choose;
mod compact;
mod erase;
mod file;
mod format;
mod fs;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod heal;
mod import;
mod index;
mod index_file;
mod indexing;
mod input;
mod keeper;
mod medium;
pub(crate) mod mutation;
mod open;
mod persist;
mod queue;
mod read;
mod recall;
mod reclaim;
mod recount;
mod recovery;
mod scan;
mod segment;
mod shared_index;
mod summary;
mod survey;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use futures_core::future::BoxFuture;
use tokio::sync::{oneshot, watch};

pub use self::{
    fs::FsMedium,
    import::DiskImport,
    medium::{Medium, MediumFile},
    open::{OpenError, OpenReport, TornTail},
    persist::OWN_KEYS,
    survey::{SegmentSurvey, Survey, survey},
};
use self::{
    keeper::{Effort, Keeper},
    open::Recovered,
    queue::{Command, Queue},
    read::View,
    shared_index::SharedIndex,
};
use crate::{
    AppendError, AppendOptions, Appended, BackPage, Batch, Budget, Capabilities, Clock, Damage,
    Epochs, EventId, Filter, Log, Millis, Page, Position, ReadError, ReadRange, Record, Retention,
    Tail, Topic,
};

/// When an append is acknowledged, and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After an fsync that covers it: it survives a loss of power.
    #[default]
    Sync,
    /// After the write; synced at least this often. A loss of power may take the last of it.
    Interval(Duration),
    /// After the write; the system syncs when it likes.
    None,
}

/// How a disk log behaves.
#[derive(Clone)]
pub struct DiskConfig {
    /// See [`Durability`].
    pub durability: Durability,
    /// See [`Retention`].
    pub retention: Retention,
    /// How long an idempotency key is remembered, in milliseconds.
    pub idempotency_window: Millis,
    /// Where the time comes from.
    pub clock: Clock,
    /// Milliseconds since some moment, by a clock that nobody sets.
    pub uptime: Clock,
    /// How often limits are applied; `None`: only when [`Log::maintain`] is called.
    pub keep_every: Option<Duration>,
    /// A mistake to make, for tests that must notice it.
    #[cfg(any(test, feature = "simulator"))]
    pub mutation: Option<mutation::Mutation>,
}

impl std::fmt::Debug for DiskConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskConfig")
            .field("durability", &self.durability)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            retention: Retention::default(),
            idempotency_window: 24 * 60 * 60 * 1000,
            clock: crate::system_clock(),
            uptime: crate::system_uptime(),
            keep_every: Some(Duration::from_secs(1)),
            #[cfg(any(test, feature = "simulator"))]
            mutation: None,
        }
    }
}

impl DiskConfig {
    /// Segments roll at a sixteenth of what is kept, so that retention can be that exact.
    fn segment_bytes(&self, retention: &Retention) -> u64 {
        (retention.max_bytes / 16).clamp(64 << 10, 64 << 20)
    }
}

/// A durable log in a folder.
#[derive(Debug)]
pub struct DiskLog {
    index: Arc<SharedIndex>,
    end: watch::Receiver<Position>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    keeper: Mutex<keeper::Handle>,
    effort: Arc<Effort>,
}

impl DiskLog {
    /// Opens the log on `medium`, creating it if there is none, and begins a new epoch.
    /// Reads what has no index file: call it where blocking is allowed.
    ///
    /// # Errors
    /// If the medium refuses, or the log is damaged.
    pub fn open(
        medium: Arc<dyn Medium>,
        config: DiskConfig,
    ) -> Result<(Self, OpenReport), OpenError> {
        let (recovered, report) = open::open(&medium, &config)?;
        let Recovered { index, writer, end, to_overwrite, time } = recovered;
        let index = Arc::new(SharedIndex::new(index));
        // A log without events has no time that its clock could have jumped from.
        let time = if time == 0 { (config.clock)() } else { time };
        // A crash may have come between an erasure and the overwriting that it asks for.
        erase::overwrite(&index, &to_overwrite)?;
        let failed = |why: String| OpenError::Io(why);
        let (end_sender, end) = watch::channel(end);
        let (queue, commands) = Queue::new();
        let queue = Arc::new(queue);
        let parts = (medium.clone(), config.clone(), writer.persist.clone());
        let mut keeper = Keeper::new(parts, index.clone(), queue.clone(), time);
        let effort = keeper.effort.clone();
        // What was too old before is not shown again.
        keeper.expire().map_err(failed)?;
        let (keeper, wake) =
            keeper::Handle::spawn(keeper).map_err(|error| failed(error.to_string()))?;
        let writer = writer::Writer::new(medium, config, writer, (index.clone(), end_sender, wake));
        let thread = std::thread::Builder::new().name("eventwall-log".into());
        let handle = thread
            .spawn(move || writer.run(&commands))
            .map_err(|error| failed(error.to_string()))?;
        let (writer, keeper) = (Mutex::new(Some(handle)), Mutex::new(keeper));
        Ok((Self { index, end, queue, writer, keeper, effort }, report))
    }

    /// Gives back all space that can be, also where that is little for the work: what limits hide,
    /// what was erased, and the heads of that. Answers once it is done.
    ///
    /// # Errors
    /// In words, if not all of it could be done. What was begun is tried again later.
    pub async fn compact(&self) -> Result<(), String> {
        // What is in the active segment can be rewritten once it is sealed. If that can't be just
        // now, the others can all the more.
        let _ = self.queue.seal().await;
        let done = self.keeper().maintain(true);
        done.await.unwrap_or_else(|_| Err("the log is closed".into()))?;
        self.health()
    }

    /// How far [`DiskLog::compact`] is, in bytes: about so many of about so many.
    #[must_use]
    pub fn compacted(&self) -> (u64, u64) {
        let of = self.effort.of.load(Ordering::Relaxed);
        (self.effort.done.load(Ordering::Relaxed).min(of), of)
    }

    /// What a copy of this log must know beside its events.
    #[must_use]
    pub fn origin(&self) -> crate::kit::Origin {
        let index = self.index.read();
        index.topics.origin(&index.epochs, index.end)
    }

    fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How many segments it has.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.index.read().segments.len()
    }

    fn keeper(&self) -> MutexGuard<'_, keeper::Handle> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for DiskLog {
    fn append(
        &self,
        batch: Batch,
        options: AppendOptions,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let bytes = batch.cost();
            self.queue
                .send(bytes, |permit| Command::Append { batch, options, reply, permit })
                .await?;
            answer.await.unwrap_or_else(|_| Err(queue::stopped()))
        })
    }

    fn read(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        read::read(&self.index, range, filter.clone(), budget, View::Kept)
    }

    fn read_back(
        &self,
        topic: &Topic,
        before: Option<Position>,
        budget: Budget,
    ) -> BoxFuture<'_, Result<BackPage, ReadError>> {
        read::read_back(&self.index, topic.clone(), before, budget)
    }

    fn last(&self, topic: &Topic) -> BoxFuture<'_, Result<Option<EventId>, ReadError>> {
        let index = self.index.read();
        let state = index.topics.get(topic);
        let last = crate::log::last_id(&index.epochs, state.last, state.hidden);
        Box::pin(async { Ok(last) })
    }

    fn topics(&self, filter: &Filter) -> BoxFuture<'_, Result<Vec<Topic>, ReadError>> {
        let topics = self.index.read().topics.matching(filter);
        Box::pin(async { Ok(topics) })
    }

    fn topic_count(&self) -> usize {
        self.index.read().topics.count()
    }

    fn position_before(&self, time: Millis) -> BoxFuture<'_, Result<Position, ReadError>> {
        read::position_before(&self.index, time)
    }

    fn tail(&self, after: Position) -> Tail {
        let index = self.index.clone();
        Tail::new(after, self.end.clone(), move |range, budget| {
            read::read(&index, range, Filter::All, budget, View::Raw)
        })
    }

    fn end(&self) -> Position {
        // Not the watch: readers may see a commit a moment before it is announced.
        self.index.read().end
    }

    fn erase(&self, positions: Vec<Position>) -> BoxFuture<'_, Result<Position, AppendError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let bytes = 8 * positions.len();
            self.queue.send(bytes, |permit| Command::Erase { positions, reply, permit }).await?;
            answer.await.unwrap_or_else(|_| Err(queue::stopped()))
        })
    }

    fn retention(&self) -> Arc<Retention> {
        self.index.read().topics.retention().clone()
    }

    fn set_retention(&self, retention: Retention) -> Result<(), String> {
        let mut index = self.index.write();
        let held = index.held();
        index.topics.set_retention(Arc::new(retention), held.into_iter());
        Ok(())
    }

    fn maintain(&self) -> BoxFuture<'_, ()> {
        let done = self.keeper().maintain(false);
        // Should it be gone, there is nothing to wait for.
        Box::pin(async { drop(done.await) })
    }

    fn expired(&self, record: &Record) -> bool {
        let index = self.index.read();
        let max_age = index.topics.limits(&record.topic).max_age;
        max_age.is_some_and(|max| record.time.saturating_add(max) < index.now)
    }

    fn bytes(&self) -> u64 {
        self.index.read().bytes()
    }

    fn epochs(&self) -> Arc<Epochs> {
        self.index.read().epochs.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_batches: true,
            conditional_append: true,
            retention_by_pattern: true,
            durable: true,
            chained: true,
            states_outlive_bytes: true,
        }
    }

    fn health(&self) -> Result<(), String> {
        self.index.read().stopped.clone().map_or(Ok(()), Err)
    }

    fn damage(&self) -> Vec<Damage> {
        self.index.read().damage_left()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            // One after the other, so that what they still store has an order.
            join(writer).await;
            let keeper = self.keeper().close();
            join(keeper).await;
        })
    }
}

async fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

impl Drop for DiskLog {
    /// The writer stores what it has taken before the folder's lock is given up.
    fn drop(&mut self) {
        self.queue.close();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        for thread in writer.into_iter().chain(self.keeper().close()) {
            let _ = thread.join();
        }
    }
}
