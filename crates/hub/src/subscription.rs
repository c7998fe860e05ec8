//! A follower with its hub: does what the follower asks and hands out frames. It adds no
//! decision of its own.

use std::sync::Arc;

use bytes::Bytes;
use eventwall_log::{Budget, Filter, ReadError, ReadRange, system_time};
use tokio::time::Instant;

use crate::{Follower, Step, hub::Shared, next::CaughtUp, registry::Registration};

/// Memory that one catch-up read may take, in events and bytes.
const CATCH_UP: Budget = Budget { events: 1024, bytes: 64 * 1024 };

/// One subscriber's stream of frames. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    follower: Follower,
    hub: Arc<Shared>,
    registration: Registration,
}

impl Subscription {
    pub(crate) fn new(follower: Follower, hub: Arc<Shared>, registration: Registration) -> Self {
        hub.metrics.subscribers.inc();
        Self { follower, hub, registration }
    }

    #[cfg(test)]
    pub(crate) fn follower(&self) -> &Follower {
        &self.follower
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
    /// If the log cannot be read. The subscriber is to be disconnected; it may come back
    /// with its cursor.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, ReadError> {
        loop {
            let step = {
                let (window, epochs) = (self.hub.window(), self.hub.log.epochs());
                self.follower.step(&window, &epochs, Instant::now())
            };
            match step {
                Step::Send(frames) => {
                    let bytes = frames.iter().map(Bytes::len).sum();
                    self.hub.metrics.count(self.follower.tally(), bytes, system_time());
                    return Ok(Some(frames));
                }
                Step::End => return Ok(None),
                Step::Read(range) => {
                    let read = self.hub.catch_up(&self.follower, range).await?;
                    self.follower.take_in(read);
                }
                Step::Wait(until) => {
                    let _ = tokio::time::timeout_at(until, self.registration.news()).await;
                }
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.metrics.subscribers.dec();
    }
}

impl Shared {
    /// Reads for a cursor that is behind the window.
    async fn catch_up(&self, follower: &Follower, range: ReadRange) -> Result<CaughtUp, ReadError> {
        let filter = &follower.cursor().filter;
        // Bounds what many at once hold in memory; closing it is not foreseen.
        let _permit = self.catch_ups.acquire().await;
        self.read_log(range, filter, CATCH_UP).await
    }

    /// Reads the log and frames what it finds.
    pub(crate) async fn read_log(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> Result<CaughtUp, ReadError> {
        // Before the read: an erasure that comes after it is then noticed.
        let erasures = self.window().erasures();
        let page = self.log.read(range, filter, budget).await?;
        Ok(CaughtUp::new(range, page, &self.log.epochs(), erasures))
    }
}
