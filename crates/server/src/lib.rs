//! HTTP over a hub. A request passes, in this order: its connection with its limits and
//! deadlines (`connection`), who sends it (`client`), the loopback rule (`guard`), CORS (`cors`), routing
//! (`routes`), and one handler a file (`publish`, `follow`, `erase`, `health`, `metrics`, `inspect`), which
//! asks whether the topic is public (`access`) and whether its client may have that much (`quota`).
//!
//! A stream over HTTP/1.1 then leaves its connection's task for `delivery`; other streams are response bodies
//! (`stream`).
//!
//! Handlers translate; they never decide what a subscriber gets. Every error leaves as a
//! [`Problem`] that says what to change. The server knows no wall.

mod access;
mod assets;
mod begun;
mod body;
mod client;
mod connection;
mod cors;
mod delivery;
mod drain;
mod erase;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod health;
mod html;
mod inspect;
mod metrics;
mod pages;
mod presence;
mod problem;
mod publish;
mod query;
mod quota;
mod routes;
mod script;
mod settings;
mod stream;
mod turns;
mod unavailable;

pub use access::{Access, Public};
pub use assets::{Assets, hex};
pub use begun::Begun;
pub use body::{Collected, collect_body};
pub use client::{Client, ForwardedHeader, Trust};
pub use connection::{Listener, Tls, TlsError, serve};
pub use drain::Drain;
pub use erase::BeforeErasing;
pub use follow::start_problem;
pub use guard::is_own;
pub use html::{escape, framed_page, html_page};
pub use problem::{Problem, append_problem};
pub use publish::{idempotency_key, media_type};
pub use query::decode;
pub use routes::{App, finish, not_found, routes};
pub use settings::{Limits, Settings};
pub use unavailable::accepts;
