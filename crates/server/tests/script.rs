//! The browser client is at URLs that stay, for pages of every origin, and is asked for again only when there
//! may be another.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use axum::body::Body;
use eventwall_hub::{Hub, HubConfig};
use eventwall_log::MemoryLog;
use eventwall_server::{App, Settings, finish, routes};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

async fn get(path: &str, known: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let hub = Hub::new(Arc::new(MemoryLog::default()), &HubConfig::default());
    let app = Arc::new(App::new(hub, Settings::default()));
    let mut request = Request::builder().uri(path).header("host", "localhost");
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = finish(routes(&app), &app).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn pages_load_it_and_keep_it() {
    for (path, exported) in [("/eventwall.js", "Eventwall"), ("/eventsource.js", "EventSource")] {
        let (status, headers, text) = get(path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(text.contains(exported) && text.contains("export{"), "{path}");
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["cache-control"], "public, max-age=3600");
        assert_eq!(headers["access-control-allow-origin"], "*");
        let etag = headers["etag"].to_str().unwrap();
        for known in [etag, "*", &format!("\"other\", W/{etag}")] {
            let (status, headers, text) = get(path, Some(known)).await;
            assert_eq!((status, text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path} {known}");
            assert_eq!(headers["etag"], etag);
        }
        assert_eq!(get(path, Some("\"other\"")).await.0, StatusCode::OK);
    }
}
