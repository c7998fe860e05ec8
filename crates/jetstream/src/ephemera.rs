//! What is never stored, from node to node: over core NATS, best effort, to whoever is connected now.

use std::{collections::HashMap, sync::Arc};

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use eventwall_log::{NewEvent, Topic};
use futures_util::StreamExt as _;

use crate::{message, nats::in_full, shared::Shared};

/// What a node says of who is there.
const MOST_BYTES: usize = 512 << 10;
const NODE: &str = "Eventwall-Node";

/// Something to be shown to those who are live just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whisper {
    /// Its topic.
    pub topic: Topic,
    /// Its name, if it has one.
    pub event: Option<Box<str>>,
    /// Its data.
    pub data: Box<str>,
}

/// What another node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Something to be shown.
    Whisper(Whisper),
    /// Who follows which topic there, by how many.
    Presence {
        /// The node.
        node: String,
        /// Empty: nobody any more.
        counts: HashMap<Topic, u64>,
    },
}

/// What passes between the nodes.
#[derive(Debug)]
pub struct Whispers {
    shared: Arc<Shared>,
    heard: Subscriber,
}

/// Lets others hear.
#[derive(Debug, Clone)]
pub struct Voice(Arc<Shared>);

impl Whispers {
    pub(crate) async fn open(shared: &Arc<Shared>) -> Result<Self, String> {
        let heard = shared.nats.client.subscribe(shared.nats.subjects.not_stored()).await;
        let heard = heard.map_err(|error| in_full(&error))?;
        Ok(Self { shared: shared.clone(), heard })
    }

    /// For whoever speaks.
    #[must_use]
    pub fn voice(&self) -> Voice {
        Voice(self.shared.clone())
    }

    /// The next of another node; `None` once the connection is closed for good.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let message = self.heard.next().await?;
            let none = HeaderMap::new();
            let headers = message.headers.as_ref().unwrap_or(&none);
            let node = headers.get(NODE).map(|node| node.as_str().to_owned());
            if node.as_ref() == Some(&self.shared.node) {
                continue;
            }
            let subjects = &self.shared.nats.subjects;
            if message.subject.as_str() == subjects.presence {
                let Some(node) = node else { continue };
                return Some(Heard::Presence { node, counts: counts(&message.payload) });
            }
            let prefix = format!("{}.", self.shared.nats.subjects.ephemera);
            let name = message.subject.as_str().strip_prefix(&prefix);
            let Some(topic) = name.and_then(|name| self.shared.nats.subjects.named(name)) else {
                continue;
            };
            let place = (eventwall_log::Position::START, 0);
            let record = message::record(topic, place, headers, &message.payload);
            let (event, data) = (record.event, record.data);
            return Some(Heard::Whisper(Whisper { topic: record.topic, event, data }));
        }
    }
}

/// A line each: how many, and the topic.
fn counts(payload: &[u8]) -> HashMap<Topic, u64> {
    let text = String::from_utf8_lossy(payload);
    let count = |line: &str| {
        let (count, topic) = line.split_once(' ')?;
        Some((topic.parse().ok()?, count.parse().ok()?))
    };
    text.lines().filter_map(count).collect()
}

impl Voice {
    /// Tells the other nodes who is here.
    pub async fn tell(&self, counts: &HashMap<Topic, u64>) {
        let nats = &self.0.nats;
        if !nats.is_connected() {
            return;
        }
        let mut text = String::new();
        for (topic, count) in counts {
            let line = format!("{count} {topic}\n");
            if text.len() + line.len() > MOST_BYTES {
                break;
            }
            text += &line;
        }
        let mut headers = HeaderMap::new();
        headers.insert(NODE, &*self.0.node);
        let subject = nats.subjects.presence.clone();
        if let Err(error) = nats.client.publish_with_headers(subject, headers, text.into()).await {
            tracing::debug!(%error, "the other nodes do not hear who is here");
        }
    }

    /// Says it to the other nodes, if they can be reached.
    pub async fn say(&self, whisper: Whisper) {
        let nats = &self.0.nats;
        if !nats.is_connected() {
            return;
        }
        let Whisper { topic, event, data } = whisper;
        let subject = format!("{}.{}", nats.subjects.ephemera, nats.subjects.name(&topic));
        let payload = Bytes::copy_from_slice(data.as_bytes());
        let event = NewEvent { event, ..NewEvent::new(topic, "") };
        let mut headers = message::headers(&event, None);
        headers.insert(NODE, &*self.0.node);
        if let Err(error) = nats.client.publish_with_headers(subject, headers, payload).await {
            tracing::debug!(%error, "an ephemeral event did not reach the other nodes");
        }
    }
}
