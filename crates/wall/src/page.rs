//! The page's HTML. It loads nothing from elsewhere, and every text in it is escaped.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use eventwall_server::{Problem, html_page};
use http::{HeaderMap, HeaderName, Uri, header};

use crate::{LOBBY, Wall, visitor::Visitor, wall_of};

const TEMPLATE: &str = include_str!("../../../web/index.html");

pub(crate) async fn lobby(State(wall): State<Arc<Wall>>, headers: HeaderMap) -> Response {
    render(&wall, LOBBY, &headers)
}

pub(crate) async fn wall(
    State(wall): State<Arc<Wall>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, _) = wall_of(&uri)?;
    Ok(render(&wall, &name, &headers))
}

fn render(wall: &Wall, name: &str, headers: &HeaderMap) -> Response {
    let (visitor, known) = match wall.signer.visitor(headers) {
        Some(visitor) => (visitor, true),
        None => (Visitor::new_guest(), false),
    };
    let page = fill(&[
        ("{{assets}}", wall.assets.base()),
        ("{{wall}}", name),
        ("{{name}}", &visitor.name),
        ("{{visitor}}", &visitor.id),
    ]);
    let mut response = html_page(page);
    if !known {
        set_cookie(&mut response, wall, &visitor);
    }
    response
}

pub(crate) fn set_cookie(response: &mut Response, wall: &Wall, visitor: &Visitor) {
    let name: HeaderName = header::SET_COOKIE;
    response.headers_mut().insert(name, wall.signer.cookie(visitor));
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

fn escape(out: &mut String, text: &str) {
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
        ]);
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{name}}"));
        assert!(page.contains("src=\"/assets/1/js/main.js\""));
    }

    #[test]
    fn the_template_asks_for_nothing_else() {
        let page =
            fill(&[("{{assets}}", ""), ("{{wall}}", ""), ("{{name}}", ""), ("{{visitor}}", "")]);
        assert!(!page.contains("{{"), "a placeholder that nobody fills");
    }
}
