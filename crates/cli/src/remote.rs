//! The server that a command talks to: its URLs, and publishing to it.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Url};

use crate::failure::Failure;

const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
/// What a topic keeps of itself in a URL's path.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

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
        match base.scheme() {
            "http" => {}
            "https" => {
                return Err(Failure::usage(
                    "this version speaks plain http only: put the command beside the server, or use curl",
                ));
            }
            other => {
                return Err(Failure::usage(format!(
                    "--server {server}: {other} is not http: write it like http://127.0.0.1:8080"
                )));
            }
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
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text =
            |field: &str| json.get(field).and_then(|value| value.as_str()).map(str::to_owned);
        match text("id") {
            Some(id) if status.is_success() => Ok(id),
            _ => {
                let detail = text("detail").unwrap_or_else(|| {
                    format!("it answered {status}: is this an Eventwall server?")
                });
                Err(Failure::server(format!("the server refused the event: {detail}")))
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::server(format!(
            "cannot reach {} ({cause}): start a server with `eventwall`, or name another with --server",
            self.base
        ))
    }
}
