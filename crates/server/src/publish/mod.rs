//! `POST /topics/{topic}` and `POST /events`. Checks everything before anything is written; one
//! file a format of body:
//!
//! * `plain`: the body is one event's data, whatever its type.
//! * `batch`: `application/x-ndjson`, many events written as one unit.
//! * `stream`: `text/event-stream`, events as they come, any number.
//! * `form`: `multipart/form-data`, an HTML form.

pub(crate) mod batch;
pub(crate) mod form;
mod plain;
mod stream;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::{Ephemeral, check_event_name, normalize_data};
use eventwall_log::{
    AppendError, AppendOptions, Batch, EventId, ExpectedLast, IdempotencyKey, NewEvent, Topic,
    TopicError,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header, request::Parts};
use serde_json::Value;

use crate::{
    App, Client, Problem, append_problem,
    query::{Query, decode},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_BYTES: usize = 255;

/// A publish whose head is checked and whose body is not.
struct Publish {
    app: Arc<App>,
    parts: Parts,
    options: AppendOptions,
}

pub(crate) async fn to_topic(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = topic_of(&parts.uri)?;
    app.settings().access.check_write(&topic)?;
    let publish = Publish::new(app, parts)?;
    if publish.options.expected_last.is_some() {
        // The answer tells of the topic's last event.
        publish.app.settings().access.check_read(&topic)?;
    }
    let format = media_type(&publish.parts.headers);
    let several =
        matches!(&*format, "application/x-ndjson" | "text/event-stream" | "multipart/form-data");
    if several {
        publish.refuse_ephemeral()?;
    }
    match &*format {
        "application/x-ndjson" => batch::publish(publish, Some(topic), body).await,
        "text/event-stream" => stream::publish(publish, topic, body).await,
        _ => {
            publish.check_amount(&[&topic]).await?;
            match &*format {
                "multipart/form-data" => form::publish(publish, topic, body).await,
                _ => plain::publish(publish, topic, body).await,
            }
        }
    }
}

/// `POST /events`: a batch whose lines name their topics.
pub(crate) async fn to_many(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if media_type(&parts.headers) != "application/x-ndjson" {
        let detail = "POST /events takes a batch: send application/x-ndjson, one {\"topic\", \"data\"} a line, or publish to /topics/NAME";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let publish = Publish::new(app, parts)?;
    if publish.options.expected_last.is_some() {
        let detail = "If-Match and If-None-Match speak of one topic: publish to /topics/NAME";
        return Err(Problem::bad_request(detail));
    }
    publish.refuse_ephemeral()?;
    batch::publish(publish, None, body).await
}

impl Publish {
    fn new(app: Arc<App>, parts: Parts) -> Result<Self, Problem> {
        let options = options(&parts.headers)?;
        Ok(Self { app, parts, options })
    }

    /// Whether events of these topics, with repeats, are not too many just now; counts them.
    async fn check_amount(&self, topics: &[&Topic]) -> Result<(), Problem> {
        self.app.rates().take(self.client(), topics)?;
        self.app.check_new_topics(topics).await
    }

    fn client(&self) -> Option<&Client> {
        Client::of(&self.parts.extensions)
    }

    /// The event's name from the query, unnamed without one.
    fn name_in_query(&self) -> Result<Option<Box<str>>, Problem> {
        name(&Query::of(&self.parts.uri).last("event")?.unwrap_or_default())
    }

    /// `?ephemeral`: for who is live, and never stored.
    fn is_ephemeral(&self) -> bool {
        Query::of(&self.parts.uri).has("ephemeral")
    }

    /// For bodies of several events.
    fn refuse_ephemeral(&self) -> Result<(), Problem> {
        if !self.is_ephemeral() {
            return Ok(());
        }
        let detail = "an ephemeral event is the whole body: publish them one by one";
        Err(Problem::bad_request(detail))
    }

    fn show(&self, event: NewEvent) -> Result<Response, Problem> {
        if self.options != AppendOptions::default() {
            let detail =
                "an ephemeral event is never stored, so no key and no condition can guard it";
            return Err(Problem::bad_request(detail));
        }
        let NewEvent { topic, event, data, .. } = event;
        self.app.hub.publish_ephemeral(Ephemeral { topic, event, data });
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// `?atomic=false`: where the log cannot write the batch as one unit, its events one after
    /// another will do.
    fn may_be_split(&self) -> Result<bool, Problem> {
        match Query::of(&self.parts.uri).last("atomic")?.as_deref() {
            None | Some("true") => Ok(false),
            Some("false") => Ok(true),
            Some(_) => Err(Problem::bad_request("atomic is true or false")),
        }
    }

    /// As one unit if the log can; else one after another, the n-th with the key `K/n`. What fails
    /// names the events that were published before it.
    async fn append_in_order(&self, batch: Batch) -> Result<Vec<EventId>, Problem> {
        let whole = self.app.hub.publish(batch.clone(), self.options.clone()).await;
        match whole {
            Ok(appended) => return Ok(appended.ids),
            Err(AppendError::Unsupported { .. }) => {}
            Err(error) => return Err(append_problem(&error)),
        }
        let (mut ids, mut options) = (Vec::new(), self.options.clone());
        for (n, event) in batch.into_events().into_iter().enumerate() {
            options.key = self.options.key.as_ref().map(|key| nth_key(key, n as u64 + 1));
            let appended = self.append(event.into(), options.clone()).await;
            ids.extend(appended.map_err(|problem| problem.with("ids", texts(&ids)))?);
            options.expected_last = None;
        }
        Ok(ids)
    }

    async fn append(&self, batch: Batch, options: AppendOptions) -> Result<Vec<EventId>, Problem> {
        let appended = self.app.hub.publish(batch, options).await;
        appended.map(|appended| appended.ids).map_err(|error| append_problem(&error))
    }
}

/// The media type of a request's body, without parameters and in lower case; empty if it has none.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or("").trim().to_ascii_lowercase()
}

/// The key of the n-th event of what was published with one key.
fn nth_key(key: &IdempotencyKey, n: u64) -> IdempotencyKey {
    IdempotencyKey { scope: key.scope.clone(), key: format!("{}/{n}", key.key).into() }
}

fn texts(ids: &[EventId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn name(text: &str) -> Result<Option<Box<str>>, Problem> {
    check_event_name(text).map_err(|error| Problem::bad_request(error.to_string()))
}

fn event(topic: Topic, name: Option<Box<str>>, data: &str) -> NewEvent {
    NewEvent { event: name, ..NewEvent::new(topic, normalize_data(data)) }
}

fn answer(status: StatusCode, json: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    // With a line end, so that curl leaves the prompt on a line of its own.
    (status, headers, format!("{json}\n")).into_response()
}

/// The topic in a path, decoded exactly once; `%2F` equals `/`.
pub(crate) fn topic_of(uri: &Uri) -> Result<Topic, Problem> {
    let raw = uri.path().strip_prefix("/topics").unwrap_or_default();
    let name = decode("the topic", raw.strip_prefix('/').unwrap_or(raw))?;
    parse_topic(&name)
}

/// A topic that a request may name.
pub(crate) fn parse_topic(name: &str) -> Result<Topic, Problem> {
    let topic =
        name.parse().map_err(|error: TopicError| Problem::bad_request(error.to_string()))?;
    refuse_reserved(&topic)?;
    Ok(topic)
}

/// Topics that begin with `$` are the hub's own; nobody has a credential for them yet.
fn refuse_reserved(topic: &Topic) -> Result<(), Problem> {
    if !topic.is_reserved() {
        return Ok(());
    }
    let detail =
        format!("{topic} is one of the hub's own topics, which begin with $: use another name");
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

fn options(headers: &HeaderMap) -> Result<AppendOptions, Problem> {
    let key = idempotency_key(headers, "")?;
    let if_match = headers.get(header::IF_MATCH).map(if_match).transpose()?;
    let if_none = headers.get(header::IF_NONE_MATCH).map(if_none_match).transpose()?;
    if if_match.is_some() && if_none.is_some() {
        let detail = "If-Match and If-None-Match can never hold together: send one of them";
        return Err(Problem::bad_request(detail));
    }
    Ok(AppendOptions { key, expected_last: if_match.or(if_none) })
}

/// The key of a request, if it has one, for a publisher of that scope.
///
/// # Errors
/// `400` for what is no key.
pub fn idempotency_key(
    headers: &HeaderMap,
    scope: &str,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    let key = key.filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(|| {
        Problem::bad_request(format!(
            "Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"
        ))
    })?;
    Ok(Some(IdempotencyKey { scope: scope.into(), key: key.into() }))
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
