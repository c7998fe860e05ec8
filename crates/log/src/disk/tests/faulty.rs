//! A medium of which single operations fail, as long as a test wants them to.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::disk::{Medium, MediumFile};
use crate::simulator::CrashMedium;

#[derive(Debug, Default)]
pub(super) struct Ills {
    /// A file can be created, but there is no room for its first bytes.
    pub(super) no_new_files: AtomicBool,
    pub(super) no_folder_sync: AtomicBool,
    pub(super) no_removal: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: Arc<CrashMedium>,
    pub(super) ill: Arc<Ills>,
}

#[derive(Debug)]
struct FaultyFile(Arc<dyn MediumFile>, Arc<Ills>);

impl Faulty {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { inner: CrashMedium::new(), ill: Arc::default() })
    }
}

impl Medium for Faulty {
    fn list(&self, f: &str) -> io::Result<Vec<String>> {
        self.inner.list(f)
    }

    fn load(&self, n: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.load(n)
    }

    fn replace(&self, n: &str, c: &[u8]) -> io::Result<()> {
        if n == "state/erased" && self.ill.no_folder_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("erased"));
        }
        self.inner.replace(n, c)
    }

    fn create(&self, n: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(FaultyFile(self.inner.create(n)?, self.ill.clone())))
    }

    fn open(&self, n: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.inner.open(n)
    }

    fn rename(&self, a: &str, b: &str) -> io::Result<()> {
        self.inner.rename(a, b)
    }

    fn remove(&self, n: &str) -> io::Result<()> {
        if self.ill.no_removal.load(Ordering::SeqCst) && n.ends_with(".seg") {
            return Err(io::Error::other("remove"));
        }
        self.inner.remove(n)
    }

    fn sync_folder(&self, f: &str) -> io::Result<()> {
        if self.ill.no_folder_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("sync_folder"));
        }
        self.inner.sync_folder(f)
    }
}

impl MediumFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, b: &mut [u8], o: u64) -> io::Result<usize> {
        self.0.read_at(b, o)
    }

    fn write_at(&self, b: &[u8], o: u64) -> io::Result<()> {
        if o == 0 && self.1.no_new_files.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_at(b, o)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&self, l: u64) -> io::Result<()> {
        self.0.truncate(l)
    }
}
