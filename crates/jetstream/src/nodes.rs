//! What the nodes of a hub tell each other: that they are there, how far they are, and by which limits
//! they keep topics. Nothing here writes to the log.

use eventwall_log::{Position, Retention};
use sha2::{Digest as _, Sha256};

use crate::{
    config::JetStreamConfig,
    index::{Index, settings},
    nats::{Nats, OpenError, in_full, is_conflict, last_raw},
    runs::Mark,
    shared::Shared,
};

/// The settings that every node of a hub must share, and NATS does not keep.
const SETTINGS: &str = "settings";

/// Attempts to write what other nodes write, too.
const TRIES: usize = 10;

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// It serves; else it is only about to.
    pub(crate) ready: bool,
    /// Its limits, in short.
    pub(crate) settings: String,
    /// How far it is.
    pub(crate) seq: u64,
    /// The last message that it has seen.
    pub(crate) mark: Mark,
    /// What it takes the stream for: since the last break that it knows of.
    pub(crate) unsure: Position,
}

/// A node's limits, in short.
pub(crate) fn limits_of(index: &Index) -> String {
    digest(&settings(index.topics.retention()))
}

fn digest(settings: &str) -> String {
    Sha256::digest(settings).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a node says it.
pub(crate) fn node_key(node: &str) -> String {
    format!("node.{node}")
}

/// Says that this node is there, how far it is and what it keeps.
pub(crate) async fn heartbeat(shared: &Shared, ready: bool) -> Result<(), String> {
    let value = {
        let index = shared.index();
        let (settings, mark) = (limits_of(&index), index.mark);
        let unsure = index.runs.unsure;
        format!("{settings} {} {} {} {unsure} {ready}", index.taken, mark.seq, mark.time)
    };
    let put = shared.nats.leases.put(node_key(&shared.node), value.into()).await;
    put.map(drop).map_err(|error| in_full(&error))
}

/// Every node that is there, as those who lead have it.
pub(crate) async fn nodes(shared: &Shared) -> Result<Vec<Node>, String> {
    nodes_of(&shared.nats).await
}

/// Every node of a hub.
pub(crate) async fn nodes_of(nats: &Nats) -> Result<Vec<Node>, String> {
    let leases = &nats.leases;
    let prefix = format!("$KV.{}.node.", leases.name);
    let subjects = nats.subjects_of(&leases.stream_name, &format!("{prefix}*")).await?;
    let mut nodes = Vec::new();
    for subject in subjects {
        let Some(name) = subject.strip_prefix(&prefix) else { continue };
        let Some(message) = last_raw(&leases.stream, &subject).await? else { continue };
        nodes.extend(node(name, &String::from_utf8_lossy(&message.payload)));
    }
    Ok(nodes)
}

/// One that has said farewell says nothing.
fn node(name: &str, text: &str) -> Option<Node> {
    let mut words = text.split(' ');
    let settings = words.next()?.to_owned();
    let seq = words.next()?.parse().ok()?;
    let mark = Mark { seq: words.next()?.parse().ok()?, time: words.next()?.parse().ok()? };
    let unsure = Position(words.next()?.parse().ok()?);
    let ready = words.next()? == "true";
    Some(Node { name: name.into(), ready, settings, seq, mark, unsure })
}

/// Makes sure that this node keeps what the others keep.
pub(crate) async fn agree(nats: &Nats, config: &JetStreamConfig) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Failed { url: config.url.to_string(), reason };
    let mine = settings(&config.retention);
    for _ in 0..TRIES {
        let stored = nats.value(SETTINGS).await.map_err(failed)?;
        let revision = stored.as_ref().map_or(0, |(_, revision)| *revision);
        let theirs = stored.map(|(value, _)| String::from_utf8_lossy(&value).into_owned());
        match theirs {
            Some(theirs) if theirs == mine => return Ok(()),
            Some(_) if !config.url.update => {
                return Err(OpenError::Mismatch(format!(
                    "the hub {} keeps topics by other limits than this node's max_events_per_topic, keep and [[retention]]: start it with the same settings as the other nodes, or add ?update=true to --store to change the hub's",
                    nats.hub
                )));
            }
            _ => {}
        }
        match nats.state.update(SETTINGS, mine.clone().into(), revision).await {
            Ok(_) => return Ok(()),
            // Another node says its own in this moment: perhaps the same.
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(failed(in_full(&error))),
        }
    }
    Err(failed("the hub's settings do not stand still".into()))
}

/// From now on other limits hold, for all nodes.
pub(crate) async fn limit(shared: &Shared, retention: &Retention) -> Result<(), String> {
    shared.nats.limit(retention).await?;
    let put = shared.nats.state.put(SETTINGS, settings(retention).into()).await;
    put.map(drop).map_err(|error| in_full(&error))
}
