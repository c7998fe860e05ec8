//! The record: what the log keeps of an event, in every kind of log the same.

use crate::{Millis, Position, Topic};

/// The longest event name, in bytes.
pub const MAX_EVENT_NAME_BYTES: usize = 256;

/// An event in its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub position: Position,
    /// When the log took it, by the log's clock; never falls along the log.
    pub time: Millis,
    /// The position of its topic's previous event, removed or not; 0 if there was none, or in a
    /// log that is not [`chained`](crate::Capabilities::chained).
    pub prev: Position,
    /// Its topic.
    pub topic: Topic,
    /// Its name; `None` is the unnamed event, which EventSource calls `message`.
    pub event: Option<Box<str>>,
    /// Its data.
    pub data: Box<str>,
    /// What few events have.
    pub fields: Fields,
}

impl Record {
    /// Roughly the memory it takes, in bytes: what budgets and windows count.
    #[must_use]
    pub fn cost(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        size_of::<Self>() + self.data.len() + text(&self.event) + self.fields.cost()
    }
}

impl Fields {
    fn cost(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let key = self.key.as_ref().map_or(0, |(scope, key)| scope.len() + key.len());
        let topics: usize = self.further_topics.iter().map(|topic| topic.len()).sum();
        let unknown: usize = self.unknown.iter().map(|(_, value)| value.len()).sum();
        text(&self.by) + text(&self.source_id) + key + topics + unknown
    }
}

/// Optional fields. A reader keeps the ones it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// The subject of the credential that published it. Only the hub sets it.
    pub by: Option<Box<str>>,
    /// The scope and key of an idempotent publish.
    pub key: Option<(Box<str>, Box<str>)>,
    /// A digest of the batch that was published with the key.
    pub fingerprint: Option<[u8; 16]>,
    /// The id that the event had where it came from.
    pub source_id: Option<Box<str>>,
    /// When it may be dropped.
    pub expires: Option<Millis>,
    /// More topics that it belongs to. This version writes none.
    pub further_topics: Vec<Box<str>>,
    /// Bits that later versions may define.
    pub flags: u16,
    /// Fields of later versions, by tag.
    pub unknown: Vec<(u8, Box<[u8]>)>,
}
