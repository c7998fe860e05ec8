//! `POST /topics/{topic}`: one event a request. Checks everything before anything is written.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::{check_event_name, normalize_data};
use eventwall_log::{AppendOptions, EventId, ExpectedLast, IdempotencyKey, NewEvent, Topic};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use serde_json::json;

use crate::{
    App, Problem, append_problem, collect_body,
    query::{Query, decode},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_BYTES: usize = 255;

pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = topic_of(&parts.uri)?;
    refuse_reserved(&topic)?;
    refuse_other_formats(&parts.headers)?;
    let name = Query::of(&parts.uri).last("event")?.unwrap_or_default();
    let name = check_event_name(&name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let options = options(&parts.headers)?;
    let body = collect_body(body, &app.settings.limits).await?;
    let data = std::str::from_utf8(&body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
    let mut event = NewEvent::new(topic, normalize_data(data));
    event.event = name;
    let appended = app.hub.publish(event.into(), options).await;
    let appended = appended.map_err(|error| append_problem(&error))?;
    let id = appended.ids.first().map(ToString::to_string).unwrap_or_default();
    Ok(created(&id))
}

fn created(id: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    // With a line end, so that curl leaves the prompt on a line of its own.
    let body = format!("{}\n", json!({ "id": id }));
    (StatusCode::CREATED, headers, body).into_response()
}

/// The topic in a path, decoded exactly once; `%2F` equals `/`.
pub(crate) fn topic_of(uri: &Uri) -> Result<Topic, Problem> {
    let raw = uri.path().strip_prefix("/topics").unwrap_or_default();
    let name = decode("the topic", raw.strip_prefix('/').unwrap_or(raw))?;
    parse_topic(&name)
}

pub(crate) fn parse_topic(name: &str) -> Result<Topic, Problem> {
    name.parse().map_err(|error: eventwall_log::TopicError| Problem::bad_request(error.to_string()))
}

/// Topics that begin with `$` are the hub's own; nobody has a credential for them yet.
pub(crate) fn refuse_reserved(topic: &Topic) -> Result<(), Problem> {
    if !topic.is_reserved() {
        return Ok(());
    }
    let detail =
        format!("{topic} is one of the hub's own topics, which begin with $: use another name");
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Formats that stand for several events are refused rather than published as one.
fn refuse_other_formats(headers: &HeaderMap) -> Result<(), Problem> {
    const SEVERAL: [&str; 3] = ["application/x-ndjson", "text/event-stream", "multipart/form-data"];
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    if SEVERAL.iter().any(|format| essence.eq_ignore_ascii_case(format)) {
        let detail = format!(
            "this version publishes one event a request and does not read {essence}: post each event's data as its own body"
        );
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

fn options(headers: &HeaderMap) -> Result<AppendOptions, Problem> {
    let key = headers.get(IDEMPOTENCY_KEY).map(idempotency_key).transpose()?;
    let if_match = headers.get(header::IF_MATCH).map(if_match).transpose()?;
    let if_none = headers.get(header::IF_NONE_MATCH).map(if_none_match).transpose()?;
    Ok(AppendOptions { key, expected_last: if_match.or(if_none) })
}

fn idempotency_key(value: &HeaderValue) -> Result<IdempotencyKey, Problem> {
    let key = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    let key = key.filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(|| {
        Problem::bad_request(format!(
            "Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"
        ))
    })?;
    Ok(IdempotencyKey { scope: "".into(), key: key.into() })
}

/// An event id, with or without the quotes of an entity tag.
fn if_match(value: &HeaderValue) -> Result<ExpectedLast, Problem> {
    let text = value.to_str().unwrap_or_default().trim();
    let id = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let id: Result<EventId, _> = id.parse();
    id.map(ExpectedLast::Id).map_err(|error| Problem::bad_request(format!("If-Match: {error}")))
}

fn if_none_match(value: &HeaderValue) -> Result<ExpectedLast, Problem> {
    if value.as_bytes().trim_ascii() == b"*" {
        return Ok(ExpectedLast::None);
    }
    Err(Problem::bad_request("If-None-Match can only be *: publish if the topic has no event"))
}
