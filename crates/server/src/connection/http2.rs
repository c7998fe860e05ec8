//! HTTP/2, by `h2` itself: what lies between its streams and the router. It owns a connection's streams
//! and ends them all. A stream gives HTTP/2 only what its client has opened a window for, so that a client
//! that opens none costs nothing but its place, and that only until the write deadline.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, Connection, SendResponse},
};
use http::{HeaderValue, Method, Request, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    answer::{Answering, OTHER_REQUESTS},
    drive::FIRST_REQUEST,
    open::Wire,
};
use crate::{Limits, metrics::Cut};

/// So much of what a client has sent and nobody has read is held, of a stream and of all of a connection:
/// one stream that is read slowly must not stop its neighbours.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// So much of what a client has a window for waits for its turn on the connection, of a stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves a connection to its end.
pub(super) async fn http2(
    io: Wire,
    answering: &Arc<Answering>,
    limits: &Limits,
    peer: SocketAddr,
) -> Result<(), h2::Error> {
    let handshake = builder(limits).handshake(io);
    let Ok(connection) = timeout(limits.header_deadline, handshake).await else {
        answering.app().metrics.cut(Cut::silent);
        return Ok(());
    };
    let serving = Serving {
        connection: connection?,
        answering: answering.clone(),
        streams: JoinSet::new(),
        limits: limits.clone(),
        peer,
        asked: false,
        ending: false,
        // The first request is due like that of HTTP/1.1.
        due: Instant::now() + limits.header_deadline,
    };
    serving.run().await
}

fn builder(limits: &Limits) -> Builder {
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_header_list_size(number(limits.head_bytes))
        .max_concurrent_streams(number(limits.subscriptions.saturating_add(OTHER_REQUESTS)))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

struct Serving {
    connection: Connection<Wire, Bytes>,
    answering: Arc<Answering>,
    /// Ended with it.
    streams: JoinSet<()>,
    limits: Limits,
    peer: SocketAddr,
    asked: bool,
    /// The client was told that no new streams are taken.
    ending: bool,
    /// Without a stream until then, it goes on to its end.
    due: Instant,
}

impl Serving {
    async fn run(mut self) -> Result<(), h2::Error> {
        let answering = self.answering.clone();
        let (draining, mut drained) = (answering.app().drain.draining(), false);
        tokio::pin!(draining);
        loop {
            let nothing_open = self.streams.is_empty();
            tokio::select! {
                accepted = self.connection.accept() => match accepted {
                    Some(request) => self.begin(request?),
                    None => return Ok(()),
                },
                Some(_) = self.streams.join_next() => {
                    let Limits { idle_deadline, write_deadline, .. } = self.limits;
                    let allowed = if self.ending { write_deadline } else { idle_deadline };
                    self.due = Instant::now() + allowed;
                }
                () = &mut draining, if !drained => {
                    drained = true;
                    // Whoever has not asked yet is owed an answer: it may be on its way.
                    self.due = Instant::now() + FIRST_REQUEST;
                }
                () = sleep_until(self.due), if nothing_open => {
                    if self.ending {
                        return Ok(());
                    }
                    if !self.asked && !drained {
                        answering.app().metrics.cut(Cut::silent);
                    }
                    self.end();
                }
            }
            // Whoever is refused is told so, and leaves: a later connection may find room.
            if (drained || answering.is_refused()) && self.asked && !self.ending {
                self.end();
            }
        }
    }

    fn begin(&mut self, (request, respond): (Request<RecvStream>, SendResponse<Bytes>)) {
        self.asked = true;
        let (answering, peer) = (self.answering.clone(), self.peer);
        let deadline = self.limits.write_deadline;
        // Boxed here, as it needs much and is over soon: a stream that waits for events must not carry it.
        let answer = Box::pin(answer(request, respond, answering.clone()));
        self.streams.spawn(async move {
            let ended = match answer.await {
                Ok((stream, body)) => Box::pin(send(stream, body, deadline)).await,
                Err(ended) => ended,
            };
            if ended == Ended::Stuck {
                answering.app().metrics.cut(Cut::stuck);
                tracing::info!(%peer, "cut a stream whose client took no data for too long");
            }
        });
    }

    /// Streams that are open go on to their end; a client that does not answer is not waited for.
    fn end(&mut self) {
        self.ending = true;
        self.due = Instant::now() + self.limits.write_deadline;
        self.connection.graceful_shutdown();
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Whole,
    /// By its client.
    Reset,
    /// Its client opened no window for too long.
    Stuck,
}

/// Sends the head of the answer; gives back where its body goes, or how it ended without one.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answering: Arc<Answering>,
) -> Result<(SendStream<Bytes>, Body), Ended> {
    let head_only = request.method() == Method::HEAD;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let request = request.map(|body| Body::new(Received { body, length }));
    let response = tokio::select! {
        response = answering.answer(request) => response,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return Err(Ended::Reset),
    };
    let (parts, body) = response.map(|body| (!head_only).then_some(body)).into_parts();
    let mut head = http::Response::from_parts(parts, ());
    let body = body.filter(|body| !body.is_end_stream());
    complete(&mut head, body.as_ref());
    match (respond.send_response(head, body.is_none()), body) {
        (Ok(stream), Some(body)) => Ok((stream, body)),
        (Ok(_), None) => Err(Ended::Whole),
        (Err(_), _) => Err(Ended::Reset),
    }
}

/// What HTTP/1.1's connection would add.
fn complete(head: &mut http::Response<()>, body: Option<&Body>) {
    let headers = head.headers_mut();
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(header::DATE, date);
    }
    if let Some(length) = body.and_then(|body| body.size_hint().exact()) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

async fn send(mut stream: SendStream<Bytes>, mut body: Body, deadline: Duration) -> Ended {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ended::Reset,
        };
        let data = match frame {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ended::Reset;
            }
            None => {
                let ended = stream.send_data(Bytes::new(), true);
                return if ended.is_ok() { Ended::Whole } else { Ended::Reset };
            }
        };
        match send_in_time(&mut stream, data, deadline).await {
            Ended::Whole => {}
            ended => return ended,
        }
    }
}

/// Sends data in pieces that the client has a window for, each within the deadline.
async fn send_in_time(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    deadline: Duration,
) -> Ended {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = match timeout(deadline, poll_fn(|cx| stream.poll_capacity(cx))).await {
            Ok(Some(Ok(capacity))) => capacity,
            Ok(_) => return Ended::Reset,
            Err(_) => {
                stream.send_reset(Reason::CANCEL);
                return Ended::Stuck;
            }
        };
        let piece = data.split_to(capacity.min(data.len()));
        if stream.send_data(piece, false).is_err() {
            return Ended::Reset;
        }
    }
    Ended::Whole
}

/// A request's body. What is taken of it opens its window again.
struct Received {
    body: RecvStream,
    /// As its head says, so that one that is too large is refused before it is sent. `h2` holds it to that.
    length: Option<u64>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let data = ready!(self.body.poll_data(cx));
        Poll::Ready(data.map(|data| {
            let data = data?;
            self.body.flow_control().release_capacity(data.len())?;
            self.length = self.length.map(|length| length.saturating_sub(data.len() as u64));
            Ok(Frame::data(data))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
