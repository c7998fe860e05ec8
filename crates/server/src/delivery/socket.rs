//! A detached socket, with or without TLS. It is only ever written to: what a client sends after its request
//! stays where it is, and its end is told by readiness.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use bytes::Bytes;
use mio::{Interest, Registry, Token};
use rustls::ServerConnection;

use super::encode::drop_front;

/// Written with one call at most.
const MOST_PARTS: usize = 16;
/// Plain text that TLS takes at a time; what a socket does not take of it is held.
const TLS_PIECE: usize = 16 << 10;
/// Of what a client sent and nobody read, so much is thrown away at the end: else the system would break
/// the connection off, and what was sent last would be lost.
const THROWN_AWAY: usize = 64 << 10;

/// Where a stream goes.
pub(crate) enum Socket {
    Plain(mio::net::TcpStream),
    // Boxed, as it is much larger.
    Tls(Box<(mio::net::TcpStream, ServerConnection)>),
}

impl Socket {
    /// Takes a socket that does not block.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Plain(mio::net::TcpStream::from_std(stream))
    }

    /// With its TLS session, whose handshake is over.
    pub(crate) fn tls(stream: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(TLS_PIECE));
        Self::Tls(Box::new((mio::net::TcpStream::from_std(stream), session)))
    }

    fn stream(&mut self) -> &mut mio::net::TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.0,
        }
    }

    pub(super) fn register(&mut self, with: &Registry, token: Token) -> io::Result<()> {
        with.register(self.stream(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// What went wrong, if anything.
    pub(super) fn error(&mut self) -> Option<io::Error> {
        self.stream().take_error().ok().flatten()
    }

    pub(super) fn peer(&mut self) -> Option<std::net::SocketAddr> {
        self.stream().peer_addr().ok()
    }

    /// Writes what there is room for; 0 if there is none.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => unless_full(|| stream.write(bytes)),
            Self::Tls(tls) => {
                let mut written = 0;
                while send_tls(tls)?.all && written < bytes.len() {
                    written += tls.1.writer().write(&bytes[written..])?;
                }
                Ok(written)
            }
        }
    }

    /// Writes what there is room for, from the front, and what is held.
    pub(super) fn write_all(&mut self, parts: &mut VecDeque<Bytes>) -> io::Result<Written> {
        let mut outcome = match self {
            Self::Plain(_) => Written { all: true, some: false },
            Self::Tls(tls) => send_tls(tls)?,
        };
        while outcome.all && !parts.is_empty() {
            let written = self.write_front(parts)?;
            drop_front(parts, written);
            outcome.some |= written > 0;
            outcome.all = written > 0;
        }
        outcome.all &= !self.is_holding();
        Ok(outcome)
    }

    /// None of the parts is empty.
    fn write_front(&mut self, parts: &VecDeque<Bytes>) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                let mut slices = [IoSlice::new(&[]); MOST_PARTS];
                let count = parts.len().min(MOST_PARTS);
                for (slice, part) in slices.iter_mut().zip(parts) {
                    *slice = IoSlice::new(part);
                }
                unless_full(|| stream.write_vectored(&slices[..count]))
            }
            Self::Tls(_) => match parts.front() {
                Some(front) => self.write(front),
                None => Ok(0),
            },
        }
    }

    /// Whether TLS holds what the socket did not take.
    pub(super) fn is_holding(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.1.wants_write())
    }

    /// Says that nothing more comes. Everything was written.
    pub(super) fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.1.send_close_notify();
            let _ = send_tls(tls);
        }
        let stream = self.stream();
        let _ = stream.shutdown(Shutdown::Write);
        let mut unread = [0; 4096];
        for _ in 0..THROWN_AWAY / unread.len() {
            if !matches!(stream.read(&mut unread), Ok(1..)) {
                break;
            }
        }
    }
}

/// What became of what was to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) all: bool,
    pub(super) some: bool,
}

/// What TLS holds.
fn send_tls(
    (stream, session): &mut (mio::net::TcpStream, ServerConnection),
) -> io::Result<Written> {
    let mut some = false;
    while session.wants_write() {
        if unless_full(|| session.write_tls(stream))? == 0 {
            return Ok(Written { all: false, some });
        }
        some = true;
    }
    Ok(Written { all: true, some })
}

fn unless_full(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}
