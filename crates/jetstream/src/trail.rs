//! A look at the oldest entries of the log before they go, so that it is known whose they were. It
//! holds a bounded stretch, in the order of the log, and is refilled from behind. Pure.

use std::collections::VecDeque;

use eventwall_log::{Millis, Position, Topic};

/// Events held at most.
pub(crate) const AHEAD: usize = 65_536;

/// An event that will go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) position: Position,
    pub(crate) time: Millis,
    pub(crate) topic: Topic,
}

/// Everything from some position on, through another.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    events: VecDeque<Ahead>,
    through: Position,
}

impl Trail {
    /// From here on.
    pub(crate) fn after(position: Position) -> Self {
        Self { events: VecDeque::new(), through: position }
    }

    /// The last position that it knows of.
    pub(crate) fn through(&self) -> Position {
        self.through
    }

    /// What it knows of.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Ahead> {
        self.events.iter()
    }

    /// Nothing of it lies up to here.
    pub(crate) fn begins(&self) -> Position {
        self.events.front().map_or(self.through, |first| first.position.before())
    }

    /// Whether it wants to be refilled from a log that ends at `end`.
    pub(crate) fn is_short(&self, end: Position) -> bool {
        self.through < end && self.events.len() < AHEAD / 2
    }

    /// The next entry of the log after `before`; only taken if nothing lies between, and there is
    /// room.
    pub(crate) fn follow(&mut self, before: Position, position: Position, event: Option<Ahead>) {
        if self.through != before || self.events.len() >= AHEAD {
            return;
        }
        self.events.extend(event);
        self.through = position;
    }

    /// What was read of the log after [`Trail::through`], up to `examined`.
    pub(crate) fn extend(&mut self, events: impl IntoIterator<Item = Ahead>, examined: Position) {
        let through = self.through;
        self.events.extend(events.into_iter().filter(|event| event.position > through));
        self.through = self.through.max(examined);
    }

    /// The oldest event, taken if it is to go.
    pub(crate) fn pop_if(&mut self, goes: impl Fn(&Ahead) -> bool) -> Option<Ahead> {
        self.events.front().is_some_and(goes).then(|| self.events.pop_front())?
    }

    /// Everything before `position` is gone; whether it was all known.
    pub(crate) fn skip_to(&mut self, position: Position) -> bool {
        let known = self.through >= position.before();
        self.through = self.through.max(position.before());
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(n: u64) -> Ahead {
        Ahead { position: Position(n), time: n, topic: "a".parse().unwrap() }
    }

    #[test]
    fn it_follows_without_a_hole_or_not_at_all() {
        let mut trail = Trail::after(Position(4));
        trail.follow(Position(4), Position(5), Some(ahead(5)));
        trail.follow(Position(7), Position(8), Some(ahead(8)));
        assert_eq!(trail.through(), Position(5));
        assert!(trail.is_short(Position(8)) && !trail.is_short(Position(5)));
        trail.extend([ahead(5), ahead(6), ahead(8)], Position(9));
        let popped = std::iter::from_fn(|| trail.pop_if(|event| event.time < 8));
        assert_eq!(popped.map(|event| event.position.0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(trail.through(), Position(9));
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let mut trail = Trail::default();
        for n in 0..2 * AHEAD as u64 {
            trail.follow(Position(n), Position(n + 1), Some(ahead(n + 1)));
        }
        assert_eq!((trail.events.len(), trail.through()), (AHEAD, Position(AHEAD as u64)));
    }

    #[test]
    fn what_goes_unseen_is_known_to_be_unknown() {
        let mut trail = Trail::after(Position(4));
        assert!(trail.skip_to(Position(5)));
        assert!(!trail.skip_to(Position(9)));
        assert_eq!(trail.through(), Position(8));
    }
}
