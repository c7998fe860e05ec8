//! What is never stored, from node to node: over core NATS, best effort, to whoever is connected now.

use std::sync::Arc;

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use eventwall_log::{NewEvent, Topic};
use futures_util::StreamExt as _;

use crate::{message, nats::in_full, shared::Shared};

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
        let subject = format!("{}.>", shared.nats.subjects.ephemera);
        let heard = shared.nats.client.subscribe(subject).await;
        let heard = heard.map_err(|error| in_full(&error))?;
        Ok(Self { shared: shared.clone(), heard })
    }

    /// For whoever speaks.
    #[must_use]
    pub fn voice(&self) -> Voice {
        Voice(self.shared.clone())
    }

    /// The next of another node; `None` once the connection is closed for good.
    pub async fn next(&mut self) -> Option<Whisper> {
        loop {
            let message = self.heard.next().await?;
            let none = HeaderMap::new();
            let headers = message.headers.as_ref().unwrap_or(&none);
            if headers.get(NODE).is_some_and(|node| node.as_str() == self.shared.node) {
                continue;
            }
            let prefix = format!("{}.", self.shared.nats.subjects.ephemera);
            let name = message.subject.as_str().strip_prefix(&prefix);
            let Some(topic) = name.and_then(|name| self.shared.nats.subjects.named(name)) else {
                continue;
            };
            let place = (eventwall_log::Position::START, 0);
            let record = message::record(topic, place, headers, &message.payload);
            return Some(Whisper { topic: record.topic, event: record.event, data: record.data });
        }
    }
}

impl Voice {
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
