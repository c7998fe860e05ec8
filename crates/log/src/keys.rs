//! Remembers idempotency keys for their window, so that a repeated publish appends nothing.

use std::collections::{HashMap, VecDeque};

use crate::{IdempotencyKey, Millis, Position, Record, Topic};

/// Keys remembered at most; beyond, the oldest go before their window ends.
pub(crate) const MAX_KEYS: usize = 100_000;

/// A stored event's key, scoped to the first topic of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUse {
    pub(crate) topic: Topic,
    pub(crate) key: IdempotencyKey,
    pub(crate) fingerprint: [u8; 16],
    pub(crate) position: Position,
    pub(crate) time: Millis,
}

impl KeyUse {
    /// `None` if the event has no key.
    pub(crate) fn of(record: &Record, first: &Topic) -> Option<Self> {
        let (scope, key) = record.fields.key.clone()?;
        Some(Self {
            topic: first.clone(),
            key: IdempotencyKey { scope, key },
            fingerprint: record.fields.fingerprint?,
            position: record.position,
            time: record.time,
        })
    }
}

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) fingerprint: [u8; 16],
    pub(crate) positions: Vec<Position>,
}

type Scoped = (Topic, IdempotencyKey);

#[derive(Debug, Default)]
pub(crate) struct Keys {
    used: HashMap<Scoped, Used>,
    by_age: VecDeque<(Millis, Scoped)>,
    window: Millis,
}

impl Keys {
    pub(crate) fn new(window: Millis) -> Self {
        Self { window, ..Self::default() }
    }

    pub(crate) fn get(
        &mut self,
        topic: &Topic,
        key: &IdempotencyKey,
        now: Millis,
    ) -> Option<&Used> {
        self.expire(now);
        self.used.get(&(topic.clone(), key.clone()))
    }

    /// Notes an event of a keyed batch; the events of one batch add up.
    pub(crate) fn add(
        &mut self,
        topic: &Topic,
        key: &IdempotencyKey,
        fingerprint: [u8; 16],
        at: (Position, Millis),
    ) {
        let (position, time) = at;
        // First: a key whose window is over begins anew.
        self.expire(time);
        let scoped = (topic.clone(), key.clone());
        match self.used.get_mut(&scoped) {
            Some(used) if used.fingerprint == fingerprint => used.positions.push(position),
            _ => {
                self.used.insert(scoped.clone(), Used { fingerprint, positions: vec![position] });
                self.by_age.push_back((time, scoped));
            }
        }
    }

    /// Forgets the keys of batches after `end`, which failed.
    pub(crate) fn forget_after(&mut self, end: Position) {
        let failed = |used: &Used| used.positions.first().is_some_and(|first| *first > end);
        while let Some((_, scoped)) = self.by_age.back()
            && self.used.get(scoped).is_none_or(failed)
        {
            if let Some((_, scoped)) = self.by_age.pop_back() {
                self.used.remove(&scoped);
            }
        }
    }

    fn expire(&mut self, now: Millis) {
        while let Some((time, _)) = self.by_age.front() {
            if self.by_age.len() <= MAX_KEYS && time.saturating_add(self.window) >= now {
                return;
            }
            if let Some((_, scoped)) = self.by_age.pop_front() {
                self.used.remove(&scoped);
            }
        }
    }
}
