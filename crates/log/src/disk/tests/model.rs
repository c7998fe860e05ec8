//! A medium in memory that knows what is synced, and makes the images that a loss of power
//! may leave: any subset of the unsynced writes, each whole or torn. It can also be told
//! to fail.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
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
}

#[derive(Debug, Default)]
pub(super) struct ModelFile(Mutex<Content>);

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    fail_sync: bool,
    failed_syncs: usize,
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
        let files: BTreeMap<_, _> =
            names.iter().map(|(name, file)| (name.clone(), file.crashed(rng))).collect();
        Arc::new(Self { durable_names: Mutex::new(files.clone()), files: Mutex::new(files) })
    }

    /// What is on the disk if nothing that was not synced survives.
    pub(super) fn power_lost(&self) -> Arc<Self> {
        let synced = |file: &Arc<ModelFile>| {
            let now = lock(&file.0).synced.clone();
            Arc::new(ModelFile(Mutex::new(Content {
                synced: now.clone(),
                now,
                ..Content::default()
            })))
        };
        let names = lock(&self.durable_names);
        let files: BTreeMap<_, _> =
            names.iter().map(|(name, file)| (name.clone(), synced(file))).collect();
        Arc::new(Self { durable_names: Mutex::new(files.clone()), files: Mutex::new(files) })
    }

    /// An exact copy, as `cp -a` of a stopped server's directory makes.
    pub(super) fn copied(&self) -> Arc<Self> {
        let copy = |file: &Arc<ModelFile>| {
            let now = lock(&file.0).now.clone();
            Arc::new(ModelFile(Mutex::new(Content {
                synced: now.clone(),
                now,
                ..Content::default()
            })))
        };
        let files: BTreeMap<_, _> =
            lock(&self.files).iter().map(|(name, file)| (name.clone(), copy(file))).collect();
        Arc::new(Self { durable_names: Mutex::new(files.clone()), files: Mutex::new(files) })
    }

    /// How often a sync was tried in vain.
    pub(super) fn failed_syncs(&self) -> usize {
        lock(&self.files).values().map(|file| lock(&file.0).failed_syncs).sum()
    }

    pub(super) fn fail_syncs(&self) {
        for file in lock(&self.files).values() {
            lock(&file.0).fail_sync = true;
        }
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
    fn crashed(&self, rng: &mut impl Rng) -> Arc<Self> {
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
        let now = bytes.clone();
        Arc::new(Self(Mutex::new(Content { now, synced: bytes, ..Content::default() })))
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
        let (now, synced) = (content.to_vec(), content.to_vec());
        let file = Arc::new(ModelFile(Mutex::new(Content { now, synced, ..Content::default() })));
        lock(&self.files).insert(name.into(), file.clone());
        lock(&self.durable_names).insert(name.into(), file);
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = Arc::new(ModelFile::default());
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
        let mut content = lock(&self.0);
        change.apply(&mut content.now);
        content.unsynced.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = lock(&self.0);
        if content.fail_sync {
            content.failed_syncs += 1;
            return Err(io::Error::other("the disk said no"));
        }
        content.synced = content.now.clone();
        content.unsynced.clear();
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
