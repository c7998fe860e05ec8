//! The page's HTML. It loads nothing from elsewhere, and every text in it is escaped.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_log::Topic;
use eventwall_server::{Access, Client, Problem, accepts, escape, html_page};
use http::{Extensions, HeaderName, header, request::Parts};

use crate::{LOBBY, Wall, topic_of, visitor::Visitor, wall_of};

const TEMPLATE: &str = include_str!("../../../web/index.html");

pub(crate) async fn lobby(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page = topic_of(LOBBY).and_then(|topic| render(&wall, LOBBY, &topic, &request));
    shown(page, &request)
}

pub(crate) async fn wall(State(wall): State<Arc<Wall>>, request: Parts) -> Response {
    let page =
        wall_of(&request.uri).and_then(|(name, topic)| render(&wall, &name, &topic, &request));
    shown(page, &request)
}

/// A problem too is a page, for whoever sees it in a browser.
fn shown(page: Result<Response, Problem>, request: &Parts) -> Response {
    match page {
        Ok(page) => page,
        Err(problem) if accepts(&request.headers, "text/html") => problem.into_page(),
        Err(problem) => problem.into_response(),
    }
}

fn render(wall: &Wall, name: &str, topic: &Topic, request: &Parts) -> Result<Response, Problem> {
    let access = wall.app.settings().access.clone();
    access.check_read(topic)?;
    let (visitor, known) = match wall.signer.visitor(&request.headers) {
        Some(visitor) => (visitor, true),
        None => (Visitor::new_guest(), false),
    };
    let page = fill(&[
        ("{{assets}}", wall.assets.base()),
        ("{{wall}}", name),
        ("{{name}}", &visitor.name),
        ("{{visitor}}", &visitor.id),
        ("{{may}}", &may(&access, topic)),
    ]);
    let mut response = html_page(page);
    if !known {
        set_cookie(&mut response, wall, &visitor, &request.extensions);
    }
    Ok(response)
}

/// What the page offers: `post` with its form, `publish` from a terminal, and play `samples`.
fn may(access: &Access, topic: &Topic) -> String {
    let may = [
        ("post", access.posts(topic)),
        ("publish", access.writes(topic)),
        ("samples", access.is_everything()),
    ];
    let may: Vec<_> = may.into_iter().filter(|(_, may)| *may).map(|(what, _)| what).collect();
    may.join(" ")
}

pub(crate) fn set_cookie(
    response: &mut Response,
    wall: &Wall,
    visitor: &Visitor,
    extensions: &Extensions,
) {
    let name: HeaderName = header::SET_COOKIE;
    let secure = Client::of(extensions).is_some_and(|client| client.secure);
    response.headers_mut().insert(name, wall.signer.cookie(visitor, secure));
}

/// Fills the template in one pass, so that nothing filled in is looked at again.
fn fill(values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(TEMPLATE.len() + 256);
    let mut rest = TEMPLATE;
    while let Some(at) = rest.find("{{") {
        page.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(key, _)| rest.starts_with(key)) {
            Some((key, value)) => {
                escape(&mut page, value);
                rest = &rest[key.len()..];
            }
            None => {
                page.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    page.push_str(rest);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_text() {
        let hostile = "\"><script>alert(1)</script>{{name}}";
        let page = fill(&[
            ("{{assets}}", "/assets/1"),
            ("{{wall}}", hostile),
            ("{{name}}", "N"),
            ("{{visitor}}", "v"),
            ("{{may}}", "post"),
        ]);
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{name}}"));
        assert!(page.contains("src=\"/assets/1/js/main.js\""));
    }

    #[test]
    fn the_template_asks_for_nothing_else() {
        let names = ["{{assets}}", "{{wall}}", "{{name}}", "{{visitor}}", "{{may}}"];
        let page = fill(&names.map(|name| (name, "")));
        assert!(!page.contains("{{"), "a placeholder that nobody fills");
    }
}
