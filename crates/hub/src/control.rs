//! The hub's own frames: tick, gap, live and retry. Their bytes are protocol.

use bytes::Bytes;
use eventwall_log::{Epochs, EventId, Position};
use eventwall_sse::{Frame, encode_retry};
use serde::Serialize;

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// Retention removed them.
    Expired,
    /// The log is not the one, or no longer reaches as far as the one, that gave the id.
    Replaced,
    /// The id makes no sense.
    Unknown,
}

/// Events between two cursors were lost to this subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The cursor that was asked for, as it was given.
    pub after: String,
    /// Where reading goes on.
    pub resumed: String,
    /// Some of the lost events came after what is left from `resumed` on, the last of them
    /// here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// What retention removed of what follows `after`: nothing is left up to `resumed`, and the
    /// last that is gone was at `removed`.
    pub(crate) fn expired(
        epochs: &Epochs,
        after: Position,
        (resumed, removed): (Position, Position),
    ) -> Self {
        let id = |position| epochs.id(position).to_string();
        let through = (removed > resumed).then(|| id(removed));
        Self { after: id(after), resumed: id(resumed), through, reason: GapReason::Expired }
    }
}

pub(crate) fn tick_frame(cursor: &EventId) -> Bytes {
    control("eventwall:tick", cursor, "")
}

pub(crate) fn comment_tick() -> Bytes {
    Bytes::from_static(b": tick\n\n")
}

/// A comment that fills `bytes` bytes (at least 4), for clients and proxies that show nothing
/// until they have had so many.
#[must_use]
pub fn padding_frame(bytes: usize) -> Bytes {
    format!(":{}\n\n", " ".repeat(bytes.saturating_sub(3))).into()
}

pub(crate) fn live_frame(cursor: &EventId) -> Bytes {
    control("eventwall:live", cursor, "")
}

pub(crate) fn gap_frame(gap: &Gap, resumed: &EventId) -> Bytes {
    control("eventwall:gap", resumed, &serde_json::to_string(gap).unwrap_or_default())
}

/// A `retry:` block: reconnect after so many milliseconds.
#[must_use]
pub fn retry_frame(milliseconds: u64) -> Bytes {
    let mut out = String::new();
    encode_retry(&mut out, milliseconds);
    out.into()
}

/// Each has data, if only an empty line of it: an id without data does not move the
/// cursor of every browser.
fn control(event: &str, id: &EventId, data: &str) -> Bytes {
    let frame = Frame { topic: None, id: Some(&id.to_string()), event: Some(event), data };
    let mut out = String::new();
    let encoded = frame.encode(&mut out);
    debug_assert!(encoded.is_ok(), "ids and names of our own have no line breaks");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_protocol() {
        let id: EventId = "k3-7".parse().unwrap();
        assert_eq!(tick_frame(&id), "id: k3-7\nevent: eventwall:tick\ndata: \n\n");
        assert_eq!(live_frame(&id), "id: k3-7\nevent: eventwall:live\ndata: \n\n");
        let mut gap = Gap {
            after: "k3-1".into(),
            resumed: "k3-7".into(),
            through: None,
            reason: GapReason::Expired,
        };
        let data = r#"{"after":"k3-1","resumed":"k3-7","reason":"expired"}"#;
        let expected = format!("id: k3-7\nevent: eventwall:gap\ndata: {data}\n\n");
        assert_eq!(gap_frame(&gap, &id), expected);
        gap.through = Some("k3-9".into());
        let data = r#"{"after":"k3-1","resumed":"k3-7","through":"k3-9","reason":"expired"}"#;
        let expected = format!("id: k3-7\nevent: eventwall:gap\ndata: {data}\n\n");
        assert_eq!(gap_frame(&gap, &id), expected);
        assert_eq!(retry_frame(1500), "retry: 1500\n\n");
        assert_eq!(padding_frame(2048).len(), 2048);
    }
}
