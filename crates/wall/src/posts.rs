//! `POST /walls/{wall}/posts`: a visitor's command becomes an event, stamped with the author
//! that the cookie names. With an `Idempotency-Key` a repeat is the same post, not another.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_log::{AppendOptions, IdempotencyKey, NewEvent, Topic};
use eventwall_server::{
    Client, Problem, append_problem, collect_body, idempotency_key, is_own, media_type,
};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::json;

use crate::{
    Wall,
    command::{Command, FieldError},
    page::set_cookie,
    visitor::Visitor,
    wall_of,
};

pub(crate) async fn post(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (_, topic) = wall_of(&parts.uri)?;
    same_origin(&parts.headers)?;
    json_only(&parts.headers)?;
    wall.app.settings().access.check_post(&topic)?;
    wall.app.check_amount(Client::of(&parts.extensions), &topic).await?;
    let body = collect_body(body, &wall.app).await?;
    let command: Command = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body is no post: {error}")))?;
    let mut visitor = wall.signer.visitor(&parts.headers).unwrap_or_else(Visitor::new_guest);
    if let Some(name) = command.new_name().map_err(field_problem)? {
        name.clone_into(&mut visitor.name);
    }
    let key = idempotency_key(&parts.headers, &visitor.id)?;
    let id = publish(&wall, topic, &command, &visitor, key).await?;
    let answer = json!({ "id": id, "name": visitor.name });
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::CREATED, head, answer.to_string()).into_response();
    set_cookie(&mut response, &wall, &visitor, &parts.extensions);
    Ok(response)
}

async fn publish(
    wall: &Wall,
    topic: Topic,
    command: &Command,
    visitor: &Visitor,
    key: Option<IdempotencyKey>,
) -> Result<String, Problem> {
    let post = command.post(&visitor.name).map_err(field_problem)?;
    let mut event = NewEvent::new(topic, post.data);
    event.event = post.event.map(Into::into);
    event.by = Some(visitor.id.clone().into());
    let options = AppendOptions { key, ..AppendOptions::default() };
    let appended = wall.app.hub.publish(event.into(), options).await;
    let appended = appended.map_err(|error| append_problem(&error))?;
    Ok(appended.ids.first().map(ToString::to_string).unwrap_or_default())
}

fn field_problem(error: FieldError) -> Problem {
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
fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type(headers) == "application/json" {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "send the post as application/json, such as {\"kind\": \"status\", \"msg\": \"hello\"}",
    ))
}
