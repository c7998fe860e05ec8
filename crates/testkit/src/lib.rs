//! For tests from outside: the real binary in a process of its own ([`Server`]), raw bytes
//! over a socket ([`Connection`]), and a subscriber that does what stock EventSource does and
//! no more ([`Follower`]). Blocking on purpose: it shares no code with what it tests but the
//! decoder, which has tests of its own.
//!
//! Everything here panics on failure: it runs in tests only. Every wait has a deadline.

#![allow(clippy::unwrap_used, missing_docs, reason = "for tests, whose failure is a panic")]

mod binary;
mod certificate;
pub mod cluster;
mod follower;
mod front;
mod haproxy;
mod http;
mod nats;
mod process;
mod proxy;
mod server;
mod wait;

pub use binary::{eventwall, run};
pub use certificate::Certificate;
pub use follower::{Follower, Seen};
pub use front::{Front, FrontKind};
pub use haproxy::Haproxy;
pub use http::{Connection, Response, get, get_json, history, post, request, stream};
pub use nats::{Nats, NatsCluster, NatsSetup, NatsVersion, port_range};
pub use process::{allow_files, memory_kib};
pub use proxy::Proxy;
pub use server::{Server, Setup};
pub use wait::{DEADLINE, until};
