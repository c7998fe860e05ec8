//! The answer of a server that is full or going down. Stock EventSource gives up for ever on a
//! `503`, so whoever asks for a stream gets one that says only when to come back.

use axum::response::{IntoResponse as _, Response};
use eventwall_hub::retry_frame;
use http::{HeaderMap, StatusCode, header};

use crate::{Limits, Problem, stream::spread};

pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepts =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.any(|value| value.contains("text/event-stream"))
}

pub(crate) fn unavailable(headers: &HeaderMap, limits: &Limits, why: &str) -> Response {
    if wants_stream(headers) {
        let head = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONNECTION, "close"),
        ];
        return (head, retry_frame(spread(limits.drain_window))).into_response();
    }
    let problem =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{why}: try again shortly"));
    let close = http::HeaderValue::from_static("close");
    problem.retry_after(1).header(header::CONNECTION, close).into_response()
}
