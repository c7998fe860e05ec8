//! Remembers idempotency keys for their window, so that a repeated publish appends nothing.

use std::collections::{HashMap, VecDeque};

use crate::{IdempotencyKey, Millis, Position, Record, Topic};

/// Keys remembered at most; beyond, the oldest go before their window ends.
pub(crate) const MAX_KEYS: usize = 100_000;

/// A stored batch's key, scoped to the first topic of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyUse {
    pub(crate) topic: Topic,
    pub(crate) key: IdempotencyKey,
    pub(crate) fingerprint: [u8; 16],
    pub(crate) positions: Vec<Position>,
    pub(crate) time: Millis,
}

/// The newest keys of what is read, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyUses(pub(crate) Vec<KeyUse>);

impl KeyUses {
    /// Takes in the next event; `first` is the first topic of its batch.
    pub(crate) fn add(&mut self, record: &Record, first: &Topic) {
        let (Some((scope, key)), Some(fingerprint)) =
            (record.fields.key.clone(), record.fields.fingerprint)
        else {
            return;
        };
        let key = IdempotencyKey { scope, key };
        let (positions, time) = (vec![record.position], record.time);
        let used = KeyUse { topic: first.clone(), key, fingerprint, positions, time };
        match self.0.last_mut().filter(|last| last.is_same(&used)) {
            Some(last) => last.positions.push(record.position),
            None => self.0.push(used),
        }
        // Of what can't be remembered anyway, the oldest goes.
        if self.0.len() >= 2 * MAX_KEYS {
            self.0.drain(..MAX_KEYS);
        }
    }
}

impl KeyUse {
    fn is_same(&self, other: &Self) -> bool {
        (&self.topic, &self.key, self.fingerprint) == (&other.topic, &other.key, other.fingerprint)
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
