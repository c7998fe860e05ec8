//! The page's files, embedded at build. Their URLs hold a hash of all of them, so browsers may
//! keep them for ever and still never mix two versions.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use eventwall_server::Problem;
use http::{StatusCode, Uri, header};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::Wall;

#[derive(RustEmbed)]
#[folder = "../../web"]
#[include = "css/*.css"]
#[include = "js/*.js"]
#[include = "icon.svg"]
struct Files;

#[derive(Debug)]
pub(crate) struct Assets {
    hash: String,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let mut all = Sha256::new();
        for name in Files::iter() {
            all.update(name.as_bytes());
            if let Some(file) = Files::get(&name) {
                all.update(file.metadata.sha256_hash());
            }
        }
        let mut hash = String::new();
        for byte in &all.finalize()[..6] {
            let _ = write!(hash, "{byte:02x}");
        }
        Self { hash }
    }

    /// Where the files are.
    pub(crate) fn base(&self) -> String {
        format!("/assets/{}", self.hash)
    }
}

pub(crate) async fn asset(State(wall): State<Arc<Wall>>, uri: Uri) -> Result<Response, Problem> {
    let gone = || Problem::new(StatusCode::NOT_FOUND, "there is no such file: reload the page");
    // Our files' names need no decoding.
    let path = uri.path().strip_prefix(&wall.assets.base()).and_then(|path| path.strip_prefix('/'));
    let path = path.ok_or_else(gone)?;
    let file = Files::get(path).ok_or_else(gone)?;
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, file.data).into_response())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
