//! `/healthz`: the process answers. `/readyz`: it should get traffic.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::{App, Problem};

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    let not_ready = |why: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(5);
    if app.drain.is_draining() {
        return Err(not_ready("the server is shutting down".into()));
    }
    app.hub.health().map_err(|why| not_ready(format!("events cannot be published: {why}")))?;
    Ok("ready\n")
}
