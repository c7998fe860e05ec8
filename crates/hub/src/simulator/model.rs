//! What should be: everything that was published, in order, and what of it may be missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eventwall_log::{EventId, Filter, Keep, NewEvent, Position, Retention, Topic};

/// One published event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: EventId,
    pub(super) topic: Topic,
    pub(super) text: String,
}

/// A batch with an idempotency key.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    pub(super) events: Vec<NewEvent>,
    pub(super) ids: Vec<EventId>,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) published: BTreeMap<Position, Event>,
    /// Nobody may be shown these any more.
    pub(super) erased: BTreeSet<Position>,
    /// These may have been erased.
    pub(super) perhaps_erased: BTreeSet<Position>,
    /// Between these positions there may have been events of these topics, that a crash cut off
    /// from their answer and limits took before anybody saw them.
    pub(super) unseen: Vec<(Position, Position, Vec<Topic>)>,
    /// Batches that were published with a key, by its number.
    pub(super) keyed: BTreeMap<usize, Keyed>,
    /// The last of each topic.
    last: HashMap<Topic, Position>,
    /// The highest position that was ever given out, or told.
    pub(super) highest: Position,
    pub(super) retention: Retention,
}

impl Model {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            published: BTreeMap::new(),
            erased: BTreeSet::new(),
            perhaps_erased: BTreeSet::new(),
            unseen: Vec::new(),
            keyed: BTreeMap::new(),
            last: HashMap::new(),
            highest: Position::START,
            retention,
        }
    }

    /// An event is in the log, at a position that was given out just now.
    pub(super) fn published(&mut self, event: Event) -> Result<(), String> {
        let position = event.id.position;
        if position <= self.highest {
            return Err(format!(
                "{position} was given out twice: {} was told before",
                self.highest
            ));
        }
        self.highest = position;
        self.last.insert(event.topic.clone(), position);
        self.published.insert(position, event);
        Ok(())
    }

    /// What the log does not hold any more after a crash, in which it may lose what is not synced.
    pub(super) fn forget_after(&mut self, end: Position) {
        self.published.retain(|position, _| *position <= end);
        self.keyed.retain(|_, keyed| keyed.ids.iter().all(|id| id.position <= end));
        self.last.clear();
        for (position, event) in &self.published {
            self.last.insert(event.topic.clone(), *position);
        }
    }

    /// A state that was followed by another: nobody needs it.
    fn is_superseded(&self, event: &Event) -> bool {
        self.retention.limits_of(&event.topic).keep == Keep::Latest
            && self.last.get(&event.topic).is_some_and(|last| *last > event.id.position)
    }

    /// Whether nobody can complain that they were not given it.
    pub(super) fn is_excused(&self, event: &Event) -> bool {
        let position = event.id.position;
        self.erased.contains(&position)
            || self.perhaps_erased.contains(&position)
            || self.is_superseded(event)
    }

    /// Whether something that nobody can know of may have been lost in a stretch: an event that was
    /// erased and then removed, or one that was never seen.
    pub(super) fn is_doubtful(&self, filter: &Filter, after: Position, through: Position) -> bool {
        let erased = |event: &Event| {
            let at = event.id.position;
            self.erased.contains(&at) || self.perhaps_erased.contains(&at)
        };
        let unseen = |(from, to, topics): &(Position, Position, Vec<Topic>)| {
            *to > after && *from <= through && topics.iter().any(|topic| filter.matches(topic))
        };
        self.matching(filter, after, through).any(erased) || self.unseen.iter().any(unseen)
    }

    /// What `filter` matches after a cursor, up to and with `through`.
    pub(super) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
        after: Position,
        through: Position,
    ) -> impl Iterator<Item = &'a Event> {
        let range = (after < through).then(|| self.published.range(after.next()..=through));
        let events = range.into_iter().flatten().map(|(_, event)| event);
        events.filter(|event| filter.matches(&event.topic))
    }
}
