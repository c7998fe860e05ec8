//! What a node knows of the log: its topics, what is erased, what is about to go, and the newest
//! entries. Everything in it comes from the stream, in order; nothing here talks to a server.

mod learn;
mod limits;
mod pages;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use eventwall_log::{
    Clock, Entry, Epochs, Millis, Position, Record, Retention,
    kit::{Ages, Topics},
};

use crate::{
    runs::{Mark, Runs},
    trail::{Ahead, Trail},
};

/// Memory for the newest entries, in bytes: what tails and those little behind them read.
const RECENT_BYTES: usize = 16 << 20;
/// Times at which the servers' clock fell back, remembered at most.
const MAX_FALLS: usize = 1024;
/// Messages remembered to recognise the stream by.
const MAX_MARKS: usize = 48;
/// Breaks remembered, for tails that have not read over them yet.
const MAX_BREAKS: usize = 16;

/// A message of the stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) mark: Mark,
    pub(crate) content: Content,
    /// Its `Nats-Msg-Id`, if it was published with a key.
    pub(crate) id: Option<Box<str>>,
}

/// What a message is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// An event, in a place that is not its own yet.
    Event(Box<Record>),
    /// These are erased.
    Erasure(Vec<Position>),
    /// Nothing that this version knows.
    Nothing,
}

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What the limits of each topic leave.
    Kept,
    /// Whatever is still there: for tails.
    Raw,
}

/// See the module.
pub(crate) struct Index {
    pub(crate) runs: Runs,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) topics: Topics,
    pub(crate) ages: Ages,
    /// One for each of the ages.
    trails: Vec<Trail>,
    front: Trail,
    erased: BTreeSet<Position>,
    /// Sequences that were not there when they should have come. Nothing beyond the first of them is
    /// shown until it is known whether they were erased: then all is taken in that the stream had.
    holes: Vec<u64>,
    /// So many messages are taken in then.
    judge_at: u64,
    /// Messages taken in.
    count: u64,
    falls: VecDeque<(Position, Millis)>,
    last_time: Millis,
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// Everything after this is among the recent.
    recent_after: Position,
    /// The last message that was taken in.
    pub(crate) mark: Mark,
    /// Everything in the stream up to here is taken in; the last of it may be gone by now.
    pub(crate) taken: u64,
    /// Some of those before, ever fewer.
    marks: VecDeque<Mark>,
    /// The last position shown.
    pub(crate) end: Position,
    /// Tails that read on over the first hear that events up to the second may be lost.
    broken: VecDeque<(Position, Position)>,
    /// Everything that is in the stream was taken in once since it was begun.
    pub(crate) is_whole: bool,
    /// What was lost before the log was copied will be told to it.
    pub(crate) is_copy: bool,
    /// The first sequence that is left in the stream.
    pub(crate) first_seq: u64,
    pub(crate) bytes: u64,
    clock: Clock,
    uptime: Clock,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Index {
    pub(crate) fn new(retention: Retention, runs: Runs, (clock, uptime): (Clock, Clock)) -> Self {
        let ages = Ages::new(&retention, clock(), uptime.clone());
        let mut index = Self {
            epochs: Arc::new(runs.epochs()),
            runs,
            trails: Vec::new(),
            topics: Topics::new(Arc::new(retention)),
            ages,
            front: Trail::default(),
            erased: BTreeSet::new(),
            holes: Vec::new(),
            judge_at: 0,
            count: 0,
            falls: VecDeque::new(),
            last_time: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_after: Position::START,
            mark: Mark::default(),
            taken: 0,
            marks: VecDeque::new(),
            end: Position::START,
            broken: VecDeque::new(),
            is_whole: false,
            is_copy: false,
            first_seq: 1,
            bytes: 0,
            clock,
            uptime,
        };
        index.begin_trails(Position::START);
        index
    }

    /// Takes in the stream anew, under these runs: it is not what it was.
    pub(crate) fn restart(&mut self, runs: Runs) {
        let shown = self.end;
        let mut topics = Topics::new(self.topics.retention().clone());
        topics.go_on_from(&self.topics);
        self.topics = topics;
        (self.erased, self.holes, self.falls) = Default::default();
        self.judge_at = 0;
        (self.recent, self.recent_bytes, self.marks) = Default::default();
        (self.mark, self.taken, self.last_time) = (Mark::default(), 0, 0);
        self.first_seq = 1;
        self.begin_trails(Position::START);
        let told = runs.unsure.max(shown);
        self.topics.unsure_up_to(told);
        (self.end, self.recent_after) = (told, told);
        self.broke(shown, told);
        self.is_whole = false;
        self.adopt(runs);
    }

    /// The same stream under more epochs.
    pub(crate) fn adopt(&mut self, runs: Runs) {
        self.epochs = Arc::new(runs.epochs());
        if runs.unsure > self.runs.unsure || self.taken == 0 {
            self.topics.unsure_up_to(runs.unsure);
        }
        self.runs = runs;
    }

    /// Takes in the next message of the stream.
    ///
    /// `pending` are in the stream after it already.
    pub(crate) fn take_in(&mut self, stored: Stored, pending: u64) {
        let seq = stored.mark.seq;
        if seq <= self.taken {
            return;
        }
        self.count += 1;
        self.note_hole(self.taken + 1, seq, pending);
        let (before, position) = (self.runs.position(self.taken), self.runs.position(seq));
        let entry = match stored.content {
            Content::Event(mut record) => {
                record.position = position;
                record.time = self.clamped(position, record.time);
                record.topic = self.topics.interned(record.topic);
                let record = Arc::new(*record);
                let prev = self.topics.get(&record.topic).last;
                self.topics.added(&record.topic, position, prev, record.cost() as u64);
                Some(Entry::Event(record))
            }
            Content::Erasure(erased) => {
                self.erase(&erased, position);
                Some(Entry::Erasure { position, erased: erased.into() })
            }
            Content::Nothing => None,
        };
        let ahead = entry.as_ref().and_then(ahead);
        for trail in self.trails.iter_mut().chain([&mut self.front]) {
            trail.follow(before, position, ahead.clone());
        }
        self.note_mark(stored.mark);
        if position > self.end {
            self.remember(entry);
        }
        // An erasure comes before what it removes does.
        let all_is_there = pending == 0 || self.count >= self.judge_at;
        if !self.holes.is_empty() && all_is_there {
            self.judge_holes();
        }
        self.show();
    }

    /// Shows what is taken in, up to the first hole.
    fn show(&mut self) {
        let seq = self.holes.first().map_or(self.taken, |hole| hole - 1);
        self.end = self.end.max(self.runs.position(seq));
    }

    fn note_hole(&mut self, from: u64, to: u64, pending: u64) {
        let from = from.max(self.first_seq);
        if from >= to {
            return;
        }
        // Of a long one its two ends say enough.
        self.holes.push(from);
        self.holes.extend(from.max(to.saturating_sub(1024)).max(from + 1)..to);
        self.judge_at = self.judge_at.max(self.count + pending);
        if self.holes.len() > 65_536 {
            self.judge_holes();
        }
    }

    /// Everything that was in the stream when a hole was seen is taken in. What was missing and nobody
    /// erased may have been anything.
    pub(crate) fn judge_holes(&mut self) {
        let holes = std::mem::take(&mut self.holes);
        self.judge_at = 0;
        let there = holes.into_iter().filter(|seq| *seq >= self.first_seq);
        let positions = there.map(|seq| self.runs.position(seq));
        let mut lost = positions.filter(|position| !self.erased.contains(position));
        let Some(first) = lost.next() else { return self.show() };
        let last = lost.next_back().unwrap_or(first);
        tracing::warn!(%last, "messages are missing in the stream that nobody erased through Eventwall: subscribers that have not passed them are told of a gap");
        self.topics.unsure_up_to(last);
        self.broke(first.before().min(self.end), last);
        self.show();
    }

    /// There is nothing more in the stream up to a sequence.
    pub(crate) fn passed(&mut self, seq: u64) {
        if seq > self.taken {
            self.note_hole(self.taken + 1, seq + 1, 0);
            self.taken = seq;
            self.judge_holes();
        }
    }

    fn broke(&mut self, at: Position, lost: Position) {
        self.broken.push_back((at, lost));
        if self.broken.len() > MAX_BREAKS
            && let Some((oldest, lost)) = self.broken.pop_front()
            && let Some(next) = self.broken.front_mut()
        {
            // Told once more often than it happened.
            *next = (next.0.max(oldest), next.1.max(lost));
        }
    }

    fn note_mark(&mut self, mark: Mark) {
        (self.mark, self.taken) = (mark, self.taken.max(mark.seq));
        self.marks.push_back(mark);
        if self.marks.len() > MAX_MARKS {
            // Of older ones every second is kept: together they reach far back.
            let mut n = 0;
            self.marks.retain(|_| {
                n += 1;
                n > MAX_MARKS / 2 || n % 2 == 0
            });
        }
    }

    /// The messages by which to recognise the stream, newest first.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        self.marks.iter().rev().copied().collect()
    }

    fn clamped(&mut self, position: Position, time: Millis) -> Millis {
        if time < self.last_time {
            if self.falls.back().is_none_or(|(_, floor)| *floor < self.last_time) {
                self.falls.push_back((position, self.last_time));
                if self.falls.len() > MAX_FALLS {
                    self.falls.pop_front();
                }
            }
            return self.last_time;
        }
        self.last_time = time;
        time
    }

    /// What came before the erasure; nothing can be erased ahead of time.
    fn erase(&mut self, positions: &[Position], before: Position) {
        self.erased.extend(positions.iter().filter(|position| **position < before));
        let erased = &self.erased;
        let bytes = &mut self.recent_bytes;
        self.recent.retain(|entry| {
            let keep =
                matches!(entry, Entry::Erasure { .. }) || !erased.contains(&entry.position());
            *bytes -= if keep { 0 } else { entry.cost() };
            keep
        });
    }

    fn remember(&mut self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        self.recent_bytes += entry.cost();
        self.recent.push_back(entry);
        while self.recent_bytes > RECENT_BYTES
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.cost();
            self.recent_after = oldest.position();
        }
    }

    /// Some erased positions, but for those that are known to have left the stream.
    pub(crate) fn erased_but(&self, known: &HashSet<Position>, count: usize) -> Vec<Position> {
        self.erased
            .iter()
            .filter(|position| !known.contains(position))
            .take(count)
            .copied()
            .collect()
    }

    pub(crate) fn is_erased(&self, position: Position) -> bool {
        self.erased.contains(&position)
    }
}

/// The limits in words: two nodes must have the same.
pub(crate) fn settings(retention: &Retention) -> String {
    format!("{:?} {:?} {}", retention.limits, retention.rules, retention.max_bytes)
}

fn ahead(entry: &Entry) -> Option<Ahead> {
    match entry {
        Entry::Event(record) => Some(Ahead {
            position: record.position,
            time: record.time,
            topic: record.topic.clone(),
        }),
        Entry::Erasure { .. } => None,
    }
}
