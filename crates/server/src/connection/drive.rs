//! One connection's life: opened, admitted by its address, served within its deadlines, and
//! ended in order when the server goes down.

use std::{
    convert::Infallible, error::Error, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc,
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
    detach::{Exit, Leaving, Stream, socket},
    http2::http2,
    open::{NotOpened, Opened, Speaks, Wire, client_of, open},
};
use crate::{
    App, Limits,
    client::Origin,
    delivery::{Delivery, Detached},
    metrics::{Cut, TurnedAway},
    quota::Place,
};

/// While draining, a connection that has asked nothing by then is closed: browsers hold such
/// connections in reserve.
pub(super) const FIRST_REQUEST: Duration = Duration::from_millis(500);

pub(super) async fn connection(stream: TcpStream, served: Arc<Served>, room: Room) {
    let app = &served.app;
    let counted = Counted::new(&app.metrics.connections);
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
            serve(opened, &served, &settings.limits, (counted, admission)).await;
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

async fn serve(opened: Opened, served: &Arc<Served>, limits: &Limits, held: (Counted, Admission)) {
    let app = &served.app;
    let Opened { io, speaks, peer, tls, full } = opened;
    let answering = Answering::new(served, peer.ip(), (tls, speaks, full), held.1.refused);
    let answering = Arc::new(answering);
    match speaks {
        Speaks::Http1 | Speaks::PlainHttp => match Box::pin(http1(io, &answering, limits)).await {
            Ok(None) => {}
            Ok(Some((io, leaving))) => detach(io, leaving, held, &served.delivery),
            Err(error) => tell_of_end(app, &error, peer),
        },
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

/// The stream goes on without this connection's task.
fn detach(io: Wire, leaving: Leaving, held: (Counted, Admission), delivery: &Delivery) {
    let Leaving { stream, head, framing } = leaving;
    let Stream { subscriber, share, place, .. } = stream;
    match socket(io) {
        Ok(socket) => {
            let held = Box::new((held, share, place));
            let counted = delivery.count();
            delivery.take_over(Detached { socket, head, framing, subscriber, held, counted });
        }
        Err(error) => tracing::warn!(%error, "a stream cannot be delivered"),
    }
}

/// To its end, or until a stream leaves it.
async fn http1(
    io: Wire,
    answering: &Arc<Answering>,
    limits: &Limits,
) -> hyper::Result<Option<(Wire, Leaving)>> {
    let exit = Exit::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (answering, exit, version) = (answering.clone(), exit.clone(), request.version());
        async move {
            let response = answering.answer(request.map(Body::new)).await;
            Ok::<_, Infallible>(exit.answer(response, version).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_deadline)
        .max_buf_size(limits.head_bytes)
        .half_close(false);
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let left = 'served: {
        tokio::select! {
            ended = exit.unless_left(&mut connection) => break 'served ended,
            () = answering.app().drain.draining() => {}
        }
        if !answering.was_asked() {
            let first = timeout(FIRST_REQUEST, exit.unless_left(&mut connection)).await;
            match first {
                Ok(ended) => break 'served ended,
                Err(_) if !answering.was_asked() => return Ok(None),
                Err(_) => {}
            }
        }
        Pin::new(&mut connection).graceful_shutdown();
        exit.unless_left(&mut connection).await
    };
    match left {
        Ok(ended) => ended.map(|()| None),
        Err(leaving) => Ok(Some((connection.into_parts().io.into_inner(), leaving))),
    }
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
    if let Some(cause) = cause {
        app.metrics.broken(cause, Some(peer));
    }
    tracing::debug!(%error, cause = cause.map(tracing::field::display), "a connection ended with an error");
}

/// A connection, counted for as long as it is open.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
