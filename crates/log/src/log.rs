//! The [`Log`] trait: the seam between one machine's disk, memory and a cluster. What its
//! doc comments promise, `contract` tests.

use std::{fmt, sync::Arc};

use futures_core::future::BoxFuture;

use crate::{
    AppendError, AppendOptions, Appended, Batch, Epochs, EventId, Filter, Millis, Position, Record,
    Resolution, Retention, Tail, Topic,
};

/// One ordered, append-only log of events of all topics.
///
/// Promises that every kind keeps:
///
/// * **Order.** Positions grow strictly along the log and across reopenings; a position that
///   was ever written, shown or promised is never given to another event.
/// * **Acknowledgement.** When [`append`](Log::append) answers `Ok`, the events are as safe
///   as the kind and its durability promise, and stay readable until retention or erasure
///   takes them.
/// * **Tail.** [`tail`](Log::tail) and [`read`](Log::read) show an event only once the
///   log would acknowledge it, in order, without holes and without doubles.
/// * **Honest gaps.** [`read`](Log::read) says if events that the filter matches were
///   removed after the cursor.
pub trait Log: fmt::Debug + Send + Sync {
    /// Appends a batch and answers once it is acknowledged, in the order of the log.
    ///
    /// If the future is dropped, the batch may still be appended.
    fn append(
        &self,
        batch: Batch,
        options: AppendOptions,
    ) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Reads entries that pass `filter` in `range`, in order, within `budget`. Erasures pass
    /// [`Filter::All`] only. A page without entries may still not be the end of the range:
    /// [`Page::examined`] says how far it went.
    fn read(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// The last events of one topic at positions below `before` (from the end of the log if
    /// `None`), oldest first, within `budget`.
    fn read_back(
        &self,
        topic: &Topic,
        before: Option<Position>,
        budget: Budget,
    ) -> BoxFuture<'_, Result<BackPage, ReadError>>;

    /// The id of a topic's last event, as conditions count it: erased or not, until retention
    /// takes it.
    fn last(&self, topic: &Topic) -> BoxFuture<'_, Result<Option<EventId>, ReadError>>;

    /// The topics that have events left and that `filter` matches, in no order.
    fn topics(&self, filter: &Filter) -> BoxFuture<'_, Result<Vec<Topic>, ReadError>>;

    /// How many topics have events left, at once; a moment ago will do.
    fn topic_count(&self) -> usize;

    /// The position just before the first event that is not older than `time`; the end of
    /// the log if all are.
    fn position_before(&self, time: Millis) -> BoxFuture<'_, Result<Position, ReadError>>;

    /// Follows the log: every entry after `after`, first what is there, then what comes; of
    /// what is new also that which its topic's limits would hide again at once.
    fn tail(&self, after: Position) -> Tail;

    /// The last acknowledged position, at once.
    fn end(&self) -> Position;

    /// Erases events for good: appends an erasure that every tail sees, after which no read
    /// returns them. Positions that hold no event are ignored. Answers the erasure's
    /// position.
    fn erase(&self, positions: Vec<Position>) -> BoxFuture<'_, Result<Position, AppendError>>;

    /// The limits by which it drops its oldest events.
    fn retention(&self) -> Arc<Retention>;

    /// From now on other limits hold; of older events a little later than of newer ones.
    ///
    /// # Errors
    /// In words, if this kind of log cannot hold them; then nothing changes.
    fn set_retention(&self, retention: Retention) -> Result<(), String>;

    /// Applies the limits now rather than soon, gives space back, and answers once that is
    /// done.
    fn maintain(&self) -> BoxFuture<'_, ()>;

    /// Whether an event is older than its topic's `max_age` allows, by the clock that the log
    /// counts ages by: whoever holds it in memory stops showing it.
    fn expired(&self, record: &Record) -> bool;

    /// Bytes that its events take, in memory or on disk.
    fn bytes(&self) -> u64;

    /// Its epochs now.
    fn epochs(&self) -> Arc<Epochs>;

    /// Where `id` points. A log whose tail is merely behind what it has acknowledged elsewhere
    /// catches up first.
    fn resolve<'a>(&'a self, id: &'a EventId) -> BoxFuture<'a, Result<Resolution, ReadError>> {
        Box::pin(async { Ok(self.epochs().resolve(id, self.end())) })
    }

    /// From here on, its newest entries are at hand without being read from far: where a tail
    /// that begins may warm up.
    fn recent(&self) -> Position {
        self.end()
    }

    /// What this kind of log can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether appends are accepted; the reason in words if not.
    fn health(&self) -> Result<(), String>;

    /// Stored bytes that were found not to be what was written, since it was opened. What lies
    /// there is never shown; reading it is an error.
    fn damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Stores what it acknowledged, releases what it holds, and takes no more events.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A stretch of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRange {
    /// Exclusive: a cursor.
    pub after: Position,
    /// Inclusive; what lies beyond the end of the log is not waited for.
    pub through: Position,
    /// A [`Page::removals`] of before: what was lost by then is no news to this reader. 0: all of
    /// it is.
    pub forgives: u64,
}

impl ReadRange {
    /// Everything after a cursor.
    #[must_use]
    pub fn after(after: Position) -> Self {
        Self { after, through: Position(u64::MAX), forgives: 0 }
    }
}

/// How much one read may return. The first entry fits, whatever it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Entries.
    pub events: usize,
    /// Bytes, as [`Record::cost`] counts them.
    pub bytes: usize,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In order.
    pub entries: Vec<Entry>,
    /// The last position examined: the cursor to read on from, also when nothing matched.
    pub examined: Position,
    /// Events that the filter matches were lost to retention after the beginning of the range,
    /// the last of them here. Others may be left before it. Topics of which nothing was lost since
    /// what the range forgives are left out.
    pub removed: Option<Position>,
    /// How often something was lost so far, in this life of the log: a moment to forgive up to.
    pub removals: u64,
}

/// The end of one topic, read backwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackPage {
    /// Oldest first.
    pub events: Vec<Arc<Record>>,
    /// Older ones are left in the log.
    pub more: bool,
}

impl BackPage {
    /// As many as fit of events that come newest first; the first fits, whatever it costs.
    pub fn newest(events: impl IntoIterator<Item = Arc<Record>>, mut budget: Budget) -> Self {
        let (mut newest_first, mut more) = (Vec::new(), false);
        for record in events {
            let first = budget.events > 0 && newest_first.is_empty();
            more = !budget.take(record.cost()) && !first;
            if more {
                break;
            }
            newest_first.push(record);
        }
        newest_first.reverse();
        Self { events: newest_first, more }
    }
}

/// Something in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event(Arc<Record>),
    /// These events are erased: whoever still holds them drops them now.
    Erasure {
        /// Its own place in the log.
        position: Position,
        /// The events' positions.
        erased: Arc<[Position]>,
    },
}

impl Entry {
    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Event(record) => record.position,
            Self::Erasure { position, .. } => *position,
        }
    }

    /// Roughly the memory it takes, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        match self {
            Self::Event(record) => record.cost(),
            Self::Erasure { erased, .. } => size_of::<Self>() + 8 * erased.len(),
        }
    }
}

/// What a kind of log can do. A request that needs more is refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// A batch of several events is appended whole or not at all.
    pub atomic_batches: bool,
    /// [`AppendOptions::expected_last`] is honoured.
    pub conditional_append: bool,
    /// Retention may differ by topic pattern.
    pub retention_by_pattern: bool,
    /// What it acknowledged survives the process.
    pub durable: bool,
    /// [`Record::prev`] names the topic's previous event.
    pub chained: bool,
    /// The latest event of a `keep = "latest"` topic outlives [`Retention::max_bytes`].
    pub states_outlive_bytes: bool,
}

/// Stored bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Stored bytes are not what was written.
    #[error("the log is damaged in {file} at byte {offset}: {what}")]
    Damaged {
        /// The file, relative to the data directory.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The system refused to read.
    #[error("the log could not be read: {0}")]
    Io(String),
    /// Not now, but soon: what has the log cannot be reached.
    #[error("the log cannot be read just now: {0}")]
    Unavailable(String),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Budget bookkeeping that every kind of log shares.
#[derive(Debug)]
pub struct PageBuilder {
    page: Page,
    left: Budget,
}

impl Budget {
    /// So many events, whatever their size.
    #[must_use]
    pub fn events(events: usize) -> Self {
        Self { events, bytes: usize::MAX }
    }

    /// Takes `cost` from what is left; `false` if it no longer fits.
    pub fn take(&mut self, cost: usize) -> bool {
        let fits = self.events > 0 && cost <= self.bytes;
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(cost);
        fits
    }
}

impl PageBuilder {
    /// Nothing yet, after a cursor.
    #[must_use]
    pub fn new(after: Position, budget: Budget) -> Self {
        Self { page: Page { examined: after, ..Page::default() }, left: budget }
    }

    /// Takes the next entry in order; `false` if it no longer fits.
    pub fn push(&mut self, entry: Entry, filter: &Filter) -> bool {
        let wanted = match &entry {
            Entry::Event(record) => filter.matches(&record.topic),
            Entry::Erasure { .. } => matches!(filter, Filter::All),
        };
        if wanted {
            if !self.left.take(entry.cost()) && !self.page.entries.is_empty() {
                return false;
            }
            self.page.examined = entry.position();
            self.page.entries.push(entry);
        } else {
            self.page.examined = entry.position();
        }
        true
    }

    /// Everything up to `through` was examined.
    pub fn examined(&mut self, through: Position) {
        self.page.examined = self.page.examined.max(through);
    }

    /// With what was lost, and how often.
    #[must_use]
    pub fn finish(self, removed: Option<Position>, removals: u64) -> Page {
        Page { removed, removals, ..self.page }
    }
}

/// The id of the last event of a topic, if any is left: what a condition compares.
#[must_use]
pub fn last_id(epochs: &Epochs, last: Position, hidden: Position) -> Option<EventId> {
    (last > hidden).then(|| epochs.id(last))
}
