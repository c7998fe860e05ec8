//! Makes a hub out of another log: its events at their places, its epochs, and what it knows of topics
//! whose events are gone. Sequences have no holes and positions have: a small one is filled with
//! messages that say nothing, a large one is where a run of sequences ends.

use std::{collections::VecDeque, sync::Arc};

use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use eventwall_log::{Log as _, Position, Record, kit::Origin};

use crate::{
    config::JetStreamConfig,
    log::JetStreamLog,
    message,
    nats::{Nats, OpenError, created, in_full},
    nodes,
    runs::Runs,
    state::JetStreamState,
    verify,
};

/// Positions without an event that are filled rather than stepped over.
const FILL: u64 = 256;
const MANY_RUNS: usize = 1024;
/// The same where there are many runs already.
const FILL_RATHER: u64 = 1 << 20;
/// Messages on their way.
const IN_FLIGHT: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct JetStreamImport {
    nats: Nats,
    config: JetStreamConfig,
    origin: Origin,
    runs: Runs,
    /// How many of the origin's epochs have begun.
    spans: usize,
    next: Position,
    sent: u64,
    on_their_way: VecDeque<PublishAckFuture>,
}

impl JetStreamImport {
    /// In a hub that has no event yet.
    ///
    /// # Errors
    /// If it has, or the servers cannot be used.
    pub async fn begin(config: JetStreamConfig, origin: Origin) -> Result<Self, OpenError> {
        let nats = Nats::open(&config).await?;
        let failed = |reason| OpenError::Failed { url: config.url.to_string(), reason };
        let info = nats.info().await.map_err(failed)?;
        if info.state.last_sequence > 0 {
            let url = &config.url;
            return Err(OpenError::Mismatch(format!(
                "the hub {url} has had events already: name another, as in nats://HOST/NAME"
            )));
        }
        if !nodes::nodes_of(&nats).await.map_err(failed)?.is_empty() {
            return Err(OpenError::Mismatch(format!(
                "nodes use the hub {}, or did ten seconds ago: stop them first",
                config.url
            )));
        }
        nodes::agree(&nats, &config).await?;
        let runs = Runs::copied(created(&info));
        let (next, on_their_way) = (Position(1), VecDeque::new());
        Ok(Self { nats, config, origin, runs, spans: 0, next, sent: 0, on_their_way })
    }

    /// The values that are to be beside it.
    #[must_use]
    pub fn state(&self) -> JetStreamState {
        JetStreamState(self.nats.state.clone())
    }

    /// The next events, in order.
    ///
    /// # Errors
    /// In words, if they cannot be stored.
    pub async fn place(&mut self, records: Vec<Arc<Record>>) -> Result<(), String> {
        for record in records {
            self.step_to(record.position).await?;
            let subject = self.nats.subjects.of_topic(&record.topic);
            let data = Bytes::copy_from_slice(record.data.as_bytes());
            self.send(subject, message::copy_headers(&record), data).await?;
            self.next = record.position.next();
        }
        Ok(())
    }

    /// The next message gets this position.
    async fn step_to(&mut self, position: Position) -> Result<(), String> {
        let spans = self.origin.epochs.spans();
        let begun = spans[self.spans..].iter().take_while(|span| span.first <= position).count();
        let begins = spans[self.spans..self.spans + begun].to_vec();
        self.spans += begun;
        for span in &begins {
            self.runs.copy(span, self.sent + 1);
            self.next = span.first;
        }
        let missing = position.0.saturating_sub(self.next.0);
        // A list of very many runs would be slow, and too large for a key.
        let fill = if self.runs.len() < MANY_RUNS { FILL } else { FILL_RATHER };
        if missing > fill {
            self.runs.step(position, self.sent + 1);
            return Ok(());
        }
        for _ in 0..missing {
            let subject = self.nats.subjects.erasures.clone();
            self.send(subject, async_nats::HeaderMap::new(), Bytes::new()).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        subject: String,
        headers: async_nats::HeaderMap,
        data: Bytes,
    ) -> Result<(), String> {
        let sent = self.nats.context.publish_with_headers(subject, headers, data).await;
        self.on_their_way.push_back(sent.map_err(|error| in_full(&error))?);
        self.sent += 1;
        if self.on_their_way.len() >= IN_FLIGHT { self.settle(IN_FLIGHT / 2).await } else { Ok(()) }
    }

    /// Waits until no more than so many are on their way.
    async fn settle(&mut self, left: usize) -> Result<(), String> {
        while self.on_their_way.len() > left {
            let expected = self.sent + 1 - self.on_their_way.len() as u64;
            let Some(next) = self.on_their_way.pop_front() else { break };
            let stored = next.await.map_err(|error| in_full(&error))?.sequence;
            if stored != expected {
                return Err("somebody else publishes to this hub: stop its nodes, remove the stream, and copy again".into());
            }
        }
        Ok(())
    }

    /// All of it is there: it is a hub from now on, and a new epoch has begun.
    ///
    /// # Errors
    /// In words, if that cannot be noted.
    pub async fn finish(mut self) -> Result<(), String> {
        self.settle(0).await?;
        let rest = self.origin.epochs.spans()[self.spans..].to_vec();
        rest.iter().for_each(|span| self.runs.copy(span, self.sent + 1));
        let lost = self.origin.known.iter().map(|known| known.removed).max().unwrap_or_default();
        let lost = lost.max(self.origin.forgotten).max(self.origin.unsure);
        self.runs.finish_copy(self.origin.end, self.sent + 1, lost);
        verify::put(&self.nats, &self.runs).await?;
        let log = JetStreamLog::open_copy(self.config).await.map_err(|error| error.to_string())?;
        log.recall(&self.origin).await?;
        log.close().await;
        Ok(())
    }
}
