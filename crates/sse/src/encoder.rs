//! Events → bytes. Owns the shape of a frame. It never writes a frame that would decode to
//! anything but what it was given.

use std::fmt::Write as _;

/// One event to be written as a `text/event-stream` block.
///
/// The lines come in the order `topic`, `id`, `event`, `data`, so that a frame's bytes after its
/// `topic:` line are the frame of the same event without it.
///
/// ```
/// use eventwall_sse::Frame;
/// let mut out = String::new();
/// let frame = Frame { topic: Some("news"), id: Some("k3-1"), event: None, data: "a\nb" };
/// let topic_line = frame.encode(&mut out).unwrap();
/// assert_eq!(out, "topic: news\nid: k3-1\ndata: a\ndata: b\n\n");
/// assert_eq!(&out[topic_line..], "id: k3-1\ndata: a\ndata: b\n\n");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame<'a> {
    /// The topic, a field that EventSource ignores.
    pub topic: Option<&'a str>,
    /// The event id; the empty string resets the client's last event id.
    pub id: Option<&'a str>,
    /// The event's type; `None` or empty is `message`.
    pub event: Option<&'a str>,
    /// The data. CR LF, CR and LF all end a line and all arrive as LF, the only line end
    /// that the format can carry.
    pub data: &'a str,
}

/// A value that a frame cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A line end inside a single-line field would begin a new field.
    #[error("the {field} of an event cannot contain a line break; remove it")]
    LineBreak {
        /// The field's name.
        field: &'static str,
    },
    /// A client ignores an id with U+0000, which would silently break its resume.
    #[error("an event id cannot contain U+0000; remove it")]
    NulInId,
}

impl Frame<'_> {
    /// Appends the frame to `out` and returns the length in bytes of its `topic:` line (0
    /// without one).
    ///
    /// # Errors
    /// If a single-line field holds a line break or the id a U+0000; then `out` is
    /// unchanged.
    pub fn encode(&self, out: &mut String) -> Result<usize, FrameError> {
        self.check()?;
        out.reserve(self.data.len() + 64);
        let start = out.len();
        push_field(out, "topic", self.topic);
        let topic_line = out.len() - start;
        push_field(out, "id", self.id);
        push_field(out, "event", self.event.filter(|event| !event.is_empty()));
        push_data(out, self.data);
        out.push('\n');
        Ok(topic_line)
    }

    fn check(&self) -> Result<(), FrameError> {
        for (field, value) in [("topic", self.topic), ("id", self.id), ("name", self.event)] {
            if value.is_some_and(|value| value.bytes().any(|byte| matches!(byte, b'\r' | b'\n'))) {
                return Err(FrameError::LineBreak { field });
            }
        }
        if self.id.is_some_and(|id| id.contains('\0')) {
            return Err(FrameError::NulInId);
        }
        Ok(())
    }
}

/// Appends a `retry:` block: the reconnection time in milliseconds. A block of its own, as
/// some clients drop a `retry` that shares a block with data.
pub fn encode_retry(out: &mut String, milliseconds: u64) {
    let _ = write!(out, "retry: {milliseconds}\n\n");
}

/// Appends a comment, one line for each line of `text`, and a blank line.
pub fn encode_comment(out: &mut String, text: &str) {
    for line in lines(text) {
        out.push_str(": ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
}

fn push_field(out: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    // Always with the space: a client removes exactly one, so a value that begins with
    // one keeps it.
    for part in [name, ": ", value, "\n"] {
        out.push_str(part);
    }
}

fn push_data(out: &mut String, data: &str) {
    for line in lines(data) {
        push_field(out, "data", Some(line));
    }
}

/// The lines of `text` by the format's three line ends; always at least one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\r', b'\n', text.as_bytes()) else { return rest.take() };
        let after = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..end])
    })
}
