//! The byte vectors of `vectors/decoder.json`, in one piece and cut in every way that
//! has found bugs in decoders.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use eventwall_sse::{Decoder, Item};
use serde::Deserialize;
use support::{Outcome, feed_in};

#[derive(Deserialize)]
struct Suite {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    rule: String,
    name: String,
    input: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    then: Vec<String>,
    events: Vec<Expected>,
    retry: Vec<u64>,
    comments: Vec<String>,
    last_event_id: String,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Expected {
    event: String,
    data: String,
    last_event_id: String,
}

fn load() -> Vec<Vector> {
    let suite: Suite = serde_json::from_str(include_str!("../vectors/decoder.json")).unwrap();
    assert!(suite.vectors.len() > 50, "the vector file lost its vectors");
    suite.vectors
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn run(vector: &Vector, chunk: usize) -> Outcome {
    let mut decoder = Decoder::new();
    let first = match (&vector.input, &vector.hex) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, hex) => unhex(hex.as_deref().unwrap()),
    };
    let mut outcome = Outcome::default();
    feed_in(&mut decoder, &first, chunk, &mut outcome);
    for next in &vector.then {
        decoder.reconnected();
        feed_in(&mut decoder, next.as_bytes(), chunk, &mut outcome);
    }
    outcome.last_event_id = decoder.last_event_id().to_owned();
    outcome
}

#[test]
fn every_vector_in_any_chunking() {
    for vector in load() {
        for chunk in [1, 2, 3, 5, 7, usize::MAX] {
            let got = run(&vector, chunk);
            let at = format!("{} {} in chunks of {chunk}", vector.rule, vector.name);
            let events: Vec<_> = got
                .events
                .iter()
                .map(|e| Expected {
                    event: e.event.clone(),
                    data: e.data.clone(),
                    last_event_id: e.last_event_id.clone(),
                })
                .collect();
            assert_eq!(events, vector.events, "{at}");
            assert_eq!(got.retry, vector.retry, "{at}");
            assert_eq!(got.comments, vector.comments, "{at}");
            assert_eq!(got.last_event_id, vector.last_event_id, "{at}");
        }
    }
}

#[test]
fn the_topic_belongs_to_its_block_only() {
    let mut topics = Vec::new();
    Decoder::new().feed(b"topic: a/b\ndata: x\n\ndata: y\n\n", |item| {
        if let Item::Event(event) = item {
            topics.push(event.topic);
        }
    });
    assert_eq!(topics, [Some("a/b".to_owned()), None]);
}

#[test]
fn a_preset_id_is_in_force_until_replaced() {
    let mut decoder = Decoder::new().with_last_event_id("p");
    let mut ids = Vec::new();
    decoder.feed(b"data:a\n\nid:q\ndata:b\n\n", |item| {
        if let Item::Event(event) = item {
            ids.push(event.last_event_id);
        }
    });
    assert_eq!(ids, ["p", "q"]);
}

#[test]
fn an_id_that_is_too_long_counts_as_none() {
    let mut decoder = Decoder::new().with_max_id_size(3);
    let mut ids = Vec::new();
    decoder.feed(b"id: abc\ndata\n\nid: abcd\ndata\n\ndata\n\nid: x\ndata\n\n", |item| {
        if let Item::Event(event) = item {
            ids.push(event.last_event_id);
        }
    });
    assert_eq!(ids, ["abc", "", "", "x"]);
    decoder.feed(&[&b"event: "[..], &[b'e'; 5000], b"\n"].concat(), |_| {});
    assert!(decoder.held() >= 5000, "what is held of other fields is told, too");
}
