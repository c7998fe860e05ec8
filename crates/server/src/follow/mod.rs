//! `GET /topics/{topic}` and `GET /events`: a stream, or a page for who accepts JSON only.
//! Translates the request into a start (`start`) and a filter, and decides nothing further.

mod page;
mod start;

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use eventwall_hub::{FollowOptions, Form, Start, StartError, padding_frame};
use eventwall_log::{Filter, Pattern, PatternError, ReadError, Topic};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts};

use self::{
    page::{PAGE_HEAD, asked, page},
    start::start,
};
use crate::{
    App, Client, Problem,
    connection::{Detachable, On, Size, Stream},
    metrics::TurnedAway,
    problem::read_problem,
    publish::{parse_topic, topic_of},
    query::Query,
    stream::stream_body,
    unavailable::{accepts, unavailable, wants_stream},
};

/// Seconds that an answer may be held.
const MAX_WAIT: usize = 300;
/// For polyfills that do not say how long.
const POLYFILL_WAIT: Duration = Duration::from_secs(25);
/// What a polyfill means by `padding=true`.
const POLYFILL_PADDING: usize = 2048;
/// Bytes of comment that a client may ask for.
const MAX_PADDING: usize = 65_536;

pub(crate) async fn topic(
    State(app): State<Arc<App>>,
    request: Parts,
) -> Result<Response, Problem> {
    let topic = topic_of(&request.uri)?;
    app.settings().access.check_read(&topic)?;
    follow(&app, (Filter::topics([topic]), Size { topics: 1, patterns: 0 }), false, &request).await
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    request: Parts,
) -> Result<Response, Problem> {
    follow(&app, filter(&app, &request.uri)?, true, &request).await
}

/// What `/events` is asked to follow, and how much that is.
fn filter(app: &App, uri: &Uri) -> Result<(Filter, Size), Problem> {
    let (topics, patterns) = requested(&Query::of(uri))?;
    let settings = app.settings();
    let (count, max) = (topics.len() + patterns.len(), settings.limits.topics);
    if count == 0 {
        return Err(Problem::bad_request(
            "name the topics to follow: /events?topic=NAME&topic=NAME",
        ));
    }
    if count > max {
        let detail = format!(
            "{count} topics in one stream are more than {max}, the server's `max_topics`: follow fewer"
        );
        return Err(Problem::bad_request(detail));
    }
    topics.iter().try_for_each(|topic| settings.access.check_read(topic))?;
    patterns.iter().try_for_each(|pattern| settings.access.check_follow(pattern))?;
    let size = Size { topics: topics.len(), patterns: patterns.len() };
    Ok((Filter::select(topics, patterns), size))
}

/// The topics and patterns that a request names, each once.
pub(crate) fn requested(query: &Query<'_>) -> Result<(BTreeSet<Topic>, Vec<Pattern>), Problem> {
    let (mut topics, mut patterns) = (BTreeSet::new(), BTreeSet::new());
    for name in query.all("topic")? {
        if Pattern::is_one(&name) {
            patterns.insert(parse_pattern(&name)?);
        } else {
            topics.insert(parse_topic(&name)?);
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
    app.settings().access.check_read(&topic)?;
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
    // Of no known length, or the answer would say that `GET` has nothing to say.
    let body = endless();
    if wants_page(headers) {
        asked(app, &query, headers)?;
        return Ok((PAGE_HEAD, [(header::CONTENT_TYPE, "application/json")], body).into_response());
    }
    start(app, &query, headers)?;
    follow_options(app, &query, headers, true)?;
    padding(&query)?;
    Ok((stream_head(app.hub.heartbeat()), body).into_response())
}

async fn follow(
    app: &Arc<App>,
    (filter, size): (Filter, Size),
    topic_line: bool,
    Parts { uri, headers, extensions, .. }: &Parts,
) -> Result<Response, Problem> {
    let query = Query::of(uri);
    let share = || {
        let on = extensions.get::<On>();
        on.map(|on| on.subscribe(app, Client::of(extensions), &size)).transpose()
    };
    let refused = |why| Ok(unavailable(headers, &app.settings().limits, why));
    if wants_page(headers) {
        let asked = asked(app, &query, headers)?;
        // Whoever waits for events follows them.
        let _share = match asked.waits().then(share).transpose() {
            Ok(share) => share,
            Err(why) => return refused(why),
        };
        return page(app, filter, asked).await;
    }
    let start = start(app, &query, headers)?;
    let options = follow_options(app, &query, headers, topic_line)?;
    let padding = padding(&query)?;
    let share = match share() {
        Ok(share) => share,
        Err(why) => return refused(why),
    };
    // To look up the last events of many topics takes as much as a page does.
    let turn = if matches!(start, Start::Last(_)) { app.pages.turn().await } else { None };
    let subscribed = app.hub.subscribe(filter, &start, options).await;
    drop(turn);
    let subscriber = match subscribed {
        Ok(subscriber) => subscriber,
        // A `503` would end a stock EventSource for ever.
        Err(StartError::Read(ReadError::Unavailable(_))) if wants_stream(headers) => {
            return Ok(unavailable(headers, &app.settings().limits, TurnedAway::Unreadable));
        }
        Err(error) => return Err(start_problem(error)),
    };
    let head = stream_head(app.hub.heartbeat());
    // Whoever polls will ask again on the same connection.
    if options.wait.is_none() && extensions.get::<On>().is_some_and(|on| on.detaches) {
        let stream = Stream { subscriber, share, padding: comment(padding), place: None };
        return Ok((head, Extension(Detachable::new(stream)), endless()).into_response());
    }
    let body = stream_body(subscriber.into_stream(), share, app.clone(), padding);
    Ok((head, body).into_response())
}

/// A body of no known length.
fn endless() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
}

fn comment(padding: usize) -> Vec<u8> {
    if padding > 0 { padding_frame(padding).into() } else { Vec::new() }
}

fn follow_options(
    app: &App,
    query: &Query<'_>,
    headers: &HeaderMap,
    topic_line: bool,
) -> Result<FollowOptions, Problem> {
    let json = query.last("as")?.as_deref() == Some("json");
    let comment_ticks = query.last("tick")?.as_deref() == Some("comment");
    // The polyfills of old see nothing of an answer until it ends.
    let polyfill = headers.get("x-requested-with").is_some_and(|by| by == "XMLHttpRequest");
    let wait = wait(query)?.or(polyfill.then_some(POLYFILL_WAIT));
    let max_lag = app.settings().limits.max_lag;
    Ok(FollowOptions { form: Form { topic_line, json }, comment_ticks, wait, max_lag })
}

/// Bytes of comment to begin with.
fn padding(query: &Query<'_>) -> Result<usize, Problem> {
    if query.last("padding")?.as_deref() == Some("true") {
        return Ok(POLYFILL_PADDING);
    }
    Ok(query.number("padding", MAX_PADDING)?.unwrap_or(0))
}

/// How long an answer may be held until there are events.
fn wait(query: &Query<'_>) -> Result<Option<Duration>, Problem> {
    let seconds = query.number("wait", MAX_WAIT)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds as u64)))
}

/// JSON is asked for, and a stream is not.
fn wants_page(headers: &HeaderMap) -> bool {
    !wants_stream(headers) && accepts(headers, "application/json")
}

fn stream_head(heartbeat: Duration) -> [(HeaderName, HeaderValue); 5] {
    // Clients wait for a multiple of it, so it is never said to be shorter than it is.
    let seconds = heartbeat.as_secs() + u64::from(heartbeat.subsec_nanos() > 0);
    let name = HeaderName::from_static;
    let value = HeaderValue::from_static;
    [
        // Without a charset: one browser engine fails on any but utf-8, the stream is
        // UTF-8 anyway.
        (header::CONTENT_TYPE, value("text/event-stream")),
        (header::CACHE_CONTROL, value("no-store")),
        (header::VARY, value("Accept, Origin")),
        (name("x-accel-buffering"), value("no")),
        (name("eventwall-heartbeat"), HeaderValue::from(seconds)),
    ]
}

/// Why a page or stream cannot begin there.
#[must_use]
pub fn start_problem(error: StartError) -> Problem {
    match error {
        StartError::TooMany { .. } | StartError::TooLarge { .. } => {
            Problem::bad_request(error.to_string())
        }
        StartError::Read(error) => read_problem(&error),
    }
}
