//! What can be set about the server, with its defaults and their reasons.

use std::time::Duration;

/// Who may talk to the server, and within which limits.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The server listens on a loopback address: `Host` and `Origin` must name one too.
    pub loopback_only: bool,
    /// Further host names that `Host` may name on loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read and publish; `*` is any, without credentials.
    pub cors_origins: Vec<String>,
    /// See [`Limits`].
    pub limits: Limits,
}

/// Bounds on what one client, and all together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. At the limit newcomers are refused, and those inside keep
    /// their service.
    pub connections: usize,
    /// Bytes of a request's body: one event.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being received.
    pub all_bodies_bytes: usize,
    /// Events that one batch may have, and bytes of its body.
    pub batch_events: usize,
    /// See [`Limits::batch_events`].
    pub batch_bytes: usize,
    /// A streamed publish may be silent for so long.
    pub stream_deadline: Duration,
    /// Topics that one request may follow.
    pub topics: usize,
    /// Events that one page may bring.
    pub page_events: usize,
    /// A request's head must be here by then, and the next one on a kept connection too.
    pub header_deadline: Duration,
    /// A request's body must be here by then.
    pub body_deadline: Duration,
    /// A peer that takes no byte for so long is cut off.
    pub write_deadline: Duration,
    /// A stream that was live and has been behind for so long is cut off; `None`: it may be for
    /// as long as it likes.
    pub max_lag: Option<Duration>,
    /// On shutdown, streams are told to come back spread over this time.
    pub drain_window: Duration,
    /// On shutdown, connections still open after this are cut.
    pub drain_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            body_bytes: 1 << 20,
            all_bodies_bytes: 256 << 20,
            batch_events: 10_000,
            batch_bytes: 16 << 20,
            stream_deadline: Duration::from_secs(15 * 60),
            topics: 100,
            page_events: 1000,
            header_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            max_lag: None,
            drain_window: Duration::from_secs(3),
            drain_deadline: Duration::from_secs(10),
        }
    }
}
