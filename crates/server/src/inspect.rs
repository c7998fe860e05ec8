//! `/inspect`: a page to watch the hub, publish to it and try resuming by hand. It is files and
//! nothing else: what the page shows it asks of the routes that everybody uses.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::Uri;
use rust_embed::RustEmbed;

use crate::{App, Assets, Problem, html_page};

const TEMPLATE: &str = include_str!("../../../web/inspect/index.html");
const BASE: &str = "{{assets}}";

#[derive(RustEmbed)]
#[folder = "../../web"]
#[include = "inspect/css/*.css"]
#[include = "inspect/js/*.js"]
#[include = "css/{masthead,paper}.css"]
#[include = "js/{backoff,dom,nap,status,wire}.js"]
#[include = "icons/icon.svg"]
struct Files;

pub(crate) fn assets() -> Assets {
    Assets::of::<Files>("/inspect/assets")
}

pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    html_page(html(app.inspect.base()))
}

pub(crate) async fn asset(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    app.inspect.answer(&uri)
}

/// Nothing but the files' place, which is ours, is ever filled in.
fn html(base: &str) -> String {
    TEMPLATE.replace(BASE, base)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use super::*;

    fn text(name: &str) -> String {
        let file = Files::get(name).unwrap_or_else(|| panic!("{name} is not embedded"));
        String::from_utf8(file.data.into_owned()).unwrap()
    }

    /// The files that a module imports, as names beneath `web/`.
    fn imports(name: &str) -> Vec<String> {
        let text = text(name);
        let lines =
            text.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from"));
        let targets = lines.filter_map(|line| line.split('"').nth(1));
        targets.map(|target| beside(name, target)).collect()
    }

    fn beside(name: &str, target: &str) -> String {
        let mut path = PathBuf::from(name);
        path.pop();
        for part in target.split('/') {
            match part {
                "." => {}
                ".." => assert!(path.pop(), "{target} leads out of web/"),
                part => path.push(part),
            }
        }
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn all_that_the_page_loads_is_embedded_and_all_that_is_embedded_is_loaded() {
        let html = html("BASE");
        assert!(!html.contains("{{"), "a placeholder that nobody fills");
        let asked = html.split("\"BASE/").skip(1).filter_map(|rest| rest.split('"').next());
        let mut open: Vec<String> = asked.map(str::to_owned).collect();
        let mut loaded = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name.ends_with(".js") && !loaded.contains(&name) {
                open.extend(imports(&name));
            }
            assert!(!text(&name).is_empty());
            loaded.insert(name);
        }
        let embedded: BTreeSet<String> = Files::iter().map(std::borrow::Cow::into_owned).collect();
        assert_eq!(loaded, embedded);
    }
}
