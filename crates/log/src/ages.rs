//! Which events are too old, by a clock that does not trust every jump. Events are hidden in the
//! order of the log, so each age needs only one place to go on from.

use crate::{Clock, Millis, Position, Record, Retention};

/// One `max_age`, and how far its events are hidden.
#[derive(Debug, Clone)]
pub struct AgeScan {
    /// In milliseconds.
    pub max_age: Millis,
    /// Everything up to here was looked at.
    pub after: Position,
    /// The time of the event after that, if it is known: until that is too old, nothing is.
    pub next: Millis,
}

impl AgeScan {
    /// Whether an event of this time is too old.
    #[must_use]
    pub fn is_over(&self, time: Millis, now: Millis) -> bool {
        time.saturating_add(self.max_age) < now
    }
}

/// Every `max_age` of a log, and the time by which they are counted.
#[derive(Clone)]
pub struct Ages {
    /// One for each `max_age`.
    pub scans: Vec<AgeScan>,
    clock: AgeClock,
    uptime: Clock,
    now: Millis,
}

impl std::fmt::Debug for Ages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ages").field("scans", &self.scans).finish_non_exhaustive()
    }
}

impl Ages {
    /// Begins at a time that is known to have been, such as that of the last event.
    #[must_use]
    pub fn new(retention: &Retention, known: Millis, uptime: Clock) -> Self {
        let clock = AgeClock::new(known, uptime());
        let mut ages = Self { scans: Vec::new(), clock, uptime, now: known };
        ages.set(retention);
        ages
    }

    /// From now on other ages hold.
    pub fn set(&mut self, retention: &Retention) {
        let scan = |max_age| AgeScan { max_age, after: Position::START, next: 0 };
        self.scans = retention.ages().into_iter().map(scan).collect();
    }

    /// The time to count ages by, when the clock says `wall`.
    pub fn now(&mut self, wall: Millis, max_step: Millis) -> Millis {
        self.now = self.clock.now(wall, (self.uptime)(), max_step);
        self.now
    }

    /// Whether an event is older than `max_age`.
    #[must_use]
    pub fn is_expired(&self, record: &Record, max_age: Option<Millis>) -> bool {
        max_age.is_some_and(|max| record.time.saturating_add(max) < self.now)
    }
}

/// The time by which ages are counted: the log's clock, held back after a jump forward until it
/// has stood for a while. A clock set wrong for a moment must not empty a log.
#[derive(Debug, Clone, Copy)]
struct AgeClock {
    /// The time that is believed, and the uptime then.
    believed: Millis,
    at: Millis,
    /// Since when (by uptime) the clock has been ahead, and by how much.
    ahead: Option<(Millis, Millis)>,
}

impl AgeClock {
    /// Begins at a time that is known to have been, such as that of the last event.
    fn new(known: Millis, uptime: Millis) -> Self {
        Self { believed: known, at: uptime, ahead: None }
    }

    /// The time to count ages by, when the clock says `wall` at `uptime`.
    fn now(&mut self, wall: Millis, uptime: Millis, max_step: Millis) -> Millis {
        let expected = self.believed.saturating_add(uptime.saturating_sub(self.at));
        let by = wall.saturating_sub(expected);
        // A second jump has to stand for itself.
        self.ahead = self.ahead.filter(|(_, before)| before.abs_diff(by) <= max_step);
        let stood = self.ahead.is_some_and(|(since, _)| uptime.saturating_sub(since) >= max_step);
        if by > max_step && !stood {
            self.ahead.get_or_insert((uptime, by));
            self.believed = expected;
        } else {
            self.ahead = None;
            self.believed = wall;
        }
        self.at = uptime;
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_forward_is_believed_once_it_has_stood() {
        let mut clock = AgeClock::new(1000, 0);
        assert_eq!(clock.now(1500, 500, 300), 1500);
        assert_eq!(clock.now(1900, 900, 300), 1900, "it runs as it should");
        assert_eq!(clock.now(99_000, 1000, 300), 2000, "a jump");
        assert_eq!(clock.now(99_200, 1200, 300), 2200, "it still has to stand");
        assert_eq!(clock.now(2400, 1400, 300), 2400, "it was a mistake");
        assert_eq!(clock.now(99_000, 1500, 300), 2500);
        assert_eq!(clock.now(99_299, 1799, 300), 2799);
        assert_eq!(clock.now(99_300, 1800, 300), 99_300, "it has stood");
        assert_eq!(clock.now(50, 1900, 300), 50, "backwards is always safe");
        assert_eq!(clock.now(5_000, 2000, 300), 150);
        assert_eq!(clock.now(99_000, 2299, 300), 449, "a second jump while the first is held off");
        assert_eq!(clock.now(99_002, 2301, 300), 451, "has to stand for itself");
        assert_eq!(clock.now(99_300, 2599, 300), 99_300);
    }
}
