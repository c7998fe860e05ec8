//! The files of a page, embedded at build. Their URLs hold a hash of all of them, so browsers
//! may keep them for ever and still never mix two versions. Knows no page, and answers with
//! nothing but those files.

use std::fmt::Write as _;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, StatusCode, Uri, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use crate::Problem;

/// Embedded files and where they are.
#[derive(Debug)]
pub struct Assets {
    base: String,
    get: fn(&str) -> Option<EmbeddedFile>,
}

impl Assets {
    /// `Files` beneath a path of their own, such as `/assets`. Route `{prefix}/{hash}/{*path}`
    /// to [`Assets::answer`].
    #[must_use]
    pub fn of<Files: RustEmbed>(prefix: &str) -> Self {
        Self { base: format!("{prefix}/{}", hash::<Files>()), get: Files::get }
    }

    /// Where the files are.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The file that a request asks for.
    ///
    /// # Errors
    /// `404` for a file that is not, or no longer, there.
    pub fn answer(&self, uri: &Uri) -> Result<Response, Problem> {
        let gone = || Problem::new(StatusCode::NOT_FOUND, "there is no such file: reload the page");
        // Our files' names need no decoding.
        let path = uri.path().strip_prefix(&self.base).and_then(|path| path.strip_prefix('/'));
        let path = path.ok_or_else(gone)?;
        let file = (self.get)(path).ok_or_else(gone)?;
        let headers = [
            (header::CONTENT_TYPE, content_type(path)),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        Ok((headers, file.data).into_response())
    }
}

fn hash<Files: RustEmbed>() -> String {
    let mut all = Sha256::new();
    for name in Files::iter() {
        all.update(name.as_bytes());
        if let Some(file) = Files::get(&name) {
            all.update(file.metadata.sha256_hash());
        }
    }
    hex(&all.finalize()[..6])
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
