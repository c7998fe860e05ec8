//! Ephemeral events: typing, presence. Given best-effort to whoever is live just now; never
//! stored, paged or replayed, without an id, and unable to move a cursor. The one thing that
//! reaches a subscriber without having been in the log.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use eventwall_log::{Filter, Topic};

use crate::{Form, frame::ephemeral_bytes};

/// Events kept for those who are about to look. Whoever is further behind misses some.
const KEPT: usize = 1024;
/// Bytes of them.
const KEPT_BYTES: usize = 1 << 20;

/// An event that the log never sees.
#[derive(Debug, Clone)]
pub struct Ephemeral {
    /// Its topic.
    pub topic: Topic,
    /// Its name, if it has one.
    pub event: Option<Box<str>>,
    /// Its data.
    pub data: Box<str>,
}

#[derive(Debug, Default)]
pub(crate) struct Ephemera {
    kept: VecDeque<Arc<Ephemeral>>,
    bytes: usize,
    /// How many there have ever been: the number of the next one.
    count: u64,
}

impl Ephemera {
    pub(crate) fn push(&mut self, event: Ephemeral) {
        self.bytes += event.data.len();
        self.count += 1;
        self.kept.push_back(Arc::new(event));
        while self.kept.len() > KEPT || (self.bytes > KEPT_BYTES && self.kept.len() > 1) {
            self.bytes -= self.kept.pop_front().map_or(0, |oldest| oldest.data.len());
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The frames of those from number `seen` on that `filter` matches.
    pub(crate) fn since(&self, seen: u64, filter: &Filter, form: Form) -> Vec<Bytes> {
        let new = usize::try_from(self.count - seen).unwrap_or(usize::MAX).min(self.kept.len());
        let fresh = self.kept.range(self.kept.len() - new..);
        let wanted = fresh.filter(|event| filter.matches(&event.topic));
        wanted.map(|event| ephemeral_bytes(event, form)).collect()
    }
}
