//! Properties that hold for every input: chunking does not matter, a plain reading of the
//! standard agrees, and what is encoded is what is decoded.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use eventwall_sse::{Decoder, Frame, FrameError};
use proptest::prelude::*;
use support::{Outcome, decode, feed_in, reference};

/// Streams made of the pieces in which decoders differ.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()), 2 => Just(b"\r".to_vec()), 2 => Just(b"\r\n".to_vec()),
        4 => Just(b"data".to_vec()), 2 => Just(b"id".to_vec()), 2 => Just(b"event".to_vec()),
        2 => Just(b"retry".to_vec()), 1 => Just(b"topic".to_vec()), 4 => Just(b":".to_vec()),
        2 => Just(b" ".to_vec()), 1 => Just(b"\0".to_vec()), 1 => Just(b"\xEF\xBB\xBF".to_vec()),
        1 => Just(b"\xEF".to_vec()), 1 => Just(b"\xBB".to_vec()), 1 => Just(b"12".to_vec()),
        2 => "[a-z…😀]{0,6}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut chunks) = (bytes, Vec::new());
    for size in sizes {
        let (chunk, tail) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_chunking_agrees_with_the_reference(
        bytes in stream(), sizes in proptest::collection::vec(0usize..9, 0..80)
    ) {
        prop_assert_eq!(decode(Decoder::new(), &cut(&bytes, &sizes)), reference(&bytes));
    }

    #[test]
    fn any_chunking_meets_the_limit_alike(
        bytes in stream(), sizes in proptest::collection::vec(0usize..9, 0..80), limit in 1usize..24
    ) {
        let whole = decode(Decoder::with_max_event_size(limit), &[&bytes]);
        let cut = decode(Decoder::with_max_event_size(limit), &cut(&bytes, &sizes));
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn encode_then_decode_is_the_identity(
        topic in proptest::option::of("[^\r\n]{0,12}"),
        id in proptest::option::of("[^\r\n\0]{0,12}"),
        event in proptest::option::of("[^\r\n]{0,12}"),
        data in "[a\r\n\0:😀\u{FEFF} ]{0,24}",
        sizes in proptest::collection::vec(0usize..5, 0..40),
    ) {
        let mut bytes = String::new();
        let frame = Frame {
            topic: topic.as_deref(), id: id.as_deref(), event: event.as_deref(), data: &data,
        };
        let topic_line = frame.encode(&mut bytes).unwrap();
        for (bytes, topic) in [(&bytes[..], topic), (&bytes[topic_line..], None)] {
            let got = decode(Decoder::new(), &cut(bytes.as_bytes(), &sizes));
            prop_assert_eq!(got.events.len(), 1);
            let got = &got.events[0];
            prop_assert_eq!(&got.topic, &topic);
            prop_assert_eq!(&got.last_event_id, id.as_deref().unwrap_or(""));
            let name = event.as_deref().filter(|name| !name.is_empty()).unwrap_or("message");
            prop_assert_eq!(&got.event, name);
            prop_assert_eq!(&got.data, &data.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }

    #[test]
    fn a_frame_that_cannot_be_written_changes_nothing(
        text in "[a:\0]{0,4}", end in prop_oneof![Just('\r'), Just('\n')], field in 0..3
    ) {
        let bad = format!("{text}{end}data: forged");
        let mut frame = Frame { data: "x", ..Frame::default() };
        *[&mut frame.topic, &mut frame.id, &mut frame.event][field as usize] = Some(&bad);
        let mut out = String::from("before");
        let refused = matches!(frame.encode(&mut out), Err(FrameError::LineBreak { .. }));
        prop_assert!(refused);
        prop_assert_eq!(out, "before");
    }
}

#[test]
fn a_nul_in_an_id_is_refused() {
    let frame = Frame { id: Some("a\0b"), ..Frame::default() };
    assert_eq!(frame.encode(&mut String::new()), Err(FrameError::NulInId));
}

#[test]
fn oversized_blocks_are_skipped_whole_and_the_stream_goes_on() {
    let input = format!("id:1\ndata:a\n\nid:2\ndata:{}\n\ndata:c\n\n", "b".repeat(500));
    for chunk in [1, 3, 64, usize::MAX] {
        let mut decoder = Decoder::with_max_event_size(100);
        let mut got = Outcome::default();
        feed_in(&mut decoder, input.as_bytes(), chunk, &mut got);
        let seen: Vec<_> = got.events.iter().map(|e| (&e.data[..], &e.last_event_id[..])).collect();
        assert_eq!(seen, [("a", "1"), ("c", "1")]);
        assert_eq!((got.oversized, decoder.last_event_id()), (1, "1"));
    }
}

#[test]
fn many_small_data_lines_meet_the_limit_too() {
    let mut decoder = Decoder::with_max_event_size(100);
    let mut got = Outcome::default();
    feed_in(&mut decoder, "data:x\n".repeat(50).as_bytes(), 10, &mut got);
    feed_in(&mut decoder, b"\ndata:y\n\n", 10, &mut got);
    assert_eq!((got.events.len(), got.oversized), (1, 1));
}

#[test]
fn long_comments_and_unknown_fields_spoil_nothing() {
    let long = "x".repeat(500);
    let input =
        format!("data:a\n:{long}\nfoo:{long}\nretry:{long}\n\n{}data:b\n\n", ":hb\n".repeat(100));
    let mut got = Outcome::default();
    feed_in(&mut Decoder::with_max_event_size(100), input.as_bytes(), 7, &mut got);
    assert_eq!(got.events.len(), 2);
    assert_eq!(got.oversized, 0);
}

/// Counted in calls and bytes, not seconds: a decoder that re-scanned its buffer would not
/// finish these in any test's time.
#[test]
fn huge_events_in_tiny_chunks() {
    let line = "y".repeat(4 * 1024 * 1024);
    let input = format!("data: {line}\n\n");
    for chunk in [1, 1024, usize::MAX] {
        let mut got = Outcome::default();
        feed_in(&mut Decoder::new(), input.as_bytes(), chunk, &mut got);
        assert_eq!(got.events[0].data.len(), line.len());
    }
}
