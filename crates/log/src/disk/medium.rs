//! The little that the log asks of a file system, so that tests can stand in for one and
//! replay every crash that it is allowed to make.

use std::{fmt, io, sync::Arc};

/// A folder of files. Names are relative and use `/`.
///
/// What is assumed of it: after [`MediumFile::sync`] returns, every earlier write of that file
/// survives a crash; writes that are not synced may survive in any order, in part, or
/// not at all; a created or removed name is durable after [`Medium::sync_folder`].
pub trait Medium: fmt::Debug + Send + Sync {
    /// The names of the files in `folder`, without it; empty if there is no such folder.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// The whole content of a file; `None` if there is none.
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces a file as a whole: after a crash it is the old one or the new one, and once
    /// this returns, the new one.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;

    /// Creates a file, empty even if it was there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Gives a file another name, in place of a file that had it: after a crash either both are
    /// as before or both as after, once [`Medium::sync_folder`] returned the latter.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Those who have it open may go on reading.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes created and removed names in `folder` durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
}

/// A file that is open for reading and writing.
pub trait MediumFile: fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset` on as far as the file goes, and says how far.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes every earlier write durable.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}
