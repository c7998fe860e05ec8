//! Lines → events. Owns the state that the standard keeps per stream: the data, type and
//! id buffers, and the last event id. It never blocks, never fails and never grows past
//! the event size limit.

use crate::lines::{Line, Lines, split_field};

/// Default limit of one event's fields together: 16 MiB.
pub const DEFAULT_MAX_EVENT_SIZE: usize = 16 * 1024 * 1024;

/// Something that the stream said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event was dispatched.
    Event(Event),
    /// A `retry:` line: the reconnection time in milliseconds. Reported when the line is
    /// read, also in a block that yields no event.
    Retry(u64),
    /// A comment line, without its colon. Given out at once, not at the blank line.
    Comment(String),
    /// A block was larger than the limit. It was skipped whole, its id does not count, and
    /// decoding goes on after its blank line.
    Oversized {
        /// The limit that it exceeded, in bytes.
        limit: usize,
    },
}

/// A dispatched event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The event's type; `"message"` when the stream named none.
    pub event: String,
    /// The data: the `data` lines joined by LF.
    pub data: String,
    /// The last event id in force after this event; empty if none is.
    pub last_event_id: String,
    /// The `topic:` field, which stock EventSource ignores.
    pub topic: Option<String>,
}

/// An incremental decoder of one `text/event-stream`, and of the streams that follow it on
/// later connections (see [`Decoder::reconnected`]).
///
/// ```
/// use eventwall_sse::{Decoder, Item};
/// let mut decoder = Decoder::new();
/// let mut items = Vec::new();
/// decoder.feed(b"data: hel", |item| items.push(item));
/// decoder.feed(b"lo\n\n", |item| items.push(item));
/// assert!(matches!(&items[..], [Item::Event(e)] if e.data == "hello" && e.event == "message"));
/// ```
#[derive(Debug)]
pub struct Decoder {
    lines: Lines,
    block: Block,
    last_event_id: String,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes of an event's fields together.
    event: usize,
    /// Bytes of an id.
    id: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with [`DEFAULT_MAX_EVENT_SIZE`] and no last event id.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_event_size(DEFAULT_MAX_EVENT_SIZE)
    }

    /// A decoder that skips any event whose `data`, `event`, `id` and `topic` lines take
    /// more than `limit` bytes together.
    #[must_use]
    pub fn with_max_event_size(limit: usize) -> Self {
        Self {
            lines: Lines::default(),
            block: Block::default(),
            last_event_id: String::new(),
            limits: Limits { event: limit, id: usize::MAX },
        }
    }

    /// An id of more than `limit` bytes counts as none, for events that follow it, too: for who has no use for
    /// such an id, which else would be given out with each of them.
    #[must_use]
    pub fn with_max_id_size(mut self, limit: usize) -> Self {
        self.limits.id = limit;
        self
    }

    /// Presets the last event id, as if a stream had sent it.
    #[must_use]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self.block.id.clone_from(&self.last_event_id);
        self
    }

    /// The id to send as `Last-Event-ID` on a reconnect; when empty, no header is sent.
    /// An id counts from its blank line on, also in a block without data.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Call when the connection has ended: an unfinished line and block are discarded,
    /// with their id, and the next bytes begin a new stream. The last event id stays.
    pub fn reconnected(&mut self) {
        self.lines = Lines::default();
        self.block = Block { id: self.last_event_id.clone(), ..Block::default() };
    }

    /// Bytes that it holds of what is not finished yet.
    #[must_use]
    pub fn held(&self) -> usize {
        let Block { data, event, topic, id, .. } = &self.block;
        let topic = topic.as_ref().map_or(0, String::len);
        self.lines.held() + data.len() + event.len() + topic + id.len()
    }

    /// Decodes the next bytes and gives `sink` each item as soon as it is complete.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(Item)) {
        let Self { lines, block, last_event_id, limits } = self;
        lines.feed(chunk, limits.event, |line| {
            block.line(&line, *limits, last_event_id, &mut sink);
        });
    }
}

/// The buffers of the block being read.
#[derive(Debug, Default)]
struct Block {
    data: String,
    event: String,
    topic: Option<String>,
    /// The "last event ID buffer" of the standard: it outlives the block.
    id: String,
    /// Bytes of the fields so far, against the limit.
    size: usize,
    oversized: bool,
}

impl Block {
    fn line(
        &mut self,
        line: &Line<'_>,
        limits: Limits,
        last: &mut String,
        sink: &mut impl FnMut(Item),
    ) {
        match line {
            Line::Whole([]) => self.dispatch(limits.event, last, sink),
            Line::Whole([b':', comment @ ..]) => sink(Item::Comment(lossy(comment))),
            Line::Whole(line) => self.field(line, limits, sink),
            Line::Cut(start) => self.oversized |= is_kept(split_field(start).0),
        }
    }

    fn field(&mut self, line: &[u8], limits: Limits, sink: &mut impl FnMut(Item)) {
        let (name, value) = split_field(line);
        if is_kept(name) {
            self.size = self.size.saturating_add(line.len());
            self.oversized |= self.size > limits.event;
        }
        match name {
            b"retry" => {
                if let Some(ms) = parse_retry(value) {
                    sink(Item::Retry(ms));
                }
            }
            _ if self.oversized => self.data = String::new(),
            b"data" => {
                let len = value.len() + 1;
                if self.data.is_empty() {
                    // Most events have one line: it is not grown to.
                    self.data = String::with_capacity(len);
                } else {
                    self.data.reserve(len);
                }
                push_lossy(&mut self.data, value);
                self.data.push('\n');
            }
            b"event" => self.event = lossy(value),
            b"topic" => self.topic = Some(lossy(value)),
            b"id" if memchr::memchr(0, value).is_none() => {
                self.id.clear();
                if value.len() <= limits.id {
                    push_lossy(&mut self.id, value);
                }
            }
            _ => {}
        }
    }

    /// The blank line.
    fn dispatch(&mut self, limit: usize, last: &mut String, sink: &mut impl FnMut(Item)) {
        let (mut data, event) = (std::mem::take(&mut self.data), std::mem::take(&mut self.event));
        let topic = self.topic.take();
        self.size = 0;
        if std::mem::take(&mut self.oversized) {
            self.id.clone_from(last);
            return sink(Item::Oversized { limit });
        }
        last.clone_from(&self.id);
        if data.pop().is_none() {
            return;
        }
        let event = if event.is_empty() { "message".into() } else { event };
        sink(Item::Event(Event { event, data, last_event_id: last.clone(), topic }));
    }
}

/// Fields whose values are kept until the blank line, and so count against the limit.
fn is_kept(name: &[u8]) -> bool {
    matches!(name, b"data" | b"event" | b"id" | b"topic")
}

/// ASCII digits only, as the standard says: no sign, no space, no unit. Values beyond
/// `u64` are ignored.
fn parse_retry(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The stream is UTF-8 whatever it says of itself; what is not becomes U+FFFD. No line end
/// can be part of a multi-byte character, so decoding line by line equals decoding the
/// stream.
fn lossy(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

fn push_lossy(to: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => to.push_str(text),
        Err(_) => to.push_str(&String::from_utf8_lossy(bytes)),
    }
}
