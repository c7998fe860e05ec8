//! A body of `text/event-stream`: every event is published as it arrives, for as long as the
//! publisher likes, in bounded memory. Reading waits for the log, so a fast publisher is
//! slowed, not queued.

use axum::{body::Body, response::Response};
use eventwall_hub::RESERVED_PREFIX;
use eventwall_log::{AppendOptions, Batch, EventId, MAX_FIELD_BYTES, NewEvent, Topic};
use eventwall_sse::{Decoder, Event, Item};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Publish, answer, event, name, nth_key};
use crate::{Problem, body::HeldRoom};

/// Events that are published together at most.
const TOGETHER: usize = 500;

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
    let mut done = Done::default();
    match read(&publish, &topic, body, &mut done).await {
        Ok(()) => {
            let [first, last] = done.texts();
            let json = json!({ "count": done.count, "first": first, "last": last });
            Ok(answer(StatusCode::CREATED, &json))
        }
        Err(problem) => Err(done.explain(problem)),
    }
}

async fn read(
    publish: &Publish,
    topic: &Topic,
    mut body: Body,
    done: &mut Done,
) -> Result<(), Problem> {
    let settings = publish.app.settings();
    let limits = &settings.limits;
    let mut decoder = Decoder::with_max_event_size(limits.body_bytes);
    let mut room = HeldRoom::default();
    loop {
        let frame = tokio::select! {
            frame = timeout(limits.stream_deadline, body.frame()) => frame,
            () = publish.app.drain.draining() => return Err(draining()),
        };
        let frame = frame.map_err(|_| silent(limits.stream_deadline.as_secs()))?;
        let Some(frame) = frame else { return Ok(()) };
        let frame =
            frame.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let mut events = Vec::new();
        let mut oversized = false;
        decoder.feed(&bytes, |item| match item {
            Item::Event(event) => events.push(event),
            Item::Oversized { .. } => oversized = true,
            Item::Retry(_) | Item::Comment(_) => {}
        });
        append(publish, topic, events, done).await?;
        room.hold(&publish.app, decoder.held())?;
        if oversized {
            let detail =
                format!("an event of the stream is larger than {} bytes", limits.body_bytes);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
    }
}

/// Publishes what one piece of the body brought: together without a key, each by itself
/// with one.
async fn append(
    publish: &Publish,
    topic: &Topic,
    events: Vec<Event>,
    done: &mut Done,
) -> Result<(), Problem> {
    let wanted = events.into_iter().filter(|event| !event.event.starts_with(RESERVED_PREFIX));
    let events = wanted.map(|event| new_event(topic, event)).collect::<Result<Vec<_>, _>>()?;
    for piece in events.chunks(TOGETHER) {
        keep_pace(publish, topic, piece.len()).await?;
    }
    let log = publish.app.hub.log().capabilities();
    if publish.options.key.is_none() && log.atomic_batches {
        for piece in events.chunks(TOGETHER) {
            if let Some(batch) = Batch::new(piece.to_vec()) {
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
