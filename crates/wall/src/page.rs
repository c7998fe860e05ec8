//! The pages of a wall: itself, its screen, its part of other pages, its poster; and posts as JSON, for scripts
//! that go further back. The first posts are in the page, which is whole without any script.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use eventwall_log::{EventId, Position, Topic};
use eventwall_server::{Client, Problem, decode, framed_page, html_page, not_found};
use http::{Extensions, HeaderName, header, request::Parts};
use minijinja::{Value, context};
use serde_json::json;

use crate::{
    LOBBY, Wall,
    code::svg,
    projection::{Live, Projection, Slip, read_page},
    topic_of,
    view::{Asked, answered, framed},
    visitor::Visitor,
    wall_of,
};

/// Posts of a page.
const PAGE: usize = 50;
const MAX_PAGE: usize = 200;
/// Posts on a screen: as many as it may ever need at once.
const SCREEN: usize = 24;
const EMBED: usize = 30;

pub(crate) async fn lobby(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = async { show(&wall, LOBBY, &topic_of(LOBBY)?, &request).await };
    answered(&wall, page.await, &request.headers)
}

pub(crate) async fn wall(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = async {
        let (name, topic) = wall_of(&request.uri)?;
        show(&wall, &name, &topic, &request).await
    };
    answered(&wall, page.await, &request.headers)
}

async fn show(
    wall: &Wall,
    name: &str,
    topic: &Topic,
    request: &Parts,
) -> Result<Response, Problem> {
    wall.app.settings().access.check_read(topic)?;
    let (visitor, known) = wall.who(request);
    let asked = Asked::of(wall, (name, topic), &visitor, request);
    let slip = newest(&asked, PAGE).await?;
    let more = context! { tools => true, ..asked.counts(&slip).await };
    let mut response = html_page(asked.fill("wall.html", Some(&slip), more)?);
    if !known {
        set_cookie(&mut response, wall, &visitor, &request.extensions);
    }
    Ok(response)
}

pub(crate) async fn screen(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = looked_at(&wall, &request, async |asked| {
        let slip = newest(&asked, SCREEN).await?;
        let more = context! { code => asked.code(), ..asked.counts(&slip).await };
        Ok(html_page(asked.fill("screen.html", Some(&slip), more)?))
    });
    answered(&wall, page.await, &request.headers)
}

pub(crate) async fn embed(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = looked_at(&wall, &request, async |asked| {
        let slip = newest(&asked, EMBED).await?;
        Ok(framed_page(asked.fill("embed.html", Some(&slip), context! {})?))
    });
    framed(&wall, page.await, &request.headers)
}

pub(crate) async fn poster(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = looked_at(&wall, &request, async |asked| {
        Ok(html_page(asked.fill("poster.html", None, context! { code => asked.code() })?))
    });
    answered(&wall, page.await, &request.headers)
}

/// Whatever else is asked for.
pub(crate) async fn nothing(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let path = request.uri.path();
    let shorter = path.trim_end_matches('/');
    if shorter.len() < path.len() && shorter.starts_with("/walls/") {
        return Redirect::permanent(shorter).into_response();
    }
    answered(&wall, Err(not_found(request.uri).await), &request.headers)
}

/// What `make` makes of a wall for who only looks, and needs no cookie.
async fn looked_at(
    wall: &Wall,
    request: &Parts,
    make: impl AsyncFnOnce(Asked<'_>) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let (name, topic) = wall_of(&request.uri)?;
    wall.app.settings().access.check_read(&topic)?;
    let visitor = Visitor { id: String::new(), name: String::new() };
    make(Asked::of(wall, (&name, &topic), &visitor, request)).await
}

/// What a browser needs to know to keep the wall among its apps.
pub(crate) async fn manifest(
    State(wall): State<Arc<Wall>>,
    request: Parts,
) -> Result<Response, Problem> {
    looked_at(&wall, &request, async |asked| {
        let head = [
            (header::CONTENT_TYPE, "application/manifest+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        Ok((head, asked.manifest().to_string()).into_response())
    })
    .await
}

/// `GET /walls/{wall}/posts?before=ID&count=N`: posts as they are now.
pub(crate) async fn posts(
    State(wall): State<Arc<Wall>>,
    request: Parts,
) -> Result<Response, Problem> {
    let (_, topic) = wall_of(&request.uri)?;
    wall.app.settings().access.check_read(&topic)?;
    let (before, count) = range(&request)?;
    let live = wall.projections.of(&topic);
    if let Some(before) = &before {
        // What lies before it may just have been posted. One of another log lies anywhere.
        let known = before.position <= wall.app.hub.log().end();
        let position = if known { before.position } else { Position(0) };
        live.once_at(position, |_| ()).await.ok_or_else(Live::unready)?;
    }
    let slip = read_page(&wall.app.hub, &topic, &live, before, count).await?;
    live.is_ready_soon().await;
    let counts = live.seen(Projection::counts);
    let answer = json!({ "events": slip.events, "oldest": slip.oldest, "cursor": slip.cursor, "more": slip.more, "gap": slip.gap, "counts": counts });
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, answer.to_string()).into_response())
}

fn range(request: &Parts) -> Result<(Option<EventId>, usize), Problem> {
    let (mut before, mut count) = (None, PAGE);
    for pair in request.uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(name, value)?;
        if name == "before" && !value.is_empty() {
            let id = value
                .parse()
                .map_err(|error: eventwall_log::IdError| Problem::bad_request(error.to_string()))?;
            before = Some(id);
        } else if name == "count" {
            let found = value.parse().ok().filter(|count| (1..=MAX_PAGE).contains(count));
            let wrong = || Problem::bad_request(format!("count is a number from 1 to {MAX_PAGE}"));
            count = found.ok_or_else(wrong)?;
        }
    }
    Ok((before, count))
}

async fn newest(asked: &Asked<'_>, count: usize) -> Result<Slip, Problem> {
    let live = asked.wall.projections.of(asked.topic);
    read_page(&asked.wall.app.hub, asked.topic, &live, None, count).await
}

impl Asked<'_> {
    /// How many posts there are, once that is known.
    async fn counts(&self, slip: &Slip) -> Value {
        let live = self.wall.projections.of(self.topic);
        let newest = slip.events.last().map_or(Position(0), |entry| entry.id.position);
        if !live.is_ready_soon().await {
            return context! {};
        }
        let counts = live.soon_at(newest, Projection::counts).await;
        let Some(counts) = counts else { return context! {} };
        context! { posts => counts.posts, upto => counts.upto, counts => self.count("counts", counts.posts) }
    }

    fn manifest(&self) -> serde_json::Value {
        let base = self.wall.assets.base();
        let icon = |file: &str, sizes: &str, kind: &str| json!({ "src": format!("{base}/icons/{file}"), "sizes": sizes, "type": kind });
        json!({
            "name": format!("{} · Eventwall", self.name),
            "short_name": self.name,
            "description": self.language.say("description"),
            "lang": self.language.tag,
            "start_url": self.path(),
            "display": "standalone",
            "background_color": "#f5efe3",
            "theme_color": "#f5efe3",
            "icons": [
                icon("icon.svg", "any", "image/svg+xml"),
                icon("icon-180.png", "180x180", "image/png"),
                icon("icon-512.png", "512x512", "image/png"),
            ],
        })
    }

    /// The code that leads a phone to the wall.
    fn code(&self) -> Value {
        Value::from_safe_string(svg(&self.url()))
    }
}

impl Wall {
    /// Who asks, and whether they were here before.
    fn who(&self, request: &Parts) -> (Visitor, bool) {
        match self.signer.visitor(&request.headers) {
            Some(visitor) => (visitor, true),
            None => (Visitor::new_guest(), false),
        }
    }
}

pub(crate) fn set_cookie(
    response: &mut Response,
    wall: &Wall,
    visitor: &Visitor,
    extensions: &Extensions,
) {
    let name: HeaderName = header::SET_COOKIE;
    let secure = Client::of(extensions).is_some_and(|client| client.secure);
    response.headers_mut().insert(name, wall.signer.cookie(visitor, secure));
}
