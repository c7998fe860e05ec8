//! What the log remembers of each topic: its last position, and the highest one that
//! retention removed. From these come `prev` and the exact gap rule.

use std::collections::HashMap;

use crate::{Filter, Position, Topic};

/// Emptied topics remembered one by one; beyond, the oldest share one watermark.
const MAX_EMPTIED: usize = 65_536;

/// One topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TopicState {
    /// The position of its last event, removed or not.
    pub(crate) last: Position,
    /// The highest position of it that retention removed. The topic is empty if this
    /// equals `last`.
    pub(crate) removed: Position,
}

/// All topics that have events, and the emptied ones not yet forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Topics {
    known: HashMap<Topic, TopicState>,
    emptied: usize,
    /// Topics not in `known` may have lost events up to here.
    forgotten: Position,
    /// No topic has lost anything after this.
    highest_removed: Position,
}

impl Topics {
    pub(crate) fn get(&self, topic: &Topic) -> TopicState {
        let forgotten = TopicState { last: self.forgotten, removed: self.forgotten };
        self.known.get(topic).copied().unwrap_or(forgotten)
    }

    /// An event came in at `position`; `prev` is what its record says.
    pub(crate) fn added(&mut self, topic: &Topic, position: Position, prev: Position) {
        match self.known.get_mut(topic) {
            Some(state) => {
                self.emptied -= usize::from(state.last == state.removed);
                state.last = position;
            }
            None => {
                let state = TopicState { last: position, removed: prev };
                self.highest_removed = self.highest_removed.max(prev);
                self.known.insert(topic.clone(), state);
            }
        }
    }

    /// Retention removed the topic's events up to `position`.
    pub(crate) fn removed(&mut self, topic: &Topic, position: Position) {
        let Some(state) = self.known.get_mut(topic) else { return };
        let was_empty = state.last == state.removed;
        state.removed = state.removed.max(position);
        self.highest_removed = self.highest_removed.max(position);
        self.emptied += usize::from(state.last == state.removed && !was_empty);
        if self.emptied > MAX_EMPTIED {
            self.forget_half();
        }
    }

    /// Nothing of any topic is left up to `position`, and nobody knows what there was.
    pub(crate) fn forget_up_to(&mut self, position: Position) {
        self.forgotten = self.forgotten.max(position);
        self.highest_removed = self.highest_removed.max(position);
    }

    /// The highest position after `after` at which an event that `filter` matches was
    /// removed.
    pub(crate) fn removed_after(&self, filter: &Filter, after: Position) -> Option<Position> {
        let highest = match filter {
            Filter::All => self.known.values().map(|t| t.removed).max().max(Some(self.forgotten)),
            Filter::Topics(topics) => topics.iter().map(|t| self.get(t).removed).max(),
            Filter::Selection(_) if self.highest_removed <= after => None,
            Filter::Selection(_) => {
                let matching = self.known.iter().filter(|(topic, _)| filter.matches(topic));
                matching.map(|(_, t)| t.removed).max().max(Some(self.forgotten))
            }
        };
        highest.filter(|removed| *removed > after)
    }

    /// The topics that have events left and that `filter` matches.
    pub(crate) fn matching(&self, filter: &Filter) -> Vec<Topic> {
        let has_events = |topic: &Topic| {
            let state = self.get(topic);
            state.last > state.removed
        };
        match filter {
            Filter::Topics(topics) => topics.iter().filter(|t| has_events(t)).cloned().collect(),
            _ => {
                let left = self.known.iter().filter(|(_, t)| t.last > t.removed);
                left.map(|(topic, _)| topic).filter(|t| filter.matches(t)).cloned().collect()
            }
        }
    }

    /// The emptied topics and the common watermark, for the state that outlives retention.
    pub(crate) fn watermarks(&self) -> (impl Iterator<Item = (&Topic, Position)>, Position) {
        let empty = self.known.iter().filter(|(_, t)| t.last == t.removed);
        (empty.map(|(topic, t)| (topic, t.last)), self.forgotten)
    }

    /// Recalls an emptied topic. Topics with events know better by themselves.
    pub(crate) fn recall(&mut self, topic: Topic, last: Position) {
        if let std::collections::hash_map::Entry::Vacant(free) = self.known.entry(topic) {
            free.insert(TopicState { last, removed: last });
            self.highest_removed = self.highest_removed.max(last);
            self.emptied += 1;
        }
    }

    fn forget_half(&mut self) {
        let mut marks: Vec<u64> =
            self.known.values().filter(|t| t.last == t.removed).map(|t| t.last.0).collect();
        let middle = marks.len() / 2;
        let (_, mark, _) = marks.select_nth_unstable(middle);
        let mark = Position(*mark);
        self.known.retain(|_, t| t.last != t.removed || t.last > mark);
        self.emptied = self.known.values().filter(|t| t.last == t.removed).count();
        self.forget_up_to(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    #[test]
    fn only_topics_that_lost_something_after_the_cursor_have_a_gap() {
        let mut topics = Topics::default();
        topics.added(&topic("a"), Position(1), Position(0));
        topics.added(&topic("b"), Position(2), Position(0));
        topics.added(&topic("b"), Position(9), Position(2));
        topics.removed(&topic("a"), Position(1));
        topics.removed(&topic("b"), Position(2));
        let gap = |name: &str, after| {
            topics.removed_after(&Filter::topics([topic(name)]), Position(after))
        };
        assert_eq!(gap("a", 0), Some(Position(1)));
        assert_eq!(gap("a", 1), None);
        assert_eq!(gap("b", 1), Some(Position(2)));
        assert_eq!(gap("c", 0), None);
    }

    #[test]
    fn forgotten_topics_may_tell_a_false_gap_but_never_hide_one() {
        let mut topics = Topics::default();
        for n in 1..=(MAX_EMPTIED as u64 + 1) {
            let name = topic(&format!("t{n}"));
            topics.added(&name, Position(n), Position(0));
            topics.removed(&name, Position(n));
        }
        assert!(topics.known.len() <= MAX_EMPTIED);
        for n in [1, 2, MAX_EMPTIED as u64 / 2, MAX_EMPTIED as u64 + 1] {
            let filter = Filter::topics([topic(&format!("t{n}"))]);
            assert!(topics.removed_after(&filter, Position(n - 1)).is_some(), "t{n}");
        }
    }
}
