//! Whether the stream is still what this node, and the cluster's list of epochs, take it for: asked
//! at the start and after every break of the connection. What cannot be told to be the same gets a
//! new epoch; nothing is ever passed off as what it was.

use std::time::Duration;

use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use eventwall_log::Position;

use crate::{
    index::Index,
    nats::{Nats, created, if_there, in_full, is_conflict},
    nodes::{self, Node},
    runs::{Mark, Runs},
    shared::Shared,
};

const EPOCHS: &str = "epochs";
/// Somebody else may be writing the list, but not for ever.
const TRIES: usize = 20;
/// The servers agree again on who leads by then.
const SETTLE: Duration = Duration::from_secs(2);

/// What a node knows before it asks.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) runs: Runs,
    /// Messages that it has seen, newest first.
    pub(crate) marks: Vec<Mark>,
    /// The last position that it has shown.
    pub(crate) shown: Position,
}

impl Known {
    pub(crate) fn of(index: &Index) -> Self {
        Self { runs: index.runs.clone(), marks: index.marks(), shown: index.end }
    }
}

/// What the stream is.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) runs: Runs,
    pub(crate) info: Info,
    /// What this node knew of it does not hold.
    pub(crate) broken: bool,
}

/// Compares, and brings the cluster's list up to date. A node that knows nothing, while no other is
/// there that could tell what was shown last, begins an epoch.
pub(crate) async fn verify(shared: &Shared, known: Option<&Known>) -> Result<Verified, String> {
    let nats = &shared.nats;
    let mut suspected = false;
    for _ in 0..TRIES {
        let (listed, revision) = list(nats).await?;
        // After the list was read: whoever comes in between changes it.
        let nodes = nodes::nodes(shared).await?;
        let others = nodes.iter().filter(|node| node.name != shared.node && node.ready);
        let others: Vec<Node> = others.cloned().collect();
        let alone = known.is_none() && others.is_empty();
        let info = nats.info().await?;
        let runs = judge(nats, (listed.clone(), known), (&info, &others), alone).await?;
        let before = known.map(|known| known.runs.unsure).max(listed.as_ref().map(|l| l.unsure));
        if before.is_some_and(|before| runs.unsure > before) && !suspected {
            // A server that has just lost the lead may tell of the past: ask again.
            suspected = true;
            tokio::time::sleep(SETTLE).await;
            continue;
        }
        // In any case: whoever reads it at the same time has to read it again.
        if !store(nats, &runs, revision).await? {
            continue;
        }
        let seq = known.and_then(|known| known.marks.first()).map_or(0, |mark| mark.seq);
        let broken = known.is_some_and(|known| !runs.agrees(&known.runs, seq));
        return Ok(Verified { runs, info, broken });
    }
    Err("the cluster's list of epochs does not stand still".into())
}

/// The cluster's list, as those who lead have it, and its revision.
pub(crate) async fn list(nats: &Nats) -> Result<(Option<Runs>, u64), String> {
    let Some((bytes, revision)) = nats.value(EPOCHS).await? else { return Ok((None, 0)) };
    if bytes.is_empty() {
        return Ok((None, revision));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let runs = text.parse();
    let runs = runs.inspect_err(|error| tracing::warn!("{error}: beginning a new one")).ok();
    Ok((runs, revision))
}

/// The list as it should be.
async fn judge(
    nats: &Nats,
    (listed, known): (Option<Runs>, Option<&Known>),
    (info, others): (&Info, &[Node]),
    alone: bool,
) -> Result<Runs, String> {
    let created = created(info);
    let shown = known.map_or(Position::START, |known| known.shown);
    let mine = known.map(|known| known.runs.clone());
    // A list that says less than this node knows was put back from a copy.
    let listed = match (listed, &mine) {
        (Some(listed), Some(mine))
            if listed.created == mine.created && listed.unsure < mine.unsure =>
        {
            Some(mine.clone())
        }
        (listed, mine) => listed.or_else(|| mine.clone()),
    };
    let Some(mut runs) = listed else { return Ok(Runs::new(created)) };
    if runs.created != created {
        let listed_shown = runs.position(runs.seen.seq);
        tracing::warn!(
            "the stream was made anew: a new epoch begins, and subscribers are told of a gap"
        );
        runs.replace(created, shown.max(listed_shown));
        return Ok(runs);
    }
    let mut marks = vec![runs.seen];
    // What was seen of the stream before it broke says nothing any more.
    let same = others.iter().filter(|node| node.unsure == runs.unsure);
    marks.extend(same.map(|node| node.mark));
    if let Some(known) =
        known.filter(|known| known.runs.created == created && known.runs.unsure == runs.unsure)
    {
        marks.extend(&known.marks);
    }
    marks.sort_unstable();
    marks.dedup();
    let shown = shown.max(runs.position(marks.last().map_or(0, |mark| mark.seq)));
    if let Some(good) = last_good(nats, &marks, (&runs, info)).await? {
        tracing::warn!(
            after = good,
            "the stream is not what it was: messages that it had acknowledged are gone. A new epoch begins, and subscribers are told of a gap"
        );
        runs.break_after(good, shown);
    } else if alone {
        let last = info.state.last_sequence;
        runs.begin(last);
        if last > 0
            && let Some(message) = if_there(nats.stream.get_raw_message(last).await)?
        {
            runs.seen = Mark { seq: last, time: message.time.unix_timestamp_nanos() };
        }
    }
    Ok(runs)
}

/// The last sequence up to which the stream is surely what was seen, if it is not so throughout.
async fn last_good(
    nats: &Nats,
    marks: &[Mark],
    (runs, info): (&Runs, &Info),
) -> Result<Option<u64>, String> {
    // An epoch began beyond what there is now.
    let mut differs = runs.open_seq() > info.state.last_sequence + 1;
    for mark in marks.iter().rev().filter(|mark| mark.seq > 0) {
        if mark.seq > info.state.last_sequence {
            differs = true;
            continue;
        }
        match holds(nats, *mark).await? {
            Some(true) => return Ok(differs.then_some(mark.seq)),
            Some(false) => differs = true,
            // Removed since: an older one may tell.
            None => {}
        }
    }
    // Nothing that was seen is left to compare with. If it ends too early, what is left may be the
    // same or not: nothing of it is believed.
    Ok(differs.then_some(0))
}

/// Whether a message is in the stream; `None` if there is none of its sequence any more.
async fn holds(nats: &Nats, mark: Mark) -> Result<Option<bool>, String> {
    let message = if_there(nats.stream.get_raw_message(mark.seq).await)?;
    Ok(message.map(|message| message.time.unix_timestamp_nanos() == mark.time))
}

/// Notes how far the log was seen, for those who come when nobody is left to ask.
pub(crate) async fn note_seen(nats: &Nats, runs: &Runs, mark: Mark) -> Result<(), String> {
    let (listed, revision) = list(nats).await?;
    let Some(mut listed) = listed.filter(|listed| listed.agrees(runs, mark.seq)) else {
        return Ok(());
    };
    if listed.seen.seq < mark.seq {
        listed.seen = mark;
        store(nats, &listed, revision).await?;
    }
    Ok(())
}

/// The list of a hub that is being made.
pub(crate) async fn put(nats: &Nats, runs: &Runs) -> Result<(), String> {
    let put = nats.state.put(EPOCHS, Bytes::from(runs.to_string())).await;
    put.map(drop).map_err(|error| in_full(&error))
}

/// `false` if somebody else was faster.
async fn store(nats: &Nats, runs: &Runs, revision: u64) -> Result<bool, String> {
    let text = Bytes::from(runs.to_string());
    match nats.state.update(EPOCHS, text, revision).await {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(in_full(&error)),
    }
}
