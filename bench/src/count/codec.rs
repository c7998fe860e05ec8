//! The codec by itself: this program runs itself under callgrind, with few events and with many, so that
//! what it needs to start is not counted.

use std::{hint::black_box, process::Command};

use clap::ValueEnum;
use eventwall_sse::{Decoder, Frame};

use super::callgrind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    DecodeSmall,
    DecodeTinyChunks,
    Encode,
}

const FEW: usize = 100;
const MANY: usize = 1100;

impl Codec {
    pub(super) fn count(self) -> anyhow::Result<f64> {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        let name = name.unwrap_or_default();
        let run = |events: usize| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["work", &name, &events.to_string()]);
            callgrind::count(&command)
        };
        Ok((run(MANY)? - run(FEW)?) / (MANY - FEW) as f64)
    }

    /// Does the work that is counted.
    pub(crate) fn work(self, events: usize) {
        match self {
            Self::DecodeSmall => decode(events, 122, 1460),
            Self::DecodeTinyChunks => decode(events, 4096, 10),
            Self::Encode => encode(events),
        }
    }
}

fn decode(events: usize, data: usize, chunk: usize) {
    // Always the same bytes: what is counted is the decoder, not who makes them.
    let text = format!("id: k3x9v0qa-000001\nevent: status\ndata: {}\n\n", "x".repeat(data));
    let (mut decoder, mut left) = (Decoder::new(), events * text.len());
    let bytes = text.repeat(chunk.div_ceil(text.len()) + 1);
    let mut at = 0;
    while left > 0 {
        let len = chunk.min(left);
        decoder.feed(black_box(&bytes.as_bytes()[at..at + len]), |item| drop(black_box(item)));
        (at, left) = ((at + len) % text.len(), left - len);
    }
}

fn encode(events: usize) {
    let (mut out, data) = (String::new(), "x".repeat(122));
    for _ in 0..events {
        out.clear();
        let frame = Frame {
            id: Some("k3x9v0qa-000001"),
            event: Some("status"),
            data: black_box(&data),
            ..Frame::default()
        };
        black_box(frame.encode(&mut out)).ok();
    }
}
