//! Which path goes where. Nothing else is decided here.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{delete, get},
};
use eventwall_hub::Hub;
use eventwall_log::Topic;
use http::{Method, Request, StatusCode, Uri};
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;

use crate::{
    Assets, BeforeErasing, Begun, Client, Drain, Problem, Settings, cors, erase, follow, guard,
    health::{healthz, readyz},
    inspect,
    metrics::{Metrics, metrics},
    pages::Pages,
    presence::presence,
    problem::read_problem,
    publish,
    quota::{Everybody, Places, Rates},
    script,
    unavailable::refusal,
};

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The hub that is served.
    pub hub: Hub,
    live: RwLock<Live>,
    /// How often settings came into force.
    generation: AtomicU64,
    /// Whether the server is going down.
    pub drain: Drain,
    /// What goes on though whoever asked for it has gone.
    pub begun: Begun,
    /// Room for the bodies of requests, in KiB, all connections together.
    pub(crate) bodies: Arc<Semaphore>,
    /// Room for pages.
    pub(crate) pages: Pages,
    pub(crate) metrics: Metrics,
    /// How many connections there are, and further streams on them.
    pub(crate) inside: Arc<Everybody>,
    /// How many patterns are followed.
    pub(crate) patterns: Arc<Everybody>,
    /// How many connections each address has.
    pub(crate) places: Arc<Places>,
    /// What the inspector's page loads.
    pub(crate) inspect: Assets,
    pub(crate) before_erasing: OnceLock<BeforeErasing>,
}

/// What can change while the server runs.
#[derive(Debug)]
struct Live {
    settings: Arc<Settings>,
    cors: Option<CorsLayer>,
    rates: Arc<Rates>,
}

impl App {
    /// A server over `hub`.
    #[must_use]
    pub fn new(hub: Hub, settings: Settings) -> Self {
        let bodies = Arc::new(Semaphore::new(settings.limits.all_bodies_bytes / 1024));
        let pages = Pages::new(settings.limits.all_pages_bytes);
        let metrics = Metrics::new(&hub);
        let live = RwLock::new(Live::new(settings));
        let inspect = inspect::assets();
        let (drain, inside, places) = (Drain::default(), Arc::default(), Arc::default());
        let patterns = Arc::default();
        let generation = AtomicU64::new(0);
        Self {
            hub,
            live,
            generation,
            drain,
            begun: Begun::default(),
            bodies,
            pages,
            metrics,
            inside,
            patterns,
            places,
            inspect,
            before_erasing: OnceLock::new(),
        }
    }

    /// From now on this is done before anybody's `DELETE /events/{id}`; once.
    pub fn before_erasing(&self, prepare: BeforeErasing) {
        let _ = self.before_erasing.set(prepare);
    }

    /// Who may do what, how much, just now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }

    /// From now on these hold. The room for all bodies and all pages stays as it is, and who has published
    /// much lately is forgotten.
    pub fn set_settings(&self, settings: Settings) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        *live = Live::new(settings);
        drop(live);
        // Last: whoever sees another number sees these settings.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Refuses what an app over the hub is about to publish for its visitor, if that is too much.
    ///
    /// # Errors
    /// `429`, or `507` for a topic that is one too many.
    pub async fn check_amount(
        &self,
        client: Option<&Client>,
        topic: &Topic,
    ) -> Result<(), Problem> {
        self.rates().take(client, &[topic])?;
        self.check_new_topics(&[topic]).await
    }

    /// Refuses a topic that has no events yet, if there are as many as there may be.
    pub(crate) async fn check_new_topics(&self, topics: &[&Topic]) -> Result<(), Problem> {
        let (max, count) = (self.settings().limits.all_topics, self.hub.log().topic_count());
        // Near the limit repeats matter; far from it nothing has to be looked up.
        if count + topics.len() <= max {
            return Ok(());
        }
        let named: BTreeSet<&Topic> = topics.iter().copied().collect();
        if count + named.len() <= max {
            return Ok(());
        }
        let mut new = 0;
        for topic in named {
            let last = self.hub.log().last(topic).await.map_err(|error| read_problem(&error))?;
            new += usize::from(last.is_none());
            if last.is_none() && count + new > max {
                return Err(no_more_topics(topic, max));
            }
        }
        Ok(())
    }

    /// Another number for each settings.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn rates(&self) -> Arc<Rates> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).rates.clone()
    }

    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).cors.clone()
    }
}

impl Live {
    fn new(settings: Settings) -> Self {
        let cors = cors::layer(&settings.cors_origins);
        let rates = Arc::new(Rates::new(&settings.limits));
        Self { settings: Arc::new(settings), cors, rates }
    }
}

fn no_more_topics(topic: &Topic, max: usize) -> Problem {
    let detail = format!(
        "{topic} would be one topic too many: there are {max}, as many as the server's `max_all_topics` allows; publish to one that has events"
    );
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail)
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
        .route("/eventwall.js", get(script::everything))
        .route("/eventsource.js", get(script::event_source))
        .route("/inspect", get(inspect::page))
        .route("/inspect/assets/{hash}/{*path}", get(inspect::asset))
        .with_state(app.clone())
}

/// Adds what every request passes: answers for unknown paths and methods, and of a server that
/// is full or going down; CORS; and the loopback rule.
pub fn finish(router: Router, app: &Arc<App>) -> Router {
    let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
    router.layer(from_fn_with_state(app.clone(), pass))
}

/// One layer for all of it: each would cost a request a dozen allocations.
async fn pass(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response {
    let request = match guard::admit(request, &app.settings()) {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let Some(cors) = app.cors() else { return turn_away_or(&app, request, next).await };
    // Beneath CORS, so that pages of other origins may read when to come back.
    let beneath = service_fn(|request| {
        let (app, next) = (app.clone(), next.clone());
        async move { Ok(turn_away_or(&app, request, next).await) }
    });
    cors.layer(beneath).oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
}

async fn turn_away_or(app: &App, request: Request<Body>, next: Next) -> Response {
    match refusal(app, &request) {
        Some(response) => response,
        None => next.run(request).await,
    }
}

/// What an unknown path is answered.
pub async fn not_found(uri: Uri) -> Problem {
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
