//! The stream and the buckets of a hub: made if they are not there, checked if they are. It says plainly
//! what does not fit, and changes nothing that was not asked for.

use std::time::Duration;

use async_nats::jetstream::{
    self, Context, ErrorCode,
    kv::Store,
    object_store::{self, ObjectStore},
    stream::{self, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use eventwall_log::Retention;

use crate::{
    config::{JetStreamConfig, StoreUrl},
    nats::{OpenError, in_full, last_raw},
    subject::Subjects,
};

/// How often it is asked whether a stream has a leader, beside what each question may take.
const LED_TRIES: u32 = 10;
const LED_AGAIN: Duration = Duration::from_millis(200);

/// The stream that a hub of these settings needs.
pub(crate) fn wanted(
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
pub(crate) fn limit(config: &mut stream::Config, retention: &Retention) {
    config.max_bytes = i64::try_from(retention.max_bytes).unwrap_or(i64::MAX);
    let of_rules = retention.rules.iter().filter_map(|rule| rule.max_age);
    let ages: Vec<Option<u64>> = of_rules.chain([retention.limits.max_age]).collect();
    let longest = ages.iter().all(Option::is_some).then(|| ages.iter().flatten().max());
    config.max_age = longest.flatten().map_or(Duration::ZERO, |age| Duration::from_millis(*age));
}

pub(crate) async fn ensure_stream(
    context: &Context,
    wanted: &stream::Config,
    config: &JetStreamConfig,
) -> Result<Info, OpenError> {
    let url = &config.url;
    let failed = |reason: String| OpenError::Failed { url: url.to_string(), reason };
    let there = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(error) if is_absent(&error) && !config.make => {
            return Err(OpenError::Mismatch(format!("there is no hub {} at {url}", wanted.name)));
        }
        Err(error) if is_absent(&error) => {
            tracing::info!(
                stream = wanted.name,
                replicas = wanted.num_replicas,
                "making the stream"
            );
            // Another node may be making it in this moment.
            let made = context.get_or_create_stream(wanted.clone()).await;
            let made =
                made.map_err(|error| not_made(&in_full(&error), wanted.num_replicas, url))?;
            made.cached_info().clone()
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
    let differs = differs(&there.config, wanted, url);
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
    let changed = changed.map_err(|error| not_made(&in_full(&error), wanted.num_replicas, url))?;
    if url.replicas.is_some() {
        for beside in ["KV_{}-state", "KV_{}-leases", "OBJ_{}-blobs"] {
            let name = beside.replace("{}", &wanted.name);
            let Ok(stream) = context.get_stream(&name).await else { continue };
            let mut config = stream.cached_info().config.clone();
            config.num_replicas = wanted.num_replicas;
            context.update_stream(config).await.map_err(|error| failed(in_full(&error)))?;
            led(context, &name).await.map_err(failed)?;
        }
        led(context, &wanted.name).await.map_err(failed)?;
    }
    Ok(changed)
}

/// Waits until a stream is led by somebody again: with more replicas, it is chosen anew.
async fn led(context: &Context, name: &str) -> Result<(), String> {
    let stream = context.get_stream_no_info(name).await.map_err(|error| in_full(&error))?;
    let mut tries = 0;
    loop {
        // Only who leads answers this.
        match last_raw(&stream, ">").await {
            Ok(_) => return Ok(()),
            Err(why) if tries == LED_TRIES => return Err(why),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(LED_AGAIN).await;
    }
}

/// The commonest reason in words that help.
fn not_made(reason: &str, replicas: usize, url: &StoreUrl) -> OpenError {
    let few = ["error code 10074", "error code 10005"].iter().any(|code| reason.contains(code));
    if few {
        let reason = format!(
            "it has fewer than {replicas} servers that are ready, which ?replicas={replicas} needs: start more, wait for them, or ask for fewer"
        );
        return OpenError::Failed { url: url.to_string(), reason };
    }
    OpenError::Failed { url: url.to_string(), reason: reason.into() }
}

pub(crate) fn is_absent(error: &jetstream::context::GetStreamError) -> bool {
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
fn differs(there: &stream::Config, wanted: &stream::Config, url: &StoreUrl) -> Vec<String> {
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
    if url.replicas.is_some() {
        let replicas = |config: &stream::Config| config.num_replicas.to_string();
        compare("replicas", replicas(there), replicas(wanted));
    }
    differs
}

pub(crate) async fn bucket(
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

pub(crate) async fn objects(
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
