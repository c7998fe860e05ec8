//! The log of a hub whose nodes share a NATS JetStream stream.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use eventwall_log::{
    AppendError, AppendOptions, Appended, BackPage, Batch, Budget, Capabilities, Epochs, EventId,
    Filter, Log, Millis, Page, Position, ReadError, ReadRange, Record, Resolution, Retention, Tail,
    Topic,
    kit::{Origin, last_id},
};
use futures_core::future::BoxFuture;
use tokio::{sync::Mutex, task::JoinHandle};

use crate::{
    back::read_back,
    blobs::JetStreamBlobs,
    config::JetStreamConfig,
    ephemera::Whispers,
    follow::{Session, begin, follow},
    index::{Index, View},
    keeper::{self, Keeper, keep, pulse},
    nats::{Nats, OpenError},
    nodes,
    publish::append,
    recount::recount,
    runs::Runs,
    shared::Shared,
    state::JetStreamState,
    verify::{Known, verify},
};

/// Attempts to read the stream at the start.
const TRIES: u32 = 3;
/// The others learn of it by the end of the lease, if not at once.
const FAREWELL: Duration = Duration::from_secs(3);

/// A node's view of the log that all nodes of a hub share. Its tasks end with it.
#[derive(Debug)]
pub struct JetStreamLog {
    pub(crate) shared: Arc<Shared>,
    keeper: Arc<Mutex<Keeper>>,
    tasks: Vec<JoinHandle<()>>,
}

impl JetStreamLog {
    /// Joins the hub, or makes it, and reads what is needed to answer at once.
    ///
    /// # Errors
    /// If the servers cannot be reached, or what is there cannot be used; in words for whoever
    /// started the node.
    pub async fn open(config: JetStreamConfig) -> Result<Self, OpenError> {
        Self::open_as(config, false).await
    }

    /// A hub that was just copied, and will be told what its origin knew.
    pub(crate) async fn open_copy(config: JetStreamConfig) -> Result<Self, OpenError> {
        Self::open_as(config, true).await
    }

    async fn open_as(config: JetStreamConfig, is_copy: bool) -> Result<Self, OpenError> {
        let nats = Nats::open(&config).await?;
        let failed = |reason: String| OpenError::Failed { url: config.url.to_string(), reason };
        agree(&nats, &config).await?;
        let clocks = config.clocks();
        let mut index = Index::new(config.retention.clone(), Runs::new(String::new()), clocks);
        index.is_copy = is_copy;
        let shared = Shared::new(nats, index);
        let session = catch_up(&shared).await.map_err(failed)?;
        // Whoever came in the same moment, and thought to be alone too, is noticed before anybody is
        // told an id.
        nodes::heartbeat(&shared, true).await.map_err(failed)?;
        settle(&shared).await.map_err(failed)?;
        let mut keeper = Keeper::default();
        keeper.round(&shared, false).await.map_err(failed)?;
        let keeper = Arc::new(Mutex::new(keeper));
        let tasks = vec![
            tokio::spawn(follow(shared.clone(), session)),
            tokio::spawn(pulse(shared.clone())),
            tokio::spawn(keep(shared.clone(), keeper.clone())),
        ];
        Ok(Self { shared, keeper, tasks })
    }
}

/// Makes sure of common settings; servers that have just been told of a stream need a moment.
async fn agree(nats: &Nats, config: &JetStreamConfig) -> Result<(), OpenError> {
    let mut tries = 0;
    loop {
        match nodes::agree(nats, config).await {
            Err(OpenError::Failed { .. }) if tries < TRIES => tries += 1,
            agreed => return agreed,
        }
    }
}

/// Takes in all that there is; what breaks in the middle goes on where it was.
async fn catch_up(shared: &Shared) -> Result<Session, String> {
    // Until it has begun once, nothing is known that could be compared.
    let (mut tries, mut first) = (0, true);
    loop {
        let caught_up = match begin(shared, first).await {
            Ok(mut session) => {
                first = false;
                session.catch_up(shared).await.map(|()| session)
            }
            Err(why) => Err(why),
        };
        match caught_up {
            Ok(session) => return Ok(session),
            Err(why) if tries == TRIES => return Err(why),
            Err(why) => tracing::warn!(why, "reading the stream broke off; going on"),
        }
        tries += 1;
    }
}

/// Makes sure that the list of epochs is still the one that this node goes by, and that whoever reads
/// it in this moment reads it again.
async fn settle(shared: &Arc<Shared>) -> Result<(), String> {
    let known = Known::of(&shared.index());
    let verified = verify(shared, Some(&known)).await?;
    if verified.broken {
        return Err("the stream changed while this node was starting: start it again".into());
    }
    shared.index().adopt(verified.runs);
    Ok(())
}

impl JetStreamLog {
    /// What outlives retention, in the same cluster.
    #[must_use]
    pub fn state(&self) -> JetStreamState {
        JetStreamState(self.shared.nats.state.clone())
    }

    /// Large values, in the same cluster.
    #[must_use]
    pub fn blobs(&self) -> JetStreamBlobs {
        self.shared.blobs()
    }

    /// Whether other nodes use the hub now, or did a moment ago.
    ///
    /// # Errors
    /// If the servers do not answer.
    pub async fn has_others(&self) -> Result<bool, String> {
        let nodes = nodes::nodes(&self.shared).await?;
        Ok(nodes.iter().any(|node| node.name != self.shared.node))
    }

    /// What passes between the nodes and is never stored.
    ///
    /// # Errors
    /// If the servers do not answer.
    pub async fn whispers(&self) -> Result<Whispers, OpenError> {
        Whispers::open(&self.shared)
            .await
            .map_err(|reason| OpenError::Failed { url: self.shared.nats.hub.clone(), reason })
    }

    /// What a copy of this log must know beside its events.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let index = self.shared.index();
        index.topics.origin(&index.epochs, index.end)
    }

    /// Takes in what the log that this one was copied from knew of its topics, for every node.
    pub(crate) async fn recall(&self, origin: &Origin) -> Result<(), String> {
        {
            let mut index = self.shared.index();
            origin.known.iter().for_each(|known| index.topics.learn_of_origin(known));
            index.topics.forget_up_to(origin.forgotten);
            index.topics.unsure_up_to(origin.unsure);
        }
        self.keeper.lock().await.snapshot(&self.shared).await
    }

    /// Events that the stream holds now, and servers that store each.
    ///
    /// # Errors
    /// If the servers do not answer.
    pub async fn extent(&self) -> Result<(u64, usize), String> {
        let info = self.shared.nats.info().await?;
        Ok((info.state.messages, info.config.num_replicas))
    }
}

impl Drop for JetStreamLog {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What a reader is told when the servers do not answer.
pub(crate) fn unreadable(why: String) -> ReadError {
    ReadError::Unavailable(why)
}

impl Log for JetStreamLog {
    fn append(
        &self,
        batch: Batch,
        options: AppendOptions,
    ) -> BoxFuture<'_, Result<Appended, AppendError>> {
        // What was sent goes on if nobody waits for it any more.
        Box::pin(append(&self.shared, batch, options))
    }

    fn read(
        &self,
        range: ReadRange,
        filter: &Filter,
        budget: Budget,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        let filter = filter.clone();
        Box::pin(async move {
            let page = self.shared.page(range, &filter, (budget, View::Kept)).await;
            page.map_err(unreadable)
        })
    }

    fn read_back(
        &self,
        topic: &Topic,
        before: Option<Position>,
        budget: Budget,
    ) -> BoxFuture<'_, Result<BackPage, ReadError>> {
        let topic = topic.clone();
        Box::pin(async move {
            let before = before.unwrap_or(Position(u64::MAX));
            read_back(&self.shared, topic, before, budget).await.map_err(unreadable)
        })
    }

    fn last(&self, topic: &Topic) -> BoxFuture<'_, Result<Option<EventId>, ReadError>> {
        let topic = topic.clone();
        Box::pin(async move {
            self.shared.whole().await.map_err(unreadable)?;
            let mut index = self.shared.index();
            index.expire();
            let reach = index.topics.get(&topic);
            Ok(last_id(&index.epochs, reach.last, reach.hidden))
        })
    }

    fn topics(&self, filter: &Filter) -> BoxFuture<'_, Result<Vec<Topic>, ReadError>> {
        let filter = filter.clone();
        Box::pin(async move {
            self.shared.whole().await.map_err(unreadable)?;
            let mut index = self.shared.index();
            index.expire();
            Ok(index.topics.matching(&filter))
        })
    }

    fn topic_count(&self) -> usize {
        self.shared.index().topics.count()
    }

    fn position_before(&self, time: Millis) -> BoxFuture<'_, Result<Position, ReadError>> {
        Box::pin(async move {
            let found = self.shared.first_since(time).await.map_err(unreadable)?;
            let index = self.shared.index();
            Ok(found.map_or(index.end, |seq| index.runs.position(seq).before()))
        })
    }

    fn tail(&self, after: Position) -> Tail {
        let shared = self.shared.clone();
        Tail::new(after, self.shared.ends.clone(), move |range, budget| {
            let shared = shared.clone();
            Box::pin(async move {
                let page = shared.page(range, &Filter::All, (budget, View::Raw)).await;
                page.map_err(unreadable)
            })
        })
    }

    fn end(&self) -> Position {
        *self.shared.ends.borrow()
    }

    fn erase(&self, positions: Vec<Position>) -> BoxFuture<'_, Result<Position, AppendError>> {
        Box::pin(crate::erase::erase(&self.shared, positions))
    }

    fn retention(&self) -> Arc<Retention> {
        self.shared.index().topics.retention().clone()
    }

    fn set_retention(&self, retention: Retention) -> Result<(), String> {
        if let Some(trouble) = self.shared.trouble() {
            return Err(trouble);
        }
        self.shared.index().set_retention(retention.clone());
        let (shared, keeper) = (self.shared.clone(), self.keeper.clone());
        tokio::spawn(async move {
            let _nobody_else = keeper.lock().await;
            if let Err(why) = recount(&shared).await {
                tracing::warn!(
                    why,
                    "older events are not counted by the new limits yet; they are as newer ones come"
                );
            }
            if let Err(why) = nodes::limit(&shared, &retention).await {
                tracing::error!(
                    why,
                    "the hub's limits could not be changed in NATS: they hold on this node only, until it is reloaded"
                );
            }
        });
        Ok(())
    }

    fn maintain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Err(why) = self.keeper.lock().await.round(&self.shared, true).await {
                tracing::warn!(why, "the log could not be maintained");
            }
        })
    }

    fn expired(&self, record: &Record) -> bool {
        let index = self.shared.index();
        index.ages.is_expired(record, index.topics.limits(&record.topic).max_age)
    }

    fn bytes(&self) -> u64 {
        self.shared.index().bytes
    }

    fn epochs(&self) -> Arc<Epochs> {
        self.shared.index().epochs.clone()
    }

    /// An id that another node has given out may be ahead of this one, or of an epoch that it has
    /// not heard of.
    fn resolve<'a>(&'a self, id: &'a EventId) -> BoxFuture<'a, Result<Resolution, ReadError>> {
        Box::pin(async {
            let resolve = || {
                let index = self.shared.index();
                index.epochs.resolve(id, index.end)
            };
            let resolution = resolve();
            if matches!(resolution, Resolution::At(_)) {
                return Ok(resolution);
            }
            self.shared.look_again().await.map_err(unreadable)?;
            Ok(resolve())
        })
    }

    fn recent(&self) -> Position {
        self.shared.index().recent_after()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_batches: self.shared.nats.atomic,
            conditional_append: true,
            retention_by_pattern: true,
            durable: true,
            chained: false,
            states_outlive_bytes: false,
        }
    }

    fn health(&self) -> Result<(), String> {
        self.shared.trouble().or_else(|| self.shared.refusal()).map_or(Ok(()), Err)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let end = self.shared.end.lock().unwrap_or_else(PoisonError::into_inner).take();
            if end.is_some() {
                let leaving = async {
                    keeper::leave(&self.shared, &mut *self.keeper.lock().await).await;
                };
                if tokio::time::timeout(FAREWELL, leaving).await.is_err() {
                    tracing::debug!("NATS does not answer the farewell");
                }
            }
            self.tasks.iter().for_each(JoinHandle::abort);
        })
    }
}
