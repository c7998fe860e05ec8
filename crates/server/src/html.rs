//! The head of every HTML page: it loads nothing from elsewhere, runs no inline script, and is
//! framed by nobody. Knows no page.

use axum::response::{IntoResponse as _, Response};
use http::header;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page whose texts are escaped already.
#[must_use]
pub fn html_page(html: String) -> Response {
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (head, html).into_response()
}
