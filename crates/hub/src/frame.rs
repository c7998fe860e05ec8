//! An event in its bytes. Framed once, when it enters the window or a catch-up buffer; every
//! subscriber shares the bytes.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use eventwall_log::{EventId, Millis, Position, Record, Topic};
use eventwall_sse::Frame;
use serde::Serialize;

use crate::Ephemeral;

/// Which of an event's frames a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// With the `topic:` line: for whoever follows more than one exact topic.
    pub topic_line: bool,
    /// `data` is the event as a JSON object.
    pub json: bool,
}

/// An event with its frames.
#[derive(Debug)]
pub struct Framed {
    record: Arc<Record>,
    id: EventId,
    plain: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl Framed {
    pub(crate) fn new(record: Arc<Record>, id: EventId) -> Arc<Self> {
        Arc::new(Self { record, id, plain: OnceLock::new(), json: OnceLock::new() })
    }

    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.record.position
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.record.topic
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// What the log keeps of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its frame, shared by all who ask for the same form.
    #[must_use]
    pub fn bytes(&self, form: Form) -> Bytes {
        let cell = if form.json { &self.json } else { &self.plain };
        let whole = cell.get_or_init(|| self.encode(form.json));
        whole.slice(if form.topic_line { 0 } else { self.topic_line_len() }..)
    }

    /// The event as the object that pages and `?as=json` show.
    #[must_use]
    pub fn to_json(&self) -> impl Serialize + '_ {
        let record = &*self.record;
        EventJson {
            id: self.id.to_string(),
            topic: record.topic.as_str(),
            event: record.event.as_deref().unwrap_or("message"),
            time: rfc3339(record.time),
            by: record.fields.by.as_deref(),
            data: &record.data,
        }
    }

    pub(crate) fn cost(&self) -> usize {
        // The record's data, and two frames of about the same size.
        3 * self.record.cost()
    }

    fn topic_line_len(&self) -> usize {
        "topic: \n".len() + self.record.topic.as_str().len()
    }

    fn encode(&self, json: bool) -> Bytes {
        let object = json.then(|| serde_json::to_string(&self.to_json()).unwrap_or_default());
        let frame = Frame {
            topic: Some(self.record.topic.as_str()),
            id: Some(&self.id.to_string()),
            event: self.record.event.as_deref(),
            data: object.as_deref().unwrap_or(&self.record.data),
        };
        let mut out = String::new();
        if let Err(error) = frame.encode(&mut out) {
            // Names are checked before they reach the log; one that got in by another way
            // must not break the stream of others.
            tracing::error!(id = %self.id, %error, "an event cannot be framed and is not shown");
            out.clear();
        }
        if out.is_empty() { Bytes::from("\n".repeat(self.topic_line_len())) } else { out.into() }
    }
}

/// The frame of an event that has no place in the log, and so no id.
pub(crate) fn ephemeral_bytes(event: &Ephemeral, form: Form) -> Bytes {
    let json = form.json.then(|| {
        serde_json::json!({
            "topic": event.topic.as_str(),
            "event": event.event.as_deref().unwrap_or("message"),
            "data": event.data,
        })
        .to_string()
    });
    let frame = Frame {
        topic: form.topic_line.then(|| event.topic.as_str()),
        id: None,
        event: event.event.as_deref(),
        data: json.as_deref().unwrap_or(&event.data),
    };
    let mut out = String::new();
    if let Err(error) = frame.encode(&mut out) {
        tracing::error!(topic = %event.topic, %error, "an ephemeral event cannot be framed");
    }
    out.into()
}

#[derive(Serialize)]
struct EventJson<'a> {
    id: String,
    topic: &'a str,
    event: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    data: &'a str,
}

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(time: Millis) -> String {
    // Beyond the year 9999 there is no such text; no clock of ours gets there.
    const LAST: Millis = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(time.min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}
