//! What becomes of a post: its author changes it or takes it back, an operator erases it. Everybody is told first, by an
//! event of the wall's own; then what nobody is to read any more leaves the log. It is never left half done because whoever
//! asked has gone, and can be asked again.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use eventwall_log::{EventId, Filter, IdempotencyKey, NewEvent, Position, Topic};
use eventwall_server::{
    BeforeErasing, Problem, append_problem, decode, idempotency_key, start_problem, to_the_end,
};
use http::{Request, StatusCode, request::Parts};
use serde::Serialize;

use crate::{
    Wall, is_wall,
    posts::{KEYS, admitted, created, field_problem, json_only, publish, written},
    projection::{EDIT, Edit, Live, REMOVE, Removal, read_one},
    shown::{kind_of, name_of},
};

/// The scope of the keys of removals, which are the posts' ids: a post is removed once.
const REMOVALS: &str = "wall-remove";

/// `PUT /walls/{wall}/posts/{id}`: its author has thought again.
pub(crate) async fn edit(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let topic = admitted(&wall, &parts).await?;
    json_only(&parts.headers)?;
    let (post, author) = own_post(&wall, &topic, &parts).await?;
    let (command, visitor) = written(&wall, &parts, body).await?;
    let now = command.post(&visitor.name).map_err(field_problem)?;
    let event = now.event.unwrap_or("message").into();
    let edit = told(topic, EDIT, &Edit { post: post.to_string(), event, data: now.data });
    let key = idempotency_key(&parts.headers, KEYS)?;
    let id = to_the_end(change(wall.clone(), post, edit, (author, key))).await?;
    Ok(created(&wall, &parts, &visitor, &id))
}

/// `DELETE /walls/{wall}/posts/{id}`: its author takes it back. It leaves the log, too.
pub(crate) async fn remove(
    State(wall): State<Arc<Wall>>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    let (parts, _) = request.into_parts();
    let topic = admitted(&wall, &parts).await?;
    let (post, author) = own_post(&wall, &topic, &parts).await?;
    to_the_end(async move {
        let mut gone = tell_gone(&wall, topic, &post, Some(author)).await?;
        gone.push(post.position);
        erase(&wall, gone).await
    })
    .await?;
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
            tell_gone(&wall, record.topic.clone(), event.id(), None).await
        }
    })
}

/// Once an edit is told, what the post was in between is nobody's to read any more.
async fn change(
    wall: Arc<Wall>,
    post: EventId,
    edit: NewEvent,
    (author, key): (Box<str>, Option<IdempotencyKey>),
) -> Result<EventId, Problem> {
    let live = ready(&wall, &edit.topic).await?;
    let id = publish(&wall, edit, Some(author), key).await?;
    caught_up(&live, &id).await?;
    let (is_there, mut superseded) = {
        let projection = live.look();
        (projection.has(post.position), projection.edits_of(post.position))
    };
    if !is_there {
        // Its removal came in between, and knew nothing of this.
        erase(&wall, vec![id.position]).await?;
        return Err(gone());
    }
    superseded.retain(|edit| edit.position < id.position);
    erase(&wall, positions(superseded)).await?;
    Ok(id)
}

/// Tells that a post is gone; answers the edits that have to go with it.
async fn tell_gone(
    wall: &Wall,
    topic: Topic,
    post: &EventId,
    by: Option<Box<str>>,
) -> Result<Vec<Position>, Problem> {
    let live = ready(wall, &topic).await?;
    let post_id = post.to_string();
    let key = IdempotencyKey { scope: REMOVALS.into(), key: post_id.as_str().into() };
    let removal = told(topic, REMOVE, &Removal { post: post_id });
    let id = publish(wall, removal, by, Some(key)).await?;
    // Edits that come after it find that the post has gone.
    caught_up(&live, &id).await?;
    let edits = live.look().edits_of(post.position);
    Ok(positions(edits))
}

/// The wall's projection, once it is there: without it nobody knows what has to be erased.
async fn ready(wall: &Wall, topic: &Topic) -> Result<Arc<Live>, Problem> {
    let live = wall.projections.of(topic);
    if live.is_ready().await { Ok(live) } else { Err(Live::unready()) }
}

async fn caught_up(live: &Live, id: &EventId) -> Result<(), Problem> {
    if live.takes_in(id.position).await { Ok(()) } else { Err(Live::unready()) }
}

fn positions(ids: Vec<EventId>) -> Vec<Position> {
    ids.into_iter().map(|id| id.position).collect()
}

async fn erase(wall: &Wall, positions: Vec<Position>) -> Result<(), Problem> {
    if positions.is_empty() {
        return Ok(());
    }
    wall.app.hub.erase(positions).await.map_err(|error| append_problem(&error))
}

/// The post that the path names and its author, if that is the visitor.
async fn own_post(
    wall: &Wall,
    topic: &Topic,
    parts: &Parts,
) -> Result<(EventId, Box<str>), Problem> {
    let raw = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let id: EventId = decode("the post's id", raw)?
        .parse()
        .map_err(|error: eventwall_log::IdError| Problem::bad_request(error.to_string()))?;
    let event = read_one(&wall.app.hub, Filter::topics([topic.clone()]), &id).await;
    let event = event.map_err(start_problem)?.ok_or_else(gone)?;
    let record = event.record();
    kind_of(name_of(record)).ok_or_else(gone)?;
    let visitor = wall.signer.visitor(&parts.headers);
    match (visitor, &record.fields.by) {
        (Some(visitor), Some(by)) if visitor.id == **by => Ok((id, by.clone())),
        _ => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a post is changed by who wrote it, from the same browser",
        )),
    }
}

fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such post on this wall any more")
}

/// An event of the wall's own.
fn told(topic: Topic, name: &str, data: &impl Serialize) -> NewEvent {
    let data = serde_json::to_string(data).unwrap_or_default();
    NewEvent { event: Some(name.into()), ..NewEvent::new(topic, data) }
}
