//! Reads stretches of the stream, in bounded steps. Whoever reads on where a step ended goes on with
//! the same consumer; those that nobody goes on with, the servers drop.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_nats::{
    HeaderMap, Message,
    header::NATS_MESSAGE_ID,
    jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, ReplayPolicy, pull},
};
use eventwall_log::{Filter, Position};
use futures_util::StreamExt as _;

use crate::{
    index::{Content, Stored},
    message,
    nats::{Nats, REQUEST, in_full},
    runs::Mark,
    subject::Subjects,
};

/// A consumer that nobody uses goes after so long.
const IDLE: Duration = Duration::from_secs(5);
/// Consumers kept for whoever reads on.
const KEPT: usize = 32;
/// Messages and bytes of one request at most.
const MOST: usize = 4096;
const MOST_BYTES: usize = 4 << 20;
/// Filters that one consumer may have.
const FILTERS: usize = 64;

/// Attempts to get the first messages of a consumer, and how much longer each waits.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_millis(10);

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Empty: all of the stream.
    filters: Vec<String>,
    headers_only: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) messages: Vec<Stored>,
    /// Nothing that is wanted is left after them.
    pub(crate) complete: bool,
}

#[derive(Debug)]
struct Open {
    want: Want,
    next: u64,
    consumer: Consumer<pull::Config>,
    pending: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Source {
    open: Mutex<VecDeque<Open>>,
}

impl Want {
    /// Every event that the filter matches, and perhaps others.
    pub(crate) fn of(filter: &Filter, nats: &Nats) -> Self {
        let subjects = &nats.subjects;
        let mut filters = match filter {
            Filter::All => Vec::new(),
            Filter::Topics(topics) => topics.iter().map(|t| subjects.of_topic(t)).collect(),
            Filter::Selection(selection) => {
                let topics = selection.topics().iter().map(|topic| subjects.of_topic(topic));
                let patterns = selection.patterns().iter().map(|p| subjects.of_pattern(p));
                topics.chain(patterns).collect()
            }
        };
        let overlap = matches!(filter, Filter::Selection(_)) && filters.len() > 1;
        if overlap || filters.len() > FILTERS || (filters.len() > 1 && !nats.many_filters) {
            filters = vec![subjects.all_events()];
        }
        Self { filters, headers_only: false }
    }

    /// Whose events there are, without what is in them.
    pub(crate) fn heads(nats: &Nats) -> Self {
        Self { filters: vec![nats.subjects.all_events()], headers_only: true }
    }

    /// Of all that is wanted.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &str> {
        let all = self.filters.is_empty().then_some(">");
        all.into_iter().chain(self.filters.iter().map(String::as_str))
    }

    fn config(&self, from: DeliverPolicy) -> pull::Config {
        let one = if let [only] = &self.filters[..] { only.clone() } else { String::new() };
        let many = if self.filters.len() > 1 { self.filters.clone() } else { Vec::new() };
        pull::Config {
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            filter_subject: one,
            filter_subjects: many,
            headers_only: self.headers_only,
            inactive_threshold: IDLE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        }
    }
}

impl Source {
    /// The next wanted messages from a sequence on: at most so many, and roughly so many bytes.
    pub(crate) async fn read(
        &self,
        nats: &Nats,
        want: &Want,
        from: u64,
        (count, bytes): (usize, usize),
    ) -> Result<Stretch, String> {
        let policy = DeliverPolicy::ByStartSequence { start_sequence: from.max(1) };
        let kept = self.take(want, from);
        let (open, messages) =
            begin(nats, kept, (want, policy, from), (count.clamp(1, MOST), bytes)).await?;
        let complete = open.pending == 0;
        if !complete {
            self.keep(open);
        }
        Ok(Stretch { messages, complete })
    }

    /// How many wanted messages there are from a sequence on.
    pub(crate) async fn count(&self, nats: &Nats, want: &Want, from: u64) -> Result<u64, String> {
        let policy = DeliverPolicy::ByStartSequence { start_sequence: from.max(1) };
        let open = start(nats, want, policy, from).await?;
        let count = open.pending;
        self.keep(open);
        Ok(count)
    }

    fn take(&self, want: &Want, from: u64) -> Option<Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|open| open.next == from && open.want == *want)?;
        open.remove(at)
    }

    fn keep(&self, reader: Open) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(reader);
        if open.len() > KEPT {
            open.pop_front();
        }
    }

    /// The servers may not be those of before.
    pub(crate) fn forget(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The first messages of a consumer, of one that was kept or a new one. In a cluster it may take a
/// moment until a new one can be asked; and one that was kept may be gone.
async fn begin(
    nats: &Nats,
    mut kept: Option<Open>,
    (want, policy, from): (&Want, DeliverPolicy, u64),
    (count, bytes): (usize, usize),
) -> Result<(Open, Vec<Stored>), String> {
    let mut tries = 0;
    loop {
        let mut open = match kept.take() {
            Some(open) => open,
            None => start(nats, want, policy, from).await?,
        };
        match fetch(nats, &mut open, count, bytes).await {
            Ok(messages) => return Ok((open, messages)),
            Err(why) if tries == TRIES => return Err(why),
            Err(_) => {
                tokio::time::sleep(AGAIN * tries).await;
                // The same once more, before another.
                kept = (tries % 2 == 0 && open.next == from).then_some(open);
                tries += 1;
            }
        }
    }
}

async fn start(nats: &Nats, want: &Want, from: DeliverPolicy, next: u64) -> Result<Open, String> {
    let consumer = nats.context.create_consumer_on_stream(want.config(from), &*nats.hub).await;
    let consumer = consumer.map_err(|error| in_full(&error))?;
    let pending = consumer.cached_info().num_pending;
    Ok(Open { want: want.clone(), next, consumer, pending })
}

async fn fetch(
    nats: &Nats,
    open: &mut Open,
    count: usize,
    bytes: usize,
) -> Result<Vec<Stored>, String> {
    let mut messages = Vec::new();
    if open.pending == 0 {
        return Ok(messages);
    }
    // One message fits, however large.
    let bytes = bytes.min(MOST_BYTES).max(nats.client.max_payload() + (64 << 10));
    let batch = open.consumer.fetch().max_messages(count).max_bytes(bytes).messages();
    let mut batch = batch.await.map_err(|error| in_full(&error))?;
    loop {
        let next = tokio::time::timeout(REQUEST, batch.next());
        let Some(message) = next.await.map_err(|_| "it stopped in the middle of a read")? else {
            break;
        };
        let message = message.map_err(|error| error.to_string())?;
        let info = message.info().map_err(|error| error.to_string())?;
        let (seq, time) = (info.stream_sequence, info.published.unix_timestamp_nanos());
        (open.pending, open.next) = (info.pending, seq + 1);
        messages.push(stored(&nats.subjects, Mark { seq, time }, &message.message));
        if open.pending == 0 || messages.len() == count {
            break;
        }
    }
    if messages.is_empty() {
        return Err("it did not send what it has".into());
    }
    Ok(messages)
}

/// A message as the index takes it.
pub(crate) fn stored(subjects: &Subjects, mark: Mark, message: &Message) -> Stored {
    let none = HeaderMap::new();
    let headers = message.headers.as_ref().unwrap_or(&none);
    let content = if message.subject.as_str() == subjects.erasures {
        Content::Erasure(message::erased(&message.payload))
    } else {
        subjects.topic(message.subject.as_str()).map_or(Content::Nothing, |topic| {
            let place = (Position::START, message::time(headers, mark.time));
            Content::Event(Box::new(message::record(topic, place, headers, &message.payload)))
        })
    };
    let id = headers.get(NATS_MESSAGE_ID).map(|id| id.as_str().into());
    Stored { mark, content, id }
}
