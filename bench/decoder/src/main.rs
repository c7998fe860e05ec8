//! Decoders of `text/event-stream` side by side: MiB/s on small events in chunks as the network brings them,
//! and on large events in tiny chunks, where whatever is looked at twice is looked at a hundred times.
//! `cargo run --release -p eventwall-bench-decoder`

use std::{
    convert::Infallible,
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};

/// Of each decoder and case, in turns.
const ROUNDS: usize = 9;
const AT_LEAST: Duration = Duration::from_millis(150);

/// A stream, and how it is cut.
struct Case {
    name: &'static str,
    chunks: Vec<Bytes>,
    bytes: usize,
    events: usize,
}

/// Decodes all chunks; answers how many events there were.
type Decode = fn(&[Bytes]) -> usize;

const DECODERS: [(&str, Decode); 4] = [
    ("eventwall-sse", eventwall),
    ("sse-core", core),
    ("sse-parse", parse),
    ("sse-stream", stream),
];

fn eventwall(chunks: &[Bytes]) -> usize {
    let (mut decoder, mut count) = (eventwall_sse::Decoder::new(), 0);
    for chunk in chunks {
        decoder.feed(chunk, |item| {
            if let eventwall_sse::Item::Event(event) = item {
                count += 1;
                black_box(event);
            }
        });
    }
    count
}

fn core(chunks: &[Bytes]) -> usize {
    let (mut decoder, mut count) = (sse_core::SseDecoder::new(), 0);
    for chunk in chunks {
        let mut chunk = chunk.clone();
        while let Some(event) = decoder.next(&mut chunk) {
            count += usize::from(matches!(event, Ok(sse_core::SseEvent::Message(_))));
            let _ = black_box(event);
        }
    }
    count
}

fn parse(chunks: &[Bytes]) -> usize {
    let (mut decoder, mut count) = (sse_parse::SseParser::new(), 0);
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event() {
            count += 1;
            black_box(event);
        }
    }
    count
}

fn stream(chunks: &[Bytes]) -> usize {
    let body = stream::iter(chunks.iter().cloned().map(Ok::<_, Infallible>));
    let mut events = sse_stream::SseStream::from_bytes_stream(body);
    let mut count = 0;
    while let Some(Some(Ok(event))) = events.next().now_or_never() {
        count += 1;
        black_box(event);
    }
    count
}

/// About a MiB of events with data of this size, in chunks of that size.
fn case(name: &'static str, data: usize, chunk: usize) -> Case {
    let (mut text, mut events) = (String::new(), 0);
    while text.len() < 1 << 20 {
        events += 1;
        let _ =
            write!(text, "id: k3x9v0qa-{events:06}\nevent: status\ndata: {}\n\n", "x".repeat(data));
    }
    let whole = Bytes::from(text);
    let cut = |at: usize| whole.slice(at..whole.len().min(at + chunk));
    let chunks = (0..whole.len()).step_by(chunk).map(cut).collect();
    Case { name, chunks, bytes: whole.len(), events }
}

/// MiB/s.
fn speed(decode: Decode, case: &Case) -> f64 {
    let (began, mut runs) = (Instant::now(), 0);
    while began.elapsed() < AT_LEAST {
        let events = decode(black_box(&case.chunks));
        assert_eq!(events, case.events, "a decoder loses events");
        runs += 1;
    }
    f64::from(runs) * case.bytes as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20)
}

fn main() {
    let cases = [
        case("170-byte events in 1,460-byte chunks", 122, 1460),
        case("4 KB events in 10-byte chunks", 4096, 10),
        case("64 KB events in 1,460-byte chunks", 65_536, 1460),
        case("20-byte data in one chunk", 20, 1 << 20),
    ];
    println!("| MiB/s, median of {ROUNDS} | {} |", DECODERS.map(|(name, _)| name).join(" | "));
    println!("|---|{}", "---:|".repeat(DECODERS.len()));
    for case in &cases {
        let mut speeds = DECODERS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (of, (_, decode)) in speeds.iter_mut().zip(DECODERS) {
                of.push(speed(decode, case));
            }
        }
        let medians = speeds.map(|mut of| {
            of.sort_unstable_by(f64::total_cmp);
            format!("{:.0}", of[ROUNDS / 2])
        });
        println!("| {} | {} |", case.name, medians.join(" | "));
    }
}
