//! The settings of how much one client, and all together, may take.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;

use crate::config::units::{age, bytes, head_bytes, number, rate, some, time};

#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Connections at once, and further streams on them; newcomers beyond are asked to come back
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_CONNECTIONS",
        default_value = "20000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_connections: usize,

    /// Of those, so many of one address (of IPv6, of a /64 network), or `none`. This machine's own are not
    /// counted; of a trusted proxy's clients each request is
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_ADDRESS_CONNECTIONS",
        default_value = "1000", value_parser = number,
        hide_short_help = true
    )]
    pub(crate) max_address_connections: std::option::Option<usize>,

    /// Streams at once on one connection; more than one need HTTP/2
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_SUBSCRIPTIONS",
        default_value = "100", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_subscriptions: usize,

    /// Topics and patterns that one stream may follow
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_TOPICS",
        default_value = "100", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_topics: usize,

    /// Topics and patterns that all streams on one connection may follow together
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_CONNECTION_TOPICS",
        default_value = "500", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_connection_topics: usize,

    /// Patterns of all streams together
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_ALL_PATTERNS",
        default_value = "100000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_all_patterns: usize,

    /// Events a second that one address may publish, or `none`; ten seconds' worth may come at once, and a
    /// batch counts as that at most. This machine's own are not counted
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_PUBLISH_RATE",
        default_value = "100", value_parser = rate,
        hide_short_help = true
    )]
    pub(crate) max_publish_rate: std::option::Option<NonZeroU32>,

    /// Events a second that all other machines together may publish to one topic, or `none`; likewise
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_TOPIC_RATE",
        default_value = "1000", value_parser = rate,
        hide_short_help = true
    )]
    pub(crate) max_topic_rate: std::option::Option<NonZeroU32>,

    /// Topics that may have events; at the limit no new one is begun
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_ALL_TOPICS",
        default_value = "1000000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_all_topics: usize,

    /// Bytes that one event may have
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_BODY", default_value = "1MiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) max_body: u64,

    /// Bytes of all bodies that are being received; beyond, publishers are asked to try again
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_ALL_BODIES", default_value = "256MiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) max_all_bodies: u64,

    /// Bytes of all pages of JSON that wait to be taken; beyond, pages bring less
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_ALL_PAGES", default_value = "128MiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) max_all_pages: u64,

    /// Bytes that a request's head may have, 8KiB at least
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_HEAD", default_value = "64KiB", value_parser = head_bytes, hide_short_help = true)]
    pub(crate) max_head: u64,

    /// Bytes that a request's path and query may have
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_URL", default_value = "32KiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) max_url: u64,

    /// Events that one batch of JSON lines may have
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_BATCH",
        default_value = "10000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_batch: usize,

    /// Events that one page of JSON may bring
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_PAGE",
        default_value = "1000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_page: usize,

    /// Events that a start by `last=N` may bring, over all its topics
    #[arg(
        long,
        value_name = "N",
        env = "EVENTWALL_MAX_START_EVENTS",
        default_value = "10000", value_parser = some,
        hide_short_help = true
    )]
    pub(crate) max_start_events: usize,

    /// A TLS handshake must be over after so long
    #[arg(long, value_name = "TIME", env = "EVENTWALL_HANDSHAKE_DEADLINE", default_value = "10s", value_parser = time, hide_short_help = true)]
    pub(crate) handshake_deadline: Duration,

    /// A request's head must be there after so long, and the next one on a kept connection too
    #[arg(long, value_name = "TIME", env = "EVENTWALL_HEADER_DEADLINE", default_value = "10s", value_parser = time, hide_short_help = true)]
    pub(crate) header_deadline: Duration,

    /// A connection of HTTP/2 that had no request for so long is closed
    #[arg(long, value_name = "TIME", env = "EVENTWALL_IDLE_DEADLINE", default_value = "60s", value_parser = time, hide_short_help = true)]
    pub(crate) idle_deadline: Duration,

    /// A request's body must be there after so long
    #[arg(long, value_name = "TIME", env = "EVENTWALL_BODY_DEADLINE", default_value = "30s", value_parser = time, hide_short_help = true)]
    pub(crate) body_deadline: Duration,

    /// A body that is an event stream may be silent for so long
    #[arg(long, value_name = "TIME", env = "EVENTWALL_STREAM_DEADLINE", default_value = "15m", value_parser = time, hide_short_help = true)]
    pub(crate) stream_deadline: Duration,

    /// A peer that takes no byte for so long is cut off; of HTTP/2, the stream that is stuck
    #[arg(long, value_name = "TIME", env = "EVENTWALL_WRITE_DEADLINE", default_value = "30s", value_parser = time, hide_short_help = true)]
    pub(crate) write_deadline: Duration,

    /// A stream that was live and has been behind for so long is cut off, to come back with its
    /// cursor; `none`: it may be behind for as long as it likes
    #[arg(long, value_name = "TIME", env = "EVENTWALL_MAX_LAG", default_value = "none", value_parser = age, hide_short_help = true)]
    pub(crate) max_lag: std::option::Option<Duration>,

    /// When the server stops, streams are told to come back spread over so long
    #[arg(long, value_name = "TIME", env = "EVENTWALL_DRAIN_WINDOW", default_value = "3s", value_parser = time, hide_short_help = true)]
    pub(crate) drain_window: Duration,

    /// When the server stops, connections that are still open after so long are cut
    #[arg(long, value_name = "TIME", env = "EVENTWALL_DRAIN_DEADLINE", default_value = "10s", value_parser = time, hide_short_help = true)]
    pub(crate) drain_deadline: Duration,
}
