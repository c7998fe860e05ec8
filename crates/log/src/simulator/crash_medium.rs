//! A medium in memory that knows what is synced, and makes the images that a loss of power
//! may leave: any subset of the unsynced writes, each whole or torn, and of the changed names. It can
//! be watched at every step, and told to fail.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rand::{Rng, RngExt as _};

use super::choices::explore;
use crate::disk::{Medium, MediumFile};

/// Bytes that a disk writes in one piece.
const SECTOR: usize = 512;

/// Sees each step that changes something, just before it and just after.
type Watcher = Box<dyn FnMut(&str, &CrashMedium) + Send>;

/// A disk of which every write may be lost until it is synced.
pub struct CrashMedium {
    files: Mutex<BTreeMap<String, Arc<CrashFile>>>,
    /// Names as of the last folder sync.
    durable_names: Mutex<BTreeMap<String, Arc<CrashFile>>>,
    ills: Ills,
    watcher: Mutex<Option<Watcher>>,
    this: Weak<CrashMedium>,
}

impl std::fmt::Debug for CrashMedium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = lock(&self.files).keys().cloned().collect();
        f.debug_struct("CrashMedium").field("files", &names).finish_non_exhaustive()
    }
}

/// What is wrong with the disk just now.
#[derive(Debug, Default)]
struct Ills {
    full: AtomicBool,
    no_sync: AtomicBool,
    failed_syncs: AtomicUsize,
}

impl Ills {
    fn check_room(&self) -> io::Result<()> {
        let full = self.full.load(Ordering::SeqCst);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct CrashFile {
    name: Mutex<String>,
    content: Mutex<Content>,
    medium: Weak<CrashMedium>,
}

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

impl CrashMedium {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::of(BTreeMap::new())
    }

    /// From now on each step that changes something is shown to `watcher`, in words and with the
    /// disk as it is then: before it and after it. It may take images, and change nothing.
    pub fn watch(&self, watcher: impl FnMut(&str, &Self) + Send + 'static) {
        *lock(&self.watcher) = Some(Box::new(watcher));
    }

    /// Nobody watches any more.
    pub fn unwatch(&self) {
        *lock(&self.watcher) = None;
    }

    fn step<T>(
        &self,
        what: &str,
        name: &str,
        step: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut watcher = lock(&self.watcher);
        let Some(watch) = &mut *watcher else { return step() };
        watch(&format!("before {what} {name}"), self);
        let done = step();
        watch(&format!("after {what} {name}"), self);
        done
    }

    /// What is on the disk after power was lost now, one of the ways in which it may be.
    #[must_use]
    pub fn crashed(&self, rng: &mut impl Rng) -> Arc<Self> {
        self.image(&mut || rng.random_bool(0.55))
    }

    /// What may be on the disk after power was lost now, in at most `most` ways: all there are, if
    /// they are so few.
    pub fn images(&self, most: usize, rng: &mut impl Rng) -> Vec<Arc<Self>> {
        explore(most, rng, |choose| self.image(choose))
    }

    /// What is on the disk if of all that is not synced that survives which `survives` says so of.
    fn image(&self, survives: &mut dyn FnMut() -> bool) -> Arc<Self> {
        let (mut names, now) = (lock(&self.durable_names).clone(), lock(&self.files).clone());
        // Names that were removed, given or given anew since the folder was synced, each by itself.
        names.retain(|name, _| now.contains_key(name) || !survives());
        for (name, file) in &now {
            let durable = names.get(name).is_some_and(|durable| Arc::ptr_eq(durable, file));
            if !durable && survives() {
                names.insert(name.clone(), file.clone());
            }
        }
        Self::of(names.iter().map(|(name, file)| (name.clone(), file.image(survives))).collect())
    }

    /// What is on the disk if nothing that was not synced survives.
    #[must_use]
    pub fn power_lost(&self) -> Arc<Self> {
        // A removal is not undone by losing what was not synced, but by losing the removal.
        self.image(&mut || false)
    }

    /// An exact copy, as `cp -a` of a stopped server's directory makes.
    #[must_use]
    pub fn copied(&self) -> Arc<Self> {
        let copy = |file: &Arc<CrashFile>| {
            let now = lock(&file.content).now.clone();
            Content { synced: now.clone(), now, unsynced: Vec::new() }
        };
        Self::of(lock(&self.files).iter().map(|(name, file)| (name.clone(), copy(file))).collect())
    }

    /// A healthy disk with these contents.
    fn of(contents: BTreeMap<String, Content>) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let file = |(name, content): (String, Content)| {
                let file = CrashFile {
                    name: Mutex::new(name.clone()),
                    content: Mutex::new(content),
                    medium: this.clone(),
                };
                (name, Arc::new(file))
            };
            let files: BTreeMap<_, _> = contents.into_iter().map(file).collect();
            Self {
                durable_names: Mutex::new(files.clone()),
                files: Mutex::new(files),
                ills: Ills::default(),
                watcher: Mutex::default(),
                this: this.clone(),
            }
        })
    }

    fn file(&self, name: &str, content: Content) -> Arc<CrashFile> {
        Arc::new(CrashFile {
            name: Mutex::new(name.to_owned()),
            content: Mutex::new(content),
            medium: self.this.clone(),
        })
    }

    /// How often a sync was tried in vain.
    pub fn failed_syncs(&self) -> usize {
        self.ills.failed_syncs.load(Ordering::SeqCst)
    }

    /// Syncs of files fail from now on, and what they were to make durable may be lost.
    pub fn fail_syncs(&self) {
        self.ills.no_sync.store(true, Ordering::SeqCst);
    }

    /// Nothing can be written any more.
    pub fn fill(&self) {
        self.ills.full.store(true, Ordering::SeqCst);
    }

    /// All is well again.
    pub fn mend(&self) {
        self.ills.full.store(false, Ordering::SeqCst);
        self.ills.no_sync.store(false, Ordering::SeqCst);
    }

    /// Changes a file's bytes behind the log's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let files = lock(&self.files);
        let mut content = lock(&files[name].content);
        change(&mut content.now);
        content.synced = content.now.clone();
    }

    /// The names of all segments.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        lock(&self.files).keys().filter(|name| name.ends_with(".seg")).cloned().collect()
    }

    /// What a file holds.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        lock(&lock(&self.files)[name].content).now.clone()
    }
}

impl CrashFile {
    fn image(&self, survives: &mut dyn FnMut() -> bool) -> Content {
        let content = lock(&self.content);
        let mut bytes = content.synced.clone();
        for change in &content.unsynced {
            match change {
                // Sectors of a write may arrive in any selection.
                Change::Write(at, new) => {
                    for (i, sector) in new.chunks(SECTOR).enumerate() {
                        if survives() {
                            Change::Write(at + i * SECTOR, sector.to_vec()).apply(&mut bytes);
                        }
                    }
                }
                Change::Truncate(_) if survives() => change.apply(&mut bytes),
                Change::Truncate(_) => {}
            }
        }
        Content { now: bytes.clone(), synced: bytes, unsynced: Vec::new() }
    }

    fn step<T>(
        &self,
        what: &str,
        step: impl FnOnce(Option<&Ills>) -> io::Result<T>,
    ) -> io::Result<T> {
        let name = lock(&self.name).clone();
        match self.medium.upgrade() {
            Some(medium) => medium.step(what, &name, || step(Some(&medium.ills))),
            None => step(None),
        }
    }
}

impl Medium for CrashMedium {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside =
            |name: &String| name.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(lock(&self.files).keys().filter_map(inside).collect())
    }

    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.files).get(name).map(|file| lock(&file.content).now.clone()))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step("replacing", name, || {
            self.ills.check_room()?;
            let (now, synced) = (content.to_vec(), content.to_vec());
            let file = self.file(name, Content { now, synced, unsynced: Vec::new() });
            lock(&self.files).insert(name.into(), file.clone());
            lock(&self.durable_names).insert(name.into(), file);
            Ok(())
        })
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.step("creating", name, || {
            self.ills.check_room()?;
            let file = self.file(name, Content::default());
            lock(&self.files).insert(name.into(), file.clone());
            Ok(file as _)
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = lock(&self.files).get(name).cloned();
        file.map(|file| file as _).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step("renaming", from, || {
            let mut files = lock(&self.files);
            let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            to.clone_into(&mut lock(&file.name));
            files.insert(to.into(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step("removing", name, || {
            lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.step("syncing", folder, || {
            *lock(&self.durable_names) = lock(&self.files).clone();
            Ok(())
        })
    }
}

impl MediumFile for CrashFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content).now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.content);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.now.len());
        let n = buffer.len().min(content.now.len() - from);
        buffer[..n].copy_from_slice(&content.now[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.step("writing", |ills| {
            ills.map_or(Ok(()), Ills::check_room)?;
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            self.change(Change::Write(at, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.step("syncing", |ills| {
            let mut content = lock(&self.content);
            if let Some(ills) = ills.filter(|ills| ills.no_sync.load(Ordering::SeqCst)) {
                ills.failed_syncs.fetch_add(1, Ordering::SeqCst);
                // The system takes the pages for clean: a later sync would not write them.
                content.unsynced.retain(|change| matches!(change, Change::Truncate(_)));
                return Err(io::Error::other("the disk said no"));
            }
            let (mut synced, unsynced) =
                (std::mem::take(&mut content.synced), std::mem::take(&mut content.unsynced));
            unsynced.iter().for_each(|change| change.apply(&mut synced));
            content.synced = synced;
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.step("truncating", |_| {
            self.change(Change::Truncate(usize::try_from(len).unwrap_or(usize::MAX)));
            Ok(())
        })
    }
}

impl CrashFile {
    fn change(&self, change: Change) {
        let mut content = lock(&self.content);
        change.apply(&mut content.now);
        content.unsynced.push(change);
    }
}
