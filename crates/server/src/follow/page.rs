//! A page of JSON instead of a stream: the same events, by the same decisions.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use eventwall_hub::{EventPage, Gap, PageLimit, Start, StartError};
use eventwall_log::{EventId, Filter};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::Serialize;

use super::{
    start::{event_id, start},
    start_problem, wait,
};
use crate::{App, Problem, query::Query};

/// Events on a page unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;

pub(super) const PAGE_HEAD: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (header::VARY, "Accept, Origin")];

/// Which page a request asks for.
pub(super) struct Asked {
    from: From,
    /// Events that it may bring.
    limit: usize,
    wait: Option<Duration>,
}

enum From {
    /// The last so many of each topic before an event.
    Before(EventId, usize),
    Start(Start),
}

impl Asked {
    /// Whether its answer may be held.
    pub(super) fn waits(&self) -> bool {
        self.wait.is_some()
    }
}

/// Refuses what makes no sense, for `HEAD` as for `GET`.
pub(super) fn asked(app: &App, query: &Query<'_>, headers: &HeaderMap) -> Result<Asked, Problem> {
    let max = app.settings().limits.page_events;
    let limit = query.number("limit", max)?.map(|limit| limit.max(1));
    let usual = limit.unwrap_or(DEFAULT_LIMIT.min(max));
    let last = || query.number("last", max);
    let before = query.last("before")?.map(|before| event_id("before", &before)).transpose()?;
    let (from, limit) = match before {
        Some(before) => (From::Before(before, last()?.unwrap_or(usual)), limit.unwrap_or(max)),
        None => match start(app, query, headers)? {
            // Whoever asks for so many of each topic has said how many.
            Start::Last(_) => {
                (From::Start(Start::Last(last()?.unwrap_or(0))), limit.unwrap_or(max))
            }
            from => (From::Start(from), usual),
        },
    };
    Ok(Asked { from, limit, wait: wait(query)? })
}

/// Bytes of JSON that are held until they are sent without being counted.
const FREE: usize = 32 << 10;
/// Bytes of events on a page when there is no room for larger ones.
const SMALL: usize = 8 << 10;

pub(super) async fn page(app: &App, filter: Filter, asked: Asked) -> Result<Response, Problem> {
    let usual = PageLimit::events(asked.limit);
    if let Some(bytes) = build(app, &filter, &asked, usual).await.map_err(start_problem)? {
        return Ok(answer(bytes));
    }
    // A page may always bring less than was asked for, and says that there is more.
    let small = PageLimit { bytes: SMALL, ..usual };
    match build(app, &filter, &Asked { wait: None, ..asked }, small).await {
        Ok(Some(bytes)) => Ok(answer(bytes)),
        Ok(None) | Err(StartError::TooLarge { .. }) => Err(no_room()),
        Err(error) => Err(start_problem(error)),
    }
}

fn answer(page: Bytes) -> Response {
    (PAGE_HEAD, [(header::CONTENT_TYPE, "application/json")], page).into_response()
}

fn no_room() -> Problem {
    let detail =
        "more pages wait to be taken than the server's `max_all_pages` allows: try again shortly";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1).counted_as("pages")
}

/// A page as JSON; `None` if there is no room for one as large as this.
async fn build(
    app: &App,
    filter: &Filter,
    asked: &Asked,
    limit: PageLimit,
) -> Result<Option<Bytes>, StartError> {
    let hub = &app.hub;
    let waited = match (&asked.from, asked.wait) {
        (From::Start(from), Some(wait)) => tokio::select! {
            page = hub.page_waiting(filter.clone(), from, limit, wait) => Some(page?),
            // Not to be held while the server goes down.
            () = app.drain.draining() => None,
        },
        _ => None,
    };
    let _turn = app.pages.turn().await;
    let page = match (waited, &asked.from) {
        (Some(page), _) => page,
        (None, From::Before(before, count)) => {
            hub.page_before(filter, before, *count, limit).await?
        }
        (None, From::Start(from)) => hub.page(filter.clone(), from, limit).await?,
    };
    let json = serde_json::to_vec(&page_json(&page)).unwrap_or_default();
    if json.len() <= FREE {
        return Ok(Some(json.into()));
    }
    Ok(app.pages.hold(json))
}

#[derive(Serialize)]
struct PageJson<'a, E> {
    events: Vec<E>,
    cursor: String,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
}

fn page_json(page: &EventPage) -> impl Serialize + '_ {
    PageJson {
        events: page.events.iter().map(|event| event.to_json()).collect(),
        cursor: page.cursor.to_string(),
        more: page.more,
        gap: page.gap.as_ref(),
    }
}
