//! Where a subscriber starts: turns what was asked for into a cursor, and says what was
//! lost before it.

use eventwall_log::{
    Budget, EventId, Filter, Log, Millis, Position, ReadError, ReadRange, Resolution, Topic,
};

use crate::{
    Gap, GapReason,
    cursor::{Cursor, LastEvents},
};

/// Where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// After this id, as a client repeats it. What makes no sense is a gap, for an error
    /// would end a stock EventSource for ever.
    Resume(String),
    /// After this event.
    After(EventId),
    /// With the first event that is not older than this.
    Since(Millis),
    /// With the last `n` events of each topic.
    Last(usize),
}

/// Why a start was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// More events than a start may bring.
    #[error(
        "last={last} of {topics} topics are more than the {max} events that a start may bring: lower `last` or follow fewer topics"
    )]
    TooMany {
        /// Asked for, of each topic.
        last: usize,
        /// How many topics.
        topics: usize,
        /// The bound on what they bring together.
        max: usize,
    },
    /// A page of the last events of several topics would have too many bytes.
    #[error(
        "the last events of these topics have more than {bytes} bytes together: follow fewer topics, or take a stream"
    )]
    TooLarge {
        /// About so many are allowed.
        bytes: usize,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Memory that one step of looking for a start may take.
const STEP_BYTES: usize = 1 << 20;

/// A cursor to start from.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) cursor: Cursor,
    pub(crate) gap: Option<Gap>,
    /// The end of the replay; `None` if none was asked for.
    pub(crate) live_at: Option<Position>,
    /// See [`Limit`](crate::window::Limit).
    pub(crate) from_log: bool,
}

pub(crate) async fn start(
    log: &dyn Log,
    filter: Filter,
    start: &Start,
    max_events: usize,
) -> Result<Started, StartError> {
    let end = log.end();
    let live_at = Some(end);
    let from_log = log.retention().limits_topics();
    match start {
        Start::Now => {
            Ok(Started { cursor: Cursor::new(end, filter), gap: None, live_at: None, from_log })
        }
        Start::After(id) => resume(log, filter, Ok(id.clone()), live_at).await,
        Start::Resume(text) => {
            resume(log, filter, text.parse().map_err(|_| text.clone()), live_at).await
        }
        Start::Since(time) => {
            let position = log.position_before(*time).await?.min(end);
            let cursor = forgiving(log, Cursor::new(position, filter)).await?;
            Ok(Started { cursor, gap: None, live_at, from_log })
        }
        Start::Last(count) => {
            let cursor = last(log, filter, *count, (end, max_events)).await?;
            Ok(Started { cursor, gap: None, live_at, from_log })
        }
    }
}

/// After an id; `Err` is a text that is none.
async fn resume(
    log: &dyn Log,
    filter: Filter,
    id: Result<EventId, String>,
    live_at: Option<Position>,
) -> Result<Started, StartError> {
    // Not at the end at the start of this request: the id may be newer than that.
    let resolved = match &id {
        Ok(id) => Ok(log.resolve(id).await?),
        Err(text) => Err(text),
    };
    let (epochs, from_log) = (log.epochs(), log.retention().limits_topics());
    let (position, reason) = match resolved {
        Ok(Resolution::At(position)) => {
            let cursor = Cursor::new(position, filter);
            return Ok(Started { cursor, gap: None, live_at, from_log });
        }
        Ok(Resolution::Beyond { end }) => (end, GapReason::Replaced),
        Ok(Resolution::Unknown) => (Position::START, GapReason::Replaced),
        Err(_) => (Position::START, GapReason::Unknown),
    };
    let cursor = forgiving(log, Cursor::new(position, filter)).await?;
    let after = id.map_or_else(|text| text, |id| id.to_string());
    let resumed = epochs.id(cursor.position).to_string();
    let gap = Some(Gap { after, resumed, through: None, reason });
    Ok(Started { cursor, gap, live_at, from_log })
}

/// Moves a cursor past what is already gone, which is not told again as a gap, but past nothing
/// that is left.
async fn forgiving(log: &dyn Log, cursor: Cursor) -> Result<Cursor, ReadError> {
    let (mut cursor, gone) = without_gap(log, cursor).await?;
    cursor.advance(gone);
    Ok(cursor)
}

/// What was removed before this start was never promised, so it is no gap. Answers also up to
/// where that goes without anything that is left.
async fn without_gap(log: &dyn Log, mut cursor: Cursor) -> Result<(Cursor, Position), ReadError> {
    let one = Budget { events: 1, bytes: 1 };
    let page = log.read(ReadRange::after(cursor.position), &cursor.filter, one).await?;
    cursor.forgives = page.removals;
    let first = page.entries.first().map(|entry| entry.position().before());
    let nothing_up_to = first.unwrap_or(page.examined);
    Ok((cursor, page.removed.unwrap_or_default().min(nothing_up_to)))
}

/// Just before the last `count` events of each topic.
async fn last(
    log: &dyn Log,
    filter: Filter,
    count: usize,
    (end, max): (Position, usize),
) -> Result<Cursor, StartError> {
    let topics = log.topics(&filter).await?;
    let too_many = StartError::TooMany { last: count, topics: topics.len(), max };
    if topics.len() > max {
        return Err(too_many);
    }
    let mut start = LastEvents { end, ..LastEvents::default() };
    for topic in topics {
        let wanted = last_of(log, &topic, end.next(), count).await?;
        start.floors.insert(topic, wanted.first().map_or(end, |first| first.before()));
        start.wanted.extend(wanted);
        if start.wanted.len() > max {
            return Err(too_many);
        }
    }
    start.wanted.sort_unstable();
    let (cursor, _) = without_gap(log, Cursor::before_last(start, filter)).await?;
    Ok(cursor)
}

/// The positions of a topic's last `count` events in order, read in bounded steps.
async fn last_of(
    log: &dyn Log,
    topic: &Topic,
    mut before: Position,
    count: usize,
) -> Result<Vec<Position>, ReadError> {
    let mut newest_first = Vec::new();
    while newest_first.len() < count {
        let budget = Budget { events: count - newest_first.len(), bytes: STEP_BYTES };
        let page = log.read_back(topic, Some(before), budget).await?;
        let Some(oldest) = page.events.first() else { break };
        before = oldest.position;
        newest_first.extend(page.events.iter().rev().map(|event| event.position));
        if !page.more {
            break;
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}
