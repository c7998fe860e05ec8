//! A subscription as a response body. It carries frames; on a drain it ends them cleanly.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use eventwall_hub::{FollowError, Subscription, padding_frame, retry_frame};
use eventwall_log::ReadError;
use futures_util::{
    FutureExt as _,
    stream::{self, Stream},
};
use rand::RngExt as _;

use crate::{App, connection::Share, metrics::Cut};

/// Steps of a stream that a drain waits for at most, so that a busy topic can't hold it up.
const LAST_STEPS: usize = 4;

/// Whoever meets what can't be read may come back after so long, in milliseconds.
const RETRY_UNREADABLE: u64 = 60_000;

struct Streaming {
    subscription: Subscription,
    /// Of what its connection may follow.
    _share: Option<Share>,
    app: Arc<App>,
    /// The settings by which it was found that it may read what it follows.
    allowed_by: u64,
    /// What is to be written before anything else, in reverse.
    queue: Vec<Bytes>,
    ended: bool,
}

/// The body of a stream; `padding` bytes of comment come first.
pub(crate) fn stream_body(
    subscription: Subscription,
    share: Option<Share>,
    app: Arc<App>,
    padding: usize,
) -> Body {
    let queue = if padding > 0 { vec![padding_frame(padding)] } else { Vec::new() };
    let allowed_by = app.generation();
    Body::from_stream(frames(Streaming {
        subscription,
        _share: share,
        app,
        allowed_by,
        queue,
        ended: false,
    }))
}

fn frames(state: Streaming) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(state, |mut state| async {
        while state.queue.is_empty() {
            if state.ended {
                return None;
            }
            state.fill().await;
        }
        state.queue.pop().map(|frame| (Ok(frame), state))
    })
}

impl Streaming {
    async fn fill(&mut self) {
        tokio::select! {
            biased;
            () = self.app.drain.draining() => {
                self.farewell();
            }
            frames = self.subscription.next() => match frames {
                Ok(Some(_)) if !self.is_allowed() => self.send_away(),
                Ok(Some(mut frames)) => {
                    frames.reverse();
                    self.queue = frames;
                }
                Ok(None) => self.ended = true,
                Err(error) => self.disconnect(&error),
            },
        }
    }
}

impl Streaming {
    /// Whether what it follows may still be read: settings may have changed.
    fn is_allowed(&mut self) -> bool {
        let generation = self.app.generation();
        if generation == self.allowed_by {
            return true;
        }
        self.allowed_by = generation;
        self.app.settings().access.reads_all_of(self.subscription.filter())
    }

    /// What it would get is no longer public. It is answered like anybody if it comes back.
    fn send_away(&mut self) {
        let retry = spread(self.app.settings().limits.drain_window);
        self.queue =
            vec![retry_frame(retry), comment("what this stream follows is no longer public")];
        self.ended = true;
    }

    /// It may come back with its cursor.
    fn disconnect(&mut self, error: &FollowError) {
        match error {
            FollowError::Read(error) => {
                tracing::warn!(%error, "a subscriber cannot go on and is disconnected");
                let retry = retry_of(error, self.app.settings().limits.drain_window);
                // For who looks at the bytes; and stock clients must not come back at once.
                self.queue = vec![retry_frame(retry), comment(&error.to_string())];
            }
            FollowError::Lagging(_) => {
                self.app.metrics.cut(Cut::lag);
                tracing::info!(why = %error, "a slow subscriber is disconnected");
            }
        }
        self.ended = true;
    }

    /// What is at hand is still sent; then each is told to come back at a time of its own, so
    /// that a restart is no stampede.
    fn farewell(&mut self) {
        let mut frames = Vec::new();
        for _ in 0..LAST_STEPS {
            match self.subscription.next().now_or_never() {
                Some(Ok(Some(more))) => frames.extend(more),
                _ => break,
            }
        }
        frames.extend(self.subscription.last_words());
        frames.push(retry_frame(spread(self.app.settings().limits.drain_window)));
        frames.reverse();
        self.queue = frames;
        self.ended = true;
    }
}

/// When whoever met what cannot be read may come back, in milliseconds.
pub(crate) fn retry_of(error: &ReadError, window: Duration) -> u64 {
    match error {
        ReadError::Unavailable(_) => spread(window),
        ReadError::Damaged { .. } | ReadError::Io(_) => RETRY_UNREADABLE,
    }
}

pub(crate) fn comment(text: &str) -> Bytes {
    format!(": {}\n\n", text.replace(['\r', '\n'], " ")).into()
}

/// A random reconnection time within a window, in milliseconds.
pub(crate) fn spread(window: Duration) -> u64 {
    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
    500 + rand::rng().random_range(0..window)
}
