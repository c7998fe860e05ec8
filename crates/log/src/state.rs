//! The State store: the few small values that must outlive retention (epochs, keys,
//! watermarks, settings), with compare-and-set. It is no place for events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_core::future::BoxFuture;

use crate::disk::Medium;

/// A stored value and its revision, which grows with each put.
pub type Versioned = (Vec<u8>, u64);

/// A small durable map with compare-and-set.
pub trait State: std::fmt::Debug + Send + Sync {
    /// The value of `key` and its revision, if there is one.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Versioned>, StateError>>;

    /// Stores `value` if the key's revision is `expected` (0: the key is absent), and
    /// answers the new revision. On `Ok` the value is durable.
    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: u64,
    ) -> BoxFuture<'_, Result<u64, StateError>>;
}

/// Why a state operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Somebody else changed the key: read it again.
    #[error("the value was changed in the meantime (its revision is {0})")]
    Conflict(u64),
    /// The stored bytes are not what was written.
    #[error("{0} is damaged: restore it from a backup or remove it")]
    Damaged(String),
    /// The system refused.
    #[error("{0}")]
    Io(String),
}

/// State that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<HashMap<String, Versioned>>);

impl State for MemoryState {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Versioned>, StateError>> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        Box::pin(async { Ok(value) })
    }

    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: u64,
    ) -> BoxFuture<'_, Result<u64, StateError>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = map.get(key).map_or(0, |(_, revision)| *revision);
        let result = if revision == expected {
            map.insert(key.to_owned(), (value, revision + 1));
            Ok(revision + 1)
        } else {
            Err(StateError::Conflict(revision))
        };
        Box::pin(async { result })
    }
}

/// State in files of the data directory, one a key, each replaced as a whole.
#[derive(Debug, Clone)]
pub struct FileState {
    medium: Arc<dyn Medium>,
    /// Makes get-compare-put one step.
    lock: Arc<Mutex<()>>,
}

const MAGIC: &[u8; 8] = b"EWSTATE1";
const HEADER: usize = 8 + 8 + 4;

impl FileState {
    /// State on `medium`, in its folder `state`.
    pub fn new(medium: Arc<dyn Medium>) -> Self {
        Self { medium, lock: Arc::default() }
    }

    pub(crate) fn get_now(&self, key: &str) -> Result<Option<Versioned>, StateError> {
        let name = file_of(key)?;
        let Some(bytes) = self.medium.load(&name).map_err(|e| StateError::Io(e.to_string()))?
        else {
            return Ok(None);
        };
        decode(&bytes).map(Some).ok_or(StateError::Damaged(name))
    }

    pub(crate) fn put_now(
        &self,
        key: &str,
        value: &[u8],
        expected: u64,
    ) -> Result<u64, StateError> {
        let _one_at_a_time = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = self.get_now(key)?.map_or(0, |(_, revision)| revision);
        if revision != expected {
            return Err(StateError::Conflict(revision));
        }
        let bytes = encode(value, revision + 1);
        self.medium.replace(&file_of(key)?, &bytes).map_err(|e| StateError::Io(e.to_string()))?;
        Ok(revision + 1)
    }
}

impl State for FileState {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Versioned>, StateError>> {
        let (state, key) = (self.clone(), key.to_owned());
        Box::pin(blocking(move || state.get_now(&key)))
    }

    fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: u64,
    ) -> BoxFuture<'_, Result<u64, StateError>> {
        let (state, key) = (self.clone(), key.to_owned());
        Box::pin(blocking(move || state.put_now(&key, &value, expected)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(StateError::Io(e.to_string())))
}

/// Keys become file names, so only plain ones are allowed.
fn file_of(key: &str) -> Result<String, StateError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if key.is_empty() || key.len() > 64 || !key.bytes().all(plain) {
        return Err(StateError::Io(format!("{key:?} is no legal state key")));
    }
    Ok(format!("state/{key}"))
}

fn encode(value: &[u8], revision: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(revision.to_le_bytes());
    bytes.extend(checksum(revision, value).to_le_bytes());
    bytes.extend(value);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Versioned> {
    let (header, value) = bytes.split_at_checked(HEADER)?;
    let revision = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let sum = u32::from_le_bytes(header[16..20].try_into().ok()?);
    (header[..8] == *MAGIC && sum == checksum(revision, value)).then(|| (value.to_vec(), revision))
}

fn checksum(revision: u64, value: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&revision.to_le_bytes());
    sum.update(value);
    sum.finalize()
}
