//! Copies a log, while a server uses it or not. Segments only grow at the end and are replaced by
//! other files, so a copy of all that are there at one moment is a log; the state is copied after
//! them, since it must not be older.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{look, progress::Progress, size};
use crate::failure::Failure;

/// How often the list of segments may change while it is copied.
const TRIES: usize = 20;

pub(super) fn backup(folder: &Path, to: &Path) -> Result<(), Failure> {
    if !folder.join("log").is_dir() {
        return Err(Failure::data(format!("there is no log in {}", folder.display())));
    }
    let (from, named) = (folder.display(), to.display());
    if to.ancestors().any(|above| above.canonicalize().ok() == folder.canonicalize().ok()) {
        return Err(Failure::data(format!("{named} lies in {from} itself: name another folder")));
    }
    fs::create_dir(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::data(format!("{named} is already there: name a folder that is to be made"))
        }
        _ => Failure::data(format!("cannot make {named}: {error}")),
    })?;
    let bytes = copy(folder, to).map_err(|error| {
        // It was made here, and half a copy is no backup.
        let _ = fs::remove_dir_all(to);
        Failure::data(format!("cannot copy {from} to {named}: {error}"))
    })?;
    let seen = look(to)?;
    let damaged = seen.all_damage().count();
    if damaged > 0 {
        return Err(Failure::damaged(format!(
            "the copy has {}: `eventwall log verify --data {named}` names them",
            super::some(damaged as u64, "damaged place")
        )));
    }
    let events: u64 = seen.segments.iter().map(|segment| segment.events).sum();
    println!("{events} events, {}, in {}", size(bytes), to.display());
    Ok(())
}

/// Copies the segments of one moment, then the state.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    for folder in ["log", "state"] {
        fs::create_dir_all(to.join(folder))?;
    }
    let bar = Progress::new("copying");
    for _ in 0..TRIES {
        let before = segments(from)?;
        let copied = copy_files(from, to, &before, &bar);
        match copied {
            // Replaced or dropped meanwhile: what is copied of it is not wanted either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied if segments(from)? == before => {
                let bytes = copied?;
                copy_state(from, to)?;
                bar.finish();
                return Ok(bytes);
            }
            copied => drop(copied?),
        }
        for file in fs::read_dir(to.join("log"))? {
            fs::remove_file(file?.path())?;
        }
    }
    Err(io::Error::other(
        "the log changes faster than it can be copied: try again when it is less busy",
    ))
}

fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder.join("log"))?;
    let mut names = Vec::new();
    for file in files {
        let name = PathBuf::from(file?.file_name());
        if name.extension().is_some_and(|extension| extension == "seg") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn copy_files(from: &Path, to: &Path, names: &[PathBuf], bar: &Progress) -> io::Result<u64> {
    let lens = names.iter().map(|name| Ok(fs::metadata(from.join("log").join(name))?.len()));
    let total = lens.collect::<io::Result<Vec<u64>>>()?.iter().sum();
    let mut done = 0;
    for name in names {
        done += fs::copy(from.join("log").join(name), to.join("log").join(name))?;
        fs::File::open(to.join("log").join(name))?.sync_all()?;
        bar.at(done.min(total), total);
    }
    fs::File::open(to.join("log"))?.sync_all()?;
    Ok(done)
}

fn copy_state(from: &Path, to: &Path) -> io::Result<()> {
    for file in fs::read_dir(from.join("state"))? {
        let file = file?;
        let (name, to) = (file.file_name(), to.join("state").join(file.file_name()));
        // Written and removed, or about to be renamed: no state.
        if name == "probe" || Path::new(&name).extension().is_some() {
            continue;
        }
        fs::copy(file.path(), &to)?;
        fs::File::open(&to)?.sync_all()?;
    }
    fs::File::open(to.join("state"))?.sync_all()
}
