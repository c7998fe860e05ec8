//! A follower with its hub: does what the follower asks and hands out frames. It adds no
//! decision of its own.

use std::sync::Arc;

use bytes::Bytes;
use eventwall_log::{Filter, ReadError, ReadRange};
use tokio::time::{Duration, Instant};

use crate::{
    Follower, Form, Step,
    catch_up::Behind,
    desk::{Desk, Stretch},
    hub::Shared,
    next::CaughtUp,
    registry::{Named, News},
};

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

/// One subscriber, driven step by step by whoever delivers. Dropping it ends it.
#[derive(Debug)]
pub struct Subscriber {
    follower: Follower,
    hub: Arc<Shared>,
    named: Named,
    /// While it reads the log.
    behind: Option<Behind>,
}

/// What was read from the log for a subscriber.
#[derive(Debug, Clone)]
pub struct Read(Arc<CaughtUp>);

impl Subscriber {
    pub(crate) fn new(follower: Follower, hub: Arc<Shared>, named: Named) -> Self {
        hub.metrics.subscribers.inc();
        Self { follower, hub, named, behind: None }
    }

    /// As a stream for a task to await.
    #[must_use]
    pub fn into_stream(self) -> Subscription {
        let news = self.hub.registry.news(self.filter().clone());
        Subscription { subscriber: self, news }
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

    /// Many that follow the same share one filter: `filter` must equal its own.
    pub fn share_filter(&mut self, filter: &Filter) {
        debug_assert_eq!(self.filter(), filter, "it would follow something else");
        self.follower.share_filter(filter);
        self.named.share_filter(filter);
    }

    /// Which frames it gets.
    #[must_use]
    pub fn form(&self) -> Form {
        self.follower.form()
    }

    /// What is to be written before the stream is ended from outside.
    #[must_use]
    pub fn last_words(&self) -> Option<Bytes> {
        self.follower.last_words(&self.hub.log.epochs())
    }

    /// What it wants done next. It takes no step past events that were not [`sent`](Self::sent).
    pub fn step(&mut self, desk: &mut Desk) -> Step {
        let here = self.follower.plain();
        if let Some(stretch) = here.and_then(|at| desk.find(self.filter(), at)) {
            return self.follower.offer(stretch, desk.now);
        }
        let window = self.hub.window();
        // After the window: each event in it is of an epoch that these know.
        let epochs = self.hub.log.epochs();
        let step = self.follower.step(&window, &epochs, desk.now);
        // From where it stands now: on the way there it may have passed what others must be told of.
        if let (Step::Events(stretch), Some(at)) = (&step, self.follower.plain()) {
            desk.remember(self.filter(), at, stretch);
        }
        drop(window);
        if matches!(step, Step::Wait(_)) {
            self.behind = None;
        }
        self.count_gap();
        step
    }

    /// The first `count` of the events that it was given by its last step are on their way, in so many
    /// bytes. The others will come again.
    pub fn sent(&mut self, stretch: &Stretch, (count, bytes): (usize, usize), desk: &mut Desk) {
        desk.count(stretch, count, bytes, self.follower.is_live());
        self.follower.sent(stretch, count, desk.now);
        if !stretch.replayed {
            self.behind = None;
        }
    }

    /// Whether nothing was left after a stretch when it was looked up, and all of it was sent. What came since
    /// is news.
    #[must_use]
    pub fn is_up_to_date(&self, stretch: &Stretch) -> bool {
        self.follower.is_up_to_date(stretch)
    }

    fn count_gap(&mut self) {
        if let Some(reason) = self.follower.take_told_gap() {
            self.hub.metrics.gap(reason);
        }
    }

    /// Does a [`Step::Read`]; its outcome is to be handed to [`take_in`](Self::take_in).
    pub fn read(
        &mut self,
        range: ReadRange,
    ) -> impl Future<Output = Result<Read, ReadError>> + Send + use<> {
        self.read_by(range, Instant::now)
    }

    pub(crate) fn read_by<N: Fn() -> Instant>(
        &mut self,
        range: ReadRange,
        now: N,
    ) -> impl Future<Output = Result<Read, ReadError>> + use<N> {
        self.behind.get_or_insert_with(|| self.hub.catch_ups.enter());
        let (hub, filter) = (self.hub.clone(), self.filter().clone());
        async move { hub.catch_up(&filter, range, now).await.map(Read) }
    }

    /// What was read for it.
    pub fn take_in(&mut self, Read(read): Read) {
        self.follower.take_in(read);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.metrics.subscribers.dec();
    }
}

/// One subscriber's stream of frames. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    subscriber: Subscriber,
    news: News,
}

impl Subscription {
    #[cfg(test)]
    pub(crate) fn follower(&self) -> &Follower {
        self.subscriber.follower()
    }

    /// What it follows.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        self.subscriber.filter()
    }

    /// What is to be written before the stream is ended from outside.
    #[must_use]
    pub fn last_words(&self) -> Option<Bytes> {
        self.subscriber.last_words()
    }

    /// The next frames to write, in order; waits until there are some. `None`: the stream is
    /// complete. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The subscriber is to be disconnected; it may come back with its cursor.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, FollowError> {
        loop {
            match self.step() {
                Step::Events(stretch) => return Ok(Some(self.frames(&stretch))),
                Step::Send(frames) | Step::Ephemeral(frames) => {
                    let bytes = frames.iter().map(Bytes::len).sum();
                    Desk::of(self.subscriber.hub.clone(), Instant::now()).count_bytes(bytes);
                    return Ok(Some(frames));
                }
                Step::End => return Ok(None),
                Step::Lagging(lag) => return Err(FollowError::Lagging(lag)),
                Step::Read(range) => {
                    let read = self.subscriber.read(range).await?;
                    self.subscriber.take_in(read);
                }
                Step::Wait(until) => {
                    let _ = tokio::time::timeout_at(until, self.news.news()).await;
                }
            }
        }
    }

    fn step(&mut self) -> Step {
        let mut desk = Desk::of(self.subscriber.hub.clone(), Instant::now());
        self.subscriber.step(&mut desk)
    }

    fn frames(&mut self, stretch: &Stretch) -> Vec<Bytes> {
        let frames = stretch.frames(self.subscriber.form());
        let sent = (frames.len(), frames.iter().map(Bytes::len).sum());
        let mut desk = Desk::of(self.subscriber.hub.clone(), Instant::now());
        self.subscriber.sent(stretch, sent, &mut desk);
        frames
    }

    /// For a simulator, which drives it by itself.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    /// Whether there were news since it was last asked.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn has_news(&self) -> bool {
        let mut news = std::pin::pin!(self.news.news());
        news.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}
