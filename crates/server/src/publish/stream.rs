//! A body of `text/event-stream`: every event is published as it arrives, for as long as the
//! publisher likes, in bounded memory. Only so much is gathered while the log is busy, so a fast publisher
//! is slowed, not queued.

use std::time::Duration;

use axum::{body::Body, response::Response};
use eventwall_hub::RESERVED_PREFIX;
use eventwall_log::{AppendOptions, Batch, EventId, MAX_FIELD_BYTES, NewEvent, Topic};
use eventwall_sse::{Decoder, Event, Item};
use futures_util::future::{Fuse, FutureExt as _};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Publish, answer, event, name, nth_key};
use crate::{Problem, body::HeldRoom};

/// Events that are published together at most, and gathered while others are on their way.
const TOGETHER: usize = 2000;
/// Bytes of data after which no more are gathered.
const TOGETHER_BYTES: usize = 256 << 10;

/// What was published so far, for the answer.
#[derive(Default)]
struct Done {
    count: u64,
    first: Option<EventId>,
    last: Option<EventId>,
}

impl Done {
    fn add(&mut self, ids: Vec<EventId>) {
        self.count += ids.len() as u64;
        for id in ids {
            self.first.get_or_insert_with(|| id.clone());
            self.last = Some(id);
        }
    }

    fn texts(&self) -> [Option<String>; 2] {
        [&self.first, &self.last].map(|id| id.as_ref().map(ToString::to_string))
    }

    fn explain(&self, problem: Problem) -> Problem {
        let [first, last] = self.texts();
        problem.with("count", self.count).with("first", first).with("last", last)
    }
}

pub(super) async fn publish(
    publish: Publish,
    topic: Topic,
    body: Body,
) -> Result<Response, Problem> {
    if publish.options.expected_last.is_some() {
        let detail = "If-Match and If-None-Match guard one event: publish it as a body of its own";
        return Err(Problem::bad_request(detail));
    }
    let (done, outcome) = pass_on(&publish, &topic, body).await;
    outcome.map_err(|problem| done.explain(problem))?;
    let [first, last] = done.texts();
    let json = json!({ "count": done.count, "first": first, "last": last });
    Ok(answer(StatusCode::CREATED, &json))
}

/// While some events are on their way into the log, the next are gathered: so the log is never waited for
/// with empty hands, and what came meanwhile goes together.
async fn pass_on(publish: &Publish, topic: &Topic, body: Body) -> (Done, Result<(), Problem>) {
    let (mut reading, mut done) = (Reading::new(publish, body), Some(Done::default()));
    let appending = Fuse::terminated();
    tokio::pin!(appending);
    loop {
        if let Some(before) = done.take_if(|_| !reading.gathered.is_empty() || reading.is_over()) {
            if reading.gathered.is_empty() {
                return (before, reading.outcome());
            }
            let gathered = reading.take();
            appending.set(append(publish, topic, gathered, before).fuse());
        }
        tokio::select! {
            () = reading.more(), if reading.has_room() => {}
            (after, outcome) = &mut appending => match outcome {
                Ok(()) => done = Some(after),
                Err(problem) => return (after, Err(problem)),
            },
        }
    }
}

/// A body that is read, and the events that came out of it.
struct Reading<'a> {
    publish: &'a Publish,
    body: Body,
    decoder: Decoder,
    room: HeldRoom,
    gathered: Vec<Event>,
    bytes: usize,
    /// There is no room for more until those are taken.
    full: bool,
    limit: usize,
    deadline: Duration,
    over: Option<Result<(), Problem>>,
}

impl<'a> Reading<'a> {
    fn new(publish: &'a Publish, body: Body) -> Self {
        let settings = publish.app.settings();
        let (limit, deadline) = (settings.limits.body_bytes, settings.limits.stream_deadline);
        Self {
            publish,
            body,
            decoder: Decoder::with_max_event_size(limit).with_max_id_size(MAX_FIELD_BYTES),
            room: HeldRoom::default(),
            gathered: Vec::new(),
            bytes: 0,
            full: false,
            limit,
            deadline,
            over: None,
        }
    }

    fn is_over(&self) -> bool {
        self.over.is_some()
    }

    fn outcome(&mut self) -> Result<(), Problem> {
        self.over.take().unwrap_or(Ok(()))
    }

    /// Whether more may be gathered.
    fn has_room(&self) -> bool {
        !self.is_over()
            && !self.full
            && self.gathered.len() < TOGETHER
            && self.bytes < TOGETHER_BYTES
    }

    /// What was gathered, with the room that it takes up.
    fn take(&mut self) -> (Vec<Event>, HeldRoom) {
        (self.bytes, self.full) = (0, false);
        let taken = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.room));
        if let Err(problem) = self.room.hold(&self.publish.app, self.decoder.held()) {
            // What ended it before is what is told.
            self.over.get_or_insert(Err(problem));
        }
        taken
    }

    /// Reads one piece of the body. Dropping the future loses nothing.
    async fn more(&mut self) {
        let frame = tokio::select! {
            frame = timeout(self.deadline, self.body.frame()) => frame,
            () = self.publish.app.drain.draining() => {
                self.over = Some(Err(draining()));
                return;
            }
        };
        self.over = match frame {
            Err(_) => Some(Err(silent(self.deadline.as_secs()))),
            Ok(None) => Some(Ok(())),
            Ok(Some(Err(error))) => {
                Some(Err(Problem::bad_request(format!("the body broke off: {error}"))))
            }
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => self.decode(&bytes).err().map(Err),
                Err(_) => None,
            },
        };
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let mut oversized = false;
        let Self { decoder, gathered, bytes: gathered_bytes, .. } = self;
        decoder.feed(bytes, |item| match item {
            Item::Event(event) => {
                *gathered_bytes += cost(&event);
                gathered.push(event);
            }
            Item::Oversized { .. } => oversized = true,
            Item::Retry(_) | Item::Comment(_) => {}
        });
        let held = self.room.hold(&self.publish.app, self.decoder.held() + self.bytes);
        // Where there is no room to gather, what there is goes first.
        self.full = held.is_err() && !self.gathered.is_empty();
        if !self.full {
            held?;
        }
        if oversized {
            let detail = format!("an event of the stream is larger than {} bytes", self.limit);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        Ok(())
    }
}

/// Bytes that an event takes up.
fn cost(event: &Event) -> usize {
    let topic = event.topic.as_ref().map_or(0, String::len);
    let fields = event.data.len() + event.event.len() + event.last_event_id.len() + topic;
    fields + size_of::<Event>()
}

/// Publishes what was gathered: together without a key, each by itself with one.
async fn append(
    publish: &Publish,
    topic: &Topic,
    gathered: (Vec<Event>, HeldRoom),
    mut done: Done,
) -> (Done, Result<(), Problem>) {
    let outcome = append_to(publish, topic, gathered, &mut done).await;
    (done, outcome)
}

async fn append_to(
    publish: &Publish,
    topic: &Topic,
    (events, room): (Vec<Event>, HeldRoom),
    done: &mut Done,
) -> Result<(), Problem> {
    let wanted = events.into_iter().filter(|event| !event.event.starts_with(RESERVED_PREFIX));
    let mut events = wanted.map(|event| new_event(topic, event)).collect::<Result<Vec<_>, _>>()?;
    for piece in events.chunks(publish.app.rates().most().min(TOGETHER)) {
        keep_pace(publish, topic, piece.len()).await?;
    }
    // The log has a bound of its own for what is on its way.
    drop(room);
    let log = publish.app.hub.log().capabilities();
    if publish.options.key.is_none() && log.atomic_batches {
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(TOGETHER));
            if let Some(batch) = Batch::new(std::mem::replace(&mut events, rest)) {
                done.add(publish.append(batch, AppendOptions::default()).await?);
            }
        }
        return Ok(());
    }
    for event in events {
        let key = publish.options.key.as_ref().map(|key| nth_key(key, done.count + 1));
        let options = AppendOptions { key, ..AppendOptions::default() };
        done.add(publish.append(event.into(), options).await?);
    }
    Ok(())
}

/// A stream that is too fast is not refused: it is read more slowly.
async fn keep_pace(publish: &Publish, topic: &Topic, count: usize) -> Result<(), Problem> {
    publish.app.check_new_topics(&[topic]).await?;
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    // One after the other: what its address was counted for once is not counted again while it waits for
    // the topic.
    for of in [Some(topic), None] {
        loop {
            let rates = publish.app.rates();
            let taken = match of {
                None => rates.take_of_address(publish.client(), count),
                Some(topic) => rates.take_of_topic(publish.client(), topic, count),
            };
            let Err(refused) = taken else { break };
            tokio::select! {
                () = sleep(refused.wait) => {}
                () = publish.app.drain.draining() => return Err(draining()),
            }
        }
    }
    Ok(())
}

fn new_event(topic: &Topic, from: Event) -> Result<NewEvent, Problem> {
    let mut new = event(topic.clone(), name(&from.event)?, &from.data);
    // An id of another hub that is too long to keep is no reason to refuse the event.
    let kept = |id: &String| (1..=MAX_FIELD_BYTES).contains(&id.len());
    new.source_id = Some(from.last_event_id).filter(kept).map(Into::into);
    Ok(new)
}

fn draining() -> Problem {
    let detail = "the server is shutting down: send the rest again shortly";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1)
}

fn silent(seconds: u64) -> Problem {
    let detail = format!(
        "nothing came for {seconds} s (the server's `stream_deadline`): send a comment line now and then"
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}
