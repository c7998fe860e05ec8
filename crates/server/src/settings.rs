//! What can be set about the server, with its defaults and their reasons.

use std::{num::NonZeroU32, time::Duration};

use crate::{Access, Trust};

/// Who may talk to the server, and within which limits.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The server listens on a loopback address: `Host` and `Origin` must name one too.
    pub loopback_only: bool,
    /// Further host names that `Host` may name on loopback.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read and publish; `*` is any, without credentials.
    pub cors_origins: Vec<String>,
    /// What is public.
    pub access: Access,
    /// Which proxies are believed.
    pub trust: Trust,
    /// See [`Limits`].
    pub limits: Limits,
}

/// Bounds on what one client, and all together, may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, and further streams on them. At the limit newcomers are refused, and those
    /// inside keep their service.
    pub connections: usize,
    /// Connections at once of one address, an IPv6 network of 64 bits being one; of clients of a trusted
    /// proxy requests are counted. `None`: as many as there are. Loopback addresses are not counted.
    pub address_connections: Option<usize>,
    /// Subscriptions at once on one connection: more than one need HTTP/2.
    pub subscriptions: usize,
    /// Topics and patterns of one subscription.
    pub topics: usize,
    /// Topics and patterns of all subscriptions on one connection.
    pub connection_topics: usize,
    /// Patterns of all subscriptions, which each new topic is compared with.
    pub all_patterns: usize,
    /// Events a second that one address may publish, over ten seconds; a batch counts as ten seconds' worth at
    /// most. `None`: as many as it likes. Loopback addresses are not counted.
    pub publish_rate: Option<NonZeroU32>,
    /// Events a second that all together, but for loopback addresses, may publish to one topic, likewise.
    pub topic_rate: Option<NonZeroU32>,
    /// Topics that may have events: at the limit no new one is begun.
    pub all_topics: usize,
    /// Bytes of a request's target.
    pub url_bytes: usize,
    /// Bytes of a request's head, 8 KiB at least.
    pub head_bytes: usize,
    /// Bytes of a request's body: one event.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being received.
    pub all_bodies_bytes: usize,
    /// Bytes of all pages that wait to be taken by their clients, small ones not counted.
    pub all_pages_bytes: usize,
    /// Events that one batch may have, and bytes of its body.
    pub batch_events: usize,
    /// See [`Limits::batch_events`].
    pub batch_bytes: usize,
    /// A streamed publish may be silent for so long.
    pub stream_deadline: Duration,
    /// Events that one page may bring.
    pub page_events: usize,
    /// A TLS handshake, the wait for its turn included, must be over by then.
    pub handshake_deadline: Duration,
    /// A request's head must be here by then, and the next one on a kept connection of HTTP/1.1 too.
    pub header_deadline: Duration,
    /// A connection of HTTP/2 without a request for so long is closed.
    pub idle_deadline: Duration,
    /// A request's body must be here by then.
    pub body_deadline: Duration,
    /// A peer that takes no byte for so long is cut off; of HTTP/2, the stream.
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
            address_connections: Some(1000),
            subscriptions: 100,
            topics: 100,
            connection_topics: 500,
            all_patterns: 100_000,
            publish_rate: NonZeroU32::new(100),
            topic_rate: NonZeroU32::new(1000),
            all_topics: 1_000_000,
            url_bytes: 32 << 10,
            head_bytes: 64 << 10,
            body_bytes: 1 << 20,
            all_bodies_bytes: 256 << 20,
            all_pages_bytes: 128 << 20,
            batch_events: 10_000,
            batch_bytes: 16 << 20,
            stream_deadline: Duration::from_secs(15 * 60),
            page_events: 1000,
            handshake_deadline: Duration::from_secs(10),
            header_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(60),
            body_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            max_lag: None,
            drain_window: Duration::from_secs(3),
            drain_deadline: Duration::from_secs(10),
        }
    }
}
