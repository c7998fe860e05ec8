//! `DELETE /events/{id}`: an event is gone for good, for every reader, once this is answered. An app over the hub
//! hears of it first.

use std::{pin::Pin, sync::Arc};

use axum::extract::State;
use eventwall_hub::Framed;
use eventwall_log::{EventId, Position, Resolution};
use http::{StatusCode, Uri};

use crate::{App, Problem, append_problem, problem::read_problem, query::decode};

/// What is done before an event is erased; it answers what has to go with it.
pub struct BeforeErasing(Box<dyn Fn(Arc<Framed>) -> Answer + Send + Sync>);

type Answer = Pin<Box<dyn Future<Output = Result<Vec<Position>, Problem>> + Send>>;

impl BeforeErasing {
    /// By a function. Whatever it does stands, also if the log then does not erase the event: who asked is told
    /// so, and asks again.
    pub fn new<F>(prepare: impl Fn(Arc<Framed>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Position>, Problem>> + Send + 'static,
    {
        Self(Box::new(move |event| Box::pin(prepare(event))))
    }
}

impl std::fmt::Debug for BeforeErasing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeErasing")
    }
}

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
    let event = app.hub.event_at(position).await.map_err(|error| read_problem(&error))?;
    let event = event.ok_or_else(|| unknown(&id))?;
    let begun = app.begun.clone();
    let erased = begun.to_the_end(async move {
        let mut gone = match app.before_erasing.get() {
            Some(BeforeErasing(prepare)) => prepare(event).await?,
            None => Vec::new(),
        };
        gone.push(position);
        app.hub.erase(gone).await.map_err(|error| append_problem(&error))
    });
    erased.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(id: &EventId) -> Problem {
    let detail = format!(
        "there is no event {id}: it may be erased or expired already, or be of another log"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}
