//! A medium that takes a picture of what a loss of power would leave, before and after each step
//! that changes something.

use std::{
    io,
    sync::{Arc, Mutex},
};

use rand::{SeedableRng as _, rngs::SmallRng};

use super::model::ModelMedium;
use crate::disk::{Medium, MediumFile};

#[derive(Debug)]
pub(super) struct RecordingMedium {
    pub(super) inner: Arc<ModelMedium>,
    album: Arc<Album>,
}

/// The pictures, while they are taken.
#[derive(Debug, Default)]
struct Album {
    taken: Mutex<Option<(SmallRng, Vec<Picture>)>>,
}

/// What was about to be done, or just done, and what is left if power is lost there.
pub(super) type Picture = (String, Arc<ModelMedium>);

impl RecordingMedium {
    pub(super) fn over(inner: Arc<ModelMedium>) -> Arc<Self> {
        Arc::new(Self { inner, album: Arc::default() })
    }

    /// From now on pictures are taken.
    pub(super) fn record(&self, seed: u64) {
        *self.album.taken.lock().unwrap() = Some((SmallRng::seed_from_u64(seed), Vec::new()));
    }

    pub(super) fn take_pictures(&self) -> Vec<Picture> {
        self.album.taken.lock().unwrap().take().map_or_else(Vec::new, |(_, pictures)| pictures)
    }

    fn step<T>(&self, what: &str, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.album.step(&self.inner, what, step)
    }
}

impl Album {
    fn step<T>(
        &self,
        medium: &ModelMedium,
        what: &str,
        step: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.picture(medium, &format!("before {what}"));
        let done = step();
        self.picture(medium, &format!("after {what}"));
        done
    }

    fn picture(&self, medium: &ModelMedium, what: &str) {
        if let Some((rng, pictures)) = &mut *self.taken.lock().unwrap() {
            pictures.push((what.to_owned(), medium.crashed(rng)));
        }
    }
}

impl Medium for RecordingMedium {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.load(name)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step(&format!("replacing {name}"), || self.inner.replace(name, content))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = self.step(&format!("creating {name}"), || self.inner.create(name))?;
        Ok(self.recorded(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(self.recorded(name, self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(&format!("renaming {from}"), || self.inner.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(&format!("removing {name}"), || self.inner.remove(name))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.step(&format!("syncing {folder}"), || self.inner.sync_folder(folder))
    }
}

impl RecordingMedium {
    fn recorded(&self, name: &str, file: Arc<dyn MediumFile>) -> Arc<dyn MediumFile> {
        let (medium, album) = (self.inner.clone(), self.album.clone());
        Arc::new(RecordedFile { name: name.to_owned(), file, medium, album })
    }
}

#[derive(Debug)]
struct RecordedFile {
    name: String,
    file: Arc<dyn MediumFile>,
    medium: Arc<ModelMedium>,
    album: Arc<Album>,
}

impl RecordedFile {
    fn step<T>(&self, what: &str, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.album.step(&self.medium, &format!("{what} {}", self.name), step)
    }
}

impl MediumFile for RecordedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.step("writing", || self.file.write_at(bytes, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.step("syncing", || self.file.sync())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.step("truncating", || self.file.truncate(len))
    }
}
