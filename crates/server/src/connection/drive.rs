//! One connection's life: opened, admitted by its address, served within its deadlines, and
//! ended in order when the server goes down.

use std::{
    convert::Infallible, error::Error, future::Future, io, net::SocketAddr, sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::BytesMut;
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
    open::{NotOpened, Opened, Speaks, Wire, client_of, open},
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
    let Ok(peer) = stream.peer_addr() else { return };
    // Asked before anything is waited for: else one address could fill the server with its silence.
    let admission = Admission::of(room);
    let admission = if settings.trust.trusts(peer.ip()) {
        Some(admission)
    } else {
        admission.with_place(&served, &settings.limits, peer)
    };
    let Some(admission) = admission else {
        app.metrics.dropped.inc();
        return;
    };
    // Boxed, as it needs much and is over soon.
    let opening = Box::pin(opened(stream, peer, &served, admission));
    match before_the_end(app, opening).await {
        Some(Ok(Some((opened, admission)))) => {
            serve(opened, &served, &settings.limits, admission).await;
        }
        Some(Ok(None)) => {
            app.metrics.dropped.inc();
        }
        Some(Err(why)) => tell_not_opened(app, &why),
        None => {}
    }
}

/// Whom a proxy's header names has a place of its own, as soon as it is read; `None`: there is not even room
/// to say that it has none.
async fn opened(
    mut stream: TcpStream,
    peer: SocketAddr,
    served: &Served,
    admission: Admission,
) -> Result<Option<(Opened, Admission)>, NotOpened> {
    let settings = served.app.settings();
    let (limits, mut first) = (&settings.limits, BytesMut::new());
    let client = client_of(&mut stream, &mut first, peer, (limits, &settings.trust)).await?;
    let admission =
        if client == peer { Some(admission) } else { admission.with_place(served, limits, client) };
    let Some(admission) = admission else { return Ok(None) };
    let opened = open((stream, first), client, served.tls.as_deref(), limits).await?;
    Ok(Some((opened, admission)))
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

async fn serve(opened: Opened, served: &Arc<Served>, limits: &Limits, admission: Admission) {
    let app = &served.app;
    let Opened { io, speaks, peer, tls } = opened;
    let answering = Answering::new(served, peer.ip(), (tls, speaks), admission.refused);
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

/// The room of a connection, in all and of its address; of a trusted proxy's connection each request is
/// counted for its own client instead.
struct Admission {
    _room: Room,
    _place: Option<Place>,
    /// Why it is there only to be refused.
    refused: Option<TurnedAway>,
}

impl Admission {
    fn of(room: Room) -> Self {
        let refused =
            matches!(room, Room::Refused(_)).then_some(TurnedAway::Full("max_connections"));
        Self { _room: room, _place: None, refused }
    }

    /// With a place of this address; `None`: there is not even room to say that it has none.
    fn with_place(self, served: &Served, limits: &Limits, peer: SocketAddr) -> Option<Self> {
        if self.refused.is_some() {
            return Some(self);
        }
        match served.app.places.take(Origin::of(peer.ip()), limits.address_connections) {
            Some(place) => Some(Self { _place: Some(place), ..self }),
            None => {
                let room = served.room_to_refuse()?;
                Some(Self { _room: room, _place: None, refused: Some(TurnedAway::Address) })
            }
        }
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
