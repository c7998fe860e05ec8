//! The connection to the cluster, and what is kept there: one stream, two buckets of keys and one of
//! objects. `setup` makes them; what is in them is others' concern.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, Event,
    connection::State as ConnectionState,
    jetstream::{
        self, Context, ErrorCode,
        kv::{Store, UpdateError, UpdateErrorKind},
        message::StreamMessage,
        object_store::ObjectStore,
        stream::{self, Info, LastRawMessageError, LastRawMessageErrorKind, Stream},
    },
};
use eventwall_log::{Millis, Retention};
use tokio::sync::Notify;

use crate::{
    config::{JetStreamConfig, StoreUrl},
    message,
    runs::Mark,
    setup::{bucket, ensure_stream, is_absent, limit, objects, wanted},
    subject::Subjects,
};

/// For requests about the stream, such as making a consumer.
pub(crate) const REQUEST: Duration = Duration::from_secs(2);
/// A publish that was not acknowledged by then has an unknown outcome.
pub(crate) const ACKNOWLEDGE: Duration = Duration::from_secs(5);
/// Messages that may wait to be taken in. The servers send no more than 32 MiB ahead of what was
/// acknowledged, and no message is smaller than its subject and head.
const WAITING: usize = 1 << 18;
/// A stream that is not there so often in a row is gone.
const LOOKS: usize = 2;
const CONNECT: Duration = Duration::from_secs(3);
/// A server that answers no ping is left for another.
const PING: Duration = Duration::from_secs(3);
/// A node that was not heard of for so long is gone, and so are its visitors.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// Why a node could not join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No server could be reached.
    #[error("cannot reach NATS at {url}: {reason}; {advice}")]
    Unreachable {
        /// Where.
        url: String,
        /// In the client's words.
        reason: String,
        /// What may help.
        advice: &'static str,
    },
    /// A file that the store's address names.
    #[error("cannot use {option}={file} of the store: {reason}")]
    File {
        /// The option that names it.
        option: &'static str,
        /// Which.
        file: String,
        /// In the system's words.
        reason: String,
    },
    /// It is reached, and cannot be used.
    #[error(
        "NATS at {url} has no JetStream for this account ({reason}): start nats-server with -js, or enable it for the account"
    )]
    NoJetStream {
        /// Where.
        url: String,
        /// In the server's words.
        reason: String,
    },
    /// What is there is not what is needed.
    #[error("{0}")]
    Mismatch(String),
    /// It does not answer as it should.
    #[error("NATS at {url} does not answer as it should: {reason}")]
    Failed {
        /// Where.
        url: String,
        /// In the client's words.
        reason: String,
    },
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Nats {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) stream: Stream<()>,
    pub(crate) state: Store,
    pub(crate) leases: Store,
    pub(crate) blobs: ObjectStore,
    pub(crate) subjects: Subjects,
    pub(crate) hub: String,
    /// The stream as it must be, should it be gone.
    wanted: stream::Config,
    /// The connection broke, or is there again.
    pub(crate) turns: Arc<Notify>,
    /// Several events can be written as one unit.
    pub(crate) atomic: bool,
    /// A consumer may have several filters.
    pub(crate) many_filters: bool,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Nats {
    pub(crate) async fn open(config: &JetStreamConfig) -> Result<Self, OpenError> {
        let url = &config.url;
        let turns = Arc::new(Notify::new());
        let client = connect(url, turns.clone()).await?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(REQUEST);
        let failed = |reason: String| OpenError::Failed { url: url.to_string(), reason };
        let usable = has_jetstream(&client).await;
        usable.map_err(|reason| OpenError::NoJetStream { url: url.to_string(), reason })?;
        let subjects = Subjects::new(&url.hub);
        let atomic = client.is_server_compatible(2, 12, 0);
        let wanted = wanted(config, &subjects, atomic)?;
        let info = ensure_stream(&context, &wanted, config).await?;
        let stream = context
            .get_stream_no_info(&url.hub)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let replicas = info.config.num_replicas;
        let state = bucket(&context, format!("{}-state", url.hub), Duration::ZERO, replicas);
        let leases = bucket(&context, format!("{}-leases", url.hub), LEASE, replicas);
        let (state, leases) = (state.await.map_err(failed)?, leases.await.map_err(failed)?);
        let blobs = objects(&context, format!("{}-blobs", url.hub), replicas);
        Ok(Self {
            blobs: blobs.await.map_err(failed)?,
            atomic: atomic && info.config.allow_atomic_publish,
            many_filters: client.is_server_compatible(2, 10, 0),
            hub: url.hub.clone(),
            wanted: stream::Config { num_replicas: replicas, ..wanted },
            turns,
            client,
            context,
            stream,
            state,
            leases,
            subjects,
        })
    }

    /// How long the servers remember keys, in milliseconds.
    pub(crate) fn key_window(&self) -> Millis {
        u64::try_from(self.wanted.duplicate_window.as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts the connections that there were.
    pub(crate) fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::SeqCst)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == ConnectionState::Connected
    }

    /// Makes the stream again, if somebody has removed it.
    pub(crate) async fn restore(&self) -> Result<(), String> {
        for (name, lease) in [("state", Duration::ZERO), ("leases", LEASE)] {
            bucket(&self.context, format!("{}-{name}", self.hub), lease, self.wanted.num_replicas)
                .await?;
        }
        objects(&self.context, format!("{}-blobs", self.hub), self.wanted.num_replicas).await?;
        for look in 0..LOOKS {
            match self.context.get_stream(&self.hub).await {
                Err(error) if is_absent(&error) => {}
                other => return other.map(drop).map_err(|error| in_full(&error)),
            }
            if look + 1 < LOOKS {
                tokio::time::sleep(REQUEST).await;
            }
        }
        tracing::warn!(stream = self.hub, "the stream is gone: making a new one");
        let mut wanted = self.wanted.clone();
        wanted.allow_atomic_publish = self.atomic;
        let made = self.context.get_or_create_stream(wanted).await;
        made.map(drop).map_err(|error| in_full(&error))
    }

    /// What the servers say of the stream now.
    pub(crate) async fn info(&self) -> Result<Info, String> {
        self.stream.get_info().await.map_err(|error| error.to_string())
    }

    /// A key of the state and its revision, as those who lead have it: what is read directly may come
    /// from a server that is behind.
    pub(crate) async fn value(&self, key: &str) -> Result<Option<(bytes::Bytes, u64)>, String> {
        let subject = format!("$KV.{}.{key}", self.state.name);
        let found = last_raw(&self.state.stream, &subject).await?;
        Ok(found.map(|message| (message.payload, message.sequence)))
    }

    /// The subjects of a stream that a wildcard stands for, as those who lead have it; of many, some.
    pub(crate) async fn subjects_of(&self, stream: &str, of: &str) -> Result<Vec<String>, String> {
        let ask = serde_json::json!({ "subjects_filter": of });
        let info = self.context.request(format!("STREAM.INFO.{stream}"), &ask).await;
        let info: serde_json::Value = info.map_err(|error| in_full(&error))?;
        if let Some(error) = info.get("error") {
            return Err(error.to_string());
        }
        let subjects = info["state"]["subjects"].as_object();
        Ok(subjects.map(|subjects| subjects.keys().cloned().collect()).unwrap_or_default())
    }

    /// The sequence of the last message that is in the stream still, of a subject or of all; 0 if
    /// there is none.
    pub(crate) async fn last_of(&self, subject: &str) -> Result<u64, String> {
        let found = last_raw(&self.stream, subject).await?;
        Ok(found.map_or(0, |message| message.sequence))
    }

    /// The next event from a sequence on, as those who lead have it, and its time.
    pub(crate) async fn next_event(&self, seq: u64) -> Result<Option<(Mark, Millis)>, String> {
        let all = self.subjects.all_events();
        let next = self.stream.raw_message_builder().sequence(seq).next_by_subject(all);
        let Some(message) = if_there(next.send().await)? else { return Ok(None) };
        let mark = Mark { seq: message.sequence, time: message.time.unix_timestamp_nanos() };
        Ok(Some((mark, message::time(&message.headers, mark.time))))
    }

    pub(crate) async fn last_message(&self) -> Result<u64, String> {
        self.last_of(">").await
    }

    /// Other limits, decided by this node for all.
    pub(crate) async fn limit(&self, retention: &Retention) -> Result<(), String> {
        let mut config = self.info().await?.config;
        limit(&mut config, retention);
        self.context.update_stream(config).await.map(drop).map_err(|error| error.to_string())
    }
}

/// The last message of a subject, as those who lead have it.
pub(crate) async fn last_raw<I>(
    stream: &Stream<I>,
    subject: &str,
) -> Result<Option<StreamMessage>, String> {
    if_there(stream.get_last_raw_message_by_subject(subject).await)
}

/// A message; `None` if there is none such.
pub(crate) fn if_there(
    found: Result<StreamMessage, LastRawMessageError>,
) -> Result<Option<StreamMessage>, String> {
    let error = match found {
        Ok(message) => return Ok(Some(message)),
        Err(error) => error,
    };
    match error.kind() {
        LastRawMessageErrorKind::NoMessageFound => Ok(None),
        LastRawMessageErrorKind::JetStream(inner)
            if inner.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
        {
            Ok(None)
        }
        _ => Err(in_full(&error)),
    }
}

/// Whether somebody else was faster; clusters have a code of their own for it.
pub(crate) fn is_conflict(error: &UpdateError) -> bool {
    let code = |source: &(dyn std::error::Error + 'static)| {
        source.to_string().contains("wrong last sequence")
    };
    error.kind() == UpdateErrorKind::WrongLastRevision
        || std::error::Error::source(error).is_some_and(code)
}

/// When a stream was made, as a name for it.
pub(crate) fn created(info: &Info) -> String {
    info.created.unix_timestamp_nanos().to_string()
}

async fn connect(url: &StoreUrl, turns: Arc<Notify>) -> Result<Client, OpenError> {
    let mut options = ConnectOptions::new()
        .name("eventwall")
        .connection_timeout(CONNECT)
        .request_timeout(Some(REQUEST))
        .ping_interval(PING)
        .subscription_capacity(WAITING)
        .event_callback(move |event| {
            if matches!(event, Event::Connected | Event::Disconnected) {
                turns.notify_one();
            }
            std::future::ready(())
        })
        .reconnect_delay_callback(|attempts| {
            let exponent = u32::try_from(attempts.min(6)).unwrap_or(6);
            let most = (20_u64 << exponent).min(1000);
            Duration::from_millis(rand::random_range(most / 2..=most))
        });
    options = match url.user.clone() {
        Some((user, Some(password))) => options.user_and_password(user, password),
        Some((token, None)) => options.token(token),
        None => options,
    };
    if let Some(file) = &url.creds {
        options = options
            .credentials(&read("creds", file)?)
            .map_err(|error| unusable("creds", file, &error))?;
    }
    if let Some(file) = &url.nkey {
        options = options.nkey(read("nkey", file)?.trim().to_owned());
    }
    if let Some(file) = &url.ca {
        read("ca", file)?;
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(cert), Some(key)) = (&url.cert, &url.key) {
        read("cert", cert)?;
        read("key", key)?;
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    let connecting = options.require_tls(url.tls).connect(url.servers.clone());
    let unreachable = |reason: String| {
        let advice = advice(&reason, url);
        OpenError::Unreachable { url: url.to_string(), reason, advice }
    };
    match tokio::time::timeout(2 * CONNECT, connecting).await {
        Ok(connected) => connected.map_err(|error| unreachable(in_full(&error))),
        Err(_) => Err(unreachable("it does not answer".into())),
    }
}

fn advice(reason: &str, url: &StoreUrl) -> &'static str {
    let of_login = ["authorization", "nkey", "nonce", "signing"];
    if of_login.iter().any(|word| reason.contains(word)) {
        return "check the user and password, creds= or nkey= in its address";
    }
    if url.tls || url.ca.is_some() {
        return "start it, or correct the address; if it does not speak TLS, use nats://";
    }
    "start it, or correct the address"
}

/// Asked in its own words: older servers leave out what newer clients expect in the answer.
async fn has_jetstream(client: &Client) -> Result<(), String> {
    let answer = client.request("$JS.API.INFO", bytes::Bytes::new()).await;
    let answer = answer.map_err(|error| in_full(&error))?;
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
    let refused = answer.get("error").and_then(|error| error.get("description"));
    refused.map_or(Ok(()), |why| Err(why.as_str().unwrap_or("it is refused").into()))
}

/// With what caused it.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let plain = |text: String| text.trim_start_matches("IO error: ").to_owned();
    let mut text = plain(error.to_string());
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = plain(inner.to_string());
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

fn read(option: &'static str, file: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(file).map_err(|error| unusable(option, file, &error))
}

fn unusable(option: &'static str, file: &Path, error: &std::io::Error) -> OpenError {
    OpenError::File { option, file: file.display().to_string(), reason: error.to_string() }
}
