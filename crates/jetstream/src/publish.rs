//! Appends: each event a message that a quorum of the servers stores. Conditions and keys are the
//! servers' to check; this node only says in their terms what is meant.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID},
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        publish::PublishAck,
        response::Response,
    },
};
use bytes::Bytes;
use eventwall_log::{
    AppendError, AppendOptions, Appended, Batch, EventId, ExpectedLast, Filter, MAX_FIELD_BYTES,
    Millis, NewEvent, Position, Resolution, Topic, kit::last_id, system_time,
};
use tokio::time::Instant;

use crate::{
    message::{self, Keyed},
    nats::{ACKNOWLEDGE, if_there, in_full},
    shared::{Progress, Shared, Witness},
    source::Want,
};

/// Attempts to meet a condition while the last event of a topic is in doubt.
const TRIES: usize = 5;
/// Until what is in process with the same key is stored, or not.
const IN_PROCESS: Duration = Duration::from_millis(20);
/// What is looked at at once for a key.
const STEP: (usize, usize) = (4096, 4 << 20);
/// Events that the servers take as one unit.
const UNIT: usize = 1000;
/// What a message takes beside payload and headers: the subject, and the words of the protocol.
const AROUND: usize = 64;

/// The servers' answer.
enum Answer {
    Stored {
        seq: u64,
        duplicate: bool,
    },
    /// Another event is the topic's last.
    WrongLast,
    /// The same key is being stored in this moment.
    InProcess,
    /// The key was used for a batch, and the servers do not say where that is.
    Used,
}

pub(crate) async fn append(
    shared: &Shared,
    batch: Batch,
    options: AppendOptions,
) -> Result<Appended, AppendError> {
    batch.check_fields()?;
    if let Some(reason) = shared.trouble() {
        return Err(AppendError::Stopped { reason });
    }
    let keyed = options.key.map(|key| (key, batch.fingerprint()));
    let longest = keyed.as_ref().map_or(0, |(key, _)| key.key.len().max(key.scope.len()));
    if longest > MAX_FIELD_BYTES {
        return Err(AppendError::FieldTooLong { field: "idempotency key" });
    }
    let events = batch.into_events();
    if events.len() > 1 && !shared.nats.atomic {
        return Err(AppendError::Unsupported {
            what: "write several events as one unit, for which it needs NATS 2.12 or newer: publish them one by one, or with ?atomic=false",
        });
    }
    if events.len() > UNIT {
        return Err(AppendError::Unsupported {
            what: "write more than 1000 events as one unit: send several batches, or with ?atomic=false",
        });
    }
    let _one_of_many = shared.publishes.acquire().await;
    let append = Append { shared, events: &events, keyed: keyed.as_ref() };
    append.run(options.expected_last.as_ref()).await
}

/// A batch on its way.
struct Append<'a> {
    shared: &'a Shared,
    events: &'a [NewEvent],
    keyed: Option<&'a Keyed>,
}

impl Append<'_> {
    async fn run(&self, expected: Option<&ExpectedLast>) -> Result<Appended, AppendError> {
        let topic = &self.events[0].topic;
        let began = Instant::now();
        let mut tries = 0;
        while tries < TRIES {
            let last = match expected {
                Some(expected) => match self.expected(topic, expected).await? {
                    Ok(seq) => Some(seq),
                    // A repeat is answered as the first time, whatever the condition says by now.
                    Err(last) => {
                        let before = *self.shared.progress.borrow();
                        return match self.find().await? {
                            Some(seq) => self.stored(seq, true, before).await,
                            None => Err(AppendError::Condition { last }),
                        };
                    }
                },
                None => None,
            };
            let before = *self.shared.progress.borrow();
            match self.send(last).await? {
                Answer::Stored { seq, duplicate } => {
                    return self.stored(seq, duplicate, before).await;
                }
                Answer::Used => match self.find().await? {
                    Some(seq) => return self.stored(seq, true, before).await,
                    // What it was used for is not stored yet, or its window has just ended.
                    None if began.elapsed() < ACKNOWLEDGE => tokio::time::sleep(IN_PROCESS).await,
                    None => {
                        return Err(unknown("NATS says that the key was used, and not for what"));
                    }
                },
                Answer::InProcess if began.elapsed() < ACKNOWLEDGE => {
                    tokio::time::sleep(IN_PROCESS).await;
                }
                Answer::InProcess => return Err(unknown("NATS is still busy with the same key")),
                // Perhaps this node was behind: look again.
                Answer::WrongLast => {
                    tries += 1;
                    self.shared
                        .catch_up()
                        .await
                        .map_err(|reason| AppendError::Stopped { reason })?;
                }
            }
        }
        if expected.is_none() {
            return Err(unknown("NATS did not say what became of it"));
        }
        Err(AppendError::Condition { last: self.last(topic) })
    }

    fn last(&self, topic: &Topic) -> Option<EventId> {
        let index = self.shared.index();
        let reach = index.topics.get(topic);
        last_id(&index.epochs, reach.last, reach.hidden)
    }

    /// The sequence that must be the last of the topic's subject for a condition to hold; or the
    /// topic's last event, if it does not.
    async fn expected(
        &self,
        topic: &Topic,
        expected: &ExpectedLast,
    ) -> Result<Result<u64, Option<EventId>>, AppendError> {
        let stopped = |reason| AppendError::Stopped { reason };
        if let ExpectedLast::Id(id) = expected {
            // It may be newer than what this node has seen.
            let known = {
                let index = self.shared.index();
                index.epochs.resolve(id, index.end)
            };
            if !matches!(known, Resolution::At(_)) {
                self.shared.catch_up().await.map_err(stopped)?;
            }
        }
        self.shared.index().expire();
        let last = self.last(topic);
        let met = match expected {
            ExpectedLast::None => last.is_none(),
            ExpectedLast::Id(id) => last.as_ref() == Some(id),
        };
        if !met {
            return Ok(Err(last));
        }
        let (seq, plain) = {
            let index = self.shared.index();
            let reach = index.topics.get(topic);
            let seq = index.runs.sequence(reach.last);
            let plain = last.is_some() && !index.is_erased(reach.last);
            (seq, plain)
        };
        if plain {
            return Ok(Ok(seq));
        }
        // What is hidden or erased may be in the stream still, or not.
        let subject = self.shared.nats.subjects.of_topic(topic);
        let there = self.shared.nats.last_of(&subject).await.map_err(stopped)?;
        if there <= seq {
            return Ok(Ok(there));
        }
        // There is a newer one.
        self.shared.catch_up().await.map_err(stopped)?;
        Ok(Err(self.last(topic)))
    }

    fn headers(&self, n: usize, last: Option<u64>) -> HeaderMap {
        let event = &self.events[n];
        let mut headers = message::headers(event, self.keyed);
        if let Some((key, _)) = self.keyed {
            headers.insert(NATS_MESSAGE_ID, message::message_id(&self.events[0].topic, key, n));
        }
        if let Some(last) = last.filter(|_| n == 0) {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
        }
        headers
    }

    async fn send(&self, last: Option<u64>) -> Result<Answer, AppendError> {
        self.check_sizes(last)?;
        if self.events.len() > 1 { self.send_unit(last).await } else { self.send_one(last).await }
    }

    fn check_sizes(&self, last: Option<u64>) -> Result<(), AppendError> {
        let max = self.shared.nats.client.max_payload();
        for (n, event) in self.events.iter().enumerate() {
            let headers = self.headers(n, last);
            let fields: usize = headers
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
                .map(|(name, value)| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4)
                .sum();
            let bytes = event.data.len() + fields + AROUND;
            if bytes > max {
                return Err(AppendError::TooLarge { bytes, max });
            }
        }
        Ok(())
    }

    /// Where the event is, or the first of the batch, that the key was used for: among the newest, or
    /// among its topics'. The servers are not asked by a repeat: where a condition refuses it, some
    /// remember the key as used.
    async fn find(&self) -> Result<Option<u64>, AppendError> {
        let Some((key, _)) = self.keyed else { return Ok(None) };
        let stopped = |reason| AppendError::Stopped { reason };
        self.shared.catch_up().await.map_err(stopped)?;
        let first = message::message_id(&self.events[0].topic, key, 0);
        let since = system_time().saturating_sub(self.shared.nats.key_window());
        let (at_hand, after): (Vec<u64>, _) = {
            let index = self.shared.index();
            let positions = index.of_key((&key.scope, &key.key), since);
            let seqs = positions.into_iter().map(|position| index.runs.sequence(position));
            (seqs.collect(), index.recent_after())
        };
        for seq in at_hand {
            let message = if_there(self.shared.nats.stream.get_raw_message(seq).await);
            let message = message.map_err(stopped)?;
            let id = message.as_ref().and_then(|message| message.headers.get(NATS_MESSAGE_ID));
            if let Some(n) = id.and_then(|id| message::nth_of(&first, id.as_str())) {
                return Ok(Some(seq - n));
            }
        }
        self.find_in_stream((&first, since), after).await.map_err(stopped)
    }

    /// The same among what is no longer at hand.
    async fn find_in_stream(
        &self,
        (first, since): (&str, Millis),
        after: Position,
    ) -> Result<Option<u64>, String> {
        let filter = Filter::topics(self.events.iter().map(|event| event.topic.clone()));
        let want = Want::of(&filter, &self.shared.nats);
        let Some(mut from) = self.shared.first_since(since).await? else { return Ok(None) };
        loop {
            let read = self.shared.stretch(&want, from, STEP, Witness::Ask).await?;
            for message in &read.messages {
                from = message.mark.seq + 1;
                if let Some(n) = message.id.as_deref().and_then(|id| message::nth_of(first, id)) {
                    return Ok(Some(message.mark.seq - n));
                }
            }
            // The rest was looked at already.
            if read.complete || self.shared.index().runs.position(from) > after {
                return Ok(None);
            }
        }
    }

    async fn send_one(&self, last: Option<u64>) -> Result<Answer, AppendError> {
        let event = &self.events[0];
        let headers = self.headers(0, last);
        let subject = self.shared.nats.subjects.of_topic(&event.topic);
        let data = Bytes::copy_from_slice(event.data.as_bytes());
        let context = &self.shared.nats.context;
        let sent = context.publish_with_headers(subject, headers, data).await;
        let acknowledged = async { sent?.await };
        let acknowledged = tokio::time::timeout(ACKNOWLEDGE, acknowledged).await;
        self.shared.note_taken(!matches!(
            acknowledged.as_ref().map(|ack| ack.as_ref().map_err(PublishError::kind)),
            Err(_) | Ok(Err(PublishErrorKind::StreamNotFound | PublishErrorKind::TimedOut))
        ));
        match acknowledged {
            Err(_) => Err(unknown("NATS did not acknowledge it in time")),
            Ok(Ok(ack)) => Ok(taken(&ack)),
            Ok(Err(error)) => match error.kind() {
                PublishErrorKind::WrongLastSequence => Ok(Answer::WrongLast),
                PublishErrorKind::StreamNotFound => {
                    let reason = "the servers of NATS are choosing who leads".into();
                    Err(AppendError::NotStored { reason })
                }
                PublishErrorKind::Other => match refusal(&error) {
                    Some(refusal) => refused(refusal),
                    None => Err(unknown(&in_full(&error))),
                },
                PublishErrorKind::TimedOut => Err(unknown("NATS did not acknowledge it in time")),
                _ => Err(unknown(&in_full(&error))),
            },
        }
    }

    /// All or none: the servers hold what comes until the last says that it is the last.
    async fn send_unit(&self, last: Option<u64>) -> Result<Answer, AppendError> {
        let client = &self.shared.nats.client;
        let id = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
        for (n, event) in self.events.iter().enumerate() {
            let mut headers = self.headers(n, last);
            headers.insert("Nats-Batch-Id", &*id);
            headers.insert("Nats-Batch-Sequence", (n + 1).to_string());
            let subject = self.shared.nats.subjects.of_topic(&event.topic);
            let data = Bytes::copy_from_slice(event.data.as_bytes());
            if n + 1 < self.events.len() {
                let sent = client.publish_with_headers(subject, headers, data).await;
                sent.map_err(|error| AppendError::NotStored { reason: in_full(&error) })?;
                continue;
            }
            headers.insert("Nats-Batch-Commit", "1");
            let request = async_nats::Request::new()
                .headers(headers)
                .payload(data)
                .timeout(Some(ACKNOWLEDGE));
            let answer = client.send_request(subject, request).await;
            let answer = answer.map_err(|error| unknown(&in_full(&error)))?;
            return unit_answer(&answer.payload);
        }
        Err(AppendError::NotStored { reason: "it has no event".into() })
    }

    /// The answer to what the servers have stored, now or before.
    async fn stored(
        &self,
        seq: u64,
        duplicate: bool,
        before: Progress,
    ) -> Result<Appended, AppendError> {
        // A place that was taken before: the stream is another one.
        let taken = !duplicate && seq <= before.seq;
        if taken || self.shared.nats.connection() != before.connection {
            self.shared.renewed(before.generation).await.map_err(|why| lost_sight(&why))?;
        }
        if duplicate {
            return self.repeated(seq).await;
        }
        self.acknowledge(seq, before.generation).await?;
        let first = seq + 1 - self.events.len() as u64;
        Ok(Appended { ids: self.ids(first..=seq), repeated: false })
    }

    /// Waits until this node shows it, so that whoever published it can read it here.
    async fn acknowledge(&self, seq: u64, generation: u64) -> Result<(), AppendError> {
        match self.shared.reach(seq).await {
            Ok(()) => Ok(()),
            // It is stored; and as long as nothing broke, this is its place.
            Err(_)
                if self.shared.progress.borrow().generation == generation
                    && self.shared.progress.borrow().live =>
            {
                Ok(())
            }
            Err(why) => Err(lost_sight(&why)),
        }
    }

    fn ids(&self, seqs: impl Iterator<Item = u64>) -> Vec<EventId> {
        let index = self.shared.index();
        seqs.map(|seq| index.epochs.id(index.runs.position(seq))).collect()
    }

    /// The key was used for the event at `seq`: it must have been for the same.
    async fn repeated(&self, seq: u64) -> Result<Appended, AppendError> {
        let fingerprint = self.keyed.map(|(_, fingerprint)| *fingerprint);
        let stopped = |reason| AppendError::Stopped { reason };
        let first = if_there(self.shared.nats.stream.get_raw_message(seq).await);
        // What is gone by now cannot be compared.
        if let Some(message) = first.map_err(stopped)?
            && message::fingerprint(&message.headers) != fingerprint
        {
            return Err(AppendError::KeyReused);
        }
        self.shared.reach(seq).await.map_err(stopped)?;
        let last = seq + self.events.len() as u64 - 1;
        Ok(Appended { ids: self.ids(seq..=last), repeated: true })
    }
}

fn taken(ack: &PublishAck) -> Answer {
    // A repeat of what some servers have not stored yet has no place.
    if ack.duplicate && ack.sequence == 0 {
        return Answer::InProcess;
    }
    Answer::Stored { seq: ack.sequence, duplicate: ack.duplicate }
}

fn unit_answer(payload: &[u8]) -> Result<Answer, AppendError> {
    match serde_json::from_slice::<Response<PublishAck>>(payload) {
        Ok(Response::Ok(ack)) => Ok(taken(&ack)),
        Ok(Response::Err { error }) => refused(&error),
        Err(error) => Err(unknown(&format!("NATS answered what is no acknowledgement: {error}"))),
    }
}

/// The servers said no, so it is surely not stored.
fn refused(error: &jetstream::Error) -> Result<Answer, AppendError> {
    match error.error_code() {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
            Ok(Answer::WrongLast)
        }
        ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT => Ok(Answer::InProcess),
        ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE => Ok(Answer::Used),
        _ => Err(AppendError::NotStored { reason: error.to_string() }),
    }
}

fn refusal(error: &PublishError) -> Option<&jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn unknown(reason: &str) -> AppendError {
    AppendError::OutcomeUnknown { reason: reason.into() }
}

/// It is stored, and this node cannot say where.
fn lost_sight(why: &str) -> AppendError {
    unknown(&format!("its place is not known: {why}"))
}
