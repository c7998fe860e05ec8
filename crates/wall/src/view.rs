//! The templates of a wall's pages (`web/pages`), and what all of them are told. Every text is escaped.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use eventwall_log::Topic;
use eventwall_server::{Client, Problem, accepts, escape, framed_page, html_page};
use http::{HeaderMap, StatusCode, header, request::Parts};
use minijinja::{AutoEscape, Environment, Value, context, value::Serde};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{LOBBY, Wall, projection::Slip, topic_of, visitor::Visitor, words::Language};

const PAGES: [(&str, &str); 8] = [
    ("frame.html", include_str!("../../../web/pages/frame.html")),
    ("hold.html", include_str!("../../../web/pages/hold.html")),
    ("post.html", include_str!("../../../web/pages/post.html")),
    ("wall.html", include_str!("../../../web/pages/wall.html")),
    ("screen.html", include_str!("../../../web/pages/screen.html")),
    ("embed.html", include_str!("../../../web/pages/embed.html")),
    ("poster.html", include_str!("../../../web/pages/poster.html")),
    ("sorry.html", include_str!("../../../web/pages/sorry.html")),
];
/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // By the same rules as everywhere, which leave the slashes of addresses alone.
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() || value.is_none() {
            return Ok(());
        }
        let text = value.to_string();
        if value.is_safe() {
            return Ok(out.write_str(&text)?);
        }
        let mut escaped = String::with_capacity(text.len());
        escape(&mut escaped, &text);
        Ok(out.write_str(&escaped)?)
    });
    for (name, source) in PAGES {
        if let Err(error) = environment.add_template(name, source) {
            tracing::error!(%error, name, "a page of the wall has a mistake in it");
        }
    }
    environment
});

/// Whoever asks for a page, and for which wall.
pub(crate) struct Asked<'a> {
    pub(crate) wall: &'a Wall,
    pub(crate) name: &'a str,
    pub(crate) topic: &'a Topic,
    pub(crate) visitor: &'a Visitor,
    pub(crate) language: &'static Language,
    /// The scheme and host by which it was asked.
    pub(crate) origin: String,
    /// That is an address of this machine alone.
    pub(crate) is_here: bool,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(
        wall: &'a Wall,
        (name, topic): (&'a str, &'a Topic),
        visitor: &'a Visitor,
        request: &Parts,
    ) -> Self {
        let client = Client::of(&request.extensions);
        let host = client.and_then(Client::host).or_else(|| host(&request.headers));
        // HTTP/2 names it in the request's target.
        let host = host.or_else(|| request.uri.authority().map(http::uri::Authority::as_str));
        let host = host.unwrap_or("localhost");
        let scheme = if client.is_some_and(|client| client.secure) { "https" } else { "http" };
        let language = Language::of(&request.headers);
        Self {
            wall,
            name,
            topic,
            visitor,
            language,
            origin: format!("{scheme}://{host}"),
            is_here: is_loopback(host),
        }
    }

    /// The wall's path, without a slash at its end.
    pub(crate) fn path(&self) -> String {
        path_of(self.name)
    }

    /// The wall's address, as short as can be.
    pub(crate) fn url(&self) -> String {
        if self.name == LOBBY {
            self.origin.clone()
        } else {
            format!("{}{}", self.origin, self.path())
        }
    }

    /// What visitors may do, as words.
    pub(crate) fn may(&self) -> String {
        let settings = self.wall.app.settings();
        let access = &settings.access;
        let may = [
            ("post", access.posts(self.topic)),
            ("publish", access.writes(self.topic)),
            ("samples", access.is_everything()),
        ];
        let may: Vec<_> = may.into_iter().filter(|(_, may)| *may).map(|(what, _)| what).collect();
        may.join(" ")
    }

    /// A page filled in, with `more` beside what all pages are told.
    ///
    /// # Errors
    /// `500` for a mistake in a template.
    pub(crate) fn fill(
        &self,
        page: &str,
        slip: Option<&Slip>,
        more: Value,
    ) -> Result<String, Problem> {
        let common = context! {
            lang => self.language.tag,
            t => &self.language.words,
            assets => self.wall.assets.base(),
            wall => self.name,
            path => self.path(),
            url => self.url(),
            origin => &self.origin,
            address => self.url().trim_start_matches("http://").trim_start_matches("https://"),
            here => self.is_here,
            name => &self.visitor.name,
            visitor => &self.visitor.id,
            may => self.may(),
            joins => self.wall.app.settings().access.posts(self.topic),
            entries => slip.map(|slip| self.entries(slip)),
            cursor => slip.map_or("", |slip| &slip.cursor),
            oldest => slip.and_then(|slip| slip.oldest.as_deref()),
            more => slip.is_some_and(|slip| slip.more),
        };
        rendered(page, context! { ..common, ..more })
    }

    /// Newest first, as they are on the page; a gap where events are missing.
    fn entries(&self, slip: &Slip) -> Vec<Value> {
        let posts = slip.events.iter().rev().filter_map(|entry| {
            let value = entry.value();
            entry.shown(&value, &self.visitor.id).map(|shown| Value::from(Serde(shown)))
        });
        let gap = slip.gap.as_ref().map(|gap| context! { gap => Value::from(Serde(gap.reason)) });
        posts.chain(gap).collect()
    }

    /// The sentence for a number, such as `3 posts`.
    pub(crate) fn count(&self, key: &str, count: usize) -> String {
        let form = if count == 1 { "one" } else { "other" };
        self.language.say(&format!("{key}.{form}")).replace("{count}", &count.to_string())
    }
}

/// The path of a wall's page, encoded.
#[must_use]
pub fn path_of(wall: &str) -> String {
    format!("/walls/{}", utf8_percent_encode(wall, PATH))
}

/// A problem too is a page in the reader's words, for whoever sees it in a browser.
pub(crate) fn answered(
    wall: &Wall,
    page: Result<Response, Problem>,
    headers: &HeaderMap,
) -> Response {
    page.unwrap_or_else(|problem| sorry(wall, problem, headers, html_page))
}

/// As [`answered`], for a part of other pages.
pub(crate) fn framed(
    wall: &Wall,
    page: Result<Response, Problem>,
    headers: &HeaderMap,
) -> Response {
    page.unwrap_or_else(|problem| sorry(wall, problem, headers, framed_page))
}

fn sorry(
    wall: &Wall,
    problem: Problem,
    headers: &HeaderMap,
    page: fn(String) -> Response,
) -> Response {
    if !accepts(headers, "text/html") {
        return problem.into_response();
    }
    let language = Language::of(headers);
    let lobby = topic_of(LOBBY).and_then(|lobby| wall.app.settings().access.check_read(&lobby));
    let told = context! {
        lang => language.tag,
        t => &language.words,
        assets => wall.assets.base(),
        key => excuse(problem.status()),
        status => problem.status().as_u16(),
        home => lobby.is_ok(),
        detail => problem.detail(),
    };
    match rendered("sorry.html", told) {
        Ok(html) => problem.on_page(page(html)),
        Err(_) => problem.into_response(),
    }
}

/// The key of what a visitor is told.
fn excuse(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "sorry.closed",
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => "sorry.missing",
        _ => "sorry.later",
    }
}

fn rendered(page: &str, context: Value) -> Result<String, Problem> {
    let template = TEMPLATES.get_template(page);
    template.and_then(|template| template.render(context)).map_err(|error| {
        tracing::error!(%error, page, "a page could not be made");
        let detail = "the page could not be made: see the server's log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        for (name, _) in PAGES {
            assert!(TEMPLATES.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_known() {
        for host in
            ["localhost", "localhost:8080", "127.0.0.1:1", "127.8.9.1", "[::1]:8080", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["wall.example", "10.0.0.1:8080", "[fe80::1]:80", "localhost.example:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
