//! The one thread that writes: it gathers waiting appends, stores them with one write and
//! one sync, then shows them to readers, then acknowledges them; in this order, always.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::{
    DiskConfig, Durability, Medium, MediumFile,
    format::{SEGMENT_HEADER, SegmentHeader, encode_erasure, encode_event},
    heal::Failure,
    index::Committed,
    keeper::Wake,
    mutation::Mutation,
    persist::{Persist, RESERVE},
    queue::Command,
    segment::Segment,
    shared_index::SharedIndex,
};
use crate::{
    AppendError, AppendOptions, Appended, Batch, Entry, Epochs, Position, Record,
    sequencer::{Sequenced, Sequencer},
};

/// Bytes after which a group is closed.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// What recovery hands to the writer.
pub(crate) struct WriterState {
    pub(crate) sequencer: Sequencer,
    pub(crate) persist: Persist,
    /// The active segment's file, which has a header only.
    pub(crate) file: Arc<dyn MediumFile>,
    /// Positions up to here may be given out.
    pub(crate) reserved: Position,
}

pub(crate) struct Writer {
    pub(super) medium: Arc<dyn Medium>,
    pub(super) config: DiskConfig,
    pub(super) index: Arc<SharedIndex>,
    pub(super) end: watch::Sender<Position>,
    pub(super) wake: Wake,
    pub(super) state: WriterState,
    /// Bytes of the active segment that are written, and synced.
    pub(super) written: u64,
    pub(super) synced: u64,
    pub(super) last_sync: Instant,
    /// Erased events whose data is still on the disk.
    pub(super) to_overwrite: Vec<Position>,
    pub(super) failure: Option<Failure>,
}

/// Appends that are stored together.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    entries: Vec<Committed>,
    replies: Vec<Reply>,
    erased: Vec<Position>,
    then_roll: bool,
    rolls: Vec<oneshot::Sender<()>>,
    syncs: Vec<oneshot::Sender<()>>,
}

enum Reply {
    Append(
        oneshot::Sender<Result<Appended, AppendError>>,
        Result<(Vec<Position>, bool), AppendError>,
    ),
    Erase(oneshot::Sender<Result<Position, AppendError>>, Position),
}

impl Writer {
    pub(crate) fn new(
        medium: Arc<dyn Medium>,
        config: DiskConfig,
        state: WriterState,
        (index, end, wake): (Arc<SharedIndex>, watch::Sender<Position>, Wake),
    ) -> Self {
        let written = SEGMENT_HEADER as u64;
        let last_sync = Instant::now();
        Self {
            medium,
            config,
            index,
            end,
            wake,
            state,
            written,
            synced: written,
            last_sync,
            to_overwrite: Vec::new(),
            failure: None,
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = self.failure.as_ref().map_or_else(|| self.until_sync(), Failure::wait);
            match commands.recv_timeout(wait) {
                Ok(first) => self.group(first, commands),
                Err(RecvTimeoutError::Timeout) if self.failure.is_some() => self.heal(),
                Err(RecvTimeoutError::Timeout) => self.sync_if_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish();
    }

    fn group(&mut self, first: Command, commands: &Receiver<Command>) {
        if let Some(failure) = &self.failure {
            refuse(first, &failure.reason);
            if failure.wait().is_zero() {
                self.heal();
            }
            return;
        }
        // Permits are held until the group is answered: they bound what is in memory.
        let mut permits = Vec::new();
        let mut group = Group::default();
        if let Err(error) = self.roll_if_full() {
            self.fail(&error);
            // Nothing was placed yet.
            return refuse(first, &error);
        }
        let mut next = Some(first);
        while let Some(command) = next {
            permits.push(self.place(command, &mut group));
            next =
                if group.bytes.len() < MAX_GROUP_BYTES { commands.try_recv().ok() } else { None };
        }
        let (then_roll, rolls) = (group.then_roll, std::mem::take(&mut group.rolls));
        let syncs = std::mem::take(&mut group.syncs);
        match self.store(&group) {
            Ok(()) => self.commit(group),
            Err(error) => {
                let outcome = self.fail(&error);
                group.answer(&self.index, Some(&outcome));
            }
        }
        if self.config.mutated(Mutation::AckBeforeSync) {
            let _ = self.sync();
        }
        self.sync_if_due();
        if !syncs.is_empty() && self.failure.is_none() {
            match self.sync() {
                Ok(()) => answer(syncs),
                Err(error) => drop(self.fail(&error.to_string())),
            }
        }
        if then_roll && self.failure.is_none() {
            match self.roll() {
                Ok(()) => answer(rolls),
                Err(error) => drop(self.fail(&error)),
            }
        }
    }

    /// Gives a command its place and its bytes.
    fn place(&mut self, command: Command, group: &mut Group) -> OwnedSemaphorePermit {
        match command {
            Command::Append { batch, options, reply, permit } => {
                let placed = self.place_batch(batch, options, group);
                group.replies.push(Reply::Append(reply, placed));
                permit
            }
            Command::Place { records, end, reply, permit } => {
                let placed = self.place_copies(records, end, group);
                group.replies.push(Reply::Append(reply, placed));
                permit
            }
            Command::Erase { positions, reply, permit } => {
                let position = self.place_erasure(positions, group);
                group.replies.push(Reply::Erase(reply, position));
                permit
            }
            Command::Roll { reply, permit } => {
                group.then_roll = true;
                group.rolls.extend(reply);
                permit
            }
            Command::Sync { reply, permit } => {
                group.syncs.push(reply);
                permit
            }
        }
    }

    fn place_batch(
        &mut self,
        batch: Batch,
        options: AppendOptions,
        group: &mut Group,
    ) -> Result<(Vec<Position>, bool), AppendError> {
        let now = (self.config.clock)();
        let placed = {
            let index = self.index.read();
            self.state.sequencer.place(batch, options, now, (&index.topics, &index.epochs))?
        };
        match placed {
            Sequenced::Repeated(positions) => Ok((positions, true)),
            Sequenced::New(records) => {
                let positions = records.iter().map(|record| record.position).collect();
                self.encode(records, group);
                Ok((positions, false))
            }
        }
    }

    /// Records of another log, in order, each a batch of its own.
    fn place_copies(
        &mut self,
        records: Vec<Arc<Record>>,
        end: Option<Position>,
        group: &mut Group,
    ) -> Result<(Vec<Position>, bool), AppendError> {
        let mut positions = Vec::new();
        for record in records {
            self.state.sequencer.place_copy(&record)?;
            positions.push(record.position);
            self.encode(vec![record], group);
        }
        if let Some(end) = end.filter(|end| *end >= self.state.sequencer.next()) {
            // What was last there is not here: an erasure of nothing holds the place.
            self.state.sequencer.skip_to(end);
            self.place_erasure(Vec::new(), group);
        }
        Ok((positions, false))
    }

    fn encode(&self, records: Vec<Arc<Record>>, group: &mut Group) {
        let last = records.len() - 1;
        for (i, record) in records.into_iter().enumerate() {
            let start = group.bytes.len();
            encode_event(&mut group.bytes, &record, i < last, self.unsynced(start));
            let (time, len) = (record.time, (group.bytes.len() - start) as u64);
            group.entries.push(Committed { entry: Entry::Event(record), time, len });
        }
    }

    fn place_erasure(&mut self, positions: Vec<Position>, group: &mut Group) -> Position {
        // What does not exist yet cannot be erased ahead of time.
        let next = self.state.sequencer.next();
        let positions: Vec<_> = positions.into_iter().filter(|p| *p < next).collect();
        let (position, time) = self.state.sequencer.take_place((self.config.clock)());
        let start = group.bytes.len();
        encode_erasure(&mut group.bytes, (position, time), &positions, self.unsynced(start));
        group.erased.extend(&positions);
        let len = (group.bytes.len() - start) as u64;
        let entry = Entry::Erasure { position, erased: positions.into() };
        group.entries.push(Committed { entry, time, len });
        position
    }

    /// How far back from `start` in the group the last synced byte lies.
    fn unsynced(&self, start: usize) -> u32 {
        u32::try_from(self.written - self.synced + start as u64).unwrap_or(u32::MAX)
    }

    fn store(&mut self, group: &Group) -> Result<(), String> {
        if let Some(failure) = &self.failure {
            return Err(failure.reason.clone());
        }
        if group.bytes.is_empty() {
            return Ok(());
        }
        self.reserve()?;
        let text = |error: io::Error| error.to_string();
        self.state.file.write_at(&group.bytes, self.written).map_err(text)?;
        self.written += group.bytes.len() as u64;
        if self.config.mutated(Mutation::AckBeforeSync) {
            return Ok(());
        }
        match self.config.durability {
            Durability::Sync => self.sync().map_err(text),
            Durability::Interval(_) | Durability::None => Ok(()),
        }
    }

    /// No position is written before the state says that it may have been used.
    fn reserve(&mut self) -> Result<(), String> {
        let next = self.state.sequencer.next();
        if next > self.state.reserved {
            let reserved = Position(next.0 + RESERVE);
            let epochs = self.index.read().epochs.clone();
            self.state.persist.put_epochs(&epochs, reserved).map_err(|error| error.to_string())?;
            self.state.reserved = reserved;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.config.mutated(Mutation::SkipSync) {
            self.synced = self.written;
            return Ok(());
        }
        if self.synced < self.written {
            self.state.file.sync()?;
            self.synced = self.written;
        }
        self.last_sync = Instant::now();
        Ok(())
    }

    fn commit(&mut self, mut group: Group) {
        let entries = std::mem::take(&mut group.entries);
        let end = entries.last().map(|committed| committed.entry.position());
        self.index.write().commit(entries);
        self.state.sequencer.settled();
        if let Some(end) = end {
            self.end.send_replace(end);
        }
        let erased = std::mem::take(&mut group.erased);
        group.answer(&self.index, None);
        if let Err(error) = self.overwrite(&erased) {
            self.fail(&error);
        }
        let index = self.index.read();
        if index.bytes() > index.topics.retention().max_bytes {
            self.wake.look();
        }
    }

    /// Erased data leaves the disk: its bytes are overwritten where they lie. The state
    /// knows first, or a crash half-way would look like damage. What fails is not forgotten.
    pub(super) fn overwrite(&mut self, erased: &[Position]) -> Result<(), String> {
        self.to_overwrite.extend(erased);
        if self.to_overwrite.is_empty() {
            return Ok(());
        }
        let all = self.index.read().erased.clone();
        self.state.persist.put_erased(all.iter().copied()).map_err(|error| error.to_string())?;
        super::erase::overwrite(&self.index, &self.to_overwrite)
            .map_err(|error| error.to_string())?;
        self.to_overwrite.clear();
        Ok(())
    }

    fn roll_if_full(&mut self) -> Result<(), String> {
        let full = self.config.segment_bytes(self.index.read().topics.retention());
        if self.written < full { Ok(()) } else { self.roll() }
    }

    /// Seals the active segment and begins another.
    pub(super) fn roll(&mut self) -> Result<(), String> {
        if self.written == SEGMENT_HEADER as u64 {
            return Ok(());
        }
        let text = |error: io::Error| error.to_string();
        self.sync().map_err(text)?;
        // One guard: with two in a statement, the keeper waiting between them would block both.
        let (follows, epoch) = {
            let index = self.index.read();
            (index.end, index.epochs.current().clone())
        };
        let base = self.state.sequencer.next();
        let header =
            SegmentHeader { base, follows, through: Position::START, generation: 0, epoch };
        let segment = Segment::create(&self.medium, header).map_err(text)?;
        self.state.file = segment.file.get().map_err(text)?;
        self.written = segment.len;
        self.synced = segment.len;
        let mut index = self.index.write();
        if let Some(sealed) = index.segments.last() {
            sealed.file.release();
        }
        index.segments.push(segment);
        Ok(())
    }

    fn until_sync(&self) -> Duration {
        match self.config.durability {
            Durability::Interval(every) if self.synced < self.written && self.failure.is_none() => {
                every.saturating_sub(self.last_sync.elapsed())
            }
            _ => Duration::from_secs(3600),
        }
    }

    fn sync_if_due(&mut self) {
        if self.until_sync().is_zero()
            && let Err(error) = self.sync()
        {
            self.fail(&error.to_string());
        }
    }

    /// An orderly end gives unused positions back, so that ids stay short.
    fn finish(mut self) {
        if self.failure.is_some() || self.sync().is_err() {
            return;
        }
        let last = self.state.sequencer.next().before();
        let epochs = self.index.read().epochs.clone();
        let active = self.index.read().segments.last().map(|segment| segment.name.clone());
        if let Some(name) = active {
            let _ = self.state.persist.put_closed(&name, self.written);
        }
        let _ = self.state.persist.put_epochs(&epochs, last);
    }
}

impl Group {
    /// Answers everyone; all with `failed` whose events would have been stored.
    fn answer(self, index: &SharedIndex, failed: Option<&AppendError>) {
        let epochs = index.read().epochs.clone();
        for reply in self.replies {
            reply.send(&epochs, failed);
        }
    }
}

impl Reply {
    /// Whoever no longer waits for the answer does without.
    fn send(self, epochs: &Epochs, failed: Option<&AppendError>) {
        match self {
            Self::Append(reply, result) => {
                let ids = |positions: Vec<Position>| {
                    positions.into_iter().map(|p| epochs.id(p)).collect()
                };
                let result = match (result, failed) {
                    (Ok(_), Some(failed)) => Err(failed.clone()),
                    (result, _) => result
                        .map(|(positions, repeated)| Appended { ids: ids(positions), repeated }),
                };
                let _ = reply.send(result);
            }
            Self::Erase(reply, position) => {
                let _ = reply.send(failed.cloned().map_or(Ok(position), Err));
            }
        }
    }
}

/// Whoever no longer waits does without.
fn answer(replies: Vec<oneshot::Sender<()>>) {
    replies.into_iter().for_each(|reply| {
        let _ = reply.send(());
    });
}

fn refuse(command: Command, reason: &str) {
    let error = AppendError::Stopped { reason: reason.to_owned() };
    match command {
        Command::Append { reply, .. } | Command::Place { reply, .. } => {
            drop(reply.send(Err(error)));
        }
        Command::Erase { reply, .. } => drop(reply.send(Err(error))),
        Command::Roll { .. } | Command::Sync { .. } => {}
    }
}
