//! Shared by the tests: collects a decoder's items, and a second decoder written as
//! plainly as the standard reads.
#![allow(dead_code)]

use eventwall_sse::{Decoder, Event, Item};

#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Outcome {
    pub events: Vec<Event>,
    pub retry: Vec<u64>,
    pub comments: Vec<String>,
    pub oversized: usize,
    pub last_event_id: String,
}

impl Outcome {
    pub fn add(&mut self, item: Item) {
        match item {
            Item::Event(event) => self.events.push(event),
            Item::Retry(ms) => self.retry.push(ms),
            Item::Comment(text) => self.comments.push(text),
            Item::Oversized { .. } => self.oversized += 1,
        }
    }
}

pub fn feed_in(decoder: &mut Decoder, bytes: &[u8], chunk: usize, outcome: &mut Outcome) {
    for piece in bytes.chunks(chunk.min(bytes.len()).max(1)) {
        decoder.feed(piece, |item| outcome.add(item));
    }
}

pub fn decode(mut decoder: Decoder, chunks: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome::default();
    for chunk in chunks {
        decoder.feed(chunk, |item| outcome.add(item));
    }
    outcome.last_event_id = decoder.last_event_id().to_owned();
    outcome
}

/// The standard's algorithm over the whole stream at once, with no regard for speed: decode
/// to text, normalise the line ends, walk the lines.
pub fn reference(bytes: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text).to_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let mut outcome = Outcome::default();
    let (mut data, mut event, mut id) = (Vec::<&str>::new(), "", String::new());
    let mut topic = None;
    for line in lines {
        if line.is_empty() {
            outcome.last_event_id = id.clone();
            if !data.is_empty() {
                outcome.events.push(Event {
                    event: if event.is_empty() { "message" } else { event }.to_owned(),
                    data: data.join("\n"),
                    last_event_id: id.clone(),
                    topic: topic.take(),
                });
            }
            (data, event, topic) = (Vec::new(), "", None);
        } else if let Some(comment) = line.strip_prefix(':') {
            outcome.comments.push(comment.to_owned());
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "data" => data.push(value),
                "event" => event = value,
                "topic" => topic = Some(value.to_owned()),
                "id" if !value.contains('\0') => id = value.to_owned(),
                "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                    outcome.retry.extend(value.parse::<u64>().ok());
                }
                _ => {}
            }
        }
    }
    outcome
}
