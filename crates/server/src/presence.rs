//! `GET /presence?topic=…`: how many streams follow a topic by name, on all nodes.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{Uri, header};
use serde_json::{Map, Value, json};

use crate::{App, Problem, publish::parse_topic, query::Query};

pub(crate) async fn presence(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let names = Query::of(&uri).all("topic")?;
    let max = app.settings().limits.topics;
    if names.is_empty() || names.len() > max {
        let detail = format!("name 1 to {max} topics, as in /presence?topic=walls/lobby");
        return Err(Problem::bad_request(detail));
    }
    let mut counts = Map::new();
    for name in names {
        let topic = parse_topic(&name)?;
        app.settings().access.check_read(&topic)?;
        counts.insert(topic.to_string(), Value::from(app.hub.presence(&topic)));
    }
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, format!("{}\n", json!({ "presence": counts }))).into_response())
}
