//! `DELETE /events/{id}`: an event is gone for good, for every reader, once this is answered.

use std::sync::Arc;

use axum::extract::State;
use eventwall_log::{EventId, Filter, Resolution};
use http::{StatusCode, Uri};

use crate::{App, Problem, append_problem, problem::read_problem, query::decode};

pub(crate) async fn erase(State(app): State<Arc<App>>, uri: Uri) -> Result<StatusCode, Problem> {
    app.settings().access.check_whole("erasing")?;
    let raw = uri.path().strip_prefix("/events/").unwrap_or_default();
    let id: EventId = decode("the id", raw)?
        .parse()
        .map_err(|error: eventwall_log::IdError| Problem::bad_request(error.to_string()))?;
    let log = app.hub.log();
    let resolved = log.resolve(&id).await.map_err(|error| read_problem(&error))?;
    let Resolution::At(position) = resolved else {
        return Err(unknown(&id));
    };
    if !app.hub.holds(&Filter::All, position).await.map_err(|error| read_problem(&error))? {
        return Err(unknown(&id));
    }
    app.hub.erase(vec![position]).await.map_err(|error| append_problem(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(id: &EventId) -> Problem {
    let detail = format!(
        "there is no event {id}: it may be erased or expired already, or be of another log"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}
