//! The connection to the cluster, and what is kept there: one stream, two buckets of keys and one of
//! objects. Makes them, or checks that they are what is needed, and says plainly what is not.

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
        object_store::{self, ObjectStore},
        stream::{
            self, DiscardPolicy, Info, LastRawMessageErrorKind, RetentionPolicy, StorageType,
            Stream,
        },
    },
};
use eventwall_log::{Millis, Retention};
use tokio::sync::Notify;

use crate::{
    config::{JetStreamConfig, StoreUrl},
    message,
    runs::Mark,
    subject::Subjects,
};

/// For requests about the stream, such as making a consumer.
pub(crate) const REQUEST: Duration = Duration::from_secs(3);
/// A publish that was not acknowledged by then has an unknown outcome.
pub(crate) const ACKNOWLEDGE: Duration = Duration::from_secs(5);
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
    #[error("cannot reach NATS at {url}: {reason}; start it, or correct --store")]
    Unreachable {
        /// Where.
        url: String,
        /// In the client's words.
        reason: String,
    },
    /// A file that the store's address names.
    #[error("cannot use {file}: {reason}")]
    File {
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
        let info = ensure_stream(&context, &wanted, url).await?;
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

    /// Counts the connections that there were.
    pub(crate) fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::SeqCst)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == ConnectionState::Connected
    }

    /// Makes the stream again, if somebody has removed it.
    pub(crate) async fn restore(&self) -> Result<(), String> {
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
        for (name, lease) in [("state", Duration::ZERO), ("leases", LEASE)] {
            bucket(&self.context, format!("{}-{name}", self.hub), lease, self.wanted.num_replicas)
                .await?;
        }
        objects(&self.context, format!("{}-blobs", self.hub), self.wanted.num_replicas).await?;
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
        let message =
            match self.stream.raw_message_builder().sequence(seq).next_by_subject(all).send().await
            {
                Ok(message) => message,
                Err(error) => match error.kind() {
                    LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                    LastRawMessageErrorKind::JetStream(inner)
                        if inner.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                    {
                        return Ok(None);
                    }
                    _ => return Err(in_full(&error)),
                },
            };
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
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(inner)
                if inner.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
            {
                Ok(None)
            }
            _ => Err(in_full(&error)),
        },
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
        .subscription_capacity(65_536)
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
        options = options.credentials(&read(file)?).map_err(|error| unusable(file, &error))?;
    }
    if let Some(file) = &url.nkey {
        options = options.nkey(read(file)?.trim().to_owned());
    }
    if let Some(file) = &url.ca {
        read(file)?;
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(cert), Some(key)) = (&url.cert, &url.key) {
        read(cert)?;
        read(key)?;
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    let connecting = options.require_tls(url.tls).connect(url.servers.clone());
    let unreachable = |reason: String| OpenError::Unreachable { url: url.to_string(), reason };
    match tokio::time::timeout(2 * CONNECT, connecting).await {
        Ok(connected) => connected.map_err(|error| unreachable(in_full(&error))),
        Err(_) => Err(unreachable("it does not answer".into())),
    }
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

fn read(file: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &std::io::Error) -> OpenError {
    OpenError::File { file: file.display().to_string(), reason: error.to_string() }
}

/// The stream that a hub of these settings needs.
fn wanted(
    config: &JetStreamConfig,
    subjects: &Subjects,
    atomic: bool,
) -> Result<stream::Config, OpenError> {
    let mut wanted = stream::Config {
        name: config.url.hub.clone(),
        description: Some("The events of an Eventwall hub".into()),
        subjects: vec![subjects.all_events(), subjects.erasures.clone()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: config.url.replicas.unwrap_or(1),
        max_consumers: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        duplicate_window: Duration::from_millis(config.idempotency_window),
        allow_direct: true,
        allow_atomic_publish: atomic,
        ..stream::Config::default()
    };
    limit(&mut wanted, &config.retention);
    if !wanted.max_age.is_zero() && wanted.duplicate_window > wanted.max_age {
        return Err(OpenError::Mismatch(format!(
            "NATS remembers a key no longer than its event: lower --idempotency-window to at most {} s, the longest --max-age",
            wanted.max_age.as_secs()
        )));
    }
    Ok(wanted)
}

/// What the servers themselves may remove: what is over the limits of every topic.
fn limit(config: &mut stream::Config, retention: &Retention) {
    config.max_bytes = i64::try_from(retention.max_bytes).unwrap_or(i64::MAX);
    let of_rules = retention.rules.iter().filter_map(|rule| rule.max_age);
    let ages: Vec<Option<u64>> = of_rules.chain([retention.limits.max_age]).collect();
    let longest = ages.iter().all(Option::is_some).then(|| ages.iter().flatten().max());
    config.max_age = longest.flatten().map_or(Duration::ZERO, |age| Duration::from_millis(*age));
}

async fn ensure_stream(
    context: &Context,
    wanted: &stream::Config,
    url: &StoreUrl,
) -> Result<Info, OpenError> {
    let failed = |reason: String| OpenError::Failed { url: url.to_string(), reason };
    let there = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(error) if is_absent(&error) => {
            tracing::info!(
                stream = wanted.name,
                replicas = wanted.num_replicas,
                "making the stream"
            );
            // Another node may be making it in this moment.
            let made = context.get_or_create_stream(wanted.clone()).await;
            made.map_err(|error| failed(in_full(&error)))?.cached_info().clone()
        }
        Err(error) => return Err(failed(in_full(&error))),
    };
    let unfit = unfit(&there.config, wanted);
    if let Some(unfit) = unfit {
        let name = &wanted.name;
        return Err(OpenError::Mismatch(format!(
            "the stream {name} at {url} cannot hold a hub's log: {unfit}; name another hub in --store, as in nats://HOST/NAME"
        )));
    }
    let differs = differs(&there.config, wanted);
    if differs.is_empty() {
        if !wanted.allow_atomic_publish || there.config.allow_atomic_publish {
            return Ok(there);
        }
        // The servers are newer than those that the stream was made with.
        let config = stream::Config { allow_atomic_publish: true, ..there.config };
        let changed = context.update_stream(config).await;
        return changed.map_err(|error| failed(in_full(&error)));
    }
    if !url.update {
        return Err(OpenError::Mismatch(format!(
            "the hub {} keeps other limits than this node: {}; start it with the same settings as the other nodes, or add ?update=true to --store to change the hub's",
            wanted.name,
            differs.join(", ")
        )));
    }
    let mut config = there.config.clone();
    (config.max_bytes, config.max_age) = (wanted.max_bytes, wanted.max_age);
    config.duplicate_window = wanted.duplicate_window;
    config.allow_atomic_publish = wanted.allow_atomic_publish;
    if url.replicas.is_some() {
        config.num_replicas = wanted.num_replicas;
    }
    tracing::warn!(changed = differs.join(", "), "changing the hub's limits to this node's");
    let changed = context.update_stream(config).await;
    changed.map_err(|error| failed(in_full(&error)))
}

fn is_absent(error: &jetstream::context::GetStreamError) -> bool {
    use async_nats::jetstream::context::GetStreamErrorKind;
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// What of a stream no hub can live with.
fn unfit(there: &stream::Config, wanted: &stream::Config) -> Option<String> {
    let mut subjects = there.subjects.clone();
    subjects.sort();
    let mut needed = wanted.subjects.clone();
    needed.sort();
    if subjects != needed {
        return Some(format!("it is of the subjects {}", subjects.join(", ")));
    }
    let reasons = [
        (there.retention != RetentionPolicy::Limits, "its messages go when they are consumed"),
        (there.discard != DiscardPolicy::Old, "it refuses new messages when it is full"),
        (there.sealed, "it is sealed"),
        (there.no_ack, "it acknowledges nothing"),
        (there.deny_delete || there.deny_purge, "it denies that messages are removed"),
        (there.mirror.is_some() || there.sources.is_some(), "it is a copy of another stream"),
        (!there.allow_direct, "it does not allow direct reads"),
        (there.max_messages_per_subject > 0, "it limits the messages of each subject"),
        (there.max_messages > 0, "it limits the number of messages"),
    ];
    reasons.into_iter().find(|(so, _)| *so).map(|(_, reason)| reason.into())
}

/// Which limits are others, in words.
fn differs(there: &stream::Config, wanted: &stream::Config) -> Vec<String> {
    let mut differs = Vec::new();
    let mut compare = |what: &str, there: String, wanted: String| {
        if there != wanted {
            differs.push(format!("{what} is {there} there and {wanted} here"));
        }
    };
    let bytes = |config: &stream::Config| config.max_bytes.to_string();
    compare("max_bytes", bytes(there), bytes(wanted));
    let age = |age: Duration| if age.is_zero() { "none".into() } else { format!("{age:?}") };
    compare("max_age", age(there.max_age), age(wanted.max_age));
    let window = |config: &stream::Config| format!("{:?}", config.duplicate_window);
    compare("idempotency_window", window(there), window(wanted));
    differs
}

async fn bucket(
    context: &Context,
    bucket: String,
    max_age: Duration,
    num_replicas: usize,
) -> Result<Store, String> {
    if let Ok(store) = context.get_key_value(&bucket).await {
        return Ok(store);
    }
    let made = context.get_or_create_stream(bucket_stream(&bucket, max_age, num_replicas)).await;
    made.map_err(|error| in_full(&error))?;
    context.get_key_value(&bucket).await.map_err(|error| in_full(&error))
}

/// A bucket of keys as the stream that it is (NATS ADR-8): the client's own function for it asks first
/// what servers before 2.11 do not answer.
fn bucket_stream(bucket: &str, max_age: Duration, num_replicas: usize) -> stream::Config {
    stream::Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_consumers: -1,
        max_age,
        num_replicas,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..stream::Config::default()
    }
}

async fn objects(
    context: &Context,
    bucket: String,
    num_replicas: usize,
) -> Result<ObjectStore, String> {
    if let Ok(store) = context.get_object_store(&bucket).await {
        return Ok(store);
    }
    let config =
        object_store::Config { bucket: bucket.clone(), num_replicas, ..Default::default() };
    match context.create_object_store(config).await {
        Ok(store) => Ok(store),
        Err(error) => context.get_object_store(&bucket).await.map_err(|_| in_full(&error)),
    }
}
