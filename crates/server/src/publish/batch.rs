//! NDJSON: every line an event, all checked before any is written, written as one unit.

use axum::{body::Body, response::Response};
use eventwall_log::{Batch, NewEvent, Topic};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{Publish, answer, event, name, parse_topic, texts};
use crate::{Limits, Problem, body::collect_up_to};

/// One line. Other members are ignored, so that what `subscribe --json` prints can be
/// published again.
#[derive(Deserialize)]
struct Line {
    topic: Option<String>,
    event: Option<String>,
    data: String,
}

/// Publishes a batch to `topic`; without one, each line names its own.
pub(super) async fn publish(
    publish: Publish,
    topic: Option<Topic>,
    body: Body,
) -> Result<Response, Problem> {
    let max = publish.app.settings().limits.batch_bytes;
    let body =
        collect_up_to(body, &publish.app, (max, "send its lines in several batches")).await?;
    let settings = publish.app.settings();
    let events = parse(&settings.limits, topic.as_ref(), &body)?;
    events.iter().try_for_each(|event| settings.access.check_write(&event.topic))?;
    let topics: Vec<&Topic> = events.iter().map(|event| &event.topic).collect();
    publish.check_amount(&topics).await?;
    drop(topics);
    let batch = Batch::new(events).ok_or_else(|| {
        Problem::bad_request("the batch has no line: send one JSON object a line")
    })?;
    let ids = if publish.may_be_split()? {
        publish.append_in_order(batch).await?
    } else {
        publish.append(batch, publish.options.clone()).await?
    };
    Ok(answer(StatusCode::CREATED, &json!({ "ids": texts(&ids) })))
}

pub(crate) fn parse(
    limits: &Limits,
    topic: Option<&Topic>,
    body: &[u8],
) -> Result<Vec<NewEvent>, Problem> {
    let mut events = Vec::new();
    for (i, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if events.len() == limits.batch_events {
            let detail = format!(
                "the batch has more than {} events (the server's `max_batch`): send several",
                limits.batch_events
            );
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let parsed = parse_line(limits.body_bytes, topic, line);
        events.push(parsed.map_err(|problem| problem.in_front(&format!("line {}: ", i + 1)))?);
    }
    Ok(events)
}

fn parse_line(max: usize, topic: Option<&Topic>, line: &[u8]) -> Result<NewEvent, Problem> {
    let refused = |why: &str| {
        Problem::bad_request(format!("{why}: write {{\"data\": \"…\"}}, with \"event\" for a name"))
    };
    // An array would be taken for an object's values in their order.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(refused("it is no JSON object"));
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        // Its own line number is that within the one line.
        let text = error.to_string();
        refused(text.split(" at line ").next().unwrap_or(&text))
    })?;
    if line.data.len() > max {
        let detail = format!("the event is larger than {max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let topic = match (topic, line.topic) {
        (Some(topic), _) => topic.clone(),
        (None, Some(topic)) => parse_topic(&topic)?,
        (None, None) => return Err(Problem::bad_request("it names no \"topic\"")),
    };
    Ok(event(topic, name(line.event.as_deref().unwrap_or_default())?, &line.data))
}
