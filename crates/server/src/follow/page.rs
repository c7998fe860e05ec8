//! A page of JSON instead of a stream: the same events, by the same decisions.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use eventwall_hub::{EventPage, Gap, Start};
use eventwall_log::Filter;
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

pub(super) async fn page(
    app: &App,
    filter: Filter,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let max = app.settings().limits.page_events;
    let limit = query.number("limit", max)?.unwrap_or(DEFAULT_LIMIT.min(max)).max(1);
    let page = match query.last("before")? {
        Some(before) => {
            let before = event_id("before", &before)?;
            let count = query.number("last", max)?.unwrap_or(limit).min(max);
            app.hub.page_before(&filter, &before, count).await
        }
        None => {
            let from = start(app, query, headers)?;
            let limit = if matches!(from, Start::Last(_)) { max } else { limit };
            match wait(query)? {
                Some(wait) => {
                    tokio::select! {
                        page = app.hub.page_waiting(filter.clone(), &from, limit, wait) => page,
                        // Not to be held while the server goes down.
                        () = app.drain.draining() => app.hub.page(filter, &from, limit).await,
                    }
                }
                None => app.hub.page(filter, &from, limit).await,
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
