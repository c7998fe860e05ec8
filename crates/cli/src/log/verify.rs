//! Reads every byte of a log and says what is wrong, all of it, with its place.

use std::{io::Write as _, path::Path};

use super::look;
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
            "{damaged} damaged places in {}: restore a backup, or publish what the rest holds into a new log",
            folder.display()
        )));
    }
    writeln!(out, "{events} events in {} segments, all as they were written", seen.segments.len())?;
    Ok(())
}
