//! The accept loop: takes connections, each with its deadlines and its task, refuses when
//! full, and goes down in order. It owns every connection's task and ends them all.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    response::Response,
};
use http::{HeaderValue, Request, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::ServiceExt as _;

use crate::{App, Limits, deadline::WriteDeadline, metrics::Cut, unavailable::ServerIsFull};

/// Connections served at once only to be told that the server is full.
const REFUSALS: usize = 256;
/// After a failed accept (no file descriptor left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While draining, a connection that has asked nothing by then is closed: browsers hold such
/// connections in reserve.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// A connection that is silent for so long is asked whether its peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes that the system takes for a connection beyond what is on its way. Else it would take
/// megabytes for a peer that has stopped reading, and with a thousand of those run short of memory
/// for all others.
const UNSENT: u32 = 128 * 1024;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// Serves `router` on `listener` until `stop` resolves, then drains: streams are told when to
/// come back and end, newcomers are answered as by a full server, and what is still open at
/// the deadline is cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let acceptor = Acceptor::new(&listener, router, app.clone());
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            connection = acceptor.next() => drop(connections.spawn(connection)),
            Some(_) = connections.join_next() => {}
        }
    }
    app.drain.begin();
    let deadline = sleep(app.settings().limits.drain_deadline);
    tokio::pin!(deadline);
    while !connections.is_empty() {
        tokio::select! {
            () = &mut deadline => break,
            connection = acceptor.next() => drop(connections.spawn(connection)),
            Some(_) = connections.join_next() => {}
        }
    }
    if !connections.is_empty() {
        tracing::warn!(connections = connections.len(), "cut connections that were still open");
    }
    connections.shutdown().await;
}

struct Acceptor<'a> {
    listener: &'a TcpListener,
    router: Router,
    app: Arc<App>,
    /// How many are served now.
    served: Arc<AtomicUsize>,
    refusals: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
}

impl<'a> Acceptor<'a> {
    fn new(listener: &'a TcpListener, router: Router, app: Arc<App>) -> Self {
        let served = Arc::default();
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        Self { listener, router, app, served, refusals, paused_until: Mutex::default() }
    }

    /// The next connection, to be spawned.
    async fn next(&self) -> impl Future<Output = ()> + use<> {
        loop {
            let stream = self.accept().await;
            // Not even room to refuse politely: the connection is just closed.
            let Some(place) = self.admit() else { continue };
            self.tune(&stream);
            return connection(stream, self.router.clone(), self.app.clone(), place);
        }
    }

    /// Frames leave at once, and a peer that is gone without a word is found: by what it does not
    /// acknowledge in time, and on a silent connection by asking.
    fn tune(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
        let deadline = self.app.settings().limits.write_deadline;
        let tuned = stream
            .set_nodelay(true)
            .and_then(|()| socket.set_tcp_keepalive(&keepalive))
            .and_then(|()| set_system_limits(&socket, deadline));
        if let Err(error) = tuned {
            tracing::debug!(%error, "a socket does not take all its options");
        }
    }

    /// Room for a connection, or else for telling it that there is none.
    fn admit(&self) -> Option<Place> {
        // Asked each time, as the limit may change; only this loop ever adds to the count.
        if self.served.load(Ordering::Relaxed) < self.app.settings().limits.connections {
            self.served.fetch_add(1, Ordering::Relaxed);
            return Some(Place::Served(Served(self.served.clone())));
        }
        self.refusals.clone().try_acquire_owned().ok().map(Place::Refused)
    }

    async fn accept(&self) -> TcpStream {
        loop {
            // Kept outside of this future, which is dropped whenever a connection ends.
            let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(until) = until {
                sleep_until(until).await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => tracing::warn!(%error, "a connection could not be accepted"),
            }
            let pause = Some(Instant::now() + ACCEPT_PAUSE);
            *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = pause;
        }
    }
}

#[cfg(target_os = "linux")]
fn set_system_limits(socket: &SockRef<'_>, deadline: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(deadline))?;
    socket.set_tcp_notsent_lowat(UNSENT)
}

/// Other systems have no such options: their own limits hold.
#[cfg(not(target_os = "linux"))]
fn set_system_limits(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// What a connection is there for; its room is free again when it is dropped.
enum Place {
    Served(#[allow(dead_code, reason = "held")] Served),
    /// Only to be told that the server is full.
    Refused(#[allow(dead_code, reason = "held")] OwnedSemaphorePermit),
}

struct Served(Arc<AtomicUsize>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(stream: TcpStream, router: Router, app: Arc<App>, place: Place) {
    let full = matches!(place, Place::Refused(_));
    let limits = app.settings().limits.clone();
    let _counted = Counted::new(&app.metrics.connections);
    let peer = stream.peer_addr().ok();
    let io = TokioIo::new(WriteDeadline::new(stream, limits.write_deadline));
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let (router, app) = (router.clone(), app.clone());
        async move { Ok::<_, Infallible>(answer(router, &app, full, request).await) }
    });
    let connection = builder(&limits).serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.drain.draining() => {
            // A connection that has not asked yet is owed an answer, not a closed door: its
            // first request may be on its way.
            if !asked.load(Ordering::Relaxed) {
                let first = timeout(FIRST_REQUEST, connection.as_mut()).await;
                if first.is_ok() || !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        let cause = io_cause(&error);
        if let Some(cause) = cause.filter(|cause| cause.kind() == io::ErrorKind::TimedOut) {
            note_cut(&app, cause, peer);
        }
        match cause {
            Some(cause) => tracing::debug!(%error, %cause, "a connection ended with an error"),
            None => tracing::debug!(%error, "a connection ended with an error"),
        }
    }
}

/// By our deadline on writes, or by the system's on acknowledgements.
fn note_cut(app: &App, cause: &io::Error, peer: Option<SocketAddr>) {
    let peer = peer.map(tracing::field::display);
    if cause.raw_os_error().is_none() {
        app.metrics.cut(Cut::stuck);
        tracing::info!(peer, "cut a connection whose peer took no data for too long");
    } else {
        app.metrics.cut(Cut::gone);
        tracing::info!(peer, "cut a connection whose peer is gone without a word");
    }
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>())
}

/// A connection, counted for as long as it is open.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn answer(router: Router, app: &App, full: bool, mut request: Request<Incoming>) -> Response {
    if full {
        request.extensions_mut().insert(ServerIsFull);
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let began = Instant::now();
    let version = request.version();
    let mut response =
        router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
    let (status, took) = (response.status().as_u16(), began.elapsed());
    tracing::debug!(%method, %uri, status, ?took, "answered");
    app.metrics.answered(&response);
    // Before HTTP/1.1 there were no chunks: what has no length ends with its connection.
    let endless = version < Version::HTTP_11 && response.body().size_hint().exact().is_none();
    if endless {
        // Else hyper would promise to keep the connection if it was asked to.
        *response.version_mut() = version;
    }
    if endless || app.drain.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(MAX_HEAD)
        .half_close(false);
    builder
}
