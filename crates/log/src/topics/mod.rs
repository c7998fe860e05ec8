//! What the log remembers of each topic: its last position, up to where it is hidden, and the
//! highest position that retention removed. From these come `prev`, what readers see, and the
//! exact gap rule.

mod state;

use std::{collections::HashMap, sync::Arc};

use self::state::TopicState;
pub(crate) use self::state::{Counted, Run};
use crate::{
    Epochs, Filter, Keep, Limits, Position, Retention, Topic,
    buckets::{Bucket, Buckets},
};

/// Emptied topics remembered one by one; beyond, the oldest share one watermark.
const MAX_EMPTIED: usize = 65_536;

/// How far a topic reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The position of its last event, removed or not.
    pub last: Position,
    /// Up to here nothing of it is shown. The topic is empty if this reaches `last`.
    pub hidden: Position,
}

/// All that is to be remembered of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub topic: Topic,
    /// See [`Reach`].
    pub reach: Reach,
    /// The highest position of it that was lost to retention.
    pub removed: Position,
    /// How much it holds, oldest first, if it has a limit of its own.
    pub held: Vec<Bucket>,
}

/// What a copy of a log must know of it, beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its epochs: ids of before go on to resolve.
    pub epochs: Epochs,
    /// Its last position.
    pub end: Position,
    /// Its topics, those too that are empty.
    pub known: Vec<Known>,
    /// Of topics that are not known, events may have been lost up to here.
    pub forgotten: Position,
    /// Of any topic, events may have been lost up to here.
    pub unsure: Position,
}

/// All topics that have events, and the emptied ones not yet forgotten.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    known: HashMap<Topic, TopicState>,
    retention: Arc<Retention>,
    emptied: usize,
    /// Topics not in `known` may have lost events up to here.
    forgotten: Position,
    /// [`Topics::removals`] when that last grew.
    forgotten_changed: u64,
    /// Whatever the topic, events up to here may have been lost; and [`Topics::removals`] when
    /// that last grew.
    unsure: (Position, u64),
    /// No topic has lost anything after this.
    highest_removed: Position,
    /// How often something was lost.
    removals: u64,
}

impl Topics {
    /// Of an empty log.
    #[must_use]
    pub fn new(retention: Arc<Retention>) -> Self {
        Self { retention, ..Self::default() }
    }

    /// Counts on from what was counted before: what is lost from now on is news to those who forgave
    /// that.
    pub fn go_on_from(&mut self, before: &Self) {
        self.removals = before.removals;
    }

    /// The limits that hold.
    #[must_use]
    pub fn retention(&self) -> &Arc<Retention> {
        &self.retention
    }

    /// How far a topic reaches; of one that is not known, how far all of those may have.
    #[must_use]
    pub fn get(&self, topic: &Topic) -> Reach {
        let forgotten = Reach { last: self.forgotten, hidden: self.forgotten };
        let known = self.known.get(topic);
        known.map_or(forgotten, |state| Reach { last: state.last, hidden: state.hidden })
    }

    fn unknown(&self, topic: &Topic) -> TopicState {
        let limits = self.retention.limits_of(topic);
        let mut state = TopicState { last: self.forgotten, limits, ..TopicState::default() };
        state.hide(self.forgotten);
        state
    }

    /// The limits of a topic.
    #[must_use]
    pub fn limits(&self, topic: &Topic) -> Limits {
        let known = self.known.get(topic).map(|state| state.limits);
        known.unwrap_or_else(|| self.retention.limits_of(topic))
    }

    /// Whether an event is shown.
    #[must_use]
    pub fn shows(&self, topic: &Topic, position: Position) -> bool {
        let hidden = self.known.get(topic).map_or(self.forgotten, |state| state.hidden);
        position > hidden
    }

    /// An event of so many bytes came in at `position`; `prev` is what its record says.
    pub fn added(&mut self, topic: &Topic, position: Position, prev: Position, bytes: u64) {
        let held = Bucket { last: position, events: 1, bytes };
        self.take_in(topic, prev, |state| state.added(held));
    }

    /// A run of events, of which more may be known than their number.
    pub(crate) fn added_run(&mut self, topic: &Topic, run: &Run, counted: Option<&Counted>) {
        self.take_in(topic, run.prev, |state| state.added_run(run, counted));
    }

    /// Forgets emptied topics, if there are too many.
    pub(crate) fn forget_excess(&mut self) {
        if self.emptied > MAX_EMPTIED {
            self.forget_half();
        }
    }

    fn take_in(&mut self, topic: &Topic, prev: Position, add: impl FnOnce(&mut TopicState)) {
        let new = self.enter(topic);
        self.change(topic, |state| {
            if new {
                state.last = prev;
            }
            if new || prev > state.last {
                // What is not here of it was removed; or it is read from files in which what came
                // between was compacted away.
                state.hide(prev);
            }
            add(state);
        });
    }

    /// Makes room for a topic; whether it is new.
    fn enter(&mut self, topic: &Topic) -> bool {
        let new = !self.known.contains_key(topic);
        if new {
            let mut state = TopicState::default();
            state.limit(self.retention.limits_of(topic));
            self.known.insert(topic.clone(), state);
            self.emptied += 1;
        }
        new
    }

    /// Changes what is known of a topic, and keeps the sums over all of them right.
    fn change(&mut self, topic: &Topic, change: impl FnOnce(&mut TopicState)) {
        let Some(state) = self.known.get_mut(topic) else { return };
        let (was_empty, removed) = (state.is_empty(), state.removed);
        change(state);
        self.emptied += usize::from(state.is_empty());
        self.emptied -= usize::from(was_empty);
        if state.removed > removed {
            self.removals += 1;
            state.changed = self.removals;
            self.highest_removed = self.highest_removed.max(state.removed);
        }
    }

    /// What a topic holds was counted anew, by the limits that hold now.
    pub fn recounted(&mut self, topic: &Topic, counted: Buckets, over: Option<Position>) {
        self.change(topic, |state| {
            if let Some(buckets) = &mut state.buckets {
                **buckets = counted;
                let hidden = state.hidden;
                state.hide(over.unwrap_or_default().max(hidden));
            }
        });
    }

    /// What is known of a topic whose events are counted; `None` of any other.
    pub(crate) fn counted(&self, topic: &Topic) -> Option<Counted> {
        let state = self.known.get(topic)?;
        let buckets = Buckets::clone(state.buckets.as_ref()?);
        Some(Counted { hidden: state.hidden, removed: state.removed, buckets })
    }

    /// The name as it is kept here, so that it is kept once.
    #[must_use]
    pub fn interned(&self, topic: Topic) -> Topic {
        self.known.get_key_value(&topic).map_or(topic, |(known, _)| known.clone())
    }

    /// Retention removed the topic's events up to `position`.
    pub fn removed(&mut self, topic: &Topic, position: Position) {
        self.change(topic, |state| state.hide(position));
        self.forget_excess();
    }

    /// The topic's events up to `position` are gone that nothing had superseded: of a state, too, that
    /// is a loss.
    pub fn lost(&mut self, topic: &Topic, position: Position) {
        self.change(topic, |state| {
            state.hide(position);
            state.removed = state.removed.max(position);
        });
        self.forget_excess();
    }

    /// From now on other limits hold. `held` says, oldest first, what the log has of each topic
    /// that is shown.
    pub fn set_retention(
        &mut self,
        retention: Arc<Retention>,
        held: impl Iterator<Item = (Topic, Bucket)>,
    ) {
        self.retention = retention;
        for (topic, state) in &mut self.known {
            state.limit(self.retention.limits_of(topic));
        }
        for (topic, bucket) in held {
            let Some(state) = self.known.get_mut(&topic) else { continue };
            let over = match state.limits.keep {
                Keep::Latest => Some(state.last.before()),
                Keep::All => match &mut state.buckets {
                    Some(buckets) => buckets.add(bucket, &state.limits),
                    None => None,
                },
            };
            if let Some(over) = over.filter(|over| *over > state.hidden) {
                self.removed(&topic, over);
            }
        }
    }

    /// Nothing of any topic is left up to `position`, and nobody knows what there was.
    pub fn forget_up_to(&mut self, position: Position) {
        if position > self.forgotten {
            self.removals += 1;
            self.forgotten_changed = self.removals;
        }
        self.forgotten = self.forgotten.max(position);
        self.highest_removed = self.highest_removed.max(position);
    }

    /// Events up to `position` may have been lost, of any topic: what is left is shown, and whoever
    /// has not passed it has a gap.
    pub fn unsure_up_to(&mut self, position: Position) {
        if position > self.unsure.0 {
            self.removals += 1;
            self.unsure = (position, self.removals);
            self.highest_removed = self.highest_removed.max(position);
        }
    }

    /// How often something was lost so far.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.removals
    }

    /// The highest position after `after` at which an event that `filter` matches was lost, of
    /// topics that have lost something since there were `forgives` removals.
    #[must_use]
    pub fn removed_after(
        &self,
        filter: &Filter,
        after: Position,
        forgives: u64,
    ) -> Option<Position> {
        if self.highest_removed <= after || self.removals <= forgives {
            return None;
        }
        let news = |state: &TopicState| {
            if state.changed > forgives { state.removed } else { Position::START }
        };
        let forgotten =
            if self.forgotten_changed > forgives { self.forgotten } else { Position::START };
        let lost = |topic: &Topic| match self.known.get(topic) {
            Some(state) => news(state),
            None => self.unknown(topic).removed.min(forgotten),
        };
        let highest = match filter {
            Filter::All if forgives == 0 => Some(self.highest_removed),
            Filter::Topics(topics) => topics.iter().map(lost).max(),
            Filter::All | Filter::Selection(_) => {
                let matching = self.known.iter().filter(|(topic, _)| filter.matches(topic));
                matching.map(|(_, state)| news(state)).max().max(Some(forgotten))
            }
        };
        let unsure = if self.unsure.1 > forgives { self.unsure.0 } else { Position::START };
        highest.max(Some(unsure)).filter(|removed| *removed > after)
    }

    /// The topics that have events left and that `filter` matches.
    #[must_use]
    pub fn matching(&self, filter: &Filter) -> Vec<Topic> {
        let has_events = |topic: &&Topic| self.known.get(*topic).is_some_and(|t| !t.is_empty());
        match filter {
            Filter::Topics(topics) => topics.iter().filter(has_events).cloned().collect(),
            _ => {
                let left = self.known.iter().filter(|(_, state)| !state.is_empty());
                left.map(|(topic, _)| topic).filter(|t| filter.matches(t)).cloned().collect()
            }
        }
    }

    /// How many topics have events left.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len() - self.emptied
    }

    /// The emptied topics and the common watermark, for the state that outlives retention.
    pub(crate) fn watermarks(&self) -> (impl Iterator<Item = (&Topic, Position)>, Position) {
        let empty = self.known.iter().filter(|(_, state)| state.is_empty());
        (empty.map(|(topic, t)| (topic, t.last)), self.forgotten)
    }

    /// What is to be remembered of each topic, and up to where those that are forgotten, and any,
    /// may have lost events.
    pub fn known(&self) -> (impl Iterator<Item = Known> + '_, Position, Position) {
        let known = self.known.iter().map(|(topic, state)| Known {
            topic: topic.clone(),
            reach: Reach { last: state.last, hidden: state.hidden },
            removed: state.removed,
            held: state.buckets.iter().flat_map(|b| b.iter().copied()).collect(),
        });
        (known, self.forgotten, self.unsure.0)
    }

    /// What a copy must know.
    #[must_use]
    pub fn origin(&self, epochs: &Epochs, end: Position) -> Origin {
        let (known, forgotten, unsure) = self.known();
        let known = known.map(|mut known| {
            // A copy counts what it holds by limits of its own.
            known.held.clear();
            known
        });
        Origin { epochs: epochs.clone(), end, known: known.collect(), forgotten, unsure }
    }

    /// Up to where events of any topic may have been lost.
    pub(crate) fn unsure(&self) -> Position {
        self.unsure.0
    }

    /// Takes in what was remembered of a topic elsewhere, by the same limits, at a later point of
    /// the log than what is known here.
    pub fn learn(&mut self, known: &Known) {
        self.take_over(known, true);
    }

    /// As [`Topics::learn`], of a log that this one was copied from: what is held is counted already.
    pub fn learn_of_origin(&mut self, known: &Known) {
        self.take_over(known, false);
    }

    fn take_over(&mut self, known: &Known, held: bool) {
        self.enter(&known.topic);
        self.change(&known.topic, |state| {
            state.last = state.last.max(known.reach.last);
            state.hidden = state.hidden.max(known.reach.hidden);
            state.removed = state.removed.max(known.removed);
            if let Some(buckets) = state.buckets.as_mut().filter(|_| held) {
                **buckets = known.held.iter().copied().collect();
            }
        });
        self.forget_excess();
    }

    /// Recalls an emptied topic. One with later events knows better by itself.
    pub(crate) fn recall(&mut self, topic: &Topic, last: Position) {
        self.enter(topic);
        self.change(topic, |state| {
            if state.last <= last {
                state.last = last;
                state.hide(last);
            }
        });
    }

    /// After all was recalled: a topic of which only removed events are left in the files, and
    /// which was not recalled, is one of the forgotten.
    pub(crate) fn forget_unrecalled(&mut self) {
        let forgotten = self.forgotten;
        let unrecalled =
            |(_, state): &(&Topic, &TopicState)| state.is_empty() && state.last < forgotten;
        let topics: Vec<Topic> =
            self.known.iter().filter(unrecalled).map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            self.change(&topic, |state| {
                state.last = forgotten;
                state.hide(forgotten);
            });
        }
    }

    fn forget_half(&mut self) {
        let mut marks: Vec<u64> =
            self.known.values().filter(|t| t.is_empty()).map(|t| t.last.0).collect();
        let middle = marks.len() / 2;
        let (_, mark, _) = marks.select_nth_unstable(middle);
        let mark = Position(*mark);
        self.known.retain(|_, state| !state.is_empty() || state.last > mark);
        self.emptied = self.known.values().filter(|t| t.is_empty()).count();
        self.forget_up_to(mark);
        // Also if the mark is an old one: what those had lost is from now on known by it alone.
        self.removals += 1;
        self.forgotten_changed = self.removals;
    }
}

#[cfg(test)]
mod tests;
