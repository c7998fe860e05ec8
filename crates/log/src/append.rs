//! What goes into an append and what comes out.

use sha2::{Digest, Sha256};

use crate::{EventId, Millis, Position, Topic};

/// Bytes that an event's name, publisher, source id and key may each have.
pub const MAX_FIELD_BYTES: usize = 1024;

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its topic.
    pub topic: Topic,
    /// Its name, if it has one.
    pub event: Option<Box<str>>,
    /// Its data.
    pub data: Box<str>,
    /// The publisher's subject, set by the hub only.
    pub by: Option<Box<str>>,
    /// The id it had at its source.
    pub source_id: Option<Box<str>>,
    /// When it may be dropped.
    pub expires: Option<Millis>,
}

impl NewEvent {
    /// An unnamed event of nobody in particular.
    pub fn new(topic: Topic, data: impl Into<Box<str>>) -> Self {
        let data = data.into();
        Self { topic, event: None, data, by: None, source_id: None, expires: None }
    }

    /// The same event with a name.
    #[must_use]
    pub fn named(self, event: impl Into<Box<str>>) -> Self {
        Self { event: Some(event.into()), ..self }
    }
}

/// Events that are appended together: all of them or none, next to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch(Vec<NewEvent>);

impl Batch {
    /// A batch of at least one event; `None` if there is none.
    #[must_use]
    pub fn new(events: Vec<NewEvent>) -> Option<Self> {
        (!events.is_empty()).then_some(Self(events))
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[NewEvent] {
        &self.0
    }

    /// Gives the events out.
    #[must_use]
    pub fn into_events(self) -> Vec<NewEvent> {
        self.0
    }

    /// Roughly the memory that it takes, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let cost = |event: &NewEvent| {
            size_of::<NewEvent>()
                + event.data.len()
                + text(&event.event)
                + text(&event.by)
                + text(&event.source_id)
        };
        self.0.iter().map(cost).sum()
    }

    /// Refuses fields that would make memory bounds meaningless.
    ///
    /// # Errors
    /// Naming the field.
    pub fn check_fields(&self) -> Result<(), AppendError> {
        for event in &self.0 {
            for (field, value) in
                [("name", &event.event), ("by", &event.by), ("source id", &event.source_id)]
            {
                if value.as_ref().is_some_and(|value| value.len() > MAX_FIELD_BYTES) {
                    return Err(AppendError::FieldTooLong { field });
                }
            }
        }
        Ok(())
    }

    /// A digest of what is published: two batches with one idempotency key must have the
    /// same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut digest = Sha256::new();
        for event in &self.0 {
            for text in [event.topic.as_str(), event.event.as_deref().unwrap_or(""), &event.data] {
                digest.update((text.len() as u64).to_le_bytes());
                digest.update(text.as_bytes());
            }
        }
        let mut short = [0; 16];
        short.copy_from_slice(&digest.finalize()[..16]);
        short
    }
}

impl From<NewEvent> for Batch {
    fn from(event: NewEvent) -> Self {
        Self(vec![event])
    }
}

/// Conditions of an append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// A repeat of the key within the idempotency window appends nothing.
    pub key: Option<IdempotencyKey>,
    /// What must be the last event of the batch's first topic, events still in flight
    /// counted.
    pub expected_last: Option<ExpectedLast>,
}

/// An idempotency key, scoped to its publisher. Its topic scopes it too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The publisher's subject; empty for the anonymous.
    pub scope: Box<str>,
    /// The key.
    pub key: Box<str>,
}

/// What the last event of a topic must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedLast {
    /// The topic has never had an event, or none is left.
    None,
    /// This event.
    Id(EventId),
}

/// An acknowledged append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The ids of the batch's events, in order.
    pub ids: Vec<EventId>,
    /// The key had been used: these are the ids of then, and nothing was appended now.
    pub repeated: bool,
}

impl Appended {
    /// The position of its last event.
    #[must_use]
    pub fn last(&self) -> Position {
        self.ids.last().map_or(Position::START, |id| id.position)
    }
}

/// Why an append failed. Unless it says otherwise, nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic's last event is another one.
    #[error("the topic's last event is {}", .last.as_ref().map_or("none".into(), ToString::to_string))]
    Condition {
        /// The last event there is.
        last: Option<EventId>,
    },
    /// The key was used with another batch.
    #[error("this Idempotency-Key was used with another body: use a new key for a new event")]
    KeyReused,
    /// A field is longer than a record can hold.
    #[error("the event's {field} is longer than {MAX_FIELD_BYTES} bytes: shorten it")]
    FieldTooLong {
        /// Which one.
        field: &'static str,
    },
    /// It is larger than this log can take.
    #[error(
        "the event is {bytes} bytes large with its fields, and this log takes at most {max}: make it smaller"
    )]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What it may.
        max: usize,
    },
    /// This kind of log cannot do what was asked: see [`Capabilities`](crate::Capabilities).
    #[error("this log cannot {what}")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// The log could not store it.
    #[error("the log could not store the event ({reason}); it is not kept")]
    NotStored {
        /// The cause, in the system's words.
        reason: String,
    },
    /// The log could not store it, and cannot say whether it will be found after a
    /// restart.
    #[error("the log could not store the event ({reason}); it may or may not be kept")]
    OutcomeUnknown {
        /// The cause, in the system's words.
        reason: String,
    },
    /// The log takes no events, for now or, once it is closed, for good.
    #[error("the log takes no events: {reason}")]
    Stopped {
        /// The cause.
        reason: String,
    },
}
