//! Errors as `application/problem+json` (RFC 9457). The detail says what to change.

use axum::response::{IntoResponse, Response};
use eventwall_log::{AppendError, ReadError};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// An answer that says what went wrong and what to do.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    reason: Option<Reason>,
}

/// What a refusal is counted as, where its status does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason(pub(crate) &'static str);

impl Problem {
    /// A problem with a status and a sentence for whoever sent the request.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail, more: Map::new(), headers: Vec::new(), reason: None }
    }

    /// `400`: the request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Says where in the request, before what is wrong.
    #[must_use]
    pub fn in_front(mut self, place: &str) -> Self {
        self.detail.insert_str(0, place);
        self
    }

    /// Adds a member to the JSON object.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What it is counted as in the metrics.
    pub(crate) fn counted_as(self, reason: &'static str) -> Self {
        Self { reason: Some(Reason(reason)), ..self }
    }

    /// When to try again, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl Problem {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its sentence, for whoever can change something.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// As a page of an app over the hub.
    #[must_use]
    pub fn on_page(self, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let object = ProblemJson {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            more: &self.more,
        };
        // With a line end, so that curl leaves the prompt on a line of its own.
        let body = serde_json::to_string(&object).unwrap_or_default() + "\n";
        let mut response = (self.status, body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().extend(self.headers);
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

/// What a publisher is told when the log would not take an event.
#[must_use]
pub fn append_problem(error: &AppendError) -> Problem {
    let detail = error.to_string();
    match error {
        AppendError::Condition { last } => {
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
            let etag = last.as_ref().and_then(|id| HeaderValue::try_from(format!("\"{id}\"")).ok());
            etag.map_or(problem.clone(), |etag| problem.header(header::ETAG, etag))
        }
        AppendError::KeyReused => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        AppendError::FieldTooLong { .. } => Problem::bad_request(detail),
        AppendError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
        AppendError::Unsupported { .. } => Problem::new(StatusCode::NOT_IMPLEMENTED, detail),
        AppendError::OutcomeUnknown { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with("outcome", "unknown")
            .retry_after(5),
        AppendError::NotStored { .. } | AppendError::Stopped { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
        }
    }
}

/// What a reader is told when the log cannot be read.
pub(crate) fn read_problem(error: &ReadError) -> Problem {
    match error {
        ReadError::Unavailable(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(5)
        }
        ReadError::Damaged { .. } | ReadError::Io(_) => {
            tracing::error!(%error, "a subscriber could not be served");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unknown_outcome_is_called_so() {
        let reason = || "the disk said no".to_owned();
        let outcome = |error: AppendError| append_problem(&error).more.get("outcome").cloned();
        let unknown = outcome(AppendError::OutcomeUnknown { reason: reason() });
        assert_eq!(unknown, Some("unknown".into()));
        assert_eq!(outcome(AppendError::NotStored { reason: reason() }), None);
        assert_eq!(outcome(AppendError::Stopped { reason: reason() }), None);
    }
}
