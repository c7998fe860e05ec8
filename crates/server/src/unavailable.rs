//! The answer of a server that is full or going down. Stock EventSource gives up for ever on a
//! `503`, so whoever asks for a stream gets one that says only when to come back.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::retry_frame;
use http::{HeaderMap, HeaderName, Request, StatusCode, header};

use crate::{App, Limits, Problem, metrics::TurnedAway, stream::spread};

/// Marks a request that there is no room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) TurnedAway);

/// The answer to a request that is turned away.
pub(crate) fn refusal(app: &App, request: &Request<Body>) -> Option<Response> {
    let settings = app.settings();
    let limits = &settings.limits;
    if is_probe(request.uri().path()) {
        return None;
    }
    let refused = request.extensions().get().map(|Refused(why)| *why);
    let stopping = || app.drain.is_draining().then_some(TurnedAway::Stopping);
    refused.or_else(stopping).map(|why| unavailable(request.headers(), limits, why))
}

/// Probes are answered by a full server and to the end of a stopping one: they tell the load balancer, and
/// who looks after it.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    accepts(headers, "text/event-stream")
}

/// Whether `Accept` names a media type, whatever its weight. Wildcards name none.
#[must_use]
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let name = range.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(media_type)
    })
}

pub(crate) fn unavailable(headers: &HeaderMap, limits: &Limits, why: TurnedAway) -> Response {
    let mut response = turn_away(headers, limits, why);
    response.extensions_mut().insert(why);
    response
}

fn turn_away(headers: &HeaderMap, limits: &Limits, why: TurnedAway) -> Response {
    if wants_stream(headers) {
        let head = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONNECTION, "close"),
            (header::VARY, "Accept, Origin"),
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        return (head, retry_frame(spread(limits.drain_window))).into_response();
    }
    let (status, why) = match why {
        TurnedAway::Full(key) => {
            let why = format!("the server is full (its `{key}`)");
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
        TurnedAway::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down".into())
        }
        TurnedAway::Unreadable => {
            (StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read just now".into())
        }
        TurnedAway::Address => {
            let why = "your address has as many connections as the server's `max_address_connections` allows: close some";
            return closing(Problem::new(StatusCode::TOO_MANY_REQUESTS, why));
        }
        TurnedAway::Subscriptions(key) => {
            let why = format!(
                "your connection follows as much as the server's `{key}` allows: end a stream, or follow with fewer"
            );
            return Problem::new(StatusCode::TOO_MANY_REQUESTS, why).retry_after(1).into_response();
        }
    };
    closing(Problem::new(status, format!("{why}: try again shortly")))
}

fn closing(problem: Problem) -> Response {
    let close = http::HeaderValue::from_static("close");
    problem.retry_after(1).header(header::CONNECTION, close).into_response()
}
