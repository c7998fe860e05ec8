//! Which path goes where. Nothing else is decided here.

use std::sync::{Arc, PoisonError, RwLock};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{delete, get},
};
use eventwall_hub::Hub;
use http::{Method, StatusCode, Uri};
use tokio::sync::Semaphore;
use tower_http::cors::CorsLayer;

use crate::{
    Assets, Drain, Problem, Settings, cors, erase, follow, guard,
    health::{healthz, readyz},
    inspect,
    metrics::{Metrics, metrics},
    presence::presence,
    publish,
    unavailable::refuse,
};

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The hub that is served.
    pub hub: Hub,
    live: RwLock<Live>,
    /// Whether the server is going down.
    pub drain: Drain,
    /// Room for the bodies of requests, in KiB, all connections together.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    /// What the inspector's page loads.
    pub(crate) inspect: Assets,
}

/// What can change while the server runs.
#[derive(Debug)]
struct Live {
    settings: Arc<Settings>,
    cors: Option<CorsLayer>,
}

impl App {
    /// A server over `hub`.
    #[must_use]
    pub fn new(hub: Hub, settings: Settings) -> Self {
        let bodies = Arc::new(Semaphore::new(settings.limits.all_bodies_bytes / 1024));
        let metrics = Metrics::new(&hub);
        let live = RwLock::new(Live::new(settings));
        let inspect = inspect::assets();
        Self { hub, live, drain: Drain::default(), bodies, metrics, inspect }
    }

    /// Who may do what, how much, just now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }

    /// From now on these hold. The room for all bodies together stays as it is.
    pub fn set_settings(&self, settings: Settings) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Live::new(settings);
    }

    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).cors.clone()
    }
}

impl Live {
    fn new(settings: Settings) -> Self {
        let cors = cors::layer(&settings.cors_origins);
        Self { settings: Arc::new(settings), cors }
    }
}

/// The hub's own routes. Merge others into them, then [`finish`].
pub fn routes(app: &Arc<App>) -> Router {
    let topic = get(follow::topic).head(follow::head_topic).post(publish::to_topic);
    Router::new()
        .route("/topics", topic.clone())
        .route("/topics/", topic.clone())
        .route("/topics/{*topic}", topic)
        .route("/events", get(follow::events).head(follow::head_events).post(publish::to_many))
        .route("/events/{id}", delete(erase::erase))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/presence", get(presence))
        .route("/metrics", get(metrics))
        .route("/inspect", get(inspect::page))
        .route("/inspect/assets/{hash}/{*path}", get(inspect::asset))
        .with_state(app.clone())
}

/// Adds what every request passes: answers for unknown paths and methods, and of a server that
/// is full or going down; CORS; and the loopback rule.
pub fn finish(router: Router, app: &Arc<App>) -> Router {
    let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
    let router = router.layer(from_fn_with_state(app.clone(), refuse));
    let router = router.layer(from_fn_with_state(app.clone(), cors::cors));
    router.layer(from_fn_with_state(app.clone(), guard::guard))
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!(
        "there is nothing at {}: publish and follow at /topics/NAME, or open / for the wall",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// The router adds the `Allow` header.
async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}: see the Allow header", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
