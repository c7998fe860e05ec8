//! What a node knows of the log: its topics, what is erased, what is about to go, and the newest
//! entries. Everything in it comes from the stream, in order; nothing here talks to a server.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use eventwall_log::{
    Budget, Clock, Entry, Epochs, Filter, Keep, Millis, Page, Position, ReadRange, Record,
    Retention, Topic,
    kit::{Ages, PageBuilder, Topics},
};

use crate::{
    runs::{Mark, Runs},
    shared::Witness,
    snapshot::Snapshot,
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
            first_seq: 1,
            bytes: 0,
            clock,
            uptime,
        };
        index.trails = index.ages.scans.iter().map(|_| Trail::default()).collect();
        index
    }

    /// Takes in the stream anew, under these runs: it is not what it was.
    pub(crate) fn restart(&mut self, runs: Runs) {
        let shown = self.end;
        let mut topics = Topics::new(self.topics.retention().clone());
        topics.go_on_from(&self.topics);
        self.topics = topics;
        (self.erased, self.holes, self.falls) = Default::default();
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

    /// Ages are counted from a time that is known to have been: this node's clock may be wrong.
    pub(crate) fn count_ages_from_the_last(&mut self) {
        if self.last_time > 0 && !self.is_whole {
            let retention = self.topics.retention().clone();
            self.ages = Ages::new(&retention, self.last_time, self.uptime.clone());
        }
    }

    fn begin_trails(&mut self, after: Position) {
        self.front = Trail::after(after);
        self.trails = self.ages.scans.iter().map(|_| Trail::after(after)).collect();
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
                self.erase(&erased);
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
        if !self.holes.is_empty() && self.count >= self.judge_at {
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
        let there = holes.into_iter().filter(|seq| *seq >= self.first_seq);
        let positions = there.map(|seq| self.runs.position(seq));
        let mut lost = positions.filter(|position| !self.erased.contains(position));
        let Some(first) = lost.next() else { return self.show() };
        let last = lost.last().unwrap_or(first);
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
            *next = (next.0.min(oldest), next.1.max(lost));
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

    /// The time of a message that is read: as it was when it was taken in.
    pub(crate) fn time_at(&self, position: Position, time: Millis) -> Millis {
        let at = self.falls.partition_point(|(from, _)| *from <= position);
        let floor = at.checked_sub(1).map_or(0, |at| self.falls[at].1);
        time.max(floor)
    }

    fn erase(&mut self, positions: &[Position]) {
        self.erased.extend(positions.iter().filter(|position| **position <= self.end));
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

    /// From here on everything is at hand.
    pub(crate) fn recent_after(&self) -> Position {
        self.recent_after
    }

    /// What is at hand after a position.
    pub(crate) fn recent_since(&self, after: Position) -> Vec<Entry> {
        let from = self.recent.partition_point(|entry| entry.position() <= after);
        self.recent.range(from..).cloned().collect()
    }

    /// The servers say what is left of the stream.
    pub(crate) fn left(&mut self, first_seq: u64, bytes: u64) {
        self.bytes = bytes;
        if first_seq <= self.first_seq {
            return;
        }
        self.first_seq = first_seq;
        let first = self.runs.position(first_seq);
        while let Some(gone) = self.front.pop_if(|ahead| ahead.position < first) {
            self.topics.removed(&gone.topic, gone.position);
        }
        if !self.front.skip_to(first) {
            self.lost_unseen(first);
        }
        for trail in &mut self.trails {
            while trail.pop_if(|ahead| ahead.position < first).is_some() {}
            trail.skip_to(first);
        }
        self.erased = self.erased.split_off(&first);
    }

    /// Events before `first` went faster than they could be looked at.
    fn lost_unseen(&mut self, first: Position) {
        let gone = |known: &eventwall_log::kit::Known| {
            known.reach.last < first && known.reach.hidden < known.reach.last
        };
        let gone: Vec<_> = self.topics.known().0.filter(gone).collect();
        for known in gone {
            self.topics.removed(&known.topic, known.reach.last);
        }
        self.topics.unsure_up_to(first.before());
    }

    /// Hides what is too old by now.
    pub(crate) fn expire(&mut self) {
        let now = self.ages.now((self.clock)(), self.topics.retention().max_clock_step);
        for (scan, trail) in self.ages.scans.iter().zip(&mut self.trails) {
            while let Some(old) = trail.pop_if(|ahead| scan.is_over(ahead.time, now)) {
                if self.topics.limits(&old.topic).max_age == Some(scan.max_age) {
                    self.topics.removed(&old.topic, old.position);
                }
            }
        }
    }

    /// From which positions on trails want to be refilled.
    pub(crate) fn short_trails(&self) -> Vec<(Option<usize>, Position)> {
        let ages = self.trails.iter().enumerate().map(|(n, trail)| (Some(n), trail));
        let all = ages.chain([(None, &self.front)]);
        all.filter(|(_, trail)| trail.is_short(self.end)).map(|(n, t)| (n, t.through())).collect()
    }

    /// What was read for a trail.
    pub(crate) fn refill(&mut self, which: Option<usize>, read: &[Entry], examined: Position) {
        let trail = match which {
            None => &mut self.front,
            Some(n) if n < self.trails.len() => &mut self.trails[n],
            Some(_) => return,
        };
        trail.extend(read.iter().filter_map(ahead), examined);
    }

    /// From now on other limits hold; of what is there already, those on counts take hold as it is
    /// superseded.
    pub(crate) fn set_retention(&mut self, retention: Retention) {
        self.ages.set(&retention);
        let first = self.runs.position(self.first_seq).before();
        self.trails = self.ages.scans.iter().map(|_| Trail::after(first)).collect();
        self.topics.set_retention(Arc::new(retention), std::iter::empty());
        let states =
            |known: &eventwall_log::kit::Known| known.reach.hidden < known.reach.last.before();
        let known: Vec<_> = self.topics.known().0.filter(states).collect();
        for known in known {
            if self.topics.limits(&known.topic).keep == Keep::Latest {
                self.topics.removed(&known.topic, known.reach.last.before());
            }
        }
    }

    fn shows(&self, entry: &Entry, view: View) -> bool {
        match entry {
            Entry::Event(record) => {
                !self.erased.contains(&record.position)
                    && (view == View::Raw || self.topics.shows(&record.topic, record.position))
            }
            Entry::Erasure { .. } => true,
        }
    }

    /// Gives a message its place.
    pub(crate) fn placed(&self, stored: Stored) -> Option<Entry> {
        let position = self.runs.position(stored.mark.seq);
        match stored.content {
            Content::Event(mut record) => {
                record.position = position;
                record.time = self.time_at(position, record.time);
                record.topic = self.topics.interned(record.topic);
                Some(Entry::Event(Arc::new(*record)))
            }
            Content::Erasure(erased) => Some(Entry::Erasure { position, erased: erased.into() }),
            Content::Nothing => None,
        }
    }

    /// What a reader of everything after a position must come to. A server that does not send it may
    /// be behind the others.
    pub(crate) fn witness(&self, filter: &Filter, after: Position) -> Witness {
        let (mut last, mut ask) = (after, false);
        let mut look = |topic: &Topic| {
            let reach = self.topics.get(topic);
            if reach.last > after && reach.last > reach.hidden {
                ask |= self.erased.contains(&reach.last);
                last = last.max(reach.last);
            }
        };
        match filter {
            Filter::All => last = self.runs.position(self.mark.seq).max(after),
            Filter::Topics(topics) => topics.iter().for_each(&mut look),
            Filter::Selection(_) => self.topics.matching(filter).iter().for_each(&mut look),
        }
        match (ask, last > after) {
            (true, _) => Witness::Ask,
            (false, true) => Witness::At(last),
            (false, false) => Witness::None,
        }
    }

    /// A page of what is at hand, if the range begins there.
    pub(crate) fn read_recent(
        &self,
        range: ReadRange,
        filter: &Filter,
        (budget, view): (Budget, View),
    ) -> Option<Page> {
        if range.after < self.recent_after {
            return None;
        }
        let from = self.recent.partition_point(|entry| entry.position() <= range.after);
        let recent = self.recent.range(from..).cloned();
        Some(self.page((range, self.end), filter, (budget, view), recent))
    }

    /// A page of entries in order that follow `range.after`, all there are up to `examined`.
    pub(crate) fn page(
        &self,
        (range, examined): (ReadRange, Position),
        filter: &Filter,
        (budget, view): (Budget, View),
        entries: impl Iterator<Item = Entry>,
    ) -> Page {
        let end = range.through.min(self.end);
        let through = examined.min(end);
        let mut page = PageBuilder::new(range.after, budget);
        let within = entries.take_while(|entry| entry.position() <= through);
        let mut full = false;
        for entry in within.filter(|entry| self.shows(entry, view)) {
            full = !page.push(entry, filter);
            if full {
                break;
            }
        }
        if !full {
            page.examined(through);
        }
        let removals = self.topics.removals();
        let removed = match view {
            View::Kept => self.topics.removed_after(filter, range.after, range.forgives),
            View::Raw => None,
        };
        let mut page = page.finish(removed.map(|position| position.min(end)), removals);
        if view == View::Raw {
            let first = self.runs.position(self.first_seq).before();
            let gone = Some(first).filter(|first| *first > range.after);
            page.removed = self.broke_within(range.after, page.examined).max(gone);
        }
        page
    }

    /// What a tail that reads from here to there has to be told.
    fn broke_within(&self, after: Position, examined: Position) -> Option<Position> {
        let crossed = self.broken.iter().filter(|(at, _)| after <= *at && examined > *at);
        crossed.map(|(_, lost)| *lost).max()
    }

    /// The newest events of one topic among what is at hand, newest first, and whether there may be
    /// older ones.
    pub(crate) fn recent_of(&self, topic: &Topic, before: Position) -> (Vec<Arc<Record>>, bool) {
        let to = self.recent.partition_point(|entry| entry.position() < before);
        let shown = self.recent.range(..to).rev().filter(|entry| self.shows(entry, View::Kept));
        let of_topic = shown.filter_map(|entry| match entry {
            Entry::Event(record) if record.topic == *topic => Some(record.clone()),
            _ => None,
        });
        let found: Vec<_> = of_topic.collect();
        let older = self.topics.get(topic).hidden < self.recent_after;
        (found, older)
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

    /// What another node needs to go on from here.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (known, forgotten, unsure) = self.topics.known();
        Snapshot {
            created: self.runs.created.clone(),
            epoch: self
                .runs
                .epoch(self.mark.seq)
                .map(|e| e.as_str().to_owned())
                .unwrap_or_default(),
            retention: settings(self.topics.retention()),
            mark: self.mark,
            position: self.runs.position(self.mark.seq),
            first_seq: self.first_seq,
            last_time: self.last_time,
            forgotten,
            unsure,
            unsure_by_runs: self.runs.unsure,
            falls: self.falls.iter().copied().collect(),
            erased: self.erased.iter().copied().collect(),
            topics: known.collect(),
            front: (self.front.events().cloned().collect(), self.front.through()),
            ages: self
                .ages
                .scans
                .iter()
                .zip(&self.trails)
                .map(|(s, t)| (s.max_age, t.begins()))
                .collect(),
        }
    }

    /// Goes on from what another node knew; `false` if that was of another stream or by other
    /// limits, or is no news.
    pub(crate) fn learn(&mut self, snapshot: Snapshot) -> bool {
        let same_place = self.runs.position(snapshot.mark.seq) == snapshot.position
            && self.runs.epoch(snapshot.mark.seq).map(eventwall_log::Epoch::as_str)
                == Some(&*snapshot.epoch);
        let same = snapshot.created == self.runs.created
            && snapshot.retention == settings(self.topics.retention());
        if !same || !same_place || snapshot.mark.seq <= self.taken {
            return false;
        }
        let shown = self.end;
        for known in snapshot.topics {
            self.topics.learn(known);
        }
        self.topics.forget_up_to(snapshot.forgotten);
        self.topics.unsure_up_to(snapshot.unsure);
        self.erased.extend(snapshot.erased);
        self.falls = snapshot.falls.into();
        self.last_time = self.last_time.max(snapshot.last_time);
        self.first_seq = self.first_seq.max(snapshot.first_seq);
        self.holes.clear();
        self.begin_trails(self.runs.position(self.first_seq).before());
        let (events, through) = snapshot.front;
        self.front.extend(events, through);
        for (scan, trail) in self.ages.scans.iter().zip(&mut self.trails) {
            let before = snapshot.ages.iter().find(|(age, _)| *age == scan.max_age);
            trail.skip_to(before.map_or(Position::START, |(_, at)| at.next()));
        }
        if shown > Position::START && shown < snapshot.position {
            // Those who follow here have not seen what lies between: they read what is left of it.
            (self.recent, self.recent_bytes) = Default::default();
            let removed = self.topics.removed_after(&Filter::All, shown, 0);
            if let Some(removed) = removed {
                self.broke(shown, removed);
            }
        }
        self.end = self.end.max(snapshot.position);
        self.recent_after = self.recent_after.max(self.end);
        self.note_mark(snapshot.mark);
        self.count_ages_from_the_last();
        true
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
