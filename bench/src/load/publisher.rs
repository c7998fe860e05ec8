//! One publisher: a connection that stays, with one request at a time.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use anyhow::bail;
use memchr::memmem;

use super::wire::Wire;

pub(crate) struct Publisher {
    wire: Wire,
    at: SocketAddr,
    /// Its last request is not answered yet.
    pub(crate) waits: bool,
    /// Events that it sent.
    pub(crate) count: u64,
    received: Vec<u8>,
    request: Vec<u8>,
}

impl Publisher {
    pub(super) fn new(wire: Wire, at: SocketAddr) -> Self {
        let (received, request) = (Vec::new(), Vec::new());
        Self { wire, at, waits: false, count: 0, received, request }
    }

    pub(super) fn send(&mut self, path: &str, data: &[u8]) -> io::Result<()> {
        debug_assert!(!self.waits, "one at a time");
        self.waits = true;
        self.request.clear();
        let (at, length) = (self.at, data.len());
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        self.request.extend_from_slice(data);
        self.wire.send(&self.request)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            match self.wire.read(buffer) {
                Ok(0) => bail!("a publisher's connection ended"),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let Some(head) = memmem::find(&self.received, b"\r\n\r\n") else { return Ok(()) };
        let text = String::from_utf8_lossy(&self.received[..head]).to_ascii_lowercase();
        if !text.starts_with("http/1.1 20") {
            bail!("a publisher was answered {:?}", String::from_utf8_lossy(&self.received));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if self.received.len() >= head + 4 + length {
            self.received.clear();
            self.waits = false;
        }
        Ok(())
    }
}
