//! One subscriber: a socket, a few bytes that were cut, and what it expects next.

use std::io;

use anyhow::bail;

use super::{Payload, Received, payload::PUBLISHERS, wire::Wire};

pub(crate) struct Subscriber {
    wire: Wire,
    /// Its answer has begun.
    pub(crate) follows: bool,
    pub(crate) events: u64,
    /// Of each publisher, the number of the last event.
    last: [u32; PUBLISHERS],
    cut: Vec<u8>,
}

impl Subscriber {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, follows: false, events: 0, last: [0; PUBLISHERS], cut: Vec::new() }
    }

    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        received: &mut Received,
        now: impl Fn() -> u64,
    ) -> anyhow::Result<()> {
        loop {
            let kept = self.cut.len();
            buffer[..kept].copy_from_slice(&self.cut);
            let count = match self.wire.read(&mut buffer[kept..]) {
                Ok(0) => bail!("a subscriber's stream ended after {} events", self.events),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if !self.follows {
                let head = &buffer[..count.min(15)];
                if !head.starts_with(b"HTTP/1.1 200") {
                    bail!("a subscriber was answered {:?}", String::from_utf8_lossy(head));
                }
                self.follows = true;
            }
            self.take(&buffer[..kept + count], received, now());
            if count < buffer.len() - kept && !self.wire.is_tls() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], received: &mut Received, now: u64) {
        let Self { events, last, .. } = self;
        let kept = Payload::all_of(bytes, |Payload { publisher, number, due }| {
            *events += 1;
            received.events += 1;
            let _ = received.lateness.record(now.saturating_sub(due).max(1));
            received.missing[publisher] = received.missing[publisher].saturating_sub(1);
            let last = &mut last[publisher];
            received.out_of_order += u64::from(number <= u64::from(*last));
            *last = u32::try_from(number).unwrap_or(u32::MAX);
        });
        self.cut.clear();
        self.cut.extend_from_slice(&bytes[bytes.len() - kept..]);
    }
}
