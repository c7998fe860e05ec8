//! Drives a [`Machine`] over HTTP. It makes no decision of its own.

use std::time::Duration;

use reqwest::{Client, Response, Url, header};
use tokio::time::{sleep, timeout};

use crate::{Closed, Head, Machine, Signal};

/// A connection must be there by then.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// The text of a refusal is read up to here, and for so long.
const MAX_DETAIL: usize = 4096;
const DETAIL_DEADLINE: Duration = Duration::from_secs(5);

/// A stream of events that reconnects and resumes by itself.
#[derive(Debug)]
pub struct EventSource {
    client: Client,
    url: Url,
    machine: Machine,
    response: Option<Response>,
    wait: Option<Duration>,
}

impl EventSource {
    /// Follows `url` with a client of your making, after `last_event_id` (none if empty).
    #[must_use]
    pub fn new(client: Client, url: Url, last_event_id: &str) -> Self {
        let machine = Machine::new(last_event_id);
        Self { client, url, machine, response: None, wait: None }
    }

    /// The id to resume after; keep it to go on after a restart.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    /// The next signal. Waits, reconnects and resumes as long as it takes.
    ///
    /// # Errors
    /// If the server does not want this client back; calling again tries once more.
    pub async fn next(&mut self) -> Result<Signal, Closed> {
        loop {
            if let Some(signal) = self.machine.next_signal() {
                if let Signal::Reconnecting { after, .. } = &signal {
                    self.response = None;
                    self.wait = Some(*after);
                }
                return Ok(signal);
            }
            if let Some(wait) = self.wait {
                sleep(wait).await;
                self.wait = None;
            }
            match &mut self.response {
                Some(_) => self.read().await,
                None => self.connect().await?,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Closed> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-cache");
        if !self.machine.last_event_id().is_empty() {
            request = request.header("Last-Event-ID", self.machine.last_event_id().as_bytes());
        }
        let response = match timeout(CONNECT_DEADLINE, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return self.broke(&root_cause(&error)),
            Err(_) => return self.broke("the server did not answer in time"),
        };
        self.head(response).await
    }

    async fn head(&mut self, mut response: Response) -> Result<(), Closed> {
        let status = response.status().as_u16();
        let text = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let seconds = |name: &str| text(name)?.parse().ok();
        let content_type = text("content-type").unwrap_or_default();
        let (heartbeat, retry_after) = (seconds("eventwall-heartbeat"), seconds("retry-after"));
        let detail = if status == 200 { String::new() } else { detail(&mut response).await };
        let head = Head { status, content_type: &content_type, heartbeat, retry_after };
        if self.machine.head(head, &detail, rand::random())? {
            self.response = Some(response);
        }
        Ok(())
    }

    async fn read(&mut self) {
        let Some(response) = &mut self.response else { return };
        let silence = self.machine.watchdog().unwrap_or(Duration::MAX);
        let why = match timeout(silence, response.chunk()).await {
            Ok(Ok(Some(bytes))) => return self.machine.bytes(&bytes),
            Ok(Ok(None)) => "the server closed the connection".to_owned(),
            Ok(Err(error)) => root_cause(&error),
            Err(_) => "the line went silent".to_owned(),
        };
        self.machine.broke(&why, None, rand::random());
        self.response = None;
    }

    fn broke(&mut self, why: &str) -> Result<(), Closed> {
        self.machine.broke(why, None, rand::random());
        Ok(())
    }
}

/// What the server says of its refusal.
async fn detail(response: &mut Response) -> String {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_DETAIL {
                break;
            }
        }
    };
    let _ = timeout(DETAIL_DEADLINE, reading).await;
    let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let said = json.and_then(|json| Some(json.get("detail")?.as_str()?.to_owned()));
    said.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())
}

/// The innermost cause of an error: it says what happened; the outer ones say that something did.
#[must_use]
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
