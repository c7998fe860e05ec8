//! The accept loop: takes connections, each with its task, refuses when full, and goes down in order. It
//! owns every connection's task and ends them all.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{drive::connection, tls::Tls};
use crate::{App, delivery::Delivery, quota::Inside};

/// Connections served at once only to be told that there is no room for them.
const REFUSALS: usize = 256;
/// After a failed accept (no file descriptor left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection that is silent for so long is asked whether its peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes that the system takes for a connection beyond what is on its way. Else it would take
/// megabytes for a peer that has stopped reading, and with a thousand of those run short of memory
/// for all others.
const UNSENT: u32 = 128 * 1024;

/// Where connections come from.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// They speak TLS.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listener {
    /// Without TLS.
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) router: Router,
    pub(super) app: Arc<App>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) delivery: Delivery,
    refusals: Arc<Semaphore>,
}

/// Serves `router` on `listener` until `stop` resolves, then drains: streams are told when to
/// come back and end, newcomers are answered as by a full server, and what is still open at
/// the deadline is cut.
///
/// # Errors
/// If the system gives no threads to deliver with.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    app: Arc<App>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let acceptor = Acceptor::new(listener.into(), router, app.clone())?;
    let delivery = &acceptor.served.delivery;
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
    while !connections.is_empty() || delivery.len() > 0 {
        tokio::select! {
            () = &mut deadline => break,
            connection = acceptor.next() => drop(connections.spawn(connection)),
            Some(_) = connections.join_next() => {}
            () = delivery.emptied(), if delivery.len() > 0 => {}
        }
    }
    let open = connections.len() + delivery.len();
    if open > 0 {
        tracing::warn!(connections = open, "cut connections that were still open");
    }
    connections.shutdown().await;
    Ok(())
}

struct Acceptor {
    listener: TcpListener,
    served: Arc<Served>,
    paused_until: Mutex<Option<Instant>>,
}

impl Acceptor {
    fn new(Listener { tcp, tls }: Listener, router: Router, app: Arc<App>) -> io::Result<Self> {
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let delivery = Delivery::start(&app)?;
        let served = Served { router, app, tls, delivery, refusals };
        Ok(Self { listener: tcp, served: Arc::new(served), paused_until: Mutex::default() })
    }

    /// The next connection, to be spawned.
    async fn next(&self) -> impl Future<Output = ()> + use<> {
        loop {
            let stream = self.accept().await;
            let app = &self.served.app;
            if let Some(room) = self.served.admit() {
                tune(&stream, app.settings().limits.write_deadline);
                return connection(stream, self.served.clone(), room);
            }
            // Not even room to refuse politely: the connection is just closed.
            app.metrics.dropped.inc();
        }
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

impl Served {
    /// Room for a connection, or else for telling it that there is none.
    fn admit(&self) -> Option<Room> {
        // Asked each time, as the limit may change.
        let inside = self.app.inside.take(1, self.app.settings().limits.connections);
        inside.map(Room::Inside).or_else(|| self.room_to_refuse())
    }

    /// Room for telling a connection that there is none for it.
    pub(super) fn room_to_refuse(&self) -> Option<Room> {
        self.refusals.clone().try_acquire_owned().ok().map(Room::Refused)
    }
}

/// What a connection is there for; its room is free again when it is dropped.
pub(super) enum Room {
    Inside(#[allow(dead_code, reason = "held")] Inside),
    /// Only to be told that there is no room.
    Refused(#[allow(dead_code, reason = "held")] OwnedSemaphorePermit),
}

/// Frames leave at once, and a peer that is gone without a word is found: by what it does not
/// acknowledge in time, and on a silent connection by asking.
fn tune(stream: &TcpStream, deadline: Duration) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| set_system_limits(&socket, deadline));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a socket does not take all its options");
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
