//! Gives batches their place: checks conditions and keys, hands out positions, times and
//! `prev`. Pure state; every kind of log drives one from its single writer. It counts
//! what is in flight, and never takes a position back.

use std::{collections::HashMap, sync::Arc};

use crate::{
    AppendError, AppendOptions, Batch, Epochs, ExpectedLast, Fields, IdempotencyKey, Millis,
    NewEvent, Position, Record, Topic,
    append::MAX_FIELD_BYTES,
    keys::{KeyUse, Keys},
    log::last_id,
    topics::Topics,
};

#[derive(Debug)]
pub(crate) struct Sequencer {
    next: Position,
    last_time: Millis,
    keys: Keys,
    /// Last positions of topics with events in flight.
    in_flight: HashMap<Topic, Position>,
}

/// A batch in its place.
#[derive(Debug)]
pub(crate) enum Sequenced {
    /// To be stored and then acknowledged.
    New(Vec<Arc<Record>>),
    /// The key had been used for these; to be acknowledged after whatever is in flight.
    Repeated(Vec<Position>),
}

impl Sequencer {
    pub(crate) fn new(next: Position, last_time: Millis, idempotency_window: Millis) -> Self {
        Self { next, last_time, keys: Keys::new(idempotency_window), in_flight: HashMap::new() }
    }

    /// Goes on from here after the stored entries were recalled.
    pub(crate) fn resume(&mut self, next: Position, last_time: Millis) {
        (self.next, self.last_time) = (next, last_time);
    }

    /// The position that the next entry gets.
    pub(crate) fn next(&self) -> Position {
        self.next
    }

    /// Recalls the idempotency key of a stored batch. They come in the order of the log.
    pub(crate) fn recall(&mut self, used: &KeyUse) {
        for position in &used.positions {
            self.keys.add(&used.topic, &used.key, used.fingerprint, (*position, used.time));
        }
    }

    /// Places a batch after everything placed before.
    pub(crate) fn place(
        &mut self,
        batch: Batch,
        options: AppendOptions,
        now: Millis,
        log: (&Topics, &Epochs),
    ) -> Result<Sequenced, AppendError> {
        batch.check_fields()?;
        let topic = batch.events()[0].topic.clone();
        let time = now.max(self.last_time);
        let keyed = options.key.map(|key| (key, batch.fingerprint()));
        let longest = keyed.as_ref().map_or(0, |(key, _)| key.key.len().max(key.scope.len()));
        if longest > MAX_FIELD_BYTES {
            return Err(AppendError::FieldTooLong { field: "idempotency key" });
        }
        if let Some((key, fingerprint)) = &keyed
            && let Some(used) = self.keys.get(&topic, key, time)
        {
            let same = used.fingerprint == *fingerprint;
            return if same {
                Ok(Sequenced::Repeated(used.positions.clone()))
            } else {
                Err(AppendError::KeyReused)
            };
        }
        self.check(&topic, options.expected_last.as_ref(), log)?;
        self.last_time = time;
        let records: Vec<_> = batch
            .into_events()
            .into_iter()
            .map(|event| self.record(event, log.0, keyed.as_ref()))
            .collect();
        if let Some((key, fingerprint)) = keyed {
            for record in &records {
                self.keys.add(&topic, &key, fingerprint, (record.position, record.time));
            }
        }
        Ok(Sequenced::New(records))
    }

    /// The next entry gets this position.
    pub(crate) fn skip_to(&mut self, position: Position) {
        self.next = self.next.max(position);
    }

    /// Goes on after a record that has its place from another log.
    pub(crate) fn place_copy(&mut self, record: &Record) -> Result<(), AppendError> {
        if record.position < self.next {
            let reason = format!("position {} is taken", record.position);
            return Err(AppendError::NotStored { reason });
        }
        self.next = record.position.next();
        self.last_time = record.time.max(self.last_time);
        if let (Some((scope, key)), Some(fingerprint)) =
            (record.fields.key.clone(), record.fields.fingerprint)
        {
            let at = (record.position, record.time);
            self.keys.add(&record.topic, &IdempotencyKey { scope, key }, fingerprint, at);
        }
        Ok(())
    }

    /// Takes a place for an entry that is no event.
    pub(crate) fn take_place(&mut self, now: Millis) -> (Position, Millis) {
        self.last_time = now.max(self.last_time);
        (self.take_position(), self.last_time)
    }

    fn take_position(&mut self) -> Position {
        let position = self.next;
        self.next = position.next();
        position
    }

    /// Everything placed is now in the log.
    pub(crate) fn settled(&mut self) {
        self.in_flight.clear();
    }

    /// What was placed after `end` may never be in the log; its positions stay taken.
    pub(crate) fn failed(&mut self, end: Position) {
        self.in_flight.clear();
        self.keys.forget_after(end);
    }

    fn check(
        &self,
        topic: &Topic,
        expected: Option<&ExpectedLast>,
        (topics, epochs): (&Topics, &Epochs),
    ) -> Result<(), AppendError> {
        let Some(expected) = expected else { return Ok(()) };
        let state = topics.get(topic);
        let last = self.in_flight.get(topic).copied().unwrap_or(state.last);
        let last = last_id(epochs, last, state.hidden);
        let met = match expected {
            ExpectedLast::None => last.is_none(),
            ExpectedLast::Id(id) => last.as_ref() == Some(id),
        };
        if met { Ok(()) } else { Err(AppendError::Condition { last }) }
    }

    fn record(
        &mut self,
        event: NewEvent,
        topics: &Topics,
        keyed: Option<&(IdempotencyKey, [u8; 16])>,
    ) -> Arc<Record> {
        let position = self.take_position();
        let prev = self
            .in_flight
            .insert(event.topic.clone(), position)
            .unwrap_or_else(|| topics.get(&event.topic).last);
        let fields = Fields {
            by: event.by,
            source_id: event.source_id,
            expires: event.expires,
            key: keyed.map(|(key, _)| (key.scope.clone(), key.key.clone())),
            fingerprint: keyed.map(|(_, fingerprint)| *fingerprint),
            ..Fields::default()
        };
        let NewEvent { topic, event, data, .. } = event;
        Arc::new(Record { position, time: self.last_time, prev, topic, event, data, fields })
    }
}
