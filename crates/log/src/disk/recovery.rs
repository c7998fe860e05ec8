//! What an opening does: takes in segment after segment, by its index file or by reading it, and knows
//! in the end what the log was.

use std::{collections::HashSet, io, sync::Arc};

use super::{
    DiskConfig, Medium, OpenError, OpenReport, TornTail,
    format::{Bare, Body, SEGMENT_HEADER, SegmentHeader, Stored},
    index::{Index, Recent},
    index_file::{self, IndexFile, Prefix},
    mutation::Mutation,
    open::{Recovered, damaged, segment_names},
    persist::{Persist, RESERVE},
    recall::Recall,
    scan::{STRANGE, Step, Walk, read_header, was_synced},
    segment::{Indexed, Segment},
    summary::{NOT_ITS_DATA, OUT_OF_ORDER, Sealed, Summary},
    writer::WriterState,
};
use crate::{
    Entry, Epoch, EpochSpan, Epochs, EventId, Millis, Position, Resolution, sequencer::Sequencer,
    topics::Topics,
};

pub(super) struct Recovery<'a> {
    medium: &'a Arc<dyn Medium>,
    index: Index,
    sequencer: Sequencer,
    pub(super) report: OpenReport,
    time: Millis,
    /// Positions whose data may lawfully be overwritten.
    blanked: HashSet<Position>,
    /// Those whose data was found overwritten.
    blank: HashSet<Position>,
    /// Those of them whose heads are still whole.
    unscrubbed: Vec<Position>,
    /// In order; only the last may have a torn tail.
    names: Vec<String>,
    /// The segment that was active at the last orderly close, and its length then.
    closed: Option<(String, u64)>,
    stored_epochs: Option<(Epochs, Position)>,
    /// Segments whose index files may be believed.
    believed: HashSet<String>,
    /// They count events up to here.
    counted_up_to: Position,
    recall: Recall,
}

/// Which segments' index files may be believed: none, if one of them was counted by other limits than
/// those that hold now, or in a life of the log that is not this one's. Answers also how far the log
/// must reach for that.
fn believed(
    medium: &dyn Medium,
    names: &[String],
    config: &DiskConfig,
    epochs: Option<&Epochs>,
) -> (HashSet<String>, Position) {
    let prefix = |name: &String| Some((name.clone(), Prefix::read(medium, name)?));
    let files: Vec<(String, Prefix)> = names.iter().filter_map(prefix).collect();
    let mut reaches = Position::START;
    if let Some(now) = config.retention.counting() {
        for (_, prefix) in &files {
            let known = |(by, as_of): &([u8; 8], EventId)| {
                let at = epochs?.resolve(as_of, Position(u64::MAX));
                (*by == now && at == Resolution::At(as_of.position)).then_some(as_of.position)
            };
            match prefix.counted.as_ref().and_then(known) {
                Some(position) => reaches = reaches.max(position),
                None => return Default::default(),
            }
        }
    }
    (files.into_iter().map(|(name, _)| name).collect(), reaches)
}

impl<'a> Recovery<'a> {
    pub(super) fn new(
        medium: &'a Arc<dyn Medium>,
        persist: &Persist,
        config: &DiskConfig,
    ) -> Result<Self, OpenError> {
        let blanked: HashSet<_> = persist.erased()?.into_iter().collect();
        let index = Index {
            segments: Vec::new(),
            topics: Topics::new(Arc::new(config.retention.clone())),
            epochs: Arc::new(Epochs::new(Epoch::random())),
            erased: Arc::new(blanked.clone()),
            recent: Recent::new(Position::START),
            end: Position::START,
            gone: Position::START,
            now: 0,
            stopped: None,
            damage: Vec::new(),
        };
        let (names, stored_epochs) = (segment_names(&**medium)?, persist.epochs()?);
        let epochs = stored_epochs.as_ref().map(|(epochs, _)| epochs);
        let (believed, counted_up_to) = believed(&**medium, &names, config, epochs);
        Ok(Self {
            medium,
            index,
            believed,
            counted_up_to,
            recall: Recall::default(),
            sequencer: Sequencer::new(Position(1), 0, config.idempotency_window),
            report: OpenReport::default(),
            time: 0,
            blanked,
            blank: HashSet::new(),
            unscrubbed: Vec::new(),
            names,
            closed: persist.closed()?,
            stored_epochs,
        })
    }

    pub(super) fn read_all(&mut self) -> Result<(), OpenError> {
        self.names.clone().into_iter().try_for_each(|name| self.segment(name))
    }

    /// Whether index files count what is not there.
    pub(super) fn is_shorter_than_counted(&self) -> bool {
        self.counted_up_to > self.index.end
    }

    /// All of it is to be read.
    pub(super) fn believe_nothing(&mut self) {
        self.believed.clear();
    }

    pub(super) fn finish(
        mut self,
        persist: Persist,
        config: &DiskConfig,
    ) -> Result<(Recovered, OpenReport), OpenError> {
        self.remove_leftovers()?;
        self.close_gaps(&persist)?;
        self.report.bytes = self.index.segments.iter().map(|segment| segment.len).sum();
        let report = self.report.clone();
        Ok((self.begin_epoch(persist, config)?, report))
    }

    fn segment(&mut self, name: String) -> Result<(), OpenError> {
        let file = self.medium.open(&name)?;
        let is_last = self.names.last() == Some(&name);
        let header = match SegmentHeader::decode(&read_header(&*file)?) {
            Ok(header) => header,
            // A crash or a full disk while the file was created: no entry was ever in it. Had
            // it stood for others, the next one would miss them. It may also be the last time's,
            // closed without an entry, of which the name was taken again.
            Err(_) if self.closed_len(&name).max(file.len()?) <= SEGMENT_HEADER as u64 => {
                return Ok(self.medium.remove(&name)?);
            }
            Err(what) => return Err(damaged(&name, 0, what)),
        };
        if self.covers(&header) {
            // Compacted into the one before; the crash came before it was removed.
            return Ok(self.medium.remove(&name)?);
        }
        let missing = !self.index.segments.is_empty() && header.follows != self.index.end;
        if missing || name != Segment::file_name(&header) {
            return Err(damaged(&name, 0, "a segment before it is missing"));
        }
        self.index.end = header.follows;
        let segment = Segment::new(self.medium, name.into(), header, file);
        match self.known(&segment)? {
            Some(summary) => self.adopt(summary),
            None => {
                self.index.segments.push(segment);
                self.entries(is_last)?;
            }
        }
        if let Some(segment) = self.index.segments.last() {
            self.index.end = self.index.end.max(segment.header.through);
            segment.file.release();
        }
        Ok(())
    }

    /// What an index file says of a segment.
    fn known(&mut self, segment: &Segment) -> io::Result<Option<Summary>> {
        if !self.believed.contains(&*segment.name) {
            return Ok(None);
        }
        let Some(file) = IndexFile::read(&**self.medium, &segment.name) else { return Ok(None) };
        let (name, header) = (segment.name.clone(), segment.header.clone());
        let open = segment.file.get()?;
        let len = open.len()?;
        let same = Segment::new(self.medium, name, header, open);
        let topics = &self.index.topics;
        let summary = file.summary(same, len, &|topic| topics.interned(topic));
        Ok(summary.map(|mut summary| {
            summary.segment.index_len = file.len();
            self.recall.later(Sealed::of(&summary.segment));
            summary
        }))
    }

    fn adopt(&mut self, mut summary: Summary) {
        summary.segment.indexed = Some(Indexed::Believed);
        self.report.events += summary.events;
        self.time = self.time.max(summary.segment.newest);
        self.blank.extend(&summary.blank);
        self.index.adopt(summary);
    }

    /// Whether a compacted segment already stands for the one that begins so.
    fn covers(&self, header: &SegmentHeader) -> bool {
        let through = self.index.segments.last().map(|last| last.header.through);
        through.is_some_and(|through| header.base <= through)
    }

    /// What a compaction had not finished was never part of the log; nor is the index file of a
    /// segment that is gone.
    fn remove_leftovers(&self) -> io::Result<()> {
        let index_files = self.index.segments.iter().map(|s| index_file::name_of(&s.name));
        let index_files: HashSet<String> = index_files.collect();
        let names = self.medium.list("log")?.into_iter().map(|name| format!("log/{name}"));
        for name in names {
            let orphan = name.ends_with(".idx") && !index_files.contains(&name);
            if orphan || name.ends_with(".new") {
                self.medium.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Takes in the entries of the segment just pushed, batch by batch.
    fn entries(&mut self, is_last: bool) -> Result<(), OpenError> {
        let Some(segment) = self.index.segments.last() else { return Ok(()) };
        let (name, file) = (segment.name.clone(), segment.file.get()?);
        let end = file.len()?;
        self.report.read += end;
        let mut walk = Walk::new(file.clone(), segment.len, end);
        let mut batch: Vec<Stored> = Vec::new();
        let mut batch_start = segment.len;
        let (offset, what) = loop {
            match walk.next()? {
                Step::Entry(offset, stored) => {
                    if batch.is_empty() {
                        batch_start = offset;
                    }
                    if let Err(what) = self.check(&stored, batch.last()) {
                        break (offset, what);
                    }
                    let complete = !stored.more;
                    batch.push(stored);
                    if complete {
                        self.add_batch(batch.drain(..));
                    }
                }
                // What a kill left in the system's cache is about to be shown and built upon,
                // so it must be on the disk first.
                Step::End if batch.is_empty() && end >= self.closed_len(&name) => {
                    return if is_last { Ok(file.sync()?) } else { Ok(()) };
                }
                Step::End if batch.is_empty() => break (end, "the file is shorter than it was"),
                Step::Strange(offset) => return Err(damaged(&name, offset, STRANGE)),
                Step::End => break (end, "the file ends in the middle of a batch"),
                Step::Bad(offset, what) => break (offset, what),
            }
        };
        let was_whole = offset < self.closed_len(&name) || was_synced(&*file, offset, end)?;
        if !is_last || was_whole || what == OUT_OF_ORDER {
            return Err(damaged(&name, offset, what));
        }
        let cut = if batch.is_empty() { offset } else { batch_start };
        file.truncate(cut)?;
        file.sync()?;
        self.report.torn = Some(TornTail { file: name.to_string(), offset: cut, bytes: end - cut });
        Ok(())
    }

    /// How long the segment was when the log was last closed in order; 0 if that was another.
    fn closed_len(&self, name: &str) -> u64 {
        self.closed.as_ref().filter(|(closed, _)| closed == name).map_or(0, |(_, len)| *len)
    }

    fn check(&mut self, stored: &Stored, before: Option<&Stored>) -> Result<(), &'static str> {
        let position = stored.body.position();
        let last = before.map_or(self.index.end, |stored| stored.body.position());
        let base = self.index.segments.last().map_or(Position::START, |s| s.header.base);
        if position <= last || position < base {
            return Err(OUT_OF_ORDER);
        }
        if matches!(stored.body, Body::Blank(_))
            && stored.bare.is_none()
            && !self.may_be_blank(position)
        {
            return Err(NOT_ITS_DATA);
        }
        Ok(())
    }

    /// Whether an event was erased, by the list in the state or, should that be lost or old,
    /// by any erasure in the log.
    fn may_be_blank(&mut self, position: Position) -> bool {
        if !self.blanked.contains(&position) {
            let names = self.names.clone();
            names.iter().for_each(|name| drop(self.collect_erasures(name)));
        }
        self.blanked.contains(&position)
    }

    fn collect_erasures(&mut self, name: &str) -> io::Result<()> {
        let file = self.medium.open(name)?;
        let end = file.len()?;
        let mut walk = Walk::new(file, SEGMENT_HEADER as u64, end);
        while let Step::Entry(_, stored) = walk.next()? {
            if let Body::Erasure { erased, .. } = stored.body {
                self.blanked.extend(erased);
            }
        }
        Ok(())
    }

    fn add_batch(&mut self, batch: impl Iterator<Item = Stored>) {
        let mut first = None;
        for stored in batch {
            self.report.events += u64::from(matches!(stored.body, Body::Event(_)));
            self.time = self.time.max(stored.body.time());
            let len = stored.len as u64;
            if let Body::Blank(record) = &stored.body
                && stored.data_len > 0
            {
                self.unscrubbed.push(record.position);
            }
            let removed = stored.bare == Some(Bare::Removed);
            let entry = self.entry(stored.body);
            if let Entry::Event(record) = &entry {
                let first = first.get_or_insert_with(|| record.topic.clone());
                self.recall.now(record, first);
            }
            self.index.add(&entry, self.time, len, removed);
        }
    }

    fn entry(&mut self, body: Body) -> Entry {
        match body {
            Body::Event(record) => Entry::Event(record),
            Body::Blank(record) => {
                self.blank.insert(record.position);
                Entry::Event(Arc::new(record))
            }
            Body::Erasure { position, erased, .. } => {
                Entry::Erasure { position, erased: erased.into() }
            }
        }
    }

    /// Learns what was removed before the first segment.
    fn close_gaps(&mut self, persist: &Persist) -> Result<(), OpenError> {
        let known = persist.recall_watermarks(&mut self.index.topics)?;
        let removed = self.index.segments.first().map_or(Position::START, |s| s.header.follows);
        let compacted = self.index.segments.iter().map(|s| s.header.through).max();
        let gone = removed.max(compacted.unwrap_or_default());
        if gone > known {
            self.index.topics.forget_up_to(gone);
        }
        self.index.topics.forget_unrecalled();
        self.index.topics.forget_excess();
        self.index.gone = gone;
        let erased = Arc::make_mut(&mut self.index.erased);
        erased.retain(|position| *position > removed);
        if !erased.is_empty() {
            persist.put_erased(erased.iter().copied())?;
        }
        Ok(())
    }

    /// Every opening begins an epoch and a segment: so a copied or restored directory and
    /// its original part ways here, and nothing is ever appended behind a torn tail.
    fn begin_epoch(
        mut self,
        persist: Persist,
        config: &DiskConfig,
    ) -> Result<Recovered, OpenError> {
        let last = self.index.end;
        let (epochs, reserved) = self.epochs_so_far();
        let reserved = if config.mutated(Mutation::ReusePosition) { last } else { reserved };
        let first = last.max(reserved).next();
        let epoch = Epoch::random();
        let epochs = match epochs {
            Some(mut epochs) => {
                epochs.open(epoch.clone(), last, reserved, first);
                epochs
            }
            None => Epochs::new(epoch.clone()),
        };
        let reserved = Position(first.0 + RESERVE);
        persist.put_epochs(&epochs, reserved)?;
        let header = SegmentHeader {
            base: first,
            follows: last,
            through: Position::START,
            generation: 0,
            epoch,
        };
        let segment = Segment::create(self.medium, header)?;
        let file = segment.file.get()?;
        self.drop_empty_segments(&segment.name)?;
        self.index.segments.push(segment);
        self.index.epochs = Arc::new(epochs);
        self.index.recent = Recent::new(last);
        self.sequencer.resume(first, self.time);
        self.recall.into_sequencer(self.medium, &mut self.sequencer)?;
        let time = self.time.max(persist.aged()?);
        let writer = WriterState { sequencer: self.sequencer, persist, file, reserved };
        self.index.mark_unscrubbed(&self.unscrubbed);
        let blank = |position: &&Position| !self.blank.contains(position);
        let to_overwrite = self.index.erased.iter().filter(blank).copied().collect();
        Ok(Recovered { index: self.index, writer, end: last, to_overwrite, time })
    }

    /// The epochs on record, or else what the segments tell of them.
    fn epochs_so_far(&mut self) -> (Option<Epochs>, Position) {
        if let Some((epochs, reserved)) = self.stored_epochs.take() {
            return (Some(epochs), reserved);
        }
        let mut spans: Vec<EpochSpan> = Vec::new();
        for segment in &self.index.segments {
            let SegmentHeader { epoch, base, follows, .. } = &segment.header;
            if spans.last().is_some_and(|span| span.epoch == *epoch) {
                continue;
            }
            if let Some(before) = spans.last_mut() {
                before.last = Some(*follows);
            }
            spans.push(EpochSpan { epoch: epoch.clone(), first: *base, last: None });
        }
        let epochs = Epochs::from_spans(spans);
        let unknown = if epochs.is_some() { RESERVE } else { 0 };
        (epochs, Position(self.index.end.0 + unknown))
    }

    /// Only once there is a new one: a log without any segment would not know how far it was.
    fn drop_empty_segments(&mut self, new: &str) -> Result<(), OpenError> {
        for segment in self.index.segments.extract_if(.., |segment| segment.is_unused()) {
            // One of the same name is the new one, in its place.
            if *segment.name != *new {
                self.medium.remove(&segment.name)?;
            }
        }
        Ok(self.medium.sync_folder("log")?)
    }
}
