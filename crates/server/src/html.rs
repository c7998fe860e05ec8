//! The head of every HTML page: it loads nothing from elsewhere, runs no inline script, makes no HTML from
//! text, and is framed by nobody unless it only shows. Knows no page.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, header};

/// What a page may load, and from where. Trusted Types: it may name the script of its worker, which holds the
/// one line of all tabs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    require-trusted-types-for 'script'; trusted-types eventwall; frame-ancestors ";
/// What the pages never use.
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";

/// A page whose texts are escaped already.
#[must_use]
pub fn html_page(html: String) -> Response {
    let mut response = page(html, "'none'");
    // For browsers that know no frame-ancestors.
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// A page that may be part of any other: it must have nothing to press that does more than show.
#[must_use]
pub fn framed_page(html: String) -> Response {
    page(html, "*")
}

fn page(html: String, ancestors: &str) -> Response {
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    let mut response = (head, html).into_response();
    let policy = HeaderValue::from_str(&format!("{POLICY}{ancestors}"));
    response
        .headers_mut()
        .extend(policy.ok().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    let resource = if ancestors == "*" { "cross-origin" } else { "same-origin" };
    let name = HeaderName::from_static("cross-origin-resource-policy");
    response.headers_mut().insert(name, HeaderValue::from_static(resource));
    response
}

/// Appends text so that it is nothing but text in HTML, in attributes too.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}
