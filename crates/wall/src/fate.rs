//! What becomes of a post: its author changes it or takes it back, an operator erases it. Everybody is told first, by an
//! event of the wall's own; then what nobody is to read any more leaves the log. Whoever asked may go: it goes on, and what
//! is cut short even so is carried out by whoever follows the wall next (`projection`).

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use eventwall_log::{EventId, Filter, IdempotencyKey, NewEvent, Position, Topic};
use eventwall_server::{
    BeforeErasing, Problem, append_problem, decode, idempotency_key, start_problem,
};
use http::{Request, StatusCode, request::Parts};
use serde::Serialize;

use crate::{
    Wall, is_wall,
    posts::{KEYS, admitted, created, field_problem, json_only, publish, written},
    projection::{EDIT, Edit, Live, Projection, REMOVE, Removal, read_one},
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
    let change = change(wall.clone(), post, edit, (author, key));
    let id = wall.app.begun.to_the_end(change).await?;
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
    let begun = wall.app.begun.clone();
    let removed = begun.to_the_end(async move {
        let mut gone = tell_gone(&wall, topic, &post, Some(author)).await?;
        gone.push(post.position);
        erase(&wall, gone).await
    });
    removed.await?;
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
            let on_wall = is_wall(&record.topic);
            let Some(wall) = wall.upgrade().filter(|_| on_wall) else { return Ok(Vec::new()) };
            let topic = record.topic.clone();
            match name_of(record) {
                EDIT => refuse_part(&wall, &topic, &record.data).await.map(|()| Vec::new()),
                name if kind_of(name).is_some() => tell_gone(&wall, topic, event.id(), None).await,
                _ => Ok(Vec::new()),
            }
        }
    })
}

/// Without its last edit a post would be again what its author had changed, and nobody who looks would know.
async fn refuse_part(wall: &Wall, topic: &Topic, edit: &str) -> Result<(), Problem> {
    let Ok(Edit { post, .. }) = serde_json::from_str(edit) else { return Ok(()) };
    let live = wall.projections.of(topic);
    let Ok(id) = post.parse::<EventId>() else { return Ok(()) };
    if live.once_at(id.position, |wall| wall.has(id.position)).await == Some(true) {
        let detail = format!("this is what {post} was changed into: erase {post}, and it goes too");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    Ok(())
}

/// Once an edit is told, what the post was in between is nobody's to read any more.
async fn change(
    wall: Arc<Wall>,
    post: EventId,
    edit: NewEvent,
    (author, key): (Box<str>, Option<IdempotencyKey>),
) -> Result<EventId, Problem> {
    let live = wall.projections.of(&edit.topic);
    // It may just have been posted.
    let has = live.once_at(post.position, |wall| wall.has(post.position)).await;
    if !has.ok_or_else(Live::unready)? {
        return Err(gone());
    }
    let id = publish(&wall, edit, Some(author), key).await?;
    let look = |wall: &Projection| (wall.has(post.position), wall.condemned_of(post.position));
    let seen = live.once_at(id.position, look).await;
    let (is_there, condemned) = seen.unwrap_or_else(|| {
        warn_of_late(&id);
        (true, Vec::new())
    });
    if let Err(problem) = erase(&wall, condemned).await {
        // It is told and shown all the same; the follower tries again.
        tracing::warn!(post = %post, detail = problem.detail(), "what a post was before could not be erased yet");
    }
    // Else its removal came in between.
    if is_there { Ok(id) } else { Err(gone()) }
}

/// Tells that a post is gone; answers what has to leave the log with it.
async fn tell_gone(
    wall: &Wall,
    topic: Topic,
    post: &EventId,
    by: Option<Box<str>>,
) -> Result<Vec<Position>, Problem> {
    let live = wall.projections.of(&topic);
    let post_id = post.to_string();
    let key = IdempotencyKey { scope: REMOVALS.into(), key: post_id.as_str().into() };
    let removal = told(topic, REMOVE, &Removal { post: post_id });
    let id = publish(wall, removal, by, Some(key)).await?;
    let condemned = live.once_at(id.position, |wall| wall.condemned_of(post.position)).await;
    Ok(condemned.unwrap_or_else(|| {
        warn_of_late(&id);
        Vec::new()
    }))
}

/// A projection that takes too long erases by itself what else has to be.
fn warn_of_late(id: &EventId) {
    tracing::warn!(%id, "the wall is still being read: what this leaves behind is erased once that is done");
}

async fn erase(wall: &Wall, positions: Vec<Position>) -> Result<(), Problem> {
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
