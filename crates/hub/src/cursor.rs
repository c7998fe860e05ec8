//! A subscriber's place: a position and a filter, never a queue.

use std::{collections::HashMap, sync::Arc};

use eventwall_log::{Filter, Position, Topic};

/// Where a subscriber stands. Small, and the same size however far behind it is.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// Everything up to here is known to the subscriber.
    pub(crate) position: Position,
    pub(crate) filter: Filter,
    /// For a start by `last=N`: events of a topic up to its floor are not wanted. Dropped
    /// once the cursor has passed them all.
    pub(crate) floors: Option<Arc<HashMap<Topic, Position>>>,
    /// Removals up to here were known when the cursor began, and are no gap.
    pub(crate) forgiven: Position,
}

impl Cursor {
    pub(crate) fn new(position: Position, filter: Filter) -> Self {
        Self { position, filter, floors: None, forgiven: Position::START }
    }

    /// Whether an event at `position` of a topic that the filter matches is wanted.
    pub(crate) fn wants(&self, topic: &Topic, position: Position) -> bool {
        let floor = self.floors.as_ref().and_then(|floors| floors.get(topic));
        position > self.position && floor.is_none_or(|floor| position > *floor)
    }

    pub(crate) fn advance(&mut self, to: Position) {
        self.position = self.position.max(to);
        let passed = |floors: &Arc<HashMap<_, Position>>| {
            floors.values().all(|floor| *floor <= self.position)
        };
        if self.floors.as_ref().is_some_and(passed) {
            self.floors = None;
        }
    }
}
