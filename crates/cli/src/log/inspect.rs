//! What a log holds, a line a segment.

use std::{io::Write as _, path::Path, time::UNIX_EPOCH};

use eventwall_log::{Millis, SegmentSurvey};

use super::{look, size, some};
use crate::failure::Failure;

pub(super) fn inspect(folder: &Path) -> Result<(), Failure> {
    let seen = look(folder)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<42} {:>10} {:>21} {:>9} {:>7} {:<20} {:<20}",
        "segment", "bytes", "positions", "events", "erased", "from", "to"
    )?;
    for segment in &seen.segments {
        writeln!(out, "{}", line(segment))?;
    }
    let sum = |of: fn(&SegmentSurvey) -> u64| seen.segments.iter().map(of).sum::<u64>();
    writeln!(
        out,
        "{}, {}, {} on {}, {} erased",
        some(seen.segments.len() as u64, "segment"),
        size(sum(|segment| segment.bytes)),
        some(sum(|segment| segment.events), "event"),
        some(seen.topics as u64, "topic"),
        sum(|segment| segment.erased),
    )?;
    let damage = seen.all_damage().count();
    if damage > 0 {
        let places = some(damage as u64, "damaged place");
        writeln!(out, "{places}: `eventwall log verify` names all")?;
    }
    Ok(())
}

fn line(segment: &SegmentSurvey) -> String {
    let positions = segment.positions.map(|(first, last)| format!("{first}..{last}"));
    let (from, to) =
        segment.times.map_or_else(Default::default, |(from, to)| (time(from), time(to)));
    format!(
        "{:<42} {:>10} {:>21} {:>9} {:>7} {from:<20} {to:<20}",
        segment.file,
        size(segment.bytes),
        positions.unwrap_or_else(|| "none".into()),
        segment.events,
        segment.erased,
    )
}

fn time(millis: Millis) -> String {
    let time = UNIX_EPOCH + std::time::Duration::from_millis(millis);
    humantime::format_rfc3339_seconds(time).to_string()
}
