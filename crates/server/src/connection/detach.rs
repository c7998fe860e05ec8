//! Taking a stream out of HTTP/1: its handler marks the answer, hyper is left before it writes any of it, and
//! the socket goes to delivery. Nothing that was answered before may be on its way still.

use std::{
    fmt,
    future::{Future, poll_fn},
    io::{self, Write as _},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::SystemTime,
};

use axum::response::Response;
use eventwall_hub::Subscriber;
use http::{Version, header};

use super::{Share, open::Wire};
use crate::{
    delivery::{Framing, Socket},
    quota::Place,
};

/// Marks an answer whose body is a stream that delivery is to carry.
#[derive(Clone)]
pub(crate) struct Detachable(Arc<Mutex<Option<Stream>>>);

/// A stream without its socket.
pub(crate) struct Stream {
    pub(crate) subscriber: Subscriber,
    /// Of what its connection may follow.
    pub(crate) share: Option<Share>,
    /// Comes before its first frame.
    pub(crate) padding: Vec<u8>,
    /// Its client's, if it came by a trusted proxy.
    pub(crate) place: Option<Place>,
}

impl Detachable {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// What its client takes up goes with it.
    pub(super) fn hold(&self, place: Option<Place>) {
        if let Some(stream) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            stream.place = place;
        }
    }

    fn take(response: &mut Response) -> Option<Stream> {
        let marked: Self = response.extensions_mut().remove()?;
        marked.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Detachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detachable")
    }
}

/// A stream with the head of its answer.
pub(super) struct Leaving {
    pub(super) stream: Stream,
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
}

/// Where a connection's service leaves the stream that is to be detached.
#[derive(Clone, Default)]
pub(super) struct Exit(Arc<Mutex<Option<Leaving>>>);

impl Exit {
    /// The answer; or, if its stream leaves, never.
    pub(super) async fn answer(&self, mut response: Response, asked: Version) -> Response {
        let Some(mut stream) = Detachable::take(&mut response) else { return response };
        let framing = if asked < Version::HTTP_11 { Framing::Close } else { Framing::Chunked };
        let mut head = head(&response, framing);
        framing.push(&std::mem::take(&mut stream.padding), &mut head);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Leaving { stream, head, framing });
        std::future::pending().await
    }

    pub(super) fn take(&self) -> Option<Leaving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Drives a connection to its end; `Err`: a stream leaves it.
    pub(super) async fn unless_left<C>(&self, connection: &mut C) -> Result<C::Output, Leaving>
    where
        C: Future + Unpin,
    {
        poll_fn(|cx| {
            let polled = Pin::new(&mut *connection).poll(cx);
            match self.take() {
                Some(leaving) => Poll::Ready(Err(leaving)),
                None => polled.map(Ok),
            }
        })
        .await
    }
}

/// The head of an answer that ends with its connection.
fn head(response: &Response, framing: Framing) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let version = if framing == Framing::Close { "1.0" } else { "1.1" };
    // Writing to memory cannot fail.
    let _ = write!(head, "HTTP/{version} {}\r\n", response.status());
    let own = [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::DATE];
    for (name, value) in response.headers().iter().filter(|(name, _)| !own.contains(name)) {
        let _ = write!(head, "{name}: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(match framing {
        // Nothing of a close: clients are known that then take a connection that breaks for a whole answer, and
        // do not come back.
        Framing::Chunked => b"transfer-encoding: chunked\r\n",
        Framing::Close => b"connection: close\r\n",
    });
    let date = httpdate::fmt_http_date(SystemTime::now());
    let _ = write!(head, "date: {date}\r\n\r\n");
    head
}

/// The socket itself. What the client sent after its request is of no interest: the answer ends with the
/// connection.
pub(super) fn socket(wire: Wire) -> io::Result<Socket> {
    match wire {
        Wire::Plain(io) => Ok(Socket::plain(io.into_inner().into_inner().into_std()?)),
        Wire::Tls(tls) => {
            let (io, session) = tls.into_inner();
            Ok(Socket::tls(io.into_inner().into_inner().into_std()?, session))
        }
    }
}
