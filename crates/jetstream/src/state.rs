//! The [`State`] of a hub: a bucket of keys in the cluster.

use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use eventwall_log::{State, StateError, Versioned};
use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;

use crate::nats::{in_full, is_conflict, last_raw};

/// What outlives retention, shared by all nodes of a hub. Values are as large as a message may be,
/// 1 MiB unless the servers are told otherwise.
#[derive(Debug, Clone)]
pub struct JetStreamState(pub(crate) Store);

impl JetStreamState {
    /// The keys that have a value.
    ///
    /// # Errors
    /// If the servers do not answer.
    pub async fn keys(&self) -> Result<Vec<String>, String> {
        let mut keys = self.0.keys().await.map_err(|error| in_full(&error))?;
        let mut found = std::collections::BTreeSet::new();
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| error.to_string())?;
            found.extend(key.strip_prefix("state.").map(str::to_owned));
        }
        Ok(found.into_iter().collect())
    }
}

/// Apart from what the log itself keeps there.
fn key_of(key: &str) -> Result<String, StateError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if key.is_empty() || key.len() > 64 || !key.bytes().all(plain) {
        return Err(StateError::Io(format!("{key:?} is no legal state key")));
    }
    Ok(format!("state.{key}"))
}

impl State for JetStreamState {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Versioned>, StateError>> {
        let key = key_of(key);
        Box::pin(async move {
            // Not directly: that may come from a server that is behind.
            let subject = format!("$KV.{}.{}", self.0.name, key?);
            let found = last_raw(&self.0.stream, &subject).await.map_err(StateError::Io)?;
            Ok(found.map(|message| (message.payload.to_vec(), message.sequence)))
        })
    }

    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: u64,
    ) -> BoxFuture<'_, Result<u64, StateError>> {
        let key = key_of(key);
        Box::pin(async move {
            let key = key?;
            match self.0.update(&key, Bytes::from(value), expected).await {
                Ok(revision) => Ok(revision),
                Err(error) if is_conflict(&error) => {
                    let subject = format!("$KV.{}.{key}", self.0.name);
                    let now = last_raw(&self.0.stream, &subject).await.map_err(StateError::Io)?;
                    Err(StateError::Conflict(now.map_or(0, |message| message.sequence)))
                }
                Err(error) => Err(StateError::Io(in_full(&error))),
            }
        })
    }
}
