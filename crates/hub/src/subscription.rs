//! A follower with its hub: does what the follower asks and hands out frames. It adds no
//! decision of its own.

use std::sync::Arc;

use bytes::Bytes;
use eventwall_log::{Filter, ReadError, ReadRange, system_time};
use tokio::time::{Duration, Instant};

use crate::{Follower, Step, catch_up::Behind, hub::Shared, registry::Registration};

/// Why a subscriber is to be disconnected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See [`FollowOptions::max_lag`](crate::FollowOptions::max_lag).
    #[error("it has been behind for {} s, longer than max_lag", .0.as_secs())]
    Lagging(Duration),
}

/// One subscriber's stream of frames. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    follower: Follower,
    hub: Arc<Shared>,
    registration: Registration,
    /// While it reads the log.
    behind: Option<Behind>,
}

impl Subscription {
    pub(crate) fn new(follower: Follower, hub: Arc<Shared>, registration: Registration) -> Self {
        hub.metrics.subscribers.inc();
        Self { follower, hub, registration, behind: None }
    }

    #[cfg(test)]
    pub(crate) fn follower(&self) -> &Follower {
        &self.follower
    }

    /// What it follows.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.follower.cursor().filter
    }

    /// What is to be written before the stream is ended from outside.
    #[must_use]
    pub fn last_words(&self) -> Option<Bytes> {
        self.follower.last_words(&self.hub.log.epochs())
    }

    /// The next frames to write, in order; waits until there are some. `None`: the stream is
    /// complete. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The subscriber is to be disconnected; it may come back with its cursor.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, FollowError> {
        loop {
            match self.step(Instant::now()) {
                Step::Send(frames) => {
                    let bytes = frames.iter().map(Bytes::len).sum();
                    self.hub.metrics.count(self.follower.tally(), bytes, system_time());
                    return Ok(Some(frames));
                }
                Step::End => return Ok(None),
                Step::Lagging(lag) => return Err(FollowError::Lagging(lag)),
                Step::Read(range) => self.read(range, Instant::now).await?,
                Step::Wait(until) => {
                    let _ = tokio::time::timeout_at(until, self.registration.news()).await;
                }
            }
        }
    }

    /// What it wants done next.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let (window, epochs) = (self.hub.window(), self.hub.log.epochs());
        let step = self.follower.step(&window, &epochs, now);
        if matches!(step, Step::Wait(_)) {
            self.behind = None;
        }
        step
    }

    /// Whether there were news since it was last asked.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn has_news(&self) -> bool {
        let mut news = std::pin::pin!(self.registration.news());
        news.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    /// Does a [`Step::Read`].
    pub(crate) async fn read(
        &mut self,
        range: ReadRange,
        now: impl Fn() -> Instant,
    ) -> Result<(), ReadError> {
        self.behind.get_or_insert_with(|| self.hub.catch_ups.enter());
        let read = self.hub.catch_up(&self.follower.cursor().filter, range, now).await?;
        self.follower.take_in(read);
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.metrics.subscribers.dec();
    }
}
