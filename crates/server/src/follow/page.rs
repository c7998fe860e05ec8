//! A page of JSON instead of a stream: the same events, by the same decisions.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::{EventPage, Gap, Start};
use eventwall_log::{EventId, Filter};
use http::{HeaderMap, HeaderName, header};
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

pub(super) async fn page(app: &App, filter: Filter, asked: Asked) -> Result<Response, Problem> {
    let (hub, limit) = (&app.hub, asked.limit);
    let page = match (&asked.from, asked.wait) {
        (From::Before(before, count), _) => hub.page_before(&filter, before, *count, limit).await,
        (From::Start(from), None) => hub.page(filter, from, limit).await,
        (From::Start(from), Some(wait)) => {
            tokio::select! {
                page = hub.page_waiting(filter.clone(), from, limit, wait) => page,
                // Not to be held while the server goes down.
                () = app.drain.draining() => hub.page(filter, from, limit).await,
            }
        }
    };
    let page = page.map_err(start_problem)?;
    Ok((PAGE_HEAD, Json(page_json(&page))).into_response())
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
