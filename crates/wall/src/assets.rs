//! The page's files: which they are, and their route.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use eventwall_server::{Assets, Problem};
use http::Uri;
use rust_embed::RustEmbed;

use crate::Wall;

#[derive(RustEmbed)]
#[folder = "../../web"]
#[include = "css/*.css"]
#[include = "js/*.js"]
#[include = "icons/*"]
struct Files;

pub(crate) fn assets() -> Assets {
    Assets::of::<Files>("/assets")
}

pub(crate) async fn asset(State(wall): State<Arc<Wall>>, uri: Uri) -> Result<Response, Problem> {
    wall.assets.answer(&uri)
}
