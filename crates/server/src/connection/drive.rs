//! One connection's life: opened, admitted by its address, served by hyper within its deadlines, and
//! ended in order when the server goes down.

use std::{
    convert::Infallible, error::Error, future::Future, io, net::SocketAddr, sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    accept::{Room, Served},
    answer::Answering,
    http2::http2,
    open::{NotOpened, Opened, Speaks, Wire, open},
};
use crate::{
    App, Limits,
    client::Origin,
    metrics::{Cut, TurnedAway},
    quota::Place,
};

/// While draining, a connection that has asked nothing by then is closed: browsers hold such
/// connections in reserve.
pub(super) const FIRST_REQUEST: Duration = Duration::from_millis(500);
pub(super) async fn connection(stream: TcpStream, served: Arc<Served>, room: Room) {
    let app = &served.app;
    let _counted = Counted::new(&app.metrics.connections);
    let settings = app.settings();
    // Boxed, as it needs much and is over soon.
    let opening =
        Box::pin(open(stream, served.tls.as_deref(), (&settings.limits, &settings.trust)));
    match before_the_end(app, opening).await {
        Some(Ok(opened)) => serve(opened, &served, &settings.limits, room).await,
        Some(Err(why)) => tell_not_opened(app, &why),
        None => {}
    }
}

/// While the server goes down, whoever has not asked yet is given a moment: a first request may be on
/// its way, and is owed an answer, not a closed door.
async fn before_the_end<T>(app: &App, opening: impl Future<Output = T> + Unpin) -> Option<T> {
    let end = async {
        app.drain.draining().await;
        sleep(FIRST_REQUEST).await;
    };
    tokio::select! {
        opened = opening => Some(opened),
        () = end => None,
    }
}

fn tell_not_opened(app: &App, why: &NotOpened) {
    match why {
        NotOpened::Silent => app.metrics.cut(Cut::silent),
        NotOpened::SlowHandshake => app.metrics.cut(Cut::handshake),
        NotOpened::Failed(error) => {
            tracing::debug!(%error, "a connection failed before its first request");
        }
    }
}

async fn serve(opened: Opened, served: &Arc<Served>, limits: &Limits, room: Room) {
    let app = &served.app;
    let Opened { io, speaks, peer, tls } = opened;
    let Some((_room, _place, refused)) = admitted(served, limits, peer, room) else {
        app.metrics.dropped.inc();
        return;
    };
    let answering = Answering::new(served, peer.ip(), (tls, speaks), refused);
    let answering = Arc::new(answering);
    match speaks {
        Speaks::Http1 | Speaks::PlainHttp => {
            let ended = Box::pin(http1(io, &answering, limits)).await;
            let _ = ended.map_err(|error| tell_of_end(app, &error, peer));
        }
        Speaks::Http2 => {
            let ended = Box::pin(http2(io, &answering, limits, peer)).await;
            let _ = ended.map_err(|error| tell(app, &error, error.get_io(), peer));
        }
    }
}

/// A place for the connection's address, or why it is to be refused; `None`: there is not even room to
/// say so. Of a trusted proxy's connections each request is counted for its own client.
fn admitted(
    served: &Arc<Served>,
    limits: &Limits,
    peer: SocketAddr,
    room: Room,
) -> Option<(Room, Option<Place>, Option<TurnedAway>)> {
    let app = &served.app;
    if matches!(room, Room::Refused(_)) {
        return Some((room, None, Some(TurnedAway::Full)));
    }
    if app.settings().trust.trusts(peer.ip()) {
        return Some((room, None, None));
    }
    match app.places.take(Origin::of(peer.ip()), limits.address_connections) {
        Some(place) => Some((room, Some(place), None)),
        None => Some((served.room_to_refuse()?, None, Some(TurnedAway::Address))),
    }
}

async fn http1(io: Wire, answering: &Arc<Answering>, limits: &Limits) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let answering = answering.clone();
        async move { Ok::<_, Infallible>(answering.answer(request.map(Body::new)).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(limits.head_bytes)
        .half_close(false);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = answering.app().drain.draining() => {}
    }
    if !answering.was_asked() {
        let first = timeout(FIRST_REQUEST, connection.as_mut()).await;
        if first.is_ok() || !answering.was_asked() {
            return Ok(());
        }
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

fn tell_of_end(app: &App, error: &hyper::Error, peer: SocketAddr) {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    if error.is_parse_too_large() {
        app.metrics.not_understood(431, "too_large");
    } else if error.is_parse() {
        app.metrics.not_understood(400, "malformed");
    } else if error.is_timeout() {
        app.metrics.cut(Cut::silent);
    }
    tell(app, error, cause, peer);
}

fn tell(app: &App, error: &dyn Error, cause: Option<&io::Error>, peer: SocketAddr) {
    // By our deadline on writes, or by the system's on acknowledgements.
    if let Some(cause) = cause.filter(|cause| cause.kind() == io::ErrorKind::TimedOut) {
        if cause.raw_os_error().is_none() {
            app.metrics.cut(Cut::stuck);
            tracing::info!(%peer, "cut a connection whose peer took no data for too long");
        } else {
            app.metrics.cut(Cut::gone);
            tracing::info!(%peer, "cut a connection whose peer is gone without a word");
        }
    }
    tracing::debug!(%error, cause = cause.map(tracing::field::display), "a connection ended with an error");
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
