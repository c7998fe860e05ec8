//! What is remembered of one topic, and what each of its events, or a run of them, changes of that. It knows no other
//! topic.

use crate::{
    Keep, Limits, Position,
    buckets::{Bucket, Buckets},
};

/// Successive events of a topic, taken in as one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) held: Bucket,
    /// The topic's last event before them, removed or not.
    pub(crate) prev: Position,
    /// The last of the topic's events that they say is gone.
    pub(crate) lost: Position,
}

/// What is known of a topic whose events are counted, at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) hidden: Position,
    pub(crate) removed: Position,
    pub(crate) buckets: Buckets,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TopicState {
    /// See [`Reach`](super::Reach).
    pub(super) last: Position,
    pub(super) hidden: Position,
    /// The highest position of it that was lost to retention: whoever has not passed it has a
    /// gap. A superseded state is hidden, but not lost.
    pub(super) removed: Position,
    /// [`Topics::removals`](super::Topics::removals) when that last grew.
    pub(super) changed: u64,
    pub(super) limits: Limits,
    /// For topics with a limit of their own on events or bytes.
    pub(super) buckets: Option<Box<Buckets>>,
}

impl TopicState {
    pub(super) fn is_empty(&self) -> bool {
        self.hidden >= self.last
    }

    /// Hides what is up to `position`. Of a state, nothing is ever lost.
    pub(super) fn hide(&mut self, position: Position) {
        self.hidden = self.hidden.max(position);
        if self.limits.keep == Keep::All {
            self.removed = self.removed.max(position);
        }
        if let Some(buckets) = &mut self.buckets {
            buckets.forget(position);
        }
    }

    pub(super) fn added(&mut self, new: Bucket) {
        let superseded = std::mem::replace(&mut self.last, new.last);
        let over = self.buckets.as_mut().and_then(|buckets| buckets.add(new, &self.limits));
        if self.limits.keep == Keep::Latest {
            self.hide(superseded);
        } else if let Some(over) = over {
            self.hide(over);
        }
    }

    /// Takes in a run of events: by what was counted of them, if that is known.
    pub(super) fn added_run(&mut self, run: &Run, counted: Option<&Counted>) {
        if let (Some(buckets), Some(counted)) = (&mut self.buckets, counted) {
            **buckets = counted.buckets.clone();
            self.last = run.held.last;
            self.hidden = self.hidden.max(counted.hidden);
            self.removed = self.removed.max(counted.removed);
        } else {
            self.added(run.held);
            if self.limits.keep == Keep::Latest {
                self.hide(run.held.last.before());
            }
        }
        self.hide(run.lost);
    }

    /// Keeps the count that its limits need.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        let counted = limits.max_events.is_some() || limits.max_bytes.is_some();
        self.buckets = (counted && limits.keep == Keep::All).then(Box::default);
    }
}
