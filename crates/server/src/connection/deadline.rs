//! A connection that is cut when its peer takes no byte for too long. A subscriber that stops
//! reading costs its socket until then, and no longer.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

pin_project! {
    /// I/O with a deadline on writes that make no progress.
    pub(crate) struct WriteDeadline<T> {
        #[pin]
        io: T,
        limit: Duration,
        // Boxed only while a write is stuck: a healthy connection has no timer.
        stuck: Option<Pin<Box<Sleep>>>,
        full: Full,
    }
}

/// Whether a write waits for room, to be asked from elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Full(Arc<AtomicBool>);

impl Full {
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T> WriteDeadline<T> {
    pub(crate) fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, stuck: None, full: Full::default() }
    }

    /// Whether a write waits for room.
    pub(crate) fn full(&self) -> Full {
        self.full.clone()
    }

    pub(crate) fn into_inner(self) -> T {
        self.io
    }
}

/// Passes a write's outcome on, or fails it once it has been stuck for too long.
fn within<R>(
    outcome: Poll<io::Result<R>>,
    (stuck, full): (&mut Option<Pin<Box<Sleep>>>, &Full),
    limit: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<R>> {
    full.0.store(outcome.is_pending(), Ordering::Relaxed);
    if outcome.is_ready() {
        *stuck = None;
        return outcome;
    }
    let timer = stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
    ready!(timer.as_mut().poll(cx));
    timer.as_mut().reset(Instant::now() + limit);
    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no data")))
}

impl<T: AsyncWrite> AsyncWrite for WriteDeadline<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        within(this.io.poll_write(cx, bytes), (this.stuck, this.full), *this.limit, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        within(this.io.poll_write_vectored(cx, bytes), (this.stuck, this.full), *this.limit, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        within(this.io.poll_flush(cx), (this.stuck, this.full), *this.limit, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        within(this.io.poll_shutdown(cx), (this.stuck, this.full), *this.limit, cx)
    }
}

impl<T: AsyncRead> AsyncRead for WriteDeadline<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_off_in_time() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let began = Instant::now();
        let error = WriteDeadline::new(ours, LIMIT).write_all(&[0; 100]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let writing =
            tokio::spawn(async move { WriteDeadline::new(ours, LIMIT).write_all(&[0; 100]).await });
        for _ in 0..100 {
            tokio::time::sleep(LIMIT / 2).await;
            theirs.read_u8().await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }
}
