//! The wall: an app on the hub. A wall is the topic `walls/{wall}`, its posts are events.
//!
//! * `page` serves the pages, `assets` what they load; `visitor` is who looks at them.
//! * `view` fills the templates; `shown` is a post in them, `text`, `avatar` and `code` parts of it; `words` is
//!   what is said in which language.
//! * `projection` is a wall made of its log: which posts there are, and what became of them.
//! * `command` is what a visitor asks for, checked; `posts` makes it an event.
//! * `samples` plays sample posts.
//!
//! Visitors never publish to a wall themselves: they send commands, and the author of a post
//! is whom their signed cookie names. What is live the page follows like everybody.

mod assets;
mod avatar;
mod code;
mod command;
mod fate;
mod page;
mod posts;
mod projection;
mod samples;
mod shown;
mod text;
mod view;
mod visitor;
mod words;

use std::sync::Arc;

use axum::{
    Router,
    routing::{any, get, post, put},
};
use eventwall_log::{State, Topic};
use eventwall_server::{App, Assets, Problem, decode};
use http::Uri;

pub use self::view::path_of;
use self::{projection::Projections, samples::Players, visitor::Signer};
pub use self::{
    samples::{Sample, SampleError, parse_samples, play, sample_posts},
    visitor::SignerError,
};

/// The wall at `/`.
pub const LOBBY: &str = "lobby";

/// What the wall's handlers share.
#[derive(Debug)]
struct Wall {
    app: Arc<App>,
    assets: Assets,
    signer: Signer,
    players: Players,
    projections: Projections,
}

/// The wall's routes over the server's app. Visitors' cookies are signed with a key kept in
/// `state`, and so are checkpoints of the projections.
///
/// # Errors
/// If the key can be neither read nor made.
pub async fn routes(app: &Arc<App>, state: Arc<dyn State>) -> Result<Router, SignerError> {
    let wall = Arc::new(Wall {
        app: app.clone(),
        assets: assets::assets(),
        signer: Signer::load(&*state).await?,
        players: Players::default(),
        projections: Projections::new(app.clone(), state),
    });
    app.before_erasing(fate::taken_down(&wall));
    Ok(Router::new()
        .route("/", get(page::lobby))
        .route("/walls/{wall}", get(page::wall))
        .route("/walls/{wall}/screen", get(page::screen))
        .route("/walls/{wall}/embed", get(page::embed))
        .route("/walls/{wall}/poster", get(page::poster))
        .route("/walls/{wall}/manifest.webmanifest", get(page::manifest))
        .route("/walls/{wall}/posts", get(page::posts).post(posts::post))
        .route("/walls/{wall}/posts/{id}", put(fate::edit).delete(fate::remove))
        .route("/walls/{wall}/samples", post(samples::start))
        .route("/assets/{hash}/{*path}", get(assets::asset))
        .route("/{*path}", any(page::nothing))
        .with_state(wall))
}

/// The name of the wall in a path such as `/walls/lobby/posts`, decoded exactly once, and its
/// topic.
///
/// # Errors
/// `400` if there can be no such wall.
fn wall_of(uri: &Uri) -> Result<(String, Topic), Problem> {
    let raw = uri.path().strip_prefix("/walls/").unwrap_or_default();
    let name = decode("the wall's name", raw.split('/').next().unwrap_or_default())?;
    let topic = topic_of(&name)?;
    Ok((name, topic))
}

fn is_wall(topic: &Topic) -> bool {
    topic.as_str().strip_prefix("walls/").is_some_and(|wall| !wall.contains('/'))
}

fn topic_of(wall: &str) -> Result<Topic, Problem> {
    if wall.contains('/') {
        return Err(Problem::bad_request("a wall's name is one word of a topic, without slashes"));
    }
    let topic = format!("walls/{wall}").parse();
    topic.map_err(|error: eventwall_log::TopicError| Problem::bad_request(error.to_string()))
}
