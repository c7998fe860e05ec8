//! A subscriber's place: a position and a filter, never a queue.

use std::{collections::HashMap, sync::Arc};

use eventwall_log::{Filter, Position, Topic};

/// Where a subscriber stands. Small, and the same size however far behind it is.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// Everything up to here is known to the subscriber.
    pub(crate) position: Position,
    pub(crate) filter: Filter,
    /// For a start by `last=N`. Dropped once the cursor has passed it.
    start: Option<Arc<LastEvents>>,
    /// What was lost by then ([`Page::removals`](eventwall_log::Page)) is no gap: it was known when
    /// the cursor began, or is told.
    pub(crate) forgives: u64,
}

/// The last events of each topic as a start asked for them.
#[derive(Debug, Default)]
pub(crate) struct LastEvents {
    /// Events of a topic up to its floor are not wanted.
    pub(crate) floors: HashMap<Topic, Position>,
    /// Where the wanted ones are, in order. What lies between two of them need not be read.
    pub(crate) wanted: Vec<Position>,
    /// The end of the log when it was asked.
    pub(crate) end: Position,
}

impl Cursor {
    pub(crate) fn new(position: Position, filter: Filter) -> Self {
        Self { position, filter, start: None, forgives: 0 }
    }

    /// Just before the first of the wanted events.
    pub(crate) fn before_last(events: LastEvents, filter: Filter) -> Self {
        let mut cursor = Self::new(Position::START, filter);
        cursor.start = Some(Arc::new(events));
        cursor.advance(Position::START);
        cursor
    }

    /// Whether nothing but its topics decides what it wants of what follows.
    pub(crate) fn is_plain(&self) -> bool {
        self.start.is_none()
    }

    /// Whether an event at `position` of a topic that the filter matches is wanted.
    pub(crate) fn wants(&self, topic: &Topic, position: Position) -> bool {
        let floor = self.start.as_ref().and_then(|start| start.floors.get(topic));
        position > self.position && floor.is_none_or(|floor| position > *floor)
    }

    pub(crate) fn advance(&mut self, to: Position) {
        self.position = self.position.max(to);
        let Some(start) = &self.start else { return };
        let passed = start.wanted.partition_point(|wanted| *wanted <= self.position);
        let next = start.wanted.get(passed).map_or(start.end, |wanted| wanted.before());
        self.position = self.position.max(next);
        if self.position >= start.end {
            self.start = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_by_last_passes_over_what_lies_between() {
        let topic: Topic = "a".parse().unwrap();
        let floors = HashMap::from([(topic.clone(), Position(9))]);
        let wanted = vec![Position(10), Position(11), Position(500)];
        let events = LastEvents { floors, wanted, end: Position(900) };
        let mut cursor = Cursor::before_last(events, Filter::topics([topic.clone()]));
        assert_eq!(cursor.position, Position(9));
        assert!(cursor.wants(&topic, Position(10)) && !cursor.wants(&topic, Position(9)));
        for (to, then) in [(10, 10), (11, 499), (500, 900), (901, 901)] {
            cursor.advance(Position(to));
            assert_eq!(cursor.position, Position(then));
        }
        assert!(cursor.start.is_none());
    }
}
