//! `/metrics`: what the server and its hub count, in the text format of OpenMetrics.
//! docs/metrics.md says what each name means; a test holds the two together.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::Hub;
use http::{Extensions, StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{App, Client, Problem, problem::Reason};

/// Refusals that whoever runs the server may want to do something about.
const AT_A_LIMIT: [&str; 7] =
    ["full", "address", "subscriptions", "rate", "topics", "bodies", "pages"];

/// The server's counters, and the registry of all of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    began: Instant,
    /// The minute since then in which the log last said that something is refused.
    told: AtomicU64,
    pub(crate) connections: Gauge,
    /// Connections closed at once, as there was not even room to refuse them.
    pub(crate) dropped: Counter,
    cuts: Family<CutLabels, Counter>,
    refusals: Family<Refusal, Counter>,
    log_bytes: Gauge<i64, AtomicI64>,
    log_end: Gauge<i64, AtomicI64>,
    log_damage: Gauge<i64, AtomicI64>,
    log_up: Gauge<i64, AtomicI64>,
    log_topics: Gauge<i64, AtomicI64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    status: u16,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CutLabels {
    reason: Cut,
}

/// Why a peer was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's values")]
pub(crate) enum Cut {
    /// It took no byte for too long.
    stuck,
    /// It acknowledged nothing for too long, or did not say that it is still there.
    gone,
    /// It was behind for too long.
    lag,
    /// It began a connection or a request, and did not go on in time.
    silent,
    /// Its TLS handshake was not over in time.
    handshake,
}

/// Marks the answer to who is not taken in just now: a stream gets it as a `200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// By the limit of this name.
    Full(&'static str),
    /// Its address has as many connections as it may have.
    Address,
    /// Its connection follows as much as it may, by the limit of this name.
    Subscriptions(&'static str),
    Stopping,
    /// Where it began cannot be looked up just now.
    Unreadable,
}

impl Refusal {
    /// `None` if the request was not refused.
    fn of<B>(response: &http::Response<B>) -> Option<Self> {
        let status = response.status();
        if let Some(Reason(reason)) = response.extensions().get() {
            return Some(Self { status: status.as_u16(), reason });
        }
        let reason = match (response.extensions().get::<TurnedAway>(), status.as_u16()) {
            (Some(TurnedAway::Full(_)), _) => "full",
            (Some(TurnedAway::Address), _) => "address",
            (Some(TurnedAway::Subscriptions(_)), _) => "subscriptions",
            (Some(TurnedAway::Stopping), _) => "stopping",
            (Some(TurnedAway::Unreadable), _) => "log",
            (None, ..400) => return None,
            (None, 400) => "malformed",
            (None, 403) => "forbidden",
            (None, 404) => "not_found",
            (None, 405) => "method",
            (None, 408) => "slow",
            (None, 412) => "condition",
            (None, 413 | 414 | 431) => "too_large",
            (None, 415) => "media_type",
            (None, 422) => "key_reused",
            (None, 429) => "rate",
            (None, 503) => "log",
            (None, 507) => "topics",
            (None, ..500) => "other",
            (None, _) => "error",
        };
        Some(Self { status: status.as_u16(), reason })
    }
}

impl Metrics {
    pub(crate) fn new(hub: &Hub) -> Self {
        let mut new = Self {
            registry: Registry::with_prefix("eventwall"),
            began: Instant::now(),
            told: AtomicU64::new(0),
            connections: Gauge::default(),
            dropped: Counter::default(),
            cuts: Family::default(),
            refusals: Family::default(),
            log_bytes: Gauge::default(),
            log_end: Gauge::default(),
            log_damage: Gauge::default(),
            log_up: Gauge::default(),
            log_topics: Gauge::default(),
        };
        let to = &mut new.registry;
        hub.metrics().register(to);
        to.register("connections", "Connections that are open now", new.connections.clone());
        let dropped = "Connections closed at once, as there was not even room to refuse them";
        to.register("dropped_connections", dropped, new.dropped.clone());
        // There from the beginning, so that the first one is a change.
        for reason in ["full", "stopping", "log"] {
            drop(new.refusals.get_or_create(&Refusal { status: 503, reason }));
        }
        for (status, reason) in [
            (429, "address"),
            (429, "subscriptions"),
            (429, "rate"),
            (503, "bodies"),
            (503, "pages"),
        ] {
            drop(new.refusals.get_or_create(&Refusal { status, reason }));
        }
        for reason in [Cut::stuck, Cut::gone, Cut::lag, Cut::silent, Cut::handshake] {
            drop(new.cuts.get_or_create(&CutLabels { reason }));
        }
        to.register("cut_peers", "Peers cut off because they were too slow", new.cuts.clone());
        to.register("refusals", "Requests refused, by status and reason", new.refusals.clone());
        to.register_with_unit("log", "What the log takes", Unit::Bytes, new.log_bytes.clone());
        to.register("log_end_position", "The last position in the log", new.log_end.clone());
        let up = "1 while the log takes events, 0 while it does not";
        to.register("log_up", up, new.log_up.clone());
        let topics = "Topics that have events";
        to.register("log_topics", topics, new.log_topics.clone());
        let damage = "Places in the log that were found to be damaged since the start";
        to.register("log_damaged_places", damage, new.log_damage.clone());
        new
    }

    pub(crate) fn cut(&self, reason: Cut) {
        self.cuts.get_or_create(&CutLabels { reason }).inc();
    }

    /// A connection broke: by our deadline on writes, by the system's on acknowledgements, or by its peer.
    pub(crate) fn broken(&self, cause: &io::Error, peer: Option<SocketAddr>) {
        if cause.kind() != io::ErrorKind::TimedOut {
            return;
        }
        let peer = peer.map(tracing::field::display);
        if cause.raw_os_error().is_none() {
            self.cut(Cut::stuck);
            tracing::info!(peer, "cut a connection whose peer took no data for too long");
        } else {
            self.cut(Cut::gone);
            tracing::info!(peer, "cut a connection whose peer is gone without a word");
        }
    }

    /// Refused before it was a request.
    pub(crate) fn not_understood(&self, status: u16, reason: &'static str) {
        self.refusals.get_or_create(&Refusal { status, reason }).inc();
    }

    pub(crate) fn answered<B>(&self, response: &http::Response<B>) {
        if let Some(refusal) = Refusal::of(response) {
            self.tell(&refusal);
            self.refusals.get_or_create(&refusal).inc();
        }
    }

    /// Says in the log that something is at its limit, once a minute.
    fn tell(&self, Refusal { status, reason }: &Refusal) {
        if !AT_A_LIMIT.contains(reason) {
            return;
        }
        let now = 1 + self.began.elapsed().as_secs() / 60;
        if self.told.swap(now, Ordering::Relaxed) != now {
            tracing::warn!(
                status,
                reason,
                "requests are refused: see eventwall_refusals_total in /metrics"
            );
        }
    }

    fn text(&self, hub: &Hub) -> Result<String, std::fmt::Error> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.log_bytes.set(number(hub.log().bytes()));
        self.log_end.set(number(hub.log().end().0));
        self.log_topics.set(number(hub.log().topic_count() as u64));
        self.log_damage.set(number(hub.log().damage().len() as u64));
        self.log_up.set(i64::from(hub.health().is_ok()));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    extensions: Extensions,
) -> Result<Response, Problem> {
    if !Client::of(&extensions).is_some_and(Client::is_near) {
        app.settings().access.check_whole("/metrics")?;
    }
    let text = app.metrics.text(&app.hub);
    let text = text.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    let head = [
        (header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((head, text).into_response())
}
