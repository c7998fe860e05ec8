//! Looks at the files of a log from outside, all of them and to the end, and says what is there
//! and what is wrong. It needs no lock and changes nothing, so it may look at a log that is in use.

use std::{collections::HashSet, io, sync::Arc};

use super::{
    Medium, MediumFile,
    format::{Bare, Body, MAGIC, PREFIX, SEGMENT_HEADER, SegmentHeader, Stored},
    open::segment_names,
    persist::Persist,
    scan::{STRANGE, Step, Walk, read_header},
};
use crate::{Damage, Epoch, FileState, Millis, Position, StateError, Topic};

/// What the files of a log hold.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// In the order of the log.
    pub segments: Vec<SegmentSurvey>,
    /// Topics with events in the files.
    pub topics: usize,
    /// Damage beside the segments.
    pub damage: Vec<Damage>,
}

/// What one segment holds.
#[derive(Debug, Clone)]
pub struct SegmentSurvey {
    /// The file, relative to the data directory.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// The epoch in which it was begun.
    pub epoch: Option<Epoch>,
    /// The positions of its first and last entry, if it has any.
    pub positions: Option<(Position, Position)>,
    /// The times of its first and last entry.
    pub times: Option<(Millis, Millis)>,
    /// Events, erased ones too.
    pub events: u64,
    /// Those of them whose data is erased.
    pub erased: u64,
    /// How often it was rewritten.
    pub generation: u64,
    /// What is wrong in it.
    pub damage: Vec<Damage>,
    /// Bytes at the end of the last segment that are no whole entry: a write under way, or one
    /// that a crash cut short. The next opening cuts them off.
    pub unfinished: u64,
}

/// Reads every segment. `progress` is told how many of how many bytes are read.
///
/// # Errors
/// If a file cannot be read.
pub fn survey(medium: &Arc<dyn Medium>, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Survey> {
    let names = segment_names(&**medium)?;
    let mut files = Vec::new();
    for name in names {
        // Compacted or dropped a moment ago.
        let file = match medium.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let bytes = file.len()?;
        files.push((name, file, bytes));
    }
    let total = files.iter().map(|(_, _, bytes)| bytes).sum();
    let mut surveyor = Surveyor {
        progress,
        done: 0,
        total,
        survey: Survey::default(),
        topics: HashSet::new(),
        // Should it be damaged, that is told below.
        erased: Persist::new(FileState::new(medium.clone()))
            .erased()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        blank: Vec::new(),
        end: Position::START,
        covered: Position::START,
    };
    surveyor.state(medium)?;
    let last = files.len().saturating_sub(1);
    for (i, (name, file, bytes)) in files.into_iter().enumerate() {
        surveyor.segment(&name, &file, bytes, i == last)?;
    }
    Ok(surveyor.finish())
}

struct Surveyor<'a> {
    progress: &'a mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
    survey: Survey,
    topics: HashSet<Topic>,
    erased: HashSet<Position>,
    /// Events whose data is not what was written, until an erasure explains it.
    blank: Vec<(usize, Position, Damage)>,
    end: Position,
    covered: Position,
}

impl Surveyor<'_> {
    /// The small values beside the segments.
    fn state(&mut self, medium: &Arc<dyn Medium>) -> io::Result<()> {
        let state = FileState::new(medium.clone());
        // The probe is no value; one that is being written has no name that is legal yet.
        for name in medium.list("state")?.into_iter().filter(|name| name != "probe") {
            if let Err(StateError::Damaged(file)) = state.get_now(&name) {
                self.survey.damage.push(damage(&file, 0, "its checksum is wrong"));
            }
        }
        Ok(())
    }

    fn segment(
        &mut self,
        name: &str,
        file: &Arc<dyn MediumFile>,
        bytes: u64,
        is_last: bool,
    ) -> io::Result<()> {
        let header = SegmentHeader::decode(&read_header(&**file)?);
        let mut segment = SegmentSurvey {
            file: name.to_owned(),
            bytes,
            epoch: None,
            positions: None,
            times: None,
            events: 0,
            erased: 0,
            generation: 0,
            damage: Vec::new(),
            unfinished: 0,
        };
        match header {
            // Begun, and never written to: an opening removes it.
            Err(_) if is_last && bytes <= SEGMENT_HEADER as u64 => segment.unfinished = bytes,
            Err(what) => segment.damage.push(damage(name, 0, what)),
            Ok(header) => {
                if header.base <= self.covered {
                    // Rewritten; it is about to be removed.
                    self.done += bytes;
                    return Ok(());
                }
                let before = self.survey.segments.last();
                // After one that is damaged it is not known where it ended.
                if before.is_some_and(|b| b.damage.is_empty()) && header.follows != self.end {
                    segment.damage.push(damage(name, 0, "a segment before it is missing"));
                }
                segment.epoch = Some(header.epoch.clone());
                segment.generation = header.generation;
                self.end = header.follows;
                self.entries(file, &mut segment, is_last)?;
                self.covered = self.covered.max(header.through);
                self.end = self.end.max(header.through);
            }
        }
        self.done += bytes;
        (self.progress)(self.done, self.total);
        self.survey.segments.push(segment);
        Ok(())
    }

    fn entries(
        &mut self,
        file: &Arc<dyn MediumFile>,
        segment: &mut SegmentSurvey,
        is_last: bool,
    ) -> io::Result<()> {
        let mut walk = Walk::new(file.clone(), SEGMENT_HEADER as u64, segment.bytes);
        let mut told = 0;
        loop {
            let (offset, what) = match walk.next()? {
                Step::End => return Ok(()),
                Step::Entry(offset, stored) => {
                    self.entry(offset, &stored, segment);
                    if offset >= told + (1 << 20) {
                        told = offset;
                        (self.progress)(self.done + offset, self.total);
                    }
                    continue;
                }
                Step::Strange(offset) => (offset, STRANGE),
                Step::Bad(offset, what) => (offset, what),
            };
            match next_entry(&**file, offset + 1, segment.bytes)? {
                Some(next) => {
                    segment.damage.push(damage(&segment.file, offset, what));
                    walk = Walk::new(file.clone(), next, segment.bytes);
                }
                None if is_last => {
                    segment.unfinished = segment.bytes - offset;
                    return Ok(());
                }
                None => {
                    segment.damage.push(damage(&segment.file, offset, what));
                    return Ok(());
                }
            }
        }
    }

    fn entry(&mut self, offset: u64, stored: &Stored, segment: &mut SegmentSurvey) {
        let body = &stored.body;
        let (position, time) = (body.position(), body.time());
        if position <= self.end {
            segment.damage.push(damage(&segment.file, offset, "an entry is out of order"));
        }
        self.end = self.end.max(position);
        let first = segment.positions.map_or(position, |(first, _)| first);
        segment.positions = Some((first, position));
        let oldest = segment.times.map_or(time, |(oldest, _)| oldest);
        segment.times = Some((oldest, time));
        segment.events += u64::from(body.is_event());
        match body {
            Body::Event(record) => drop(self.topics.insert(record.topic.clone())),
            Body::Blank(_) if stored.bare == Some(Bare::Removed) => segment.events -= 1,
            Body::Blank(_) if stored.bare.is_some() => segment.erased += 1,
            Body::Blank(record) => {
                segment.erased += 1;
                let what = "the checksum of an event's data is wrong";
                let damage = damage(&segment.file, offset, what);
                self.blank.push((self.survey.segments.len(), record.position, damage));
            }
            Body::Erasure { erased, .. } => self.erased.extend(erased),
        }
    }

    /// Data that no erasure explains is damaged.
    fn finish(mut self) -> Survey {
        for (at, position, damage) in self.blank {
            if !self.erased.contains(&position)
                && let Some(segment) = self.survey.segments.get_mut(at)
            {
                segment.erased -= 1;
                segment.damage.push(damage);
            }
        }
        self.survey.topics = self.topics.len();
        self.survey
    }
}

impl Survey {
    /// Everything that is wrong, in the order of the log.
    pub fn all_damage(&self) -> impl Iterator<Item = &Damage> {
        self.damage.iter().chain(self.segments.iter().flat_map(|segment| &segment.damage))
    }
}

/// Where the next intact entry begins.
fn next_entry(file: &dyn MediumFile, from: u64, end: u64) -> io::Result<Option<u64>> {
    let mut from = from;
    let mut window = vec![0; 1 << 20];
    while from + (PREFIX as u64) <= end {
        let read = file.read_at(&mut window, from)?;
        for at in memchr::memmem::find_iter(&window[..read], &MAGIC) {
            let at = from + at as u64;
            if super::scan::is_intact(file, at, end)? {
                return Ok(Some(at));
            }
        }
        if read < window.len() {
            break;
        }
        from += (read - MAGIC.len()) as u64;
    }
    Ok(None)
}

fn damage(file: &str, offset: u64, what: &str) -> Damage {
    Damage { file: file.into(), offset, what: what.into() }
}
