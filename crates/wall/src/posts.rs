//! `POST /walls/{wall}/posts` and what its author does to a post later: a visitor's command becomes an event, stamped with the author
//! that the cookie names. With an `Idempotency-Key` a repeat is the same post, not another.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_log::{AppendOptions, EventId, Filter, IdempotencyKey, NewEvent, Position, Topic};
use eventwall_server::{
    BeforeErasing, Client, Problem, append_problem, collect_body, decode, idempotency_key, is_own,
    media_type, start_problem,
};
use http::{HeaderMap, Request, StatusCode, header, request::Parts};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Wall,
    command::{Command, FieldError},
    is_wall,
    page::set_cookie,
    projection::{EDIT, Edit, REMOVE, Removal, read_one},
    shown::{kind_of, name_of},
    visitor::Visitor,
    wall_of,
};

/// The scope of posts' keys. Not the visitor: whoever lost the answer may have lost the cookie with it.
const KEYS: &str = "wall";

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
    let id = publish(&wall, event, Some(&visitor), key).await?;
    Ok(created(&wall, &parts, &visitor, &json!({ "id": id, "name": visitor.name })))
}

/// `PUT /walls/{wall}/posts/{id}`: its author has thought again.
pub(crate) async fn edit(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = admitted(&wall, &parts).await?;
    json_only(&parts.headers)?;
    let id = own_post(&wall, &topic, &parts).await?;
    let (command, visitor) = written(&wall, &parts, body).await?;
    let post = command.post(&visitor.name).map_err(field_problem)?;
    let event = post.event.unwrap_or("message").into();
    let edit = Edit { post: id.to_string(), event, data: post.data };
    let edited = topic.clone();
    let event = told(topic, EDIT, &edit);
    let key = idempotency_key(&parts.headers, KEYS)?;
    let before = edits_of(&wall, &edited, &id).await;
    let edit_id = publish(&wall, event, Some(&visitor), key).await?;
    // What it was in between is nobody's to read any more.
    erase(&wall, before).await?;
    Ok(created(&wall, &parts, &visitor, &json!({ "id": edit_id, "name": visitor.name })))
}

/// `DELETE /walls/{wall}/posts/{id}`: its author takes it back. It leaves the log, too.
pub(crate) async fn remove(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    let (parts, _) = request.into_parts();
    let topic = admitted(&wall, &parts).await?;
    let id = own_post(&wall, &topic, &parts).await?;
    let visitor = wall.signer.visitor(&parts.headers).unwrap_or_else(Visitor::new_guest);
    // First everybody is told: what is erased first and told never would stay on pages.
    let mut gone = edits_of(&wall, &topic, &id).await;
    gone.push(id.position);
    let event = told(topic, REMOVE, &Removal { post: id.to_string() });
    publish(&wall, event, Some(&visitor), None).await?;
    erase(&wall, gone).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An operator erases a post: pages hear of it as if its author had taken it back, and its edits go, too.
pub(crate) fn taken_down(wall: &Arc<Wall>) -> BeforeErasing {
    // The app must not own what owns it.
    let wall = Arc::downgrade(wall);
    BeforeErasing::new(move |event| {
        let wall = wall.clone();
        async move {
            let record = event.record();
            let on_wall = is_wall(&record.topic) && kind_of(name_of(record)).is_some();
            let Some(wall) = wall.upgrade().filter(|_| on_wall) else { return Ok(Vec::new()) };
            let edits = edits_of(&wall, &record.topic, event.id()).await;
            let removal = Removal { post: event.id().to_string() };
            publish(&wall, told(record.topic.clone(), REMOVE, &removal), None, None).await?;
            Ok(edits)
        }
    })
}

/// Where a post's edits stand in the log.
async fn edits_of(wall: &Wall, topic: &Topic, id: &EventId) -> Vec<Position> {
    let live = wall.projections.of(topic);
    live.is_ready().await;
    if let Ok(Some(last)) = wall.app.hub.log().last(topic).await {
        live.has_reached(last.position).await;
    }
    live.look().edits_of(id.position).into_iter().map(|edit| edit.position).collect()
}

async fn erase(wall: &Wall, positions: Vec<Position>) -> Result<(), Problem> {
    if positions.is_empty() {
        return Ok(());
    }
    wall.app.hub.erase(positions).await.map_err(|error| append_problem(&error))
}

/// Whoever may post here, and not too much.
async fn admitted(wall: &Wall, parts: &Parts) -> Result<Topic, Problem> {
    let (_, topic) = wall_of(&parts.uri)?;
    same_origin(&parts.headers)?;
    wall.app.settings().access.check_post(&topic)?;
    wall.app.check_amount(Client::of(&parts.extensions), &topic).await?;
    Ok(topic)
}

/// What the visitor wrote, and who they are from now on.
async fn written(wall: &Wall, parts: &Parts, body: Body) -> Result<(Command, Visitor), Problem> {
    let body = collect_body(body, &wall.app).await?;
    let command: Command = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body is no post: {error}")))?;
    let mut visitor = wall.signer.visitor(&parts.headers).unwrap_or_else(Visitor::new_guest);
    if let Some(name) = command.new_name().map_err(field_problem)? {
        name.clone_into(&mut visitor.name);
    }
    Ok((command, visitor))
}

/// The post that the path names, if it is on this wall and the visitor's own.
async fn own_post(wall: &Wall, topic: &Topic, parts: &Parts) -> Result<EventId, Problem> {
    let raw = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let id: EventId = decode("the post's id", raw)?
        .parse()
        .map_err(|error: eventwall_log::IdError| Problem::bad_request(error.to_string()))?;
    let gone =
        || Problem::new(StatusCode::NOT_FOUND, "there is no such post on this wall any more");
    let event = read_one(&wall.app.hub, Filter::topics([topic.clone()]), &id).await;
    let event = event.map_err(start_problem)?.ok_or_else(gone)?;
    let record = event.record();
    kind_of(name_of(record)).ok_or_else(gone)?;
    let visitor = wall.signer.visitor(&parts.headers);
    if visitor.is_some_and(|visitor| record.fields.by.as_deref() == Some(&visitor.id)) {
        return Ok(id);
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "a post is changed by who wrote it, from the same browser",
    ))
}

/// An event of the wall's own.
fn told(topic: Topic, name: &str, data: &impl Serialize) -> NewEvent {
    let data = serde_json::to_string(data).unwrap_or_default();
    NewEvent { event: Some(name.into()), ..NewEvent::new(topic, data) }
}

async fn publish(
    wall: &Wall,
    mut event: NewEvent,
    by: Option<&Visitor>,
    key: Option<IdempotencyKey>,
) -> Result<String, Problem> {
    event.by = by.map(|visitor| visitor.id.clone().into());
    let options = AppendOptions { key, ..AppendOptions::default() };
    let appended = wall.app.hub.publish(event.into(), options).await;
    let appended = appended.map_err(|error| append_problem(&error))?;
    Ok(appended.ids.first().map(ToString::to_string).unwrap_or_default())
}

fn created(wall: &Wall, parts: &Parts, visitor: &Visitor, answer: &Value) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::CREATED, head, answer.to_string()).into_response();
    set_cookie(&mut response, wall, visitor, &parts.extensions);
    response
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
