//! The real file system as a [`Medium`], with a lock so that one process has it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Medium, MediumFile, OpenError};

/// A data directory, locked for this process until dropped.
#[derive(Debug)]
pub struct FsMedium {
    root: PathBuf,
    /// `None`: for looking only.
    lock: Option<File>,
}

impl FsMedium {
    /// Creates the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// If it can't be created or written, or another process holds it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Arc<Self>, OpenError> {
        let root = root.into();
        let unwritable = |error: io::Error| OpenError::Unwritable {
            folder: root.display().to_string(),
            reason: error.to_string(),
        };
        for folder in ["log", "state"] {
            std::fs::create_dir_all(root.join(folder)).map_err(unwritable)?;
        }
        // The folders' own names must survive, too.
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        for folder in [Some(root.as_path()), parent].into_iter().flatten() {
            sync_folder(folder).map_err(unwritable)?;
        }
        let lock =
            OpenOptions::new().create(true).write(true).truncate(false).open(root.join("lock"));
        let lock = lock.map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { folder: root.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        Ok(Arc::new(Self { root, lock: Some(lock) }))
    }

    /// To look at a data directory that another process may be using. Nothing can be changed
    /// through it.
    #[must_use]
    pub fn look(root: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { root: root.into(), lock: None })
    }

    fn for_writing(&self) -> io::Result<()> {
        let looking = || io::Error::new(io::ErrorKind::PermissionDenied, "opened for looking only");
        self.lock.as_ref().map(drop).ok_or_else(looking)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

impl Medium for FsMedium {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            content => content.map(Some),
        }
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.for_writing()?;
        let path = self.path(name);
        let new = path.with_extension("new");
        let written = write_whole(&new, content).and_then(|()| std::fs::rename(&new, &path));
        if written.is_err() {
            // It may be the very space that is missing.
            let _ = std::fs::remove_file(&new);
        }
        written?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.for_writing()?;
        let file = private_file().read(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(FsFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.lock.is_some());
        Ok(Arc::new(FsFile(options.open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.for_writing()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.for_writing()?;
        std::fs::remove_file(self.path(name))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        sync_folder(&self.path(folder))
    }
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private_file().create(true).truncate(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Events and keys are nobody else's to read.
fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[derive(Debug)]
struct FsFile(File);

impl MediumFile for FsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
