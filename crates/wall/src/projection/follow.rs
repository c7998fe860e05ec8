//! A projection for each wall that is looked at, kept up to date by a task of its own, which ends when nobody has
//! looked for a while. Checkpoints make a restart quick; without one the log is folded anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eventwall_hub::{PageLimit, Start, StartError};
use eventwall_log::{EventId, Filter, Position, State, Topic};
use eventwall_server::{App, Problem, hex};
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
    time::{Duration, Instant, sleep},
};

use super::fold::Projection;

/// Projections at once; the one that was looked at longest ago makes room.
const MAX_WALLS: usize = 256;
/// A wall that nobody looked at for so long is followed no more.
const IDLE: Duration = Duration::from_secs(600);
/// Events of a step.
const STEP: usize = 1_000;
const WAIT: Duration = Duration::from_secs(5);
/// After so many events, a checkpoint.
const CHECKPOINT_EVERY: usize = 10_000;
/// Bytes of one; a larger projection is folded anew after a restart.
const MAX_CHECKPOINT: usize = 900 << 10;
/// Between looks at what the log still has.
const TRIM_EVERY: Duration = Duration::from_secs(5);
/// So long what is condemned may stay until the follower erases it.
const LENIENCE: Duration = Duration::from_secs(5);
/// So much of it at once.
const AT_ONCE: usize = 1_000;
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// So long a reader waits for a projection that is only being made.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long a projection that is there may take for what was just published.
const LAG: Duration = Duration::from_secs(1);
/// That is no wait to a person.
const SOON: Duration = Duration::from_millis(50);

/// All projections of a node.
#[derive(Debug)]
pub(crate) struct Projections {
    app: Arc<App>,
    state: Arc<dyn State>,
    walls: Mutex<HashMap<Topic, Followed>>,
}

#[derive(Debug)]
struct Followed {
    live: Arc<Live>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A projection that goes on.
#[derive(Debug)]
pub(crate) struct Live {
    projection: Mutex<Projection>,
    /// Up to where it is the log, once it has come to its end.
    ready: watch::Sender<Option<Position>>,
    looked_at: Mutex<Instant>,
}

impl Live {
    fn new(now: Instant) -> Self {
        let ready = watch::Sender::new(None);
        Self { projection: Mutex::default(), ready, looked_at: Mutex::new(now) }
    }

    fn looked_at(&self) -> MutexGuard<'_, Instant> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Projection> {
        self.projection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is there, or comes sooner than whoever has something to show without it would wait for.
    pub(crate) async fn is_ready_soon(&self) -> bool {
        let mut ready = self.ready.subscribe();
        let came = tokio::time::timeout(SOON, ready.wait_for(Option::is_some)).await;
        matches!(came, Ok(Ok(_)))
    }

    /// What `look` sees, if it is there: it may have begun anew since somebody waited for it.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Projection) -> T) -> Option<T> {
        self.seen_at(Position(0), look)
    }

    /// What `look` sees once all up to there is taken in; nothing, if that takes too long.
    pub(crate) async fn once_at<T>(
        &self,
        position: Position,
        look: impl Fn(&Projection) -> T,
    ) -> Option<T> {
        self.once_at_within(PATIENCE, position, look).await
    }

    /// As [`Live::once_at`], for who has something to show without it.
    pub(crate) async fn soon_at<T>(
        &self,
        position: Position,
        look: impl Fn(&Projection) -> T,
    ) -> Option<T> {
        self.once_at_within(LAG, position, look).await
    }

    async fn once_at_within<T>(
        &self,
        patience: Duration,
        position: Position,
        look: impl Fn(&Projection) -> T,
    ) -> Option<T> {
        let mut ready = self.ready.subscribe();
        let seen = async {
            loop {
                ready.wait_for(|ready| ready.is_some_and(|ready| ready >= position)).await.ok()?;
                if let Some(seen) = self.seen_at(position, &look) {
                    return Some(seen);
                }
            }
        };
        tokio::time::timeout(patience, seen).await.ok().flatten()
    }

    fn seen_at<T>(&self, position: Position, look: impl FnOnce(&Projection) -> T) -> Option<T> {
        let projection = self.look();
        // Under the lock, where it is changed.
        let is_there = self.ready.borrow().is_some_and(|ready| ready >= position);
        is_there.then(|| look(&projection))
    }

    /// What is said while it is not there.
    pub(crate) fn unready() -> Problem {
        let detail = "the wall is still being read: ask again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1)
    }

    /// Whether it is there.
    pub(crate) fn is_ready_now(&self) -> bool {
        self.ready.borrow().is_some()
    }
}

impl Projections {
    pub(crate) fn new(app: Arc<App>, state: Arc<dyn State>) -> Self {
        Self { app, state, walls: Mutex::default() }
    }

    /// The wall's projection, made now if nobody has looked at it lately.
    pub(crate) fn of(&self, topic: &Topic) -> Arc<Live> {
        let now = Instant::now();
        let mut walls = self.walls.lock().unwrap_or_else(PoisonError::into_inner);
        walls.retain(|_, wall| !wall.task.is_finished());
        if let Some(wall) = walls.get(topic) {
            *wall.live.looked_at() = now;
            return wall.live.clone();
        }
        if walls.len() >= MAX_WALLS {
            // Names without a post are anybody's to invent: they go first.
            let order = |wall: &Followed| (!wall.live.look().is_empty(), *wall.live.looked_at());
            let least = walls.iter().min_by_key(|(_, wall)| order(wall));
            let least = least.map(|(topic, _)| topic.clone());
            least.and_then(|topic| walls.remove(&topic));
        }
        let live = Arc::new(Live::new(now));
        let follower = Follower {
            app: self.app.clone(),
            state: self.state.clone(),
            topic: topic.clone(),
            live: live.clone(),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        walls.insert(topic.clone(), Followed { live: live.clone(), task });
        live
    }
}

struct Follower {
    app: Arc<App>,
    state: Arc<dyn State>,
    topic: Topic,
    live: Arc<Live>,
}

impl Follower {
    async fn run(self) {
        // First, so that none is missed.
        let mut erasures = self.app.hub.erasures();
        if let Some(kept) = self.kept().await {
            *self.live.look() = kept;
        }
        let mut since_checkpoint = 0;
        let (mut trimmed, mut condemned) = (None, None);
        while self.live.looked_at().elapsed() < IDLE {
            match self.step(&mut trimmed, &mut erasures).await {
                Ok(events) => since_checkpoint += events,
                Err(error) => {
                    tracing::warn!(wall = %self.topic, %error, "the wall cannot be read; it is tried again");
                    sleep(AFTER_FAILURE).await;
                }
            }
            self.carry_out(&mut condemned).await;
            if since_checkpoint >= CHECKPOINT_EVERY && self.live.is_ready_now() {
                self.keep().await;
                since_checkpoint = 0;
            }
        }
        if since_checkpoint > 0 {
            self.keep().await;
        }
    }

    /// A step, while erasures are heard. What of them it had read before comes after them: so they hold once more.
    async fn step(
        &self,
        trimmed: &mut Option<Instant>,
        erasures: &mut broadcast::Receiver<Arc<[Position]>>,
    ) -> Result<usize, StartError> {
        let mut heard = Vec::new();
        let begun = self.live.look().cursor().map(|cursor| cursor.position);
        let mut folding = std::pin::pin!(self.fold(trimmed));
        let events = loop {
            tokio::select! {
                events = &mut folding => break events,
                erased = erasures.recv() => {
                    let Ok(erased) = erased else {
                        self.begin_anew();
                        return Ok(0);
                    };
                    self.live.look().erase(&erased);
                    heard.extend(erased.iter().filter(|position| Some(**position) > begun));
                }
            }
        };
        self.live.look().erase(&heard);
        events
    }

    /// Erases what should be gone for a while by now: whoever was to do it has come to an end, or could not.
    async fn carry_out(&self, since: &mut Option<Instant>) {
        let condemned = self.live.look().condemned(AT_ONCE);
        if condemned.is_empty() || !self.live.is_ready_now() {
            *since = None;
            return;
        }
        if since.get_or_insert_with(Instant::now).elapsed() < LENIENCE {
            return;
        }
        *since = None;
        if let Err(error) = self.app.hub.erase(condemned).await {
            tracing::warn!(wall = %self.topic, %error, "what was taken from the wall could not be erased; it is tried again");
        }
    }

    fn begin_anew(&self) {
        let mut projection = self.live.look();
        *projection = Projection::default();
        // Under the lock: whoever finds it ready finds all of it.
        self.live.ready.send_replace(None);
    }

    /// Folds what came; answers how many events.
    async fn fold(&self, trimmed: &mut Option<Instant>) -> Result<usize, StartError> {
        let filter = Filter::topics([self.topic.clone()]);
        let cursor = self.live.look().cursor();
        let start = cursor.clone().map_or(Start::Since(0), Start::After);
        let limit = PageLimit::events(STEP);
        if trimmed.is_none_or(|at| at.elapsed() >= TRIM_EVERY) {
            let first = self.first(&filter, cursor.as_ref()).await?;
            if let Some(first) = first {
                self.live.look().forget_before(first);
            }
            *trimmed = Some(Instant::now());
        }
        // What is there already is not waited for.
        let page = match self.live.is_ready_now() {
            true => self.app.hub.page_watching(filter.clone(), &start, limit, WAIT).await?,
            false => self.app.hub.page(filter.clone(), &start, limit).await?,
        };
        if page.gap.is_some() && cursor.is_some() {
            // Of another log, or one that lost something meanwhile: what is left is folded anew.
            self.begin_anew();
            return Ok(0);
        }
        let mut projection = self.live.look();
        for event in &page.events {
            projection.apply(event);
        }
        projection.reached(&page.cursor);
        if !page.more {
            self.live.ready.send_replace(Some(page.cursor.position));
        }
        Ok(page.events.len())
    }

    /// Where the log of this wall begins; behind all that was folded, if nothing of that is left.
    async fn first(
        &self,
        filter: &Filter,
        cursor: Option<&EventId>,
    ) -> Result<Option<Position>, StartError> {
        let page =
            self.app.hub.page(filter.clone(), &Start::Since(0), PageLimit::events(1)).await?;
        let first = page.events.first().map(|event| event.position());
        Ok(first.or_else(|| cursor.map(|cursor| cursor.position.next())))
    }

    fn key(&self) -> String {
        format!("wall-{}", hex(&Sha256::digest(self.topic.as_str())[..8]))
    }

    async fn kept(&self) -> Option<Projection> {
        let (bytes, _) = self.state.get(&self.key()).await.ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    async fn keep(&self) {
        let Ok(bytes) = serde_json::to_vec(&*self.live.look()) else { return };
        if bytes.len() > MAX_CHECKPOINT {
            return;
        }
        let revision = match self.state.get(&self.key()).await {
            Ok(kept) => kept.map_or(0, |(_, revision)| revision),
            Err(_) => return,
        };
        // Another node that was quicker has the same.
        if let Err(error) = self.state.put(&self.key(), bytes, revision).await {
            tracing::debug!(wall = %self.topic, %error, "no checkpoint");
        }
    }
}
