//! The disk log: segments of checksummed entries, one writer that groups waiting publishes
//! into one sync, and readers that see only what is committed.
//!
//! * `format` is bytes, `segment` and `file` an indexed file, `scan` a walk through one.
//! * `open` recovers; `writer` appends and `erase` overwrites; `index` is what readers see; `read` reads.
//! * `persist` keeps what outlives retention; `medium` and `fs` are the file system.
//!
//! Nothing but the writer thread ever writes to a log file.

mod erase;
mod file;
mod format;
mod fs;
mod index;
mod medium;
mod open;
mod persist;
mod read;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use futures_core::future::BoxFuture;
use tokio::sync::{oneshot, watch};

pub use self::{
    fs::FsMedium,
    medium::{Medium, MediumFile},
    open::{OpenError, OpenReport, TornTail},
};
use self::{
    index::SharedIndex,
    writer::{Command, Queue},
};
use crate::{
    AppendError, AppendOptions, Appended, BackPage, Batch, Budget, Capabilities, Clock, Epochs,
    EventId, Filter, Log, Millis, Page, Position, ReadError, ReadRange, Retention, Tail, Topic,
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
    #[cfg(test)]
    pub(crate) mutation: Option<tests::Mutation>,
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
            #[cfg(test)]
            mutation: None,
        }
    }
}

impl DiskConfig {
    /// Segments roll at a sixteenth of what is kept, so that retention can be that exact.
    fn segment_bytes(&self) -> u64 {
        (self.retention.max_bytes / 16).clamp(64 << 10, 64 << 20)
    }
}

/// A durable log in a folder.
#[derive(Debug)]
pub struct DiskLog {
    index: Arc<SharedIndex>,
    end: watch::Receiver<Position>,
    queue: Queue,
    writer: Mutex<Option<JoinHandle<()>>>,
    retention: Retention,
}

impl DiskLog {
    /// Opens the log on `medium`, creating it if there is none, and begins a new epoch.
    /// Reads the whole log once: call it where blocking is allowed.
    ///
    /// # Errors
    /// If the medium refuses, or the log is damaged.
    pub fn open(
        medium: Arc<dyn Medium>,
        config: DiskConfig,
    ) -> Result<(Self, OpenReport), OpenError> {
        let retention = config.retention;
        let (recovered, report) = open::open(&medium, &config)?;
        let index = Arc::new(SharedIndex::new(recovered.index));
        // A crash may have come between an erasure and the overwriting that it asks for.
        erase::overwrite(&index, &recovered.to_overwrite)?;
        let (end_sender, end) = watch::channel(recovered.end);
        let (queue, commands) = Queue::new();
        let writer =
            writer::Writer::new(medium, config, recovered.writer, (index.clone(), end_sender));
        let thread = std::thread::Builder::new().name("eventwall-log".into());
        let handle = thread
            .spawn(move || writer.run(&commands))
            .map_err(|e| OpenError::Io(e.to_string()))?;
        Ok((Self { index, end, queue, writer: Mutex::new(Some(handle)), retention }, report))
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
            answer.await.unwrap_or_else(|_| Err(writer::stopped()))
        })
    }

    fn read(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        read::read(&self.index, range, filter.clone(), budget)
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
        let last = crate::log::last_id(&index.epochs, state.last, state.removed);
        Box::pin(async { Ok(last) })
    }

    fn topics(&self, filter: &Filter) -> BoxFuture<'_, Result<Vec<Topic>, ReadError>> {
        let topics = self.index.read().topics.matching(filter);
        Box::pin(async { Ok(topics) })
    }

    fn position_before(&self, time: Millis) -> BoxFuture<'_, Result<Position, ReadError>> {
        read::position_before(&self.index, time)
    }

    fn tail(&self, after: Position) -> Tail {
        let index = self.index.clone();
        Tail::new(after, self.end.clone(), move |range, budget| {
            read::read(&index, range, Filter::All, budget)
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
            answer.await.unwrap_or_else(|_| Err(writer::stopped()))
        })
    }

    fn retention(&self) -> Retention {
        self.retention
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
            retention_by_pattern: false,
            durable: true,
        }
    }

    fn health(&self) -> Result<(), String> {
        self.index.read().stopped.clone().map_or(Ok(()), Err)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            if let Some(writer) = writer {
                let _ = tokio::task::spawn_blocking(move || writer.join()).await;
            }
        })
    }
}

impl Drop for DiskLog {
    /// The writer stores what it has taken before the folder's lock is given up.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}
