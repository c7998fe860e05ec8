//! `POST /walls/{wall}/posts`: a visitor's command becomes an event, stamped with the author that the cookie names. With
//! an `Idempotency-Key` a repeat is the same post, not another.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_log::{AppendOptions, EventId, IdempotencyKey, NewEvent, Topic};
use eventwall_server::{
    Client, Problem, append_problem, collect_body, idempotency_key, is_own, media_type,
};
use http::{HeaderMap, Request, StatusCode, header, request::Parts};
use serde_json::json;

use crate::{
    Wall,
    command::{Command, FieldError},
    page::set_cookie,
    visitor::Visitor,
    wall_of,
};

/// The scope of visitors' keys. Not the visitor: whoever lost the answer may have lost the cookie with it.
pub(crate) const KEYS: &str = "wall";

pub(crate) async fn post(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = admitted(&wall, &parts).await?;
    json_only(&parts.headers)?;
    let (command, visitor) = written(&wall, &parts, body).await?;
    let post = command.post(&visitor.name).map_err(field_problem)?;
    let key = idempotency_key(&parts.headers, KEYS)?;
    let event = NewEvent { event: post.event.map(Into::into), ..NewEvent::new(topic, post.data) };
    let id = publish(&wall, event, Some(visitor.id.as_str().into()), key).await?;
    Ok(created(&wall, &parts, &visitor, &id))
}

/// Whoever may post here, and not too much.
pub(crate) async fn admitted(wall: &Wall, parts: &Parts) -> Result<Topic, Problem> {
    let (_, topic) = wall_of(&parts.uri)?;
    same_origin(&parts.headers)?;
    wall.app.settings().access.check_post(&topic)?;
    wall.app.check_amount(Client::of(&parts.extensions), &topic).await?;
    Ok(topic)
}

/// What the visitor wrote, and who they are from now on.
pub(crate) async fn written(
    wall: &Wall,
    parts: &Parts,
    body: Body,
) -> Result<(Command, Visitor), Problem> {
    let body = collect_body(body, &wall.app).await?;
    let command: Command = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body is no post: {error}")))?;
    let mut visitor = wall.signer.visitor(&parts.headers).unwrap_or_else(Visitor::new_guest);
    if let Some(name) = command.new_name().map_err(field_problem)? {
        name.clone_into(&mut visitor.name);
    }
    Ok((command, visitor))
}

/// Answers the event's id: that of the first time, if it is a repeat.
pub(crate) async fn publish(
    wall: &Wall,
    mut event: NewEvent,
    by: Option<Box<str>>,
    key: Option<IdempotencyKey>,
) -> Result<EventId, Problem> {
    event.by = by;
    let options = AppendOptions { key, ..AppendOptions::default() };
    let appended = wall.app.hub.publish(event.into(), options).await;
    let ids = appended.map_err(|error| append_problem(&error))?.ids;
    let none = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the log named no event");
    ids.into_iter().next().ok_or_else(none)
}

/// Of the event of that id, in the name that the visitor has now.
pub(crate) fn created(wall: &Wall, parts: &Parts, visitor: &Visitor, id: &EventId) -> Response {
    let answer = json!({ "id": id.to_string(), "name": visitor.name });
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::CREATED, head, answer.to_string()).into_response();
    set_cookie(&mut response, wall, visitor, &parts.extensions);
    response
}

pub(crate) fn field_problem(error: FieldError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.message).with("field", error.field)
}

/// A page of another origin must not post with a visitor's cookie.
pub(crate) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    if text(header::HOST).is_some_and(|host| is_own(origin, host)) {
        return Ok(());
    }
    let detail = format!(
        "a page of {origin} may not post here as its visitor: publish to /topics/walls/… instead"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Forms of other pages can send anything but JSON without asking.
pub(crate) fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type(headers) == "application/json" {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "send the post as application/json, such as {\"kind\": \"status\", \"msg\": \"hello\"}",
    ))
}
