//! An HTML form with the fields `data` and `event`. A browser is sent back to where it came
//! from; whoever asks for anything else gets the id.

use axum::{
    body::Body,
    extract::{FromRequest as _, Multipart},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use eventwall_log::Topic;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::json;

use super::{Publish, answer, event, name};
use crate::{Problem, collect_body, unavailable::accepts};

#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) data: Option<String>,
    pub(crate) event: Option<String>,
}

pub(super) async fn publish(
    publish: Publish,
    topic: Topic,
    body: Body,
) -> Result<Response, Problem> {
    let body = collect_body(body, &publish.app).await?;
    let fields = fields(&publish.parts.headers, body.clone()).await?;
    let data = fields.data.ok_or_else(|| Problem::bad_request("the form has no field `data`"))?;
    let name = match fields.event {
        Some(text) => name(&text)?,
        None => publish.name_in_query()?,
    };
    let ids = publish.append(event(topic, name, &data).into(), publish.options.clone()).await?;
    match back(&publish.parts.headers) {
        Some(location) => {
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
        }
        None => {
            Ok(answer(StatusCode::CREATED, &json!({ "id": ids.first().map(ToString::to_string) })))
        }
    }
}

/// What a form has, by the headers that say how it is written.
pub(crate) async fn fields(headers: &HeaderMap, body: Bytes) -> Result<Fields, Problem> {
    let mut request = Request::new(Body::from(body));
    *request.headers_mut() = headers.clone();
    let bad = |error: &dyn std::fmt::Display| {
        Problem::bad_request(format!("the form makes no sense: {error}"))
    };
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|error| bad(&error.body_text()))?;
    let mut fields = Fields::default();
    while let Some(field) = form.next_field().await.map_err(|error| bad(&error.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|error| bad(&error.body_text()))?;
        let text = String::from_utf8(bytes.into()).map_err(|error| {
            Problem::bad_request(format!("the field `{name}` is not UTF-8: {error}"))
        })?;
        match &*name {
            "data" => fields.data = Some(text),
            "event" => fields.event = Some(text),
            _ => {}
        }
    }
    Ok(fields)
}

/// The page that the form is on, for browsers: by its path only, so that nobody is sent to
/// another site.
fn back(headers: &HeaderMap) -> Option<HeaderValue> {
    if !accepts(headers, "text/html") {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let referer: Option<http::Uri> = text(header::REFERER).and_then(|referer| referer.parse().ok());
    let own = referer
        .filter(|uri| uri.authority().map(http::uri::Authority::as_str) == text(header::HOST));
    let path = own.and_then(|uri| uri.path_and_query().map(ToString::to_string));
    // Two slashes at its beginning would name another host.
    let path = path.filter(|path| path.starts_with('/') && !path.starts_with("//"));
    HeaderValue::try_from(path.unwrap_or_else(|| "/".into())).ok()
}
