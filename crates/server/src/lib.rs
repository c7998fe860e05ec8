//! HTTP over a hub. A request passes, in this order: the accept loop with its limits and
//! deadlines (`accept`), the loopback rule (`guard`), CORS (`cors`), routing (`routes`), and
//! one handler a file (`publish`, `follow`, `erase`, `health`, `metrics`, `inspect`).
//!
//! Handlers translate; they never decide what a subscriber gets. Every error leaves as a
//! [`Problem`] that says what to change. The server knows no wall.

mod accept;
mod assets;
mod body;
mod cors;
mod deadline;
mod drain;
mod erase;
mod follow;
mod guard;
mod health;
mod html;
mod inspect;
mod metrics;
mod presence;
mod problem;
mod publish;
mod query;
mod routes;
mod settings;
mod stream;
mod unavailable;

pub use accept::serve;
pub use assets::Assets;
pub use body::{Collected, collect_body};
pub use drain::Drain;
pub use html::html_page;
pub use problem::{Problem, append_problem};
pub use publish::media_type;
pub use query::decode;
pub use routes::{App, finish, routes};
pub use settings::{Limits, Settings};
