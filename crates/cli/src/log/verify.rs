//! Reads every byte of a log and says what is wrong, all of it, with its place.

use std::{io::Write as _, path::Path};

use super::{look, some};
use crate::failure::Failure;

pub(super) fn verify(folder: &Path) -> Result<(), Failure> {
    let seen = look(folder)?;
    let mut out = std::io::stdout().lock();
    for damage in seen.all_damage() {
        writeln!(out, "{} at byte {}: {}", damage.file, damage.offset, damage.what)?;
    }
    if let Some(last) = seen.segments.last().filter(|segment| segment.unfinished > 0) {
        writeln!(
            out,
            "{} ends with {} bytes of a write that is under way or that a crash cut short: they were never acknowledged",
            last.file, last.unfinished
        )?;
    }
    let events: u64 = seen.segments.iter().map(|segment| segment.events).sum();
    let damaged = seen.all_damage().count();
    if damaged > 0 {
        return Err(Failure::damaged(format!(
            "{} in {}: a server does not open such a log, or does not serve what lies there; restore a backup",
            some(damaged as u64, "damaged place"),
            folder.display()
        )));
    }
    let segments = some(seen.segments.len() as u64, "segment");
    writeln!(out, "{} in {segments}, all as they were written", some(events, "event"))?;
    Ok(())
}
