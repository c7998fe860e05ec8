//! The server that a command talks to: its URLs, and publishing to it.

use std::time::Duration;

use eventwall_client::root_cause;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Client, RequestBuilder, Url, header::CONTENT_TYPE};
use serde_json::Value;

use crate::failure::Failure;

const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
/// What a topic keeps of itself in a URL's path.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The outcome of a streamed publish.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) count: u64,
    /// The last event's id, if there was one.
    pub(crate) last: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Remote {
    base: Url,
    pub(crate) client: Client,
}

impl Remote {
    pub(crate) fn new(server: &str) -> Result<Self, Failure> {
        let base: Url = server.parse().map_err(|error| {
            Failure::usage(format!(
                "--server {server}: {error}: write it like http://127.0.0.1:8080"
            ))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Failure::usage(format!(
                "--server {server}: {} is not http or https: write it like http://127.0.0.1:8080",
                base.scheme()
            )));
        }
        let client = Client::builder().connect_timeout(Duration::from_secs(10)).build();
        let client = client.map_err(|error| Failure::general(error.to_string()))?;
        Ok(Self { base, client })
    }

    pub(crate) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().clear().extend_pairs(query);
        }
        url
    }

    /// Publishes an event and answers its id.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        event: &str,
        data: String,
    ) -> Result<String, Failure> {
        let path = format!("/topics/{}", utf8_percent_encode(topic, PATH));
        let query: &[(&str, &str)] = if event.is_empty() { &[] } else { &[("event", event)] };
        let request = self.client.post(self.url(&path, query)).timeout(PUBLISH_DEADLINE).body(data);
        let json = self.answer(request).await?;
        let id = json.get("id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| self.stranger())
    }

    /// Publishes JSON lines as one batch and answers their ids.
    pub(crate) async fn publish_batch(
        &self,
        topic: &str,
        lines: String,
    ) -> Result<Vec<String>, Failure> {
        let request =
            self.post(topic, "application/x-ndjson").timeout(PUBLISH_DEADLINE).body(lines);
        let json = self.answer(request).await?;
        let ids = json.get("ids").and_then(Value::as_array).ok_or_else(|| self.stranger())?;
        Ok(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Publishes an event stream for as long as it lasts.
    pub(crate) async fn publish_stream(
        &self,
        topic: &str,
        body: Body,
    ) -> Result<Streamed, Failure> {
        let json = self.answer(self.post(topic, "text/event-stream").body(body)).await?;
        let count = json.get("count").and_then(Value::as_u64).ok_or_else(|| self.stranger())?;
        Ok(Streamed { count, last: json.get("last").and_then(Value::as_str).map(str::to_owned) })
    }

    fn post(&self, topic: &str, content_type: &str) -> RequestBuilder {
        let path = format!("/topics/{}", utf8_percent_encode(topic, PATH));
        self.client.post(self.url(&path, &[])).header(CONTENT_TYPE, content_type)
    }

    /// The JSON of an answer that is a success.
    async fn answer(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(json);
        }
        let detail = json.get("detail").and_then(Value::as_str);
        let detail = detail.map_or_else(|| format!("it answered {status}"), str::to_owned);
        let failure = Failure::server(format!("the server refused it: {detail}"));
        Err(if status.is_server_error() { failure.passing() } else { failure })
    }

    fn stranger(&self) -> Failure {
        Failure::server(format!(
            "{} answered, but not like an Eventwall server: check --server",
            self.base
        ))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let cause = root_cause(error);
        Failure::server(format!(
            "cannot reach {} ({cause}): start a server with `eventwall`, or name another with --server",
            self.base
        ))
        .passing()
    }
}
