//! What one who delivers has at hand for a while: the hub, the time, and what was decided a moment ago. Many
//! subscribers stand at the same place, so what follows it is looked up once. It remembers decisions of
//! `next`, and makes none.

use std::sync::Arc;

use bytes::Bytes;
use eventwall_log::{Filter, Millis, Position, system_time};
use tokio::time::Instant;

use crate::{Form, Framed, Hub, hub::Shared, metrics::Counts};

/// Decisions that are remembered.
const REMEMBERED: usize = 8;

/// Events that follow a place, decided by the hub and not yet on their way.
#[derive(Debug)]
pub struct Stretch {
    pub(crate) events: Vec<Arc<Framed>>,
    /// The last position examined.
    pub(crate) examined: Position,
    /// Where the window ended.
    pub(crate) tail: Position,
    /// They had left the window, and were read from the log.
    pub(crate) replayed: bool,
    /// How many ephemeral events there had been by then.
    pub(crate) ephemera: u64,
}

impl Stretch {
    /// Its events, in order; at least one.
    #[must_use]
    pub fn events(&self) -> &[Arc<Framed>] {
        &self.events
    }

    /// Whether there was more than this.
    pub(crate) fn has_more(&self) -> bool {
        self.replayed || self.examined < self.tail
    }

    /// Their frames, in a form.
    pub(crate) fn frames(&self, form: Form) -> Vec<Bytes> {
        self.events.iter().map(|event| event.bytes(form)).collect()
    }

    /// When the oldest was published.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        self.events.first().map(|event| event.record().time)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    pub(crate) hub: Arc<Shared>,
    pub(crate) now: Instant,
    remembered: Vec<Remembered>,
    pub(crate) counts: Counts,
}

/// What follows any place from here to before the first of its events, for who follows these topics.
#[derive(Debug)]
struct Remembered {
    filter: Filter,
    from: Position,
    erasures: u64,
    stretch: Arc<Stretch>,
}

impl Desk {
    /// With nothing on it.
    #[must_use]
    pub fn new(hub: &Hub, now: Instant) -> Self {
        Self::of(hub.shared.clone(), now)
    }

    pub(crate) fn of(hub: Arc<Shared>, now: Instant) -> Self {
        Self { hub, now, remembered: Vec::new(), counts: Counts::default() }
    }

    /// The time that holds for what is done now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Later: what was decided before is no longer remembered, and what was counted is told.
    pub fn clear(&mut self, now: Instant) {
        self.now = now;
        self.remembered.clear();
        self.tell();
    }

    /// What follows a place, if that was looked up a moment ago and nothing was erased since.
    pub(crate) fn find(&mut self, filter: &Filter, at: Position) -> Option<Arc<Stretch>> {
        let follows = |of: &Remembered| {
            let first = of.stretch.events.first();
            let between = of.from <= at && first.is_some_and(|first| at < first.position());
            between && of.filter.is_same(filter)
        };
        let found = self.remembered.iter().rposition(follows)?;
        // What is asked for often is the last to be forgotten.
        self.remembered[found..].rotate_left(1);
        let found = self.remembered.last()?;
        (found.erasures == self.hub.erasures()).then(|| found.stretch.clone())
    }

    /// Nothing that the filter matches lies between `from` and the first of the events.
    pub(crate) fn remember(&mut self, filter: &Filter, from: Position, stretch: &Arc<Stretch>) {
        if stretch.replayed {
            return;
        }
        if self.remembered.len() >= REMEMBERED {
            self.remembered.remove(0);
        }
        // As they are in the window that it was looked up in, which is held meanwhile.
        let (filter, erasures, stretch) = (filter.clone(), self.hub.erasures(), stretch.clone());
        self.remembered.push(Remembered { filter, from, erasures, stretch });
    }

    pub(crate) fn count(&mut self, stretch: &Stretch, count: usize, bytes: usize, live: bool) {
        self.count_bytes(bytes);
        if count == 0 {
            return;
        }
        self.counts.events += count as u64;
        if stretch.replayed {
            self.counts.replayed += count as u64;
        } else if let Some(oldest) = stretch.oldest().filter(|_| live) {
            self.counts.lag.add(system_time().saturating_sub(oldest));
        }
    }

    /// Of frames that are no events, too.
    pub fn count_bytes(&mut self, bytes: usize) {
        self.counts.bytes += bytes as u64;
    }

    fn tell(&mut self) {
        self.hub.metrics.add(&std::mem::take(&mut self.counts));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.tell();
    }
}
