//! A projection for each wall that is looked at, kept up to date by a task of its own, which ends when nobody has
//! looked for a while. Checkpoints make a restart quick; without one the log is folded anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eventwall_hub::{PageLimit, Start, StartError};
use eventwall_log::{Filter, State, Topic};
use eventwall_server::App;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
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
const WAIT: Duration = Duration::from_secs(20);
/// After so many events, a checkpoint.
const CHECKPOINT_EVERY: usize = 10_000;
/// Bytes of one; a larger projection is folded anew after a restart.
const MAX_CHECKPOINT: usize = 900 << 10;
/// Between looks at what the log still has.
const TRIM_EVERY: Duration = Duration::from_secs(5);
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// So long a reader waits for a projection that is only being made.
const PATIENCE: Duration = Duration::from_secs(5);
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
    looked_at: Instant,
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
    /// It has come to the end of the log.
    ready: watch::Sender<bool>,
}

impl Live {
    pub(crate) fn look(&self) -> MutexGuard<'_, Projection> {
        self.projection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is there, or came in time.
    pub(crate) async fn is_ready(&self) -> bool {
        self.is_ready_within(PATIENCE).await
    }

    /// As [`Live::is_ready`], for who has something to show without it.
    pub(crate) async fn is_ready_soon(&self) -> bool {
        self.is_ready_within(SOON).await
    }

    async fn is_ready_within(&self, patience: Duration) -> bool {
        let mut ready = self.ready.subscribe();
        let came = tokio::time::timeout(patience, ready.wait_for(|ready| *ready)).await;
        matches!(came, Ok(Ok(_)))
    }

    /// As [`Live::is_ready`], without a wait.
    pub(crate) fn is_ready_now(&self) -> bool {
        *self.ready.borrow()
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
        walls.retain(|_, wall| now - wall.looked_at < IDLE);
        if let Some(wall) = walls.get_mut(topic) {
            wall.looked_at = now;
            return wall.live.clone();
        }
        if walls.len() >= MAX_WALLS {
            let stalest = walls.iter().min_by_key(|(_, wall)| wall.looked_at);
            let stalest = stalest.map(|(topic, _)| topic.clone());
            stalest.and_then(|topic| walls.remove(&topic));
        }
        let live =
            Arc::new(Live { projection: Mutex::default(), ready: watch::Sender::new(false) });
        let follower = Follower {
            app: self.app.clone(),
            state: self.state.clone(),
            topic: topic.clone(),
            live: live.clone(),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        walls.insert(topic.clone(), Followed { live: live.clone(), looked_at: now, task });
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
        if let Some(kept) = self.kept().await {
            *self.live.look() = kept;
        }
        let mut since_checkpoint = 0;
        let mut trimmed = None;
        loop {
            match self.step(&mut trimmed).await {
                Ok(events) => since_checkpoint += events,
                Err(error) => {
                    tracing::warn!(wall = %self.topic, %error, "the wall cannot be read; it is tried again");
                    sleep(AFTER_FAILURE).await;
                }
            }
            if since_checkpoint >= CHECKPOINT_EVERY && self.live.is_ready_now() {
                self.keep().await;
                since_checkpoint = 0;
            }
        }
    }

    /// Folds what came; answers how many events.
    async fn step(&self, trimmed: &mut Option<Instant>) -> Result<usize, StartError> {
        let filter = Filter::topics([self.topic.clone()]);
        let cursor = self.live.look().cursor();
        let start = cursor.clone().map_or(Start::Since(0), Start::After);
        let limit = PageLimit::events(STEP);
        // What is there already is not waited for.
        let page = match self.live.is_ready_now() {
            true => self.app.hub.page_waiting(filter.clone(), &start, limit, WAIT).await?,
            false => self.app.hub.page(filter.clone(), &start, limit).await?,
        };
        let is_due = trimmed.is_none_or(|at| at.elapsed() >= TRIM_EVERY);
        let first = if is_due { self.first(&filter).await? } else { None };
        if is_due {
            *trimmed = Some(Instant::now());
        }
        let mut projection = self.live.look();
        if page.gap.is_some() && cursor.is_some() {
            // Of another log, or one that lost something meanwhile: what is left is folded anew.
            *projection = Projection::default();
            self.live.ready.send_replace(false);
            return Ok(0);
        }
        for event in &page.events {
            projection.apply(event);
        }
        projection.reached(&page.cursor);
        if let Some(first) = first {
            projection.forget_before(first);
        }
        if !page.more {
            self.live.ready.send_replace(true);
        }
        Ok(page.events.len())
    }

    /// Where the log of this wall begins.
    async fn first(&self, filter: &Filter) -> Result<Option<eventwall_log::Position>, StartError> {
        let page =
            self.app.hub.page(filter.clone(), &Start::Since(0), PageLimit::events(1)).await?;
        Ok(page.events.first().map(|event| event.position()))
    }

    fn key(&self) -> String {
        let hash = Sha256::digest(self.topic.as_str());
        let hex: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("wall-{hex}")
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
