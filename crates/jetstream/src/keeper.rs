//! What a node does beside following: learns what is left of the stream, says that it is alive,
//! hides what is too old. One of the nodes, who holds a lease, also keeps a snapshot for those who
//! come, and gives space back: of what every node has hidden for long, never of anything else. That
//! two may think they hold it does no harm.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};
use bytes::Bytes;
use eventwall_log::{Blobs as _, Position, Retention, Topic};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::{
    config::JetStreamConfig,
    follow::leave as leave_server,
    index::settings,
    nats::{Nats, OpenError, in_full},
    shared::Shared,
    snapshot::Snapshot,
    source::Want,
    trail::AHEAD,
    verify::note_seen,
};

const TICK: Duration = Duration::from_secs(1);
/// A snapshot is made once so many messages came since the last, or after this time if any did.
const SNAPSHOT_MESSAGES: u64 = 50_000;
const SNAPSHOT_TIME: Duration = Duration::from_secs(30);
/// Rounds that may fail before another server is tried.
const FAILURES: u32 = 2;
/// What is hidden is removed no sooner: readers that began before are done, and nodes whose clocks
/// differ have hidden it, too.
const RIPE: Duration = Duration::from_secs(60);
/// Removals in one round.
const PURGES: usize = 256;
/// A snapshot that is larger is not believed.
const SNAPSHOT_BYTES: usize = 1 << 30;

const LEADER: &str = "keeper";
const POINTER: &str = "snapshot";

/// What the keeper remembers.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// The lease's revision, while it is held.
    lease: Option<u64>,
    snapshot_seq: u64,
    snapshot_at: Option<Instant>,
    /// The last snapshots' objects.
    objects: Vec<String>,
    /// What was hidden at some time.
    hidden: Option<(Instant, HashMap<Topic, Position>)>,
    purged: HashMap<Topic, Position>,
    deleted: Position,
    /// The nodes do not keep the same limits.
    differ: bool,
    /// How far the tail was when the stream was longer.
    behind: Option<(u64, Instant)>,
}

/// What is known of another node.
struct Node {
    settings: String,
    seq: u64,
}

/// Keeps until the log is closed.
pub(crate) async fn keep(shared: Arc<Shared>, keeper: Arc<tokio::sync::Mutex<Keeper>>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failed = 0;
    while !shared.is_closed() {
        ticks.tick().await;
        let mut keeper = keeper.lock().await;
        failed = match keeper.round(&shared, false).await {
            Ok(()) => 0,
            Err(why) => {
                tracing::debug!(why, "a round of keeping the log failed");
                failed + 1
            }
        };
        if failed == FAILURES {
            // It is connected to a server that can do nothing, perhaps cut off from the others.
            failed = 0;
            leave_server(&shared.nats);
        }
    }
}

impl Keeper {
    /// One round; `thorough`: everything now that may be done now.
    pub(crate) async fn round(&mut self, shared: &Shared, thorough: bool) -> Result<(), String> {
        shared.index().expire();
        if !shared.progress.borrow().live {
            self.lease = None;
            return Ok(());
        }
        self.look(shared).await?;
        refill(shared).await?;
        shared.index().expire();
        heartbeat(shared).await?;
        self.lead(shared).await?;
        if self.lease.is_some() {
            self.tidy(shared, thorough).await?;
        }
        Ok(())
    }

    /// What is left of the stream; and whether the tail gets what is there.
    async fn look(&mut self, shared: &Shared) -> Result<(), String> {
        let state = shared.nats.info().await?.state;
        let taken = {
            let mut index = shared.index();
            index.left(state.first_sequence, state.bytes);
            index.taken
        };
        let stuck = taken < state.last_sequence;
        self.behind = match self.behind {
            Some((seq, since)) if stuck && seq == taken => {
                if since.elapsed() > 5 * TICK {
                    shared.anew.notify_one();
                }
                Some((seq, since))
            }
            _ => stuck.then(|| (taken, Instant::now())),
        };
        Ok(())
    }

    /// Takes or keeps the lease.
    async fn lead(&mut self, shared: &Shared) -> Result<(), String> {
        let (leases, node) = (&shared.nats.leases, Bytes::from(shared.node.clone()));
        self.lease = match self.lease {
            Some(revision) => match leases.update(LEADER, node, revision).await {
                Ok(revision) => Some(revision),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => None,
                Err(error) => return Err(in_full(&error)),
            },
            None => match leases.create(LEADER, node).await {
                Ok(revision) => Some(revision),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => None,
                Err(error) => return Err(in_full(&error)),
            },
        };
        Ok(())
    }

    async fn tidy(&mut self, shared: &Shared, thorough: bool) -> Result<(), String> {
        let (runs, mark) = {
            let index = shared.index();
            (index.runs.clone(), index.mark)
        };
        let news = mark.seq.saturating_sub(self.snapshot_seq);
        let due = self.snapshot_at.is_none_or(|at| at.elapsed() > SNAPSHOT_TIME);
        if news > 0 && (thorough || due || news >= SNAPSHOT_MESSAGES) {
            note_seen(&shared.nats, &runs, mark).await?;
            self.snapshot(shared).await?;
        }
        self.delete_erased(shared).await?;
        let nodes = nodes(shared).await?;
        let mine = digest(&settings(shared.index().topics.retention()));
        let differ = nodes.iter().any(|node| node.settings != mine);
        if differ && !std::mem::replace(&mut self.differ, differ) {
            tracing::warn!(
                "the nodes of this hub do not keep the same limits: nothing that topics hide is removed until they do"
            );
        }
        self.differ = differ;
        if differ {
            return Ok(());
        }
        let alone = nodes.len() <= 1;
        let slowest = nodes.iter().map(|node| node.seq).min().unwrap_or(mark.seq);
        self.purge(shared, slowest, thorough && alone).await
    }

    pub(crate) async fn snapshot(&mut self, shared: &Shared) -> Result<(), String> {
        let snapshot = shared.index().snapshot();
        let pointer = Pointer {
            stream: format!("{}-{}", snapshot.created, snapshot.unsure),
            seq: snapshot.mark.seq,
            name: format!("topics-{}-{}", snapshot.mark.seq, shared.node),
        };
        let entry = shared.nats.state.entry(POINTER).await.map_err(|error| in_full(&error))?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let old = entry.and_then(|entry| Pointer::parse(&entry.value));
        if old.as_ref().is_some_and(|old| old.stream == pointer.stream && old.seq > pointer.seq) {
            return Ok(());
        }
        let put = shared.blobs().put(&pointer.name, snapshot.encode()).await;
        put.map_err(|error| error.to_string())?;
        let put = shared.nats.state.update(POINTER, pointer.to_string().into(), revision).await;
        put.map_err(|error| in_full(&error))?;
        (self.snapshot_seq, self.snapshot_at) = (pointer.seq, Some(Instant::now()));
        self.objects.extend(old.map(|old| old.name));
        // Whoever reads the one of before may finish.
        while self.objects.len() > 2 {
            let name = self.objects.remove(0);
            let _ = shared.blobs().remove(&name).await;
        }
        Ok(())
    }

    /// Erased events leave the servers' disks; also if the node that erased them did not come to it.
    async fn delete_erased(&mut self, shared: &Shared) -> Result<(), String> {
        let erased = shared.index().erased_from(self.deleted, PURGES);
        for position in erased {
            delete(shared, position).await?;
            self.deleted = position;
        }
        Ok(())
    }

    /// Removes what was hidden a while ago, and every node has taken in.
    async fn purge(&mut self, shared: &Shared, slowest: u64, now: bool) -> Result<(), String> {
        let ripe = self.hidden.as_ref().is_some_and(|(at, _)| at.elapsed() > RIPE);
        if now || self.hidden.is_none() {
            self.hidden = Some((Instant::now(), hidden(shared)));
        }
        if !now && !ripe {
            return Ok(());
        }
        let (_, hidden) = self.hidden.take().unwrap_or((Instant::now(), HashMap::new()));
        let (first, slowest) = {
            let index = shared.index();
            (index.runs.position(index.first_seq), index.runs.position(slowest))
        };
        self.purged.retain(|_, purged| *purged >= first);
        let mut done = 0;
        for (topic, upto) in hidden {
            let upto = upto.min(slowest);
            if upto < first || self.purged.get(&topic).is_some_and(|purged| *purged >= upto) {
                continue;
            }
            if done == PURGES && !now {
                break;
            }
            done += 1;
            let (subject, seq) = {
                let index = shared.index();
                (shared.nats.subjects.of_topic(&topic), index.runs.sequence(upto))
            };
            let purge = shared.nats.stream.purge().filter(subject).sequence(seq + 1);
            purge.await.map_err(|error| in_full(&error))?;
            self.purged.insert(topic, upto);
        }
        if done > 0 {
            let state = shared.nats.info().await?.state;
            shared.index().left(state.first_sequence, state.bytes);
        }
        Ok(())
    }
}

/// Up to where each topic is hidden.
fn hidden(shared: &Shared) -> HashMap<Topic, Position> {
    let index = shared.index();
    let first = index.runs.position(index.first_seq);
    let some = index.topics.known().0.filter(|known| known.reach.hidden >= first);
    some.map(|known| (known.topic, known.reach.hidden.min(known.reach.last))).collect()
}

/// Overwrites a message and removes it. One that is gone already is no error.
pub(crate) async fn delete(shared: &Shared, position: Position) -> Result<(), String> {
    let seq = {
        let index = shared.index();
        let seq = index.runs.sequence(position);
        if index.runs.position(seq) != position {
            return Ok(());
        }
        seq
    };
    use async_nats::jetstream::stream::DeleteMessageErrorKind;
    match shared.nats.stream.delete_message(seq).await {
        Err(error) if matches!(error.kind(), DeleteMessageErrorKind::JetStream(_)) => Ok(()),
        result => result.map(drop).map_err(|error| in_full(&error)),
    }
}

/// Looks ahead at what will go next.
async fn refill(shared: &Shared) -> Result<(), String> {
    let short = shared.index().short_trails();
    let heads = Want::heads(&shared.nats);
    for (which, after) in short {
        let (from, end, witness) = {
            let index = shared.index();
            (index.runs.sequence(after) + 1, index.end, index.last_event().filter(|e| *e > after))
        };
        let read = shared.stretch(&heads, from, (AHEAD / 4, usize::MAX), witness).await?;
        let mut index = shared.index();
        let last = read.messages.last().map(|message| index.runs.position(message.mark.seq));
        let placed: Vec<_> =
            read.messages.into_iter().filter_map(|message| index.placed(message)).collect();
        let examined = if read.complete {
            end.max(last.unwrap_or_default())
        } else {
            last.unwrap_or_default()
        };
        index.refill(which, &placed, examined);
    }
    Ok(())
}

fn digest(settings: &str) -> String {
    Sha256::digest(settings).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn node_key(node: &str) -> String {
    format!("node.{node}")
}

/// Says that this node is there, how far it is and what it keeps.
async fn heartbeat(shared: &Shared) -> Result<(), String> {
    let value = {
        let index = shared.index();
        format!("{} {}", digest(&settings(index.topics.retention())), index.taken)
    };
    let put = shared.nats.leases.put(node_key(&shared.node), value.into()).await;
    put.map(drop).map_err(|error| in_full(&error))
}

/// Every node that is there.
async fn nodes(shared: &Shared) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    for key in node_keys(shared).await? {
        let value = shared.nats.leases.get(key).await.map_err(|error| in_full(&error))?;
        let Some(value) = value else { continue };
        let text = String::from_utf8_lossy(&value);
        if let Some((settings, seq)) = text.split_once(' ')
            && let Ok(seq) = seq.parse()
        {
            nodes.push(Node { settings: settings.into(), seq });
        }
    }
    Ok(nodes)
}

async fn node_keys(shared: &Shared) -> Result<Vec<String>, String> {
    let mut keys = shared.nats.leases.keys().await.map_err(|error| in_full(&error))?;
    let mut nodes = Vec::new();
    while let Some(key) = keys.next().await {
        let key = key.map_err(|error| error.to_string())?;
        if key.starts_with("node.") {
            nodes.push(key);
        }
    }
    Ok(nodes)
}

/// The settings that every node of a hub must share, and NATS does not keep.
const SETTINGS: &str = "settings";

/// Makes sure that this node keeps what the others keep.
pub(crate) async fn agree(nats: &Nats, config: &JetStreamConfig) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Failed { url: config.url.to_string(), reason };
    let mine = settings(&config.retention);
    let theirs = nats.state.get(SETTINGS).await.map_err(|error| failed(in_full(&error)))?;
    let theirs = theirs.map(|value| String::from_utf8_lossy(&value).into_owned());
    match theirs {
        Some(theirs) if theirs == mine => Ok(()),
        Some(_) if !config.url.update => Err(OpenError::Mismatch(format!(
            "the hub {} keeps topics by other limits than this node's max_events_per_topic, keep and [[retention]]: start it with the same settings as the other nodes, or add ?update=true to --store to change the hub's",
            nats.hub
        ))),
        _ => {
            let put = nats.state.put(SETTINGS, mine.into()).await;
            put.map(drop).map_err(|error| failed(in_full(&error)))
        }
    }
}

/// From now on other limits hold, for all nodes.
pub(crate) async fn limit(shared: &Shared, retention: &Retention) -> Result<(), String> {
    shared.nats.limit(retention).await?;
    let put = shared.nats.state.put(SETTINGS, settings(retention).into()).await;
    put.map(drop).map_err(|error| in_full(&error))
}

/// Whether no other node is there.
pub(crate) async fn is_alone(shared: &Shared) -> Result<bool, String> {
    let mine = node_key(&shared.node);
    Ok(node_keys(shared).await?.iter().all(|key| *key == mine))
}

/// This node goes: nobody need wait for its lease to end.
pub(crate) async fn leave(shared: &Shared, keeper: &mut Keeper) {
    let _ = shared.nats.leases.delete(node_key(&shared.node)).await;
    if keeper.lease.take().is_some() {
        let _ = shared.nats.leases.delete(LEADER).await;
    }
}

/// Where the newest snapshot is.
struct Pointer {
    /// The stream as it was then.
    stream: String,
    seq: u64,
    name: String,
}

impl Pointer {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let (stream, seq, name) = (words.next()?, words.next()?, words.next()?);
        Some(Self { stream: stream.into(), seq: seq.parse().ok()?, name: name.into() })
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.stream, self.seq, self.name)
    }
}

/// Takes in the newest snapshot, if it helps. Without one the stream is read from where this node is.
pub(crate) async fn learn(shared: &Shared) {
    match load(shared).await {
        Ok(Some(snapshot)) => {
            let learned = shared.index().learn(snapshot);
            tracing::debug!(learned, "read the cluster's snapshot of the topics");
        }
        Ok(None) => {}
        Err(why) => {
            tracing::warn!(
                why,
                "the cluster's snapshot of the topics cannot be read; reading the stream instead"
            );
        }
    }
}

async fn load(shared: &Shared) -> Result<Option<Snapshot>, String> {
    let value = shared.nats.state.get(POINTER).await.map_err(|error| in_full(&error))?;
    let Some(pointer) = value.as_deref().and_then(Pointer::parse) else { return Ok(None) };
    if pointer.seq <= shared.index().taken {
        return Ok(None);
    }
    let bytes = shared.blobs().get(&pointer.name, SNAPSHOT_BYTES).await;
    Ok(bytes.map_err(|error| error.to_string())?.and_then(|bytes| Snapshot::decode(&bytes)))
}
