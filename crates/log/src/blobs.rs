//! The Blobs store: large values by name, such as what somebody uploaded. A value is put whole, and
//! seen whole or not at all. It is no place for events.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use futures_core::future::BoxFuture;

/// Large durable values by name.
pub trait Blobs: std::fmt::Debug + Send + Sync {
    /// The value of a name, if there is one, of at most so many bytes.
    fn get(&self, name: &str, max: usize) -> BoxFuture<'_, Result<Option<Vec<u8>>, BlobError>>;

    /// Puts a value in the place of whatever had the name. On `Ok` it is durable.
    fn put(&self, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Removes a value; one that is not there is no error.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>>;
}

/// Why it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Larger than whoever asked for it can take.
    #[error("it has {bytes} bytes, and at most {max} are taken")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// No such name can be.
    #[error("{0:?} cannot name a blob: use letters, digits, `-` and `_`")]
    Name(String),
    /// The system refused.
    #[error("{0}")]
    Io(String),
}

/// Blobs that are gone with the process.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<HashMap<String, Vec<u8>>>);

/// Blobs in a folder, a file each.
#[derive(Debug, Clone)]
pub struct FileBlobs(PathBuf);

fn check(bytes: usize, max: usize) -> Result<(), BlobError> {
    if bytes > max { Err(BlobError::TooLarge { bytes, max }) } else { Ok(()) }
}

impl Blobs for MemoryBlobs {
    fn get(&self, name: &str, max: usize) -> BoxFuture<'_, Result<Option<Vec<u8>>, BlobError>> {
        let blobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = blobs.get(name).map(|blob| check(blob.len(), max).map(|()| blob.clone()));
        let found = found.transpose();
        Box::pin(async { found })
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), BlobError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes);
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Box::pin(async { Ok(()) })
    }
}

impl FileBlobs {
    /// In a folder, which is made.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, BlobError> {
        fs::create_dir_all(folder).map_err(|error| io_error(&error))?;
        Ok(Self(folder.into()))
    }

    fn path(&self, name: &str) -> Result<PathBuf, BlobError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            return Err(BlobError::Name(name.into()));
        }
        Ok(self.0.join(name))
    }

    fn get_now(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(name)?;
        let size = match fs::metadata(&path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&error)),
        };
        check(usize::try_from(size).unwrap_or(usize::MAX), max)?;
        fs::read(path).map(Some).map_err(|error| io_error(&error))
    }

    fn put_now(&self, name: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let path = self.path(name)?;
        // Not a legal name, so that it is never taken for a blob.
        let new = path.with_extension("new");
        let written = fs::write(&new, bytes)
            .and_then(|()| fs::File::open(&new)?.sync_all())
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| fs::File::open(&self.0)?.sync_all());
        written.map_err(|error| io_error(&error))
    }

    fn remove_now(&self, name: &str) -> Result<(), BlobError> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&error)),
            _ => Ok(()),
        }
    }
}

fn io_error(error: &io::Error) -> BlobError {
    BlobError::Io(error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BlobError::Io(error.to_string())))
}

impl Blobs for FileBlobs {
    fn get(&self, name: &str, max: usize) -> BoxFuture<'_, Result<Option<Vec<u8>>, BlobError>> {
        let (blobs, name) = (self.clone(), name.to_owned());
        Box::pin(blocking(move || blobs.get_now(&name, max)))
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), BlobError>> {
        let (blobs, name) = (self.clone(), name.to_owned());
        Box::pin(blocking(move || blobs.put_now(&name, &bytes)))
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        let (blobs, name) = (self.clone(), name.to_owned());
        Box::pin(blocking(move || blobs.remove_now(&name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::open(folder.path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "a.new", "a\0b"] {
            assert_eq!(blobs.put_now(name, b"x"), Err(BlobError::Name(name.into())));
        }
    }
}
