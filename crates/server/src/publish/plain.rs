//! The body is the data of one event.

use axum::{body::Body, response::Response};
use eventwall_log::Topic;
use http::StatusCode;
use serde_json::json;

use super::{Publish, answer, event};
use crate::{Problem, collect_body};

pub(super) async fn publish(
    publish: Publish,
    topic: Topic,
    body: Body,
) -> Result<Response, Problem> {
    let name = publish.name_in_query()?;
    let body = collect_body(body, &publish.app).await?;
    let data = std::str::from_utf8(&body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
    if publish.is_ephemeral() {
        return publish.show(event(topic, name, data));
    }
    let ids = publish.append(event(topic, name, data).into(), publish.options.clone()).await?;
    Ok(answer(StatusCode::CREATED, &json!({ "id": ids.first().map(ToString::to_string) })))
}
