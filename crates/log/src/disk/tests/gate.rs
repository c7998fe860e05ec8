//! A medium whose syncs wait at a gate, so that a test can look at what the log does while
//! one is under way.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
};

use crate::disk::{Medium, MediumFile};
use crate::simulator::CrashMedium;

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: usize,
    open_files: usize,
    most_open_files: usize,
}

impl Gate {
    pub(super) fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.changed.notify_all();
    }

    pub(super) fn somebody_waits(&self) -> bool {
        self.state.lock().unwrap().waiting > 0
    }

    /// The most files that were open at once.
    pub(super) fn most_open_files(&self) -> usize {
        self.state.lock().unwrap().most_open_files
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        while state.closed {
            state = self.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
    }
}

#[derive(Debug)]
pub(super) struct GatedMedium {
    pub(super) inner: Arc<CrashMedium>,
    pub(super) gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile(Arc<dyn MediumFile>, Arc<Gate>);

impl GatedFile {
    fn opened(file: Arc<dyn MediumFile>, gate: &Arc<Gate>) -> Arc<dyn MediumFile> {
        let mut state = gate.state.lock().unwrap();
        state.open_files += 1;
        state.most_open_files = state.most_open_files.max(state.open_files);
        Arc::new(Self(file, gate.clone()))
    }
}

impl Drop for GatedFile {
    fn drop(&mut self) {
        self.1.state.lock().unwrap().open_files -= 1;
    }
}

impl Medium for GatedMedium {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.load(name)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.inner.replace(name, content)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(GatedFile::opened(self.inner.create(name)?, &self.gate))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(GatedFile::opened(self.inner.open(name)?, &self.gate))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.inner.sync_folder(folder)
    }
}

impl MediumFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}
