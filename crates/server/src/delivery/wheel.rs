//! Timers, coarse: who is due in the same twentieth of a second is due together. Late by that at most, and
//! never early.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How coarse it is.
const SLOT: Duration = Duration::from_millis(50);
/// What is due later than so many slots is asked again then.
const SLOTS: usize = 600;

pub(super) struct Wheel<T> {
    /// When the first of the slots is over.
    turns: Instant,
    slots: VecDeque<Vec<T>>,
}

impl<T> Wheel<T> {
    pub(super) fn new(now: Instant) -> Self {
        Self { turns: now + SLOT, slots: VecDeque::new() }
    }

    pub(super) fn insert(&mut self, due: Instant, what: T) {
        let wait = due.saturating_duration_since(self.turns).as_nanos().div_ceil(SLOT.as_nanos());
        let slot = usize::try_from(wait).unwrap_or(SLOTS).min(SLOTS);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Vec::new);
        }
        self.slots[slot].push(what);
    }

    /// The next moment at which something may be due.
    pub(super) fn next(&self) -> Option<Instant> {
        let slot = self.slots.iter().position(|slot| !slot.is_empty())?;
        Some(self.turns + SLOT * u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        while self.turns <= now {
            let Some(slot) = self.slots.pop_front() else {
                // Nothing is in it at all.
                self.turns = now + SLOT;
                break;
            };
            due.extend(slot);
            self.turns += SLOT;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_early_and_nothing_is_late_by_more_than_a_slot() {
        let began = Instant::now();
        let after = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut wheel = Wheel::new(began);
        for due in [0, 1, 49, 50, 51, 120, 999, 20_000] {
            wheel.insert(after(due), due);
        }
        let mut now = 0;
        let mut seen = 0;
        while let Some(next) = wheel.next() {
            now = u64::try_from((next - began).as_millis()).unwrap();
            for due in wheel.due(next) {
                assert!(due <= now && now <= due + 50, "{due} at {now}");
                seen += 1;
            }
        }
        assert_eq!((seen, now), (8, 20_000));
        assert!(wheel.due(after(90_000)).is_empty());
        wheel.insert(after(90_010), 1);
        assert!(wheel.due(after(90_005)).is_empty());
        assert_eq!(wheel.due(after(90_060)), [1]);
    }

    #[test]
    fn what_is_due_in_an_hour_comes_back_to_be_asked() {
        let began = Instant::now();
        let mut wheel = Wheel::new(began);
        wheel.insert(began + Duration::from_secs(3600), ());
        assert!(wheel.next().unwrap() <= began + SLOT * 601);
    }
}
