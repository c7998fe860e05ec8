//! What readers see of the index: pages of the newest entries, and of what was read of the stream.

use std::sync::Arc;

use eventwall_log::{
    Budget, Entry, Filter, Millis, Page, Position, ReadRange, Record, Topic, kit::PageBuilder,
};

use super::{Content, Index, Stored, View};
use crate::shared::Witness;

impl Index {
    /// The time of a message that is read: as it was when it was taken in.
    pub(crate) fn time_at(&self, position: Position, time: Millis) -> Millis {
        let at = self.falls.partition_point(|(from, _)| *from <= position);
        let floor = at.checked_sub(1).map_or(0, |at| self.falls[at].1);
        time.max(floor)
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

    /// Whether a reader may see it.
    pub(crate) fn shows(&self, entry: &Entry, view: View) -> bool {
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

    /// The events among what is at hand that were published with a key, not before some time.
    pub(crate) fn of_key(&self, key: (&str, &str), since: Millis) -> Vec<Position> {
        let of_key = |record: &Record| {
            let (scope, name) = record.fields.key.as_ref()?;
            ((&**scope, &**name) == key && record.time >= since).then_some(record.position)
        };
        let events = self.recent.iter().filter_map(|entry| match entry {
            Entry::Event(record) => of_key(record),
            Entry::Erasure { .. } => None,
        });
        events.collect()
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
}
