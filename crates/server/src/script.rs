//! The browser client, at URLs that never change: any page that may come here may load it (`guard` keeps
//! foreign ones from a hub on loopback), and asks after an hour whether there is a newer one. It is made of
//! the modules in `web/client`, and is the same for everybody.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::assets::hex;

/// A file with its entity tag.
struct Script {
    text: &'static str,
    etag: String,
}

static EVERYTHING: LazyLock<Script> =
    LazyLock::new(|| Script::of(include_str!("../../../web/eventwall.js")));
static EVENT_SOURCE: LazyLock<Script> =
    LazyLock::new(|| Script::of(include_str!("../../../web/eventsource.js")));

/// `/eventwall.js`.
pub(crate) async fn everything(headers: HeaderMap) -> Response {
    EVERYTHING.answer(&headers)
}

/// `/eventsource.js`: `EventSource` alone.
pub(crate) async fn event_source(headers: HeaderMap) -> Response {
    EVENT_SOURCE.answer(&headers)
}

impl Script {
    fn of(text: &'static str) -> Self {
        Self { text, etag: format!("\"{}\"", hex(&Sha256::digest(text)[..8])) }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (header::CACHE_CONTROL, "public, max-age=3600"),
            // A module of another origin is asked for with CORS; these hold nothing of anybody.
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        ];
        let mut response = match self.is_known(request) {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, self.text).into_response(),
        };
        let etag = HeaderValue::from_str(&self.etag).ok();
        response.headers_mut().extend(etag.map(|etag| (header::ETAG, etag)));
        response
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let known = request.get_all(header::IF_NONE_MATCH).into_iter();
        let mut tags = known.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        tags.any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == self.etag)
    }
}
