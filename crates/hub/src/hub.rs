//! The hub: owns the window, the registry and the one task that fills them from the log's
//! tail. It never shows an event that did not come off that tail.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eventwall_log::{
    AppendError, AppendOptions, Appended, Batch, Budget, Entry, Filter, Log, Page, Position,
    ReadError, ReadRange, Tail, Topic, system_time,
};
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    Ephemeral, FollowOptions, Follower, Framed, HubMetrics, Start, StartError, Subscriber, Waiter,
    catch_up::CatchUps,
    presence::Presence,
    registry::{Registration, Registry},
    start::{Started, start},
    window::Window,
};

/// How a hub behaves.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Memory for the newest events, in bytes.
    pub window_bytes: usize,
    /// Quiet for so long, a stream ticks.
    pub heartbeat: Duration,
    /// Catch-up reads at once; more wait.
    pub catch_ups: usize,
    /// Events that a start by `last` may bring, over all topics.
    pub max_start_events: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            window_bytes: 32 << 20,
            heartbeat: Duration::from_secs(15),
            catch_ups: 16,
            max_start_events: 10_000,
        }
    }
}

/// Topics, subscribers and a log.
#[derive(Debug)]
pub struct Hub {
    pub(crate) shared: Arc<Shared>,
    tail_task: JoinHandle<()>,
    heartbeat: Duration,
    relay: OnceLock<Relay>,
    presence: Presence,
}

/// Hands an ephemeral event on. It must not block.
pub struct Relay(Box<dyn Fn(&Ephemeral) + Send + Sync>);

impl Relay {
    /// By a function.
    pub fn new(relay: impl Fn(&Ephemeral) + Send + Sync + 'static) -> Self {
        Self(Box::new(relay))
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

/// What the hub, its tail task and its subscriptions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn Log>,
    window: RwLock<Window>,
    /// [`Window::erasures`], to be read without the window.
    erasures: AtomicU64,
    pub(crate) registry: Arc<Registry>,
    pub(crate) catch_ups: CatchUps,
    pub(crate) max_start_events: usize,
    /// The last position that came off the log's tail.
    tail: watch::Sender<Position>,
    pub(crate) metrics: HubMetrics,
    /// Why the tail cannot be read just now.
    tail_error: Mutex<Option<String>>,
    /// What is erased, as the tail tells it.
    erased: broadcast::Sender<Arc<[Position]>>,
}

/// Erasures that a reader of [`Hub::erasures`] may be behind.
const ERASURES: usize = 1024;
/// Events that one erasure of the log names.
const ERASED_AT_ONCE: usize = 1_000;

/// How often events that are too old leave the window.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a page waits for the window to catch up with the log.
const TAIL_DEADLINE: Duration = Duration::from_secs(5);

impl Hub {
    /// Starts a hub over `log`, within a tokio runtime. Its task ends with it.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, config: &HubConfig) -> Self {
        let (shared, tail) = Shared::new(log, config);
        let tail_task = tokio::spawn(shared.clone().follow(tail));
        Self {
            shared,
            tail_task,
            heartbeat: config.heartbeat,
            relay: OnceLock::new(),
            presence: Presence::default(),
        }
    }

    /// The log beneath.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.shared.log
    }

    /// Quiet for so long, a stream ticks.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// Events that a start by `last` may bring.
    #[must_use]
    pub fn max_start_events(&self) -> usize {
        self.shared.max_start_events
    }

    /// Appends to the log; subscribers get the events from its tail.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn publish(
        &self,
        batch: Batch,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        let appended = self.shared.log.append(batch, options).await?;
        if !appended.repeated {
            self.shared.metrics.published.inc_by(appended.ids.len() as u64);
        }
        Ok(appended)
    }

    /// What is erased from now on, by whichever node. Who is too far behind is told so.
    #[must_use]
    pub fn erasures(&self) -> broadcast::Receiver<Arc<[Position]>> {
        self.shared.erased.subscribe()
    }

    /// Erases events. Once this returns, nobody is shown them any more.
    ///
    /// # Errors
    /// As [`Log::erase`].
    pub async fn erase(&self, mut positions: Vec<Position>) -> Result<(), AppendError> {
        positions.sort_unstable();
        positions.dedup();
        for some in positions.chunks(ERASED_AT_ONCE) {
            let at = self.shared.log.erase(some.to_vec()).await?;
            self.shared.caught_up_with(at).await;
        }
        Ok(())
    }

    /// What the hub counts.
    #[must_use]
    pub fn metrics(&self) -> &HubMetrics {
        &self.shared.metrics
    }

    /// From now on ephemeral events that are published here are handed on, so that other hubs over
    /// the same log can show them; once.
    pub fn relay_ephemera(&self, relay: Relay) {
        let _ = self.relay.set(relay);
    }

    /// Shows an event to those who are live just now, here and on other nodes, and to nobody else
    /// ever.
    pub fn publish_ephemeral(&self, event: Ephemeral) {
        if let Some(Relay(relay)) = self.relay.get() {
            relay(&event);
        }
        self.show_ephemeral(event);
    }

    /// Shows an event of another node to those who are live just now here.
    pub fn show_ephemeral(&self, event: Ephemeral) {
        let topic = event.topic.clone();
        let mut window = self.shared.window.write().unwrap_or_else(PoisonError::into_inner);
        window.ephemera.push(event);
        drop(window);
        self.shared.registry.wake([&topic]);
    }

    /// How many streams follow a topic by its name, here and on the other nodes.
    #[must_use]
    pub fn presence(&self, topic: &Topic) -> u64 {
        self.shared.registry.count(topic) + self.presence.elsewhere(topic, Instant::now())
    }

    /// Who is here, for the other nodes: of many topics those that most follow.
    #[must_use]
    pub fn present(&self, most: usize) -> HashMap<Topic, u64> {
        self.shared.registry.counts(most)
    }

    /// Another node says who is there.
    pub fn heard_presence(&self, node: String, counts: HashMap<Topic, u64>) {
        self.presence.heard(node, counts, Instant::now());
    }

    /// Follows the topics that `filter` names.
    ///
    /// # Errors
    /// If the start is refused or the log cannot be read.
    pub async fn subscribe(
        &self,
        filter: Filter,
        from: &Start,
        options: FollowOptions,
    ) -> Result<Subscriber, StartError> {
        let named = self.shared.registry.name(filter.clone());
        let started = self.shared.start(filter, from).await?;
        if let Some(live_at) = started.live_at {
            // Or `live` might have to wait for the window until the next tick.
            self.shared.caught_up_with(live_at).await;
        }
        let follower = Follower::new(started, options, self.heartbeat, Instant::now());
        Ok(Subscriber::new(follower, self.shared.clone(), named))
    }

    /// From now on `waiter` hears of news of the topics that `filter` names. Who then takes a step misses
    /// nothing.
    pub fn register(&self, filter: Filter, waiter: &Arc<dyn Waiter>) -> Registration {
        self.shared.registry.register(filter, waiter)
    }

    /// The event at `position`, if the log still has it.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn event_at(&self, position: Position) -> Result<Option<Arc<Framed>>, ReadError> {
        let log = &self.shared.log;
        let only = ReadRange { through: position, ..ReadRange::after(position.before()) };
        let page = log.read(only, &Filter::All, Budget { events: 1, bytes: 1 }).await?;
        let record = page.entries.into_iter().find_map(|entry| match entry {
            Entry::Event(record) => Some(record),
            Entry::Erasure { .. } => None,
        });
        Ok(record.map(|record| Framed::new(record, log.epochs().id(position))))
    }

    /// Whether the log takes events and the tail is being followed.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn health(&self) -> Result<(), String> {
        if self.tail_task.is_finished() {
            return Err("the log's tail is no longer followed".into());
        }
        let failing = self.shared.tail_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failing.map_or(Ok(()), Err)?;
        self.shared.log.health()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.tail_task.abort();
    }
}

impl Shared {
    /// At the end of the log, or as far before it as costs nothing, with the tail that is to be
    /// followed from there.
    pub(crate) fn new(log: Arc<dyn Log>, config: &HubConfig) -> (Arc<Self>, Tail) {
        let end = log.recent();
        let tail = log.tail(end);
        let shared = Self {
            log,
            window: RwLock::new(Window::new(end, config.window_bytes)),
            erasures: AtomicU64::new(0),
            registry: Arc::default(),
            catch_ups: CatchUps::new(config.catch_ups),
            max_start_events: config.max_start_events,
            tail: watch::Sender::new(end),
            metrics: HubMetrics::default(),
            tail_error: Mutex::default(),
            erased: broadcast::Sender::new(ERASURES),
        };
        (Arc::new(shared), tail)
    }

    pub(crate) fn window(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn start(&self, filter: Filter, from: &Start) -> Result<Started, StartError> {
        start(&*self.log, filter, from, self.max_start_events).await
    }

    /// See [`Window::erasures`].
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures.load(Ordering::Acquire)
    }

    /// The tail task: everything that comes off the log goes into the window, then whoever
    /// waits for it is woken.
    async fn follow(self: Arc<Self>, mut tail: Tail) {
        let mut sweeps = tokio::time::interval(SWEEP);
        loop {
            let next = tokio::select! {
                next = tail.next() => next,
                _ = sweeps.tick() => {
                    self.sweep();
                    continue;
                }
            };
            let failing = next.as_ref().err().map(ToString::to_string);
            *self.tail_error.lock().unwrap_or_else(PoisonError::into_inner) = failing;
            match next {
                Ok(Some(page)) => self.take_in(page),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the log's tail cannot be read; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// The log no longer shows what is too old; nor does the window.
    pub(crate) fn sweep(&self) {
        let Some(shortest) = self.log.retention().shortest_age() else { return };
        let window = self.window();
        let now = system_time();
        let oldest = window.oldest().map(|event| event.record().time);
        if oldest.is_none_or(|time| time.saturating_add(shortest) >= now) {
            return;
        }
        let expired = window.expired(|event| self.log.expired(event.record()));
        drop(window);
        if !expired.is_empty() {
            self.window.write().unwrap_or_else(PoisonError::into_inner).sweep(&expired);
        }
    }

    pub(crate) fn take_in(&self, page: Page) {
        let epochs = self.log.epochs();
        let mut topics: HashSet<Topic> = HashSet::new();
        let mut window = self.window.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(removed) = page.removed {
            window.restart(removed);
        }
        for entry in page.entries {
            match entry {
                Entry::Event(record) => {
                    topics.insert(record.topic.clone());
                    let id = epochs.id(record.position);
                    window.push(Framed::new(record, id));
                }
                Entry::Erasure { erased, .. } => {
                    window.erase(&erased);
                    // Nobody need care.
                    let _ = self.erased.send(erased);
                }
            }
        }
        window.examined(page.examined);
        self.erasures.store(window.erasures(), Ordering::Release);
        drop(window);
        self.tail.send_replace(page.examined);
        match page.removed {
            Some(_) => self.registry.wake_all(),
            None => self.registry.wake(&topics),
        }
    }

    /// Waits until the window reaches `end`; answers how far it came within the deadline.
    pub(crate) async fn caught_up_with(&self, end: Position) -> Position {
        let mut tail = self.tail.subscribe();
        let reached = tail.wait_for(|tail| *tail >= end);
        let _ = tokio::time::timeout(TAIL_DEADLINE, reached).await;
        end.min(*self.tail.borrow())
    }
}
