//! Pages: the same events, by the same decisions, as one bounded answer.

use std::sync::Arc;

use eventwall_log::{Budget, EventId, Filter, Position, Record, Resolution};

use tokio::time::{Duration, Instant, timeout_at};

use crate::{
    Framed, Gap, GapReason, Hub, Start, StartError,
    next::{CaughtUp, Next, next},
    start::Started,
    window::Limit,
};

/// How much a page may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Events.
    pub events: usize,
    /// Bytes of events; one event always fits, and of several topics one of each, if they are not more
    /// than twice as many together.
    pub bytes: usize,
}

impl PageLimit {
    /// So many events, of 4 MiB.
    #[must_use]
    pub fn events(events: usize) -> Self {
        Self { events, bytes: 4 << 20 }
    }
}

/// A bounded stretch of matching events.
#[derive(Debug)]
pub struct EventPage {
    /// In the order of the log.
    pub events: Vec<Arc<Framed>>,
    /// The last position examined: where to read on from.
    pub cursor: EventId,
    /// More events are left in the direction of reading: newer ones, or older ones if the
    /// page was read back from the end or from an event.
    pub more: bool,
    /// Events were lost before these.
    pub gap: Option<Gap>,
}

impl Hub {
    /// A page of at most `limit` events from `from` on.
    ///
    /// # Errors
    /// If the start is refused or the log cannot be read.
    pub async fn page(
        &self,
        filter: Filter,
        from: &Start,
        limit: PageLimit,
    ) -> Result<EventPage, StartError> {
        match from {
            Start::Last(count) => {
                let end = self.shared.log.end();
                self.last_page(&filter, end.next(), ((*count).min(limit.events), limit), end).await
            }
            _ => self.forward_page(self.shared.start(filter, from).await?, limit).await,
        }
    }

    /// As [`Hub::page`], but an empty page waits for events until the time is over.
    ///
    /// # Errors
    /// If the start is refused or the log cannot be read.
    pub async fn page_waiting(
        &self,
        filter: Filter,
        from: &Start,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<EventPage, StartError> {
        let _named = self.shared.registry.name(filter.clone());
        self.page_watching(filter, from, limit, wait).await
    }

    /// As [`Hub::page_waiting`], for a part of the server itself: it is no follower whom presence counts.
    ///
    /// # Errors
    /// If the start is refused or the log cannot be read.
    pub async fn page_watching(
        &self,
        filter: Filter,
        from: &Start,
        limit: PageLimit,
        wait: Duration,
    ) -> Result<EventPage, StartError> {
        let until = Instant::now() + wait;
        let news = self.shared.registry.news(filter.clone());
        let mut page = self.page(filter.clone(), from, limit).await?;
        while page.events.is_empty() && page.gap.is_none() {
            if timeout_at(until, news.news()).await.is_err() {
                break;
            }
            let from = Start::After(page.cursor);
            page = self.page(filter.clone(), &from, limit).await?;
        }
        Ok(page)
    }

    /// A page of the last `count` events of each topic before an event, at most `limit` in all.
    ///
    /// # Errors
    /// If there are too many, or the log cannot be read.
    pub async fn page_before(
        &self,
        filter: &Filter,
        before: &EventId,
        count: usize,
        limit: PageLimit,
    ) -> Result<EventPage, StartError> {
        let log = &self.shared.log;
        let resolved = log.resolve(before).await?;
        let end = log.end();
        let (bound, exact) = match resolved {
            Resolution::At(position) => (position, true),
            Resolution::Beyond { end } => (end.next(), false),
            Resolution::Unknown => (end.next(), false),
        };
        let mut page =
            self.last_page(filter, bound, (count.min(limit.events), limit), bound.before()).await?;
        if !exact {
            let (after, resumed) = (before.to_string(), page.cursor.to_string());
            page.gap = Some(Gap { after, resumed, through: None, reason: GapReason::Replaced });
        }
        Ok(page)
    }

    async fn forward_page(
        &self,
        started: Started,
        limit: PageLimit,
    ) -> Result<EventPage, StartError> {
        let Started { mut cursor, mut gap, from_log, .. } = started;
        let through = self.shared.caught_up_with(self.shared.log.end()).await;
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut read: Option<CaughtUp> = None;
        while cursor.position < through && events.len() < limit.events && bytes < limit.bytes {
            let (left, bytes_left) = (limit.events - events.len(), limit.bytes - bytes);
            let room = Limit { events: left, bytes: bytes_left, through, from_log };
            let decided = next(&cursor, room, &self.shared.window(), read.as_ref());
            match decided {
                Next::Events(slice) => {
                    bytes += slice.events.iter().map(|event| event.cost()).sum::<usize>();
                    cursor.advance(slice.examined);
                    events.extend(slice.events);
                }
                Next::Wait(examined) if examined > cursor.position => cursor.advance(examined),
                Next::Wait(_) => break,
                // One page tells one gap, before its events: the next page tells the next.
                Next::Gap { .. } if gap.is_some() || !events.is_empty() => break,
                Next::Gap { resumed, removed, removals } => {
                    let epochs = self.shared.log.epochs();
                    gap = Some(Gap::expired(&epochs, cursor.position, (resumed, removed)));
                    cursor.advance(resumed);
                    cursor.forgives = removals;
                }
                Next::Read(range) => {
                    let budget = Budget { events: room.events, bytes: room.bytes };
                    read = Some(self.shared.read_log(range, &cursor.filter, budget).await?);
                }
            }
        }
        let cursor = self.shared.log.epochs().id(cursor.position);
        let more = cursor.position < through;
        Ok(EventPage { events, cursor, more, gap })
    }

    async fn last_page(
        &self,
        filter: &Filter,
        before: Position,
        (count, limit): (usize, PageLimit),
        cursor: Position,
    ) -> Result<EventPage, StartError> {
        let topics = self.shared.log.topics(filter).await?;
        let max = self.shared.max_start_events.min(limit.events);
        let too_many = StartError::TooMany { last: count, topics: topics.len(), max };
        if topics.len() > max {
            return Err(too_many);
        }
        let (mut records, mut more): (Vec<Arc<Record>>, bool) = (Vec::new(), false);
        let mut budget = Budget { events: 0, bytes: limit.bytes };
        let mut all_bytes = 0;
        for topic in topics {
            budget.events = count;
            let page = self.shared.log.read_back(&topic, Some(before), budget).await?;
            more |= page.more;
            let bytes: usize = page.events.iter().map(|record| record.cost()).sum();
            budget.bytes = budget.bytes.saturating_sub(bytes);
            all_bytes += bytes;
            if !records.is_empty() && all_bytes > 2 * limit.bytes {
                return Err(StartError::TooLarge { bytes: limit.bytes });
            }
            records.extend(page.events);
            if records.len() > max {
                return Err(too_many);
            }
        }
        records.sort_unstable_by_key(|record| record.position);
        let epochs = self.shared.log.epochs();
        let frame = |record: Arc<Record>| {
            let id = epochs.id(record.position);
            Framed::new(record, id)
        };
        let events = records.into_iter().map(frame).collect();
        Ok(EventPage { events, cursor: epochs.id(cursor), more, gap: None })
    }
}
