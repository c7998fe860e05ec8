//! What a node does beside following: learns what is left of the stream, says that it is alive,
//! hides what is too old. One of the nodes, who holds a lease, also keeps a snapshot for those who
//! come, and gives space back: of what every node has hidden for long, never of anything else. That
//! two may think they hold it does no harm.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    ErrorCode,
    kv::{CreateErrorKind, UpdateErrorKind},
    stream::DeleteMessageErrorKind,
};
use bytes::Bytes;
use eventwall_log::{Blobs as _, Position, Topic};

use crate::{
    follow::leave as leave_server,
    nats::in_full,
    nodes::{heartbeat, limits_of, node_key, nodes},
    shared::{Shared, Witness},
    snapshot::Snapshot,
    source::Want,
    trail::AHEAD,
    verify::{list, note_seen},
};

const TICK: Duration = Duration::from_secs(1);
/// What a round may take.
const ROUND: Duration = Duration::from_secs(60);
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
/// Snapshots that are kept, in turn: whoever reads the one of before may finish.
const SLOTS: u64 = 3;
/// What reading one may take.
const LEARN: Duration = Duration::from_secs(15);
/// Stretches that are looked at in one round, for each trail.
const REFILLS: usize = 64;
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
    /// What was hidden at some time, when this node was so far.
    hidden: Option<(Instant, u64, HashMap<Topic, Position>)>,
    purged: HashMap<Topic, Position>,
    /// Erased events that have surely left the servers' disks.
    deleted: HashSet<Position>,
    /// Which stream all that is of.
    stream: (String, Position),
    /// The nodes do not keep the same limits.
    differ: bool,
    /// How far the tail was when the stream was longer.
    behind: Option<(u64, Instant)>,
}

/// Says that this node is there until the log is closed, whatever else it is busy with.
pub(crate) async fn pulse(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shared.is_closed() {
        ticks.tick().await;
        let live = shared.progress.borrow().live;
        if live && let Err(why) = heartbeat(&shared, true).await {
            tracing::debug!(why, "the other nodes do not hear of this one");
        }
    }
}

/// Keeps until the log is closed.
pub(crate) async fn keep(shared: Arc<Shared>, keeper: Arc<tokio::sync::Mutex<Keeper>>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failed = 0;
    while !shared.is_closed() {
        ticks.tick().await;
        let mut keeper = keeper.lock().await;
        let round = tokio::time::timeout(ROUND, keeper.round(&shared, false)).await;
        failed = match round.unwrap_or_else(|_| Err("it took too long".into())) {
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
        let generation = shared.progress.borrow().generation;
        self.begin_anew(shared);
        self.look(shared).await?;
        refill(shared).await?;
        self.lead(shared).await?;
        if self.lease.is_some() {
            self.tidy(shared, generation, thorough).await?;
        }
        Ok(())
    }

    /// What was remembered of another stream, or of this one before it broke, says nothing any more.
    fn begin_anew(&mut self, shared: &Shared) {
        let stream = {
            let index = shared.index();
            (index.runs.created.clone(), index.runs.unsure)
        };
        if self.stream != stream {
            *self = Self { lease: self.lease, behind: self.behind, stream, ..Self::default() };
        }
    }

    /// What is left of the stream; and whether the list of epochs is still this one, and the tail gets
    /// what is there.
    async fn look(&mut self, shared: &Shared) -> Result<(), String> {
        let state = shared.nats.info().await?.state;
        let taken = {
            let mut index = shared.index();
            index.left(state.first_sequence, state.bytes);
            index.taken
        };
        let (listed, _) = list(&shared.nats).await?;
        let known = shared.index().runs.clone();
        let changed = listed.filter(|listed| !listed.says_the_same(&known));
        if changed.is_some_and(|listed| !shared.adopts(listed, &known, taken)) {
            shared.anew.notify_one();
            return Err("the stream is not what this node takes it for".into());
        }
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

    async fn tidy(
        &mut self,
        shared: &Shared,
        generation: u64,
        thorough: bool,
    ) -> Result<(), String> {
        let (runs, mark) = {
            let index = shared.index();
            (index.runs.clone(), index.mark)
        };
        let news = mark.seq.abs_diff(self.snapshot_seq);
        let due = self.snapshot_at.is_none_or(|at| at.elapsed() > SNAPSHOT_TIME);
        if news > 0 && (thorough || due || news >= SNAPSHOT_MESSAGES) {
            note_seen(&shared.nats, &runs, mark).await?;
            self.snapshot(shared).await?;
        }
        self.delete_erased(shared, generation).await?;
        let nodes = nodes(shared).await?;
        let mine = limits_of(&shared.index());
        let differ = nodes.iter().any(|node| node.settings != mine);
        match (differ, std::mem::replace(&mut self.differ, differ)) {
            (true, false) => {
                tracing::warn!(
                    "the nodes of this hub do not keep the same limits: give each the same settings and a SIGHUP; until then nothing that topics hide is removed"
                );
            }
            (false, true) => tracing::info!("the nodes of this hub keep the same limits again"),
            _ => {}
        }
        if differ {
            return Ok(());
        }
        let alone = nodes.len() <= 1;
        let others = nodes.iter().filter(|node| node.name != shared.node);
        let slowest = others.map(|node| node.seq).min().unwrap_or(u64::MAX);
        self.purge(shared, (slowest, generation), thorough && alone).await
    }

    pub(crate) async fn snapshot(&mut self, shared: &Shared) -> Result<(), String> {
        let snapshot = shared.index().snapshot();
        let value = shared.nats.value(POINTER).await?;
        let revision = value.as_ref().map_or(0, |(_, revision)| *revision);
        let old = value.and_then(|(value, _)| Pointer::parse(&value));
        let slot = old.as_ref().map_or(0, |old| (old.slot + 1) % SLOTS);
        let stream = format!("{}-{}", snapshot.created, snapshot.unsure_by_runs);
        let pointer = Pointer { stream, seq: snapshot.mark.seq, slot };
        if old.as_ref().is_some_and(|old| old.stream == pointer.stream && old.seq > pointer.seq) {
            return Ok(());
        }
        let put = shared.blobs().put(&pointer.name(), snapshot.encode()).await;
        put.map_err(|error| error.to_string())?;
        let put = shared.nats.state.update(POINTER, pointer.to_string().into(), revision).await;
        put.map_err(|error| in_full(&error))?;
        (self.snapshot_seq, self.snapshot_at) = (pointer.seq, Some(Instant::now()));
        Ok(())
    }

    /// Erased events leave the servers' disks; also if the node that erased them did not come to it.
    async fn delete_erased(&mut self, shared: &Shared, generation: u64) -> Result<(), String> {
        let erased = {
            let index = shared.index();
            self.deleted.retain(|position| index.is_erased(*position));
            index.erased_but(&self.deleted, PURGES)
        };
        for position in erased {
            shared.still(generation)?;
            delete(shared, position).await?;
            self.deleted.insert(position);
        }
        Ok(())
    }

    /// Removes what was hidden a while ago, and every node has taken in.
    async fn purge(
        &mut self,
        shared: &Shared,
        (slowest, generation): (u64, u64),
        now: bool,
    ) -> Result<(), String> {
        let ripe = self.hidden.as_ref().is_some_and(|(at, ..)| at.elapsed() > RIPE);
        if now || self.hidden.is_none() {
            let taken = shared.index().taken;
            self.hidden = Some((Instant::now(), taken, hidden(shared)));
        }
        // Every node has seen what hid it.
        let seen = self.hidden.as_ref().is_some_and(|(_, at, _)| slowest >= *at);
        if !seen || (!now && !ripe) {
            return Ok(());
        }
        let Some((.., hidden)) = self.hidden.take() else { return Ok(()) };
        let first = {
            let index = shared.index();
            index.runs.position(index.first_seq)
        };
        self.purged.retain(|_, purged| *purged >= first);
        let mut done = 0;
        for (topic, upto) in hidden {
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
            shared.still(generation)?;
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
    match shared.nats.stream.delete_message(seq).await {
        Err(error) => match error.kind() {
            DeleteMessageErrorKind::JetStream(inner) if is_gone(&inner) => Ok(()),
            _ => Err(in_full(&error)),
        },
        Ok(_) => Ok(()),
    }
}

fn is_gone(error: &async_nats::jetstream::Error) -> bool {
    let gone = [ErrorCode::NO_MESSAGE_FOUND, ErrorCode::SEQUENCE_NOT_FOUND];
    let not_found = || error.to_string().contains("not found");
    gone.contains(&error.error_code())
        || (error.error_code() == ErrorCode::STREAM_MESSAGE_DELETE_FAILED && not_found())
}

/// Looks ahead at what will go next.
async fn refill(shared: &Shared) -> Result<(), String> {
    let heads = Want::heads(&shared.nats);
    for _ in 0..REFILLS {
        shared.index().expire();
        let short = shared.index().short_trails();
        if short.is_empty() {
            return Ok(());
        }
        for (which, after) in short {
            let from = shared.index().runs.sequence(after) + 1;
            let read = shared.stretch(&heads, from, (AHEAD / 4, usize::MAX), Witness::Ask).await?;
            let mut index = shared.index();
            let last = read.messages.last().map(|message| index.runs.position(message.mark.seq));
            let placed: Vec<_> =
                read.messages.into_iter().filter_map(|message| index.placed(message)).collect();
            let end = if read.complete { index.end } else { Position::START };
            index.refill((which, after), &placed, end.max(last.unwrap_or_default()));
        }
    }
    Ok(())
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
    slot: u64,
}

impl Pointer {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let (stream, seq, slot) = (words.next()?, words.next()?, words.next()?);
        Some(Self { stream: stream.into(), seq: seq.parse().ok()?, slot: slot.parse().ok()? })
    }

    fn name(&self) -> String {
        format!("topics-{}", self.slot)
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.stream, self.seq, self.slot)
    }
}

/// Takes in the newest snapshot, if it helps. Without one the stream is read from where this node is.
pub(crate) async fn learn(shared: &Shared) {
    let loaded = tokio::time::timeout(LEARN, load(shared)).await;
    match loaded.unwrap_or_else(|_| Err("it took too long".into())) {
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
    let value = shared.nats.value(POINTER).await?;
    let pointer = value.and_then(|(value, _)| Pointer::parse(&value));
    let Some(pointer) = pointer else { return Ok(None) };
    if pointer.seq <= shared.index().taken {
        return Ok(None);
    }
    let bytes = shared.blobs().get(&pointer.name(), SNAPSHOT_BYTES).await;
    Ok(bytes.map_err(|error| error.to_string())?.and_then(|bytes| Snapshot::decode(&bytes)))
}
