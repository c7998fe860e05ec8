//! `GET /topics/{topic}` and `GET /events`: a stream, or a page for who accepts JSON only.
//! Translates the request into a start and a filter, and decides nothing further.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::{EventPage, FollowOptions, Form, Gap, MAX_START_EVENTS, Start, StartError};
use eventwall_log::{EventId, Filter, Millis, Pattern, PatternError, Topic};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use crate::{
    App, Problem,
    publish::{parse_topic, refuse_reserved, topic_of},
    query::Query,
    stream::stream_body,
    unavailable::wants_stream,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The spellings that polyfills append to the URL.
const POLYFILLS: [&str; 3] = ["lastEventId", "lastEventID", "last_event_id"];
/// Seconds that an answer may be held.
const MAX_WAIT: usize = 300;
/// For polyfills that do not say how long.
const POLYFILL_WAIT: Duration = Duration::from_secs(25);
/// Bytes of comment that a client may ask for.
const MAX_PADDING: usize = 65_536;
/// Events on a page unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;

pub(crate) async fn topic(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = topic_of(&uri)?;
    refuse_reserved(&topic)?;
    follow(&app, Filter::topics([topic]), false, &uri, &headers).await
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    follow(&app, filter(&app, &uri)?, true, &uri, &headers).await
}

/// What `/events` is asked to follow.
fn filter(app: &App, uri: &Uri) -> Result<Filter, Problem> {
    let (topics, patterns) = requested(&Query::of(uri))?;
    let (count, max) = (topics.len() + patterns.len(), app.settings.limits.topics);
    if count == 0 {
        return Err(Problem::bad_request(
            "name the topics to follow: /events?topic=NAME&topic=NAME",
        ));
    }
    if count > max {
        let detail = format!("{count} topics on one connection are more than {max}: follow fewer");
        return Err(Problem::bad_request(detail));
    }
    Ok(Filter::select(topics, patterns))
}

/// The topics and patterns that a request names, each once.
fn requested(query: &Query<'_>) -> Result<(BTreeSet<Topic>, Vec<Pattern>), Problem> {
    let (mut topics, mut patterns) = (BTreeSet::new(), BTreeSet::new());
    for name in query.all("topic")? {
        if Pattern::is_one(&name) {
            patterns.insert(parse_pattern(&name)?);
        } else {
            let topic = parse_topic(&name)?;
            refuse_reserved(&topic)?;
            topics.insert(topic);
        }
    }
    Ok((topics, patterns.into_iter().collect()))
}

fn parse_pattern(text: &str) -> Result<Pattern, Problem> {
    let pattern: Pattern =
        text.parse().map_err(|error: PatternError| Problem::bad_request(error.to_string()))?;
    if pattern.is_reserved() {
        let detail = format!("{pattern} stands for the hub's own topics: no pattern matches those");
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(pattern)
}

/// `HEAD` says what `GET` would, with the id of the topic's last event as its `ETag`. It never
/// subscribes.
pub(crate) async fn head_topic(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = topic_of(&uri)?;
    refuse_reserved(&topic)?;
    let last = app.hub.log().last(&topic).await;
    let last = last.map_err(|error| start_problem(StartError::Read(error)))?;
    let mut response = head(&app, &uri, &headers)?;
    let etag = last.and_then(|id| HeaderValue::try_from(format!("\"{id}\"")).ok());
    response.headers_mut().extend(etag.map(|etag| (header::ETAG, etag)));
    Ok(response)
}

pub(crate) async fn head_events(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    filter(&app, &uri)?;
    head(&app, &uri, &headers)
}

fn head(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
    let query = Query::of(uri);
    start(&query, headers)?;
    if wants_page(headers) {
        let head = [
            (header::CONTENT_TYPE, "application/json"),
            PAGE_HEAD[0].clone(),
            PAGE_HEAD[1].clone(),
        ];
        return Ok(head.into_response());
    }
    follow_options(&query, headers, true)?;
    Ok(stream_head(app.hub.heartbeat().as_secs()).into_response())
}

async fn follow(
    app: &Arc<App>,
    filter: Filter,
    topic_line: bool,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(uri);
    if wants_page(headers) {
        return page(app, filter, &query, headers).await;
    }
    let start = start(&query, headers)?;
    let options = follow_options(&query, headers, topic_line)?;
    let padding = query.number("padding", MAX_PADDING)?.unwrap_or(0);
    let subscription = app.hub.subscribe(filter, &start, options).await.map_err(start_problem)?;
    let window = app.settings.limits.drain_window;
    let body = stream_body(subscription, app.drain.clone(), window, padding);
    Ok((stream_head(app.hub.heartbeat().as_secs()), body).into_response())
}

fn follow_options(
    query: &Query<'_>,
    headers: &HeaderMap,
    topic_line: bool,
) -> Result<FollowOptions, Problem> {
    let json = query.last("as")?.as_deref() == Some("json");
    let comment_ticks = query.last("tick")?.as_deref() == Some("comment");
    // The polyfills of old see nothing of an answer until it ends.
    let polyfill = headers.get("x-requested-with").is_some_and(|by| by == "XMLHttpRequest");
    let wait = wait(query)?.or(polyfill.then_some(POLYFILL_WAIT));
    Ok(FollowOptions { form: Form { topic_line, json }, comment_ticks, wait })
}

/// How long an answer may be held until there are events.
fn wait(query: &Query<'_>) -> Result<Option<Duration>, Problem> {
    let seconds = query.number("wait", MAX_WAIT)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds as u64)))
}

const PAGE_HEAD: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (header::VARY, "Accept, Origin")];

/// JSON is asked for, and a stream is not.
fn wants_page(headers: &HeaderMap) -> bool {
    let mut accepts =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    !wants_stream(headers) && accepts.any(|value| value.contains("application/json"))
}

fn stream_head(heartbeat: u64) -> [(HeaderName, HeaderValue); 5] {
    let name = HeaderName::from_static;
    let value = HeaderValue::from_static;
    [
        // Without a charset: one browser engine fails on any but utf-8, the stream is
        // UTF-8 anyway.
        (header::CONTENT_TYPE, value("text/event-stream")),
        (header::CACHE_CONTROL, value("no-store")),
        (header::VARY, value("Accept, Origin")),
        (name("x-accel-buffering"), value("no")),
        (name("eventwall-heartbeat"), HeaderValue::from(heartbeat)),
    ]
}

/// Where to start; the first that is there wins.
fn start(query: &Query<'_>, headers: &HeaderMap) -> Result<Start, Problem> {
    let header = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty());
    if let Some(id) = header {
        return Ok(Start::Resume(String::from_utf8_lossy(id.as_bytes()).into_owned()));
    }
    if let Some(id) = query.last_lossy(&POLYFILLS) {
        return Ok(Start::Resume(id));
    }
    if let Some(after) = query.last("after")? {
        return Ok(Start::After(event_id("after", &after)?));
    }
    if let Some(since) = query.last("since")? {
        return Ok(Start::Since(since_time(&since)?));
    }
    let last = query.number("last", MAX_START_EVENTS)?;
    Ok(last.map_or(Start::Now, Start::Last))
}

/// An RFC 3339 time, or a duration before now such as `10m`.
fn since_time(text: &str) -> Result<Millis, Problem> {
    let time = humantime::parse_rfc3339(text).ok().or_else(|| {
        let ago = humantime::parse_duration(text).ok()?;
        Some(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH))
    });
    let time = time.ok_or_else(|| {
        let detail = format!(
            "`since` must be a time like 2026-01-31T12:00:00Z or a duration like 10m, not {text:?}"
        );
        Problem::bad_request(detail)
    })?;
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX))
}

fn event_id(name: &str, text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("`{name}`: {error}")))
}

fn start_problem(error: StartError) -> Problem {
    match error {
        StartError::TooMany { .. } => Problem::bad_request(error.to_string()),
        StartError::Read(error) => {
            tracing::error!(%error, "a subscriber could not be served");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

async fn page(
    app: &App,
    filter: Filter,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let max = app.settings.limits.page_events;
    let limit = query.number("limit", max)?.unwrap_or(DEFAULT_LIMIT.min(max)).max(1);
    let page = match query.last("before")? {
        Some(before) => {
            let before = event_id("before", &before)?;
            let count = query.number("last", max)?.unwrap_or(limit).min(max);
            app.hub.page_before(&filter, &before, count).await
        }
        None => {
            let from = start(query, headers)?;
            let limit = if matches!(from, Start::Last(_)) { max } else { limit };
            match wait(query)? {
                Some(wait) => {
                    tokio::select! {
                        page = app.hub.page_waiting(filter.clone(), &from, limit, wait) => page,
                        // Not to be held while the server goes down.
                        () = app.drain.draining() => app.hub.page(filter, &from, limit).await,
                    }
                }
                None => app.hub.page(filter, &from, limit).await,
            }
        }
    };
    let page = page.map_err(start_problem)?;
    Ok((PAGE_HEAD, Json(page_json(&page))).into_response())
}

#[derive(Serialize)]
struct PageJson<'a, E> {
    events: Vec<E>,
    cursor: String,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
}

fn page_json(page: &EventPage) -> impl Serialize + '_ {
    PageJson {
        events: page.events.iter().map(|event| event.to_json()).collect(),
        cursor: page.cursor.to_string(),
        more: page.more,
        gap: page.gap.as_ref(),
    }
}
