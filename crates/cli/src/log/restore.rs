//! Puts a backup in the place of a log. A server that opens it begins an epoch, so every id that
//! was given out after the backup gets a gap, and every other resumes exactly.

use std::path::Path;

use super::{backup::copy, look, size};
use crate::failure::Failure;

pub(super) fn restore(from: &Path, folder: &Path) -> Result<(), Failure> {
    let seen = look(from)?;
    if seen.all_damage().next().is_some() {
        return Err(Failure::damaged(format!(
            "the backup in {} is damaged itself: `eventwall log verify --data {}` says where",
            from.display(),
            from.display()
        )));
    }
    let used = folder.read_dir().is_ok_and(|mut files| files.next().is_some());
    if used {
        return Err(Failure::data(format!(
            "{} is not empty: stop the server and move the old log away, or name another folder with --data",
            folder.display()
        )));
    }
    let bytes = copy(from, folder)
        .map_err(|error| Failure::data(format!("cannot copy to {}: {error}", folder.display())))?;
    let events: u64 = seen.segments.iter().map(|segment| segment.events).sum();
    println!("{events} events, {}, in {}", size(bytes), folder.display());
    Ok(())
}
