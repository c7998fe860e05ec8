//! A medium in memory that knows what is synced, and makes the images that a loss of power
//! may leave: any subset of the unsynced writes, each whole or torn. It can also be told
//! to fail.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rand::{Rng, RngExt as _};

use crate::disk::{Medium, MediumFile};

/// Bytes that a disk writes in one piece.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub(super) struct ModelMedium {
    files: Mutex<BTreeMap<String, Arc<ModelFile>>>,
    /// Names as of the last folder sync.
    durable_names: Mutex<BTreeMap<String, Arc<ModelFile>>>,
    ills: Arc<Ills>,
}

/// What is wrong with the disk just now.
#[derive(Debug, Default)]
pub(super) struct Ills {
    full: AtomicBool,
    no_sync: AtomicBool,
    failed_syncs: AtomicUsize,
}

impl Ills {
    fn check_room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(super) struct ModelFile(Mutex<Content>, Arc<Ills>);

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Truncate(len) => bytes.truncate(*len),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ModelMedium {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What is on the disk after power was lost now.
    pub(super) fn crashed(&self, rng: &mut impl Rng) -> Arc<Self> {
        let mut names = lock(&self.durable_names).clone();
        let now = lock(&self.files).clone();
        // A removal that was not synced may be undone, each by itself.
        names.retain(|name, _| now.contains_key(name) || rng.random_bool(0.5));
        for (name, file) in lock(&self.files).iter() {
            if rng.random_bool(0.5) {
                names.insert(name.clone(), file.clone());
            }
        }
        Self::of(names.iter().map(|(name, file)| (name.clone(), file.crashed(rng))).collect())
    }

    /// What is on the disk if nothing that was not synced survives.
    pub(super) fn power_lost(&self) -> Arc<Self> {
        let synced = |file: &Arc<ModelFile>| {
            let now = lock(&file.0).synced.clone();
            Content { synced: now.clone(), now, unsynced: Vec::new() }
        };
        let names = lock(&self.durable_names);
        Self::of(names.iter().map(|(name, file)| (name.clone(), synced(file))).collect())
    }

    /// An exact copy, as `cp -a` of a stopped server's directory makes.
    pub(super) fn copied(&self) -> Arc<Self> {
        let copy = |file: &Arc<ModelFile>| {
            let now = lock(&file.0).now.clone();
            Content { synced: now.clone(), now, unsynced: Vec::new() }
        };
        Self::of(lock(&self.files).iter().map(|(name, file)| (name.clone(), copy(file))).collect())
    }

    /// A healthy disk with these contents.
    fn of(contents: BTreeMap<String, Content>) -> Arc<Self> {
        let ills = Arc::<Ills>::default();
        let file = |content| Arc::new(ModelFile(Mutex::new(content), ills.clone()));
        let files: BTreeMap<_, _> =
            contents.into_iter().map(|(name, content)| (name, file(content))).collect();
        let durable_names = Mutex::new(files.clone());
        Arc::new(Self { durable_names, files: Mutex::new(files), ills })
    }

    /// How often a sync was tried in vain.
    pub(super) fn failed_syncs(&self) -> usize {
        self.ills.failed_syncs.load(Ordering::SeqCst)
    }

    /// Syncs of files fail from now on, and what they were to make durable may be lost.
    pub(super) fn fail_syncs(&self) {
        self.ills.no_sync.store(true, Ordering::SeqCst);
    }

    /// Nothing can be written any more.
    pub(super) fn fill(&self) {
        self.ills.full.store(true, Ordering::SeqCst);
    }

    /// All is well again.
    pub(super) fn mend(&self) {
        self.ills.full.store(false, Ordering::SeqCst);
        self.ills.no_sync.store(false, Ordering::SeqCst);
    }

    /// Changes a file's bytes behind the log's back.
    pub(super) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let files = lock(&self.files);
        let mut content = lock(&files[name].0);
        change(&mut content.now);
        content.synced = content.now.clone();
    }

    pub(super) fn segments(&self) -> Vec<String> {
        lock(&self.files).keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }

    pub(super) fn bytes_of(&self, name: &str) -> Vec<u8> {
        lock(&lock(&self.files)[name].0).now.clone()
    }
}

impl ModelFile {
    fn crashed(&self, rng: &mut impl Rng) -> Content {
        let content = lock(&self.0);
        let mut bytes = content.synced.clone();
        for change in &content.unsynced {
            match change {
                Change::Write(at, new) => {
                    // Sectors of a write may arrive in any selection.
                    for (i, sector) in new.chunks(SECTOR).enumerate() {
                        if rng.random_bool(0.6) {
                            Change::Write(at + i * SECTOR, sector.to_vec()).apply(&mut bytes);
                        }
                    }
                }
                Change::Truncate(_) if rng.random_bool(0.5) => change.apply(&mut bytes),
                Change::Truncate(_) => {}
            }
        }
        Content { now: bytes.clone(), synced: bytes, unsynced: Vec::new() }
    }
}

impl Medium for ModelMedium {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside =
            |name: &String| name.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(lock(&self.files).keys().filter_map(inside).collect())
    }

    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.files).get(name).map(|file| lock(&file.0).now.clone()))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.ills.check_room()?;
        let (now, synced) = (content.to_vec(), content.to_vec());
        let content = Content { now, synced, unsynced: Vec::new() };
        let file = Arc::new(ModelFile(Mutex::new(content), self.ills.clone()));
        lock(&self.files).insert(name.into(), file.clone());
        lock(&self.durable_names).insert(name.into(), file);
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.ills.check_room()?;
        let file = Arc::new(ModelFile(Mutex::default(), self.ills.clone()));
        lock(&self.files).insert(name.into(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = lock(&self.files).get(name).cloned();
        file.map(|file| file as _).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _folder: &str) -> io::Result<()> {
        *lock(&self.durable_names) = lock(&self.files).clone();
        Ok(())
    }
}

impl MediumFile for ModelFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.now.len());
        let n = buffer.len().min(content.now.len() - from);
        buffer[..n].copy_from_slice(&content.now[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let change = Change::Write(usize::try_from(offset).unwrap_or(usize::MAX), bytes.to_vec());
        self.1.check_room()?;
        let mut content = lock(&self.0);
        change.apply(&mut content.now);
        content.unsynced.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = lock(&self.0);
        if self.1.no_sync.load(Ordering::SeqCst) {
            self.1.failed_syncs.fetch_add(1, Ordering::SeqCst);
            // The system takes the pages for clean: a later sync would not write them.
            content.unsynced.retain(|change| matches!(change, Change::Truncate(_)));
            return Err(io::Error::other("the disk said no"));
        }
        let (mut synced, unsynced) =
            (std::mem::take(&mut content.synced), std::mem::take(&mut content.unsynced));
        unsynced.iter().for_each(|change| change.apply(&mut synced));
        content.synced = synced;
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let change = Change::Truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let mut content = lock(&self.0);
        change.apply(&mut content.now);
        content.unsynced.push(change);
        Ok(())
    }
}
