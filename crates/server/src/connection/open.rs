//! The first bytes of a connection: a proxy's header, a TLS handshake, and which HTTP it is. Each has its
//! deadline. Answers nothing.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use super::{
    deadline::{Full, WriteDeadline},
    proxy_protocol::{Parsed, parse},
    rewind::Rewind,
    tls::Tls,
};
use crate::{Limits, Trust};

/// How an HTTP/2 connection without TLS begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// A proxy's header is hardly ever longer.
const SHORT_HEADER: usize = 256;

type Socket = Rewind<WriteDeadline<TcpStream>>;

/// A connection whose first bytes are known.
pub(super) struct Opened {
    pub(super) io: Wire,
    pub(super) speaks: Speaks,
    /// Who is there: the peer, or whom its proxy named by the PROXY protocol.
    pub(super) peer: SocketAddr,
    /// It came through TLS.
    pub(super) tls: bool,
    /// Whether what was answered waits for room.
    pub(super) full: Full,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
    /// HTTP where TLS is due.
    PlainHttp,
}

/// Why a connection did not get as far as that.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It said nothing, or not enough, in time.
    Silent,
    /// The handshake took too long.
    SlowHandshake,
    /// It ended, or what it said made no sense.
    Failed(io::Error),
}

/// Bytes with or without TLS.
pub(super) enum Wire {
    Plain(Socket),
    // Boxed, as it is much larger.
    Tls(Box<TlsStream<Socket>>),
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Who is there, by the header of its proxy if there is one; `first` gets what came with that.
pub(super) async fn client_of(
    stream: &mut TcpStream,
    first: &mut BytesMut,
    peer: SocketAddr,
    (limits, trust): (&Limits, &Trust),
) -> Result<SocketAddr, NotOpened> {
    within(limits.header_deadline, proxys_client(stream, first, peer, trust)).await
}

/// Finds out how `client` speaks.
pub(super) async fn open(
    (mut tcp, mut first): (TcpStream, BytesMut),
    client: SocketAddr,
    tls: Option<&Tls>,
    limits: &Limits,
) -> Result<Opened, NotOpened> {
    let begins_with = match first.first() {
        Some(byte) => *byte,
        None => within(limits.header_deadline, peek::<1>(&tcp)).await?.0[0],
    };
    let (tls, speaks) = match tls {
        Some(tls) if begins_with == HANDSHAKE => (Some(tls), Speaks::Http1),
        Some(_) => (None, Speaks::PlainHttp),
        None => {
            let speaks = within(limits.header_deadline, preface(&mut tcp, &mut first)).await?;
            (None, speaks)
        }
    };
    let io = WriteDeadline::new(tcp, limits.write_deadline);
    let full = io.full();
    let socket = Rewind::new(first.freeze(), io);
    let Some(tls) = tls else {
        return Ok(Opened { io: Wire::Plain(socket), speaks, peer: client, tls: false, full });
    };
    let stream = handshake(socket, tls, limits).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let speaks = if http2 { Speaks::Http2 } else { speaks };
    Ok(Opened { io: Wire::Tls(Box::new(stream)), speaks, peer: client, tls: true, full })
}

async fn within<T>(
    deadline: Duration,
    due: impl Future<Output = io::Result<T>>,
) -> Result<T, NotOpened> {
    Ok(timeout(deadline, due).await.map_err(|_| NotOpened::Silent)??)
}

/// What is there already, left where it is: hyper reads it as if nobody had, into one buffer of the right
/// size.
async fn peek<const N: usize>(stream: &TcpStream) -> io::Result<([u8; N], usize)> {
    let mut bytes = [0; N];
    match stream.peek(&mut bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok((bytes, count)),
    }
}

async fn more(stream: &mut TcpStream, first: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Whom a trusted proxy names; the peer itself, if it is none.
async fn proxys_client(
    stream: &mut TcpStream,
    first: &mut BytesMut,
    peer: SocketAddr,
    trust: &Trust,
) -> io::Result<SocketAddr> {
    if !trust.proxy_protocol || !trust.trusts(peer.ip()) {
        return Ok(peer);
    }
    let (bytes, count) = peek::<SHORT_HEADER>(stream).await?;
    if let Parsed::Header { length, client } = parse(&bytes[..count]) {
        stream.read_exact(&mut vec![0; length]).await?;
        return Ok(client.unwrap_or(peer));
    }
    loop {
        match parse(first) {
            Parsed::Incomplete => more(stream, first).await?,
            Parsed::Header { length, client } => {
                drop(first.split_to(length));
                return Ok(client.unwrap_or(peer));
            }
            Parsed::Rubbish => {
                static ONCE: Once = Once::new();
                ONCE.call_once(|| tracing::warn!(%peer, "a trusted proxy did not begin with a PROXY header: it must, with --proxy-protocol"));
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// Reads no further than it takes to know which HTTP it is.
async fn preface(stream: &mut TcpStream, first: &mut BytesMut) -> io::Result<Speaks> {
    if first.is_empty() {
        let (bytes, count) = peek::<{ PREFACE.len() }>(stream).await?;
        if bytes[..count] != PREFACE[..count] {
            return Ok(Speaks::Http1);
        }
    }
    loop {
        let known = first.len().min(PREFACE.len());
        if first[..known] != PREFACE[..known] {
            return Ok(Speaks::Http1);
        }
        if known == PREFACE.len() {
            return Ok(Speaks::Http2);
        }
        more(stream, first).await?;
    }
}

async fn handshake(
    socket: Socket,
    tls: &Tls,
    limits: &Limits,
) -> Result<TlsStream<Socket>, NotOpened> {
    let done = timeout(limits.handshake_deadline, tls.accept(socket)).await;
    Ok(done.map_err(|_| NotOpened::SlowHandshake)??)
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
