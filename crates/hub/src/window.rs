//! The newest events in memory, framed once, found by topic. Filled by the tail task alone;
//! it never decides what anybody gets.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use eventwall_log::{Filter, Position, Topic, kit::seek};

use crate::{Framed, cursor::Cursor, ephemeral::Ephemera};

/// All events after `start` up to `tail`.
#[derive(Debug)]
pub(crate) struct Window {
    topics: HashMap<Topic, VecDeque<Arc<Framed>>>,
    /// All of them in order, to know which is the oldest.
    order: VecDeque<Arc<Framed>>,
    bytes: usize,
    max_bytes: usize,
    start: Position,
    /// Events up to here may have been too old to be kept.
    swept: Position,
    tail: Position,
    /// How often something was erased.
    erasures: u64,
    /// Not in the log: see [`Ephemera`].
    pub(crate) ephemera: Ephemera,
}

/// How much one step may bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// Nothing beyond this position.
    pub(crate) through: Position,
    /// A replay of topics with limits of their own: the log knows what they leave, the window
    /// does not.
    pub(crate) from_log: bool,
}

/// A stretch of matching events.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) events: Vec<Arc<Framed>>,
    /// The last position examined.
    pub(crate) examined: Position,
}

impl Window {
    /// An empty window at the end of the log.
    pub(crate) fn new(end: Position, max_bytes: usize) -> Self {
        Self {
            topics: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes,
            start: end,
            swept: Position::START,
            tail: end,
            erasures: 0,
            ephemera: Ephemera::default(),
        }
    }

    /// Every event after this position is in the window.
    pub(crate) fn start(&self) -> Position {
        self.start.max(self.swept)
    }

    /// The oldest event.
    pub(crate) fn oldest(&self) -> Option<&Framed> {
        self.order.front().map(|event| &**event)
    }

    /// Those that `is_expired` says so of; the older ones of a topic come first.
    pub(crate) fn expired(&self, is_expired: impl Fn(&Framed) -> bool) -> HashSet<Position> {
        let mut expired = HashSet::new();
        for events in self.topics.values() {
            expired.extend(events.iter().take_while(|e| is_expired(e)).map(|e| e.position()));
        }
        expired
    }

    /// Lets go of events that are too old. Whoever has not passed them reads the log, which
    /// knows whether that is a gap.
    pub(crate) fn sweep(&mut self, expired: &HashSet<Position>) {
        self.swept = expired.iter().max().copied().unwrap_or_default().max(self.swept);
        self.drop_all(expired);
    }

    /// The last position that came off the log's tail.
    pub(crate) fn tail(&self) -> Position {
        self.tail
    }

    pub(crate) fn push(&mut self, event: Arc<Framed>) {
        self.bytes += event.cost();
        self.tail = self.tail.max(event.position());
        self.topics.entry(event.topic().clone()).or_default().push_back(event.clone());
        self.order.push_back(event);
        while self.bytes > self.max_bytes && self.order.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Everything up to `position` came off the tail.
    pub(crate) fn examined(&mut self, position: Position) {
        self.tail = self.tail.max(position);
    }

    /// The tail itself missed events, removed before it could read them: the window
    /// is complete only from `position` on.
    pub(crate) fn restart(&mut self, position: Position) {
        while self.order.front().is_some_and(|event| event.position() <= position) {
            self.drop_oldest();
        }
        self.start = self.start.max(position);
        self.tail = self.tail.max(position);
        // There may have been erasures among what it missed.
        self.erasures += 1;
    }

    /// Grows with each erasure: what was read from the log before may be gone since.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures
    }

    /// Erased events are not shown from now on, nor what was read of them before.
    pub(crate) fn erase(&mut self, positions: &[Position]) {
        self.erasures += 1;
        self.drop_all(&positions.iter().copied().collect());
    }

    fn drop_all(&mut self, positions: &HashSet<Position>) {
        let gone = |event: &Arc<Framed>| positions.contains(&event.position());
        self.bytes -= self.order.iter().filter(|e| gone(e)).map(|e| e.cost()).sum::<usize>();
        self.order.retain(|event| !gone(event));
        self.topics.retain(|_, events| {
            events.retain(|event| !gone(event));
            !events.is_empty()
        });
    }

    /// What follows the cursor; `None` if the cursor is before the window.
    pub(crate) fn after(&self, cursor: &Cursor, limit: Limit) -> Option<Slice> {
        if cursor.position < self.start() {
            return None;
        }
        let through = self.tail.min(limit.through);
        Some(match &cursor.filter {
            Filter::All | Filter::Selection(_) => {
                let matching = |event: &&Arc<Framed>| cursor.filter.matches(event.topic());
                let events = self.order_after(cursor.position).filter(matching);
                collect(events, cursor, limit, through)
            }
            Filter::Topics(topics) => match &topics[..] {
                [topic] => {
                    collect(self.topic_after(topic, cursor.position), cursor, limit, through)
                }
                topics => collect(self.merged(topics, cursor.position), cursor, limit, through),
            },
        })
    }

    fn order_after(&self, position: Position) -> impl Iterator<Item = &Arc<Framed>> {
        self.order.range(seek(&self.order, |event| event.position() <= position)..)
    }

    fn topic_after(&self, topic: &Topic, position: Position) -> impl Iterator<Item = &Arc<Framed>> {
        self.topics.get(topic).into_iter().flat_map(move |events| {
            events.range(seek(events, |event| event.position() <= position)..)
        })
    }

    /// Several topics' events in the order of the log.
    fn merged(&self, topics: &[Topic], position: Position) -> impl Iterator<Item = &Arc<Framed>> {
        let mut sources: Vec<_> =
            topics.iter().map(|topic| self.topic_after(topic, position).peekable()).collect();
        std::iter::from_fn(move || {
            let at = |source: &mut std::iter::Peekable<_>| {
                source.peek().map(|e: &&Arc<Framed>| e.position())
            };
            let heads = sources.iter_mut().filter_map(|source| at(source).map(|p| (p, source)));
            heads.min_by_key(|(position, _)| *position)?.1.next()
        })
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else { return };
        self.bytes -= oldest.cost();
        self.start = self.start.max(oldest.position());
        if let Some(events) = self.topics.get_mut(oldest.topic()) {
            events.pop_front();
            if events.is_empty() {
                self.topics.remove(oldest.topic());
            }
        }
    }
}

/// Takes wanted ones of events that the filter matches, up to the limit. The first always fits.
pub(crate) fn collect<'a>(
    events: impl Iterator<Item = &'a Arc<Framed>>,
    cursor: &Cursor,
    limit: Limit,
    through: Position,
) -> Slice {
    let mut slice = Slice::default();
    let mut bytes = 0;
    for event in events.take_while(|event| event.position() <= through) {
        if !cursor.wants(event.topic(), event.position()) {
            continue;
        }
        bytes += event.cost();
        let full = slice.events.len() >= limit.events || bytes > limit.bytes;
        if full && !slice.events.is_empty() {
            return slice;
        }
        slice.examined = event.position();
        slice.events.push(event.clone());
    }
    slice.examined = through.max(cursor.position);
    slice
}

#[cfg(test)]
mod tests {
    use eventwall_log::{Epoch, Epochs, Fields, Record};

    use super::*;

    /// A tail that came late brings what is left from before what it missed.
    #[test]
    fn a_window_that_missed_events_does_not_forget_it() {
        let epochs = Epochs::new(Epoch::random());
        let event = |n: u64| {
            let (position, topic, fields) = (Position(n), "a".parse().unwrap(), Fields::default());
            let (time, prev, event, data) = (0, Position::START, None, "x".into());
            let record = Record { position, time, prev, topic, event, data, fields };
            Framed::new(record.into(), epochs.id(position))
        };
        let mut window = Window::new(Position(10), 300);
        window.restart(Position(100));
        assert_eq!(window.erasures(), 1, "what was read before may be erased since");
        for n in [20, 30, 40] {
            window.push(event(n));
        }
        window.examined(Position(40));
        assert!(window.start() >= Position(100), "it starts at {}", window.start());
    }
}
