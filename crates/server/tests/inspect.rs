//! The inspector is the hub's own: its page and files are there without any wall, and pass what
//! every request passes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use axum::{Router, body::Body};
use eventwall_hub::{Hub, HubConfig};
use eventwall_log::MemoryLog;
use eventwall_server::{App, Settings, finish, routes};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// The hub's own routes and no others.
fn hub() -> Router {
    let hub = Hub::new(Arc::new(MemoryLog::default()), &HubConfig::default());
    let settings = Settings { loopback_only: true, ..Settings::default() };
    let app = Arc::new(App::new(hub, settings));
    finish(routes(&app), &app)
}

async fn ask(method: &str, path: &str, host: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).header("host", host);
    let response = hub().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.into()).unwrap())
}

async fn get(path: &str) -> (StatusCode, HeaderMap, String) {
    ask("GET", path, "localhost").await
}

#[tokio::test]
async fn the_page_needs_no_wall_and_its_files_are_kept_for_ever() {
    let (status, headers, page) = get("/inspect?topic=**").await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let files: Vec<_> = page.split("\"/inspect/assets/").skip(1).collect();
    assert!(files.len() > 5, "{page}");
    for file in files {
        let path = format!("/inspect/assets/{}", file.split('"').next().unwrap());
        let (status, headers, _) = get(&path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_ne!(headers["content-type"], "application/octet-stream", "{path}");
        let old = path.replacen("assets/", "assets/0", 1);
        assert_eq!(get(&old).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(get("/").await.0, StatusCode::NOT_FOUND, "there is no wall");
}

#[tokio::test]
async fn it_is_a_request_like_others() {
    assert_eq!(ask("POST", "/inspect", "localhost").await.0, StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/inspect", "/inspect/assets/x/js/dom.js"] {
        assert_eq!(ask("GET", path, "evil.example").await.0, StatusCode::FORBIDDEN, "{path}");
    }
}
