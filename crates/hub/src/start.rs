//! Where a subscriber starts: turns what was asked for into a cursor, and says what was
//! lost before it.

use std::{collections::HashMap, sync::Arc};

use eventwall_log::{
    Budget, EventId, Filter, Log, Millis, Position, ReadError, ReadRange, Resolution, Topic,
};

use crate::{Gap, GapReason, cursor::Cursor};

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
        /// The bound on their product.
        max: usize,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Events that `last` may bring, over all topics.
pub const MAX_START_EVENTS: usize = 10_000;

/// Memory that one step of looking for a start may take.
const STEP_BYTES: usize = 1 << 20;

/// A cursor to start from.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) cursor: Cursor,
    pub(crate) gap: Option<Gap>,
    /// The end of the replay; `None` if none was asked for.
    pub(crate) live_at: Option<Position>,
}

pub(crate) async fn start(
    log: &dyn Log,
    filter: Filter,
    start: &Start,
) -> Result<Started, StartError> {
    let end = log.end();
    let live_at = Some(end);
    match start {
        Start::Now => Ok(Started { cursor: Cursor::new(end, filter), gap: None, live_at: None }),
        Start::After(id) => resume(log, filter, Ok(id.clone()), live_at).await,
        Start::Resume(text) => {
            resume(log, filter, text.parse().map_err(|_| text.clone()), live_at).await
        }
        Start::Since(time) => {
            let position = log.position_before(*time).await?.min(end);
            let cursor = forgiving(log, Cursor::new(position, filter)).await?;
            Ok(Started { cursor, gap: None, live_at })
        }
        Start::Last(count) => {
            let cursor = last(log, filter, *count, end).await?;
            Ok(Started { cursor, gap: None, live_at })
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
    let epochs = log.epochs();
    // Not the end at the start of this request: the id may be newer than that.
    let resolved = id.as_ref().map(|id| epochs.resolve(id, log.end()));
    let (position, reason) = match resolved {
        Ok(Resolution::At(position)) => {
            return Ok(Started { cursor: Cursor::new(position, filter), gap: None, live_at });
        }
        Ok(Resolution::Beyond { end }) => (end, GapReason::Replaced),
        Ok(Resolution::Unknown) => (Position::START, GapReason::Replaced),
        Err(_) => (Position::START, GapReason::Unknown),
    };
    let cursor = forgiving(log, Cursor::new(position, filter)).await?;
    let after = id.map_or_else(|text| text, |id| id.to_string());
    let resumed = epochs.id(cursor.position).to_string();
    Ok(Started { cursor, gap: Some(Gap { after, resumed, reason }), live_at })
}

/// Moves a cursor past what is already gone, which is not told again as a gap.
async fn forgiving(log: &dyn Log, cursor: Cursor) -> Result<Cursor, ReadError> {
    let mut cursor = without_gap(log, cursor).await?;
    cursor.advance(cursor.forgiven);
    Ok(cursor)
}

/// What was removed before this start was never promised, so it is no gap.
async fn without_gap(log: &dyn Log, mut cursor: Cursor) -> Result<Cursor, ReadError> {
    let one = Budget { events: 1, bytes: 1 };
    let page = log.read(ReadRange::after(cursor.position), &cursor.filter, one).await?;
    cursor.forgiven = page.removed.unwrap_or_default();
    Ok(cursor)
}

/// Just before the last `count` events of each topic.
async fn last(
    log: &dyn Log,
    filter: Filter,
    count: usize,
    end: Position,
) -> Result<Cursor, StartError> {
    let topics = log.topics(&filter).await?;
    if count.saturating_mul(topics.len().max(1)) > MAX_START_EVENTS {
        return Err(StartError::TooMany {
            last: count,
            topics: topics.len(),
            max: MAX_START_EVENTS,
        });
    }
    let mut floors = HashMap::new();
    for topic in topics {
        let first = first_of_last(log, &topic, end.next(), count).await?;
        floors.insert(topic, first.map_or(end, Position::before));
    }
    let start = floors.values().min().copied().unwrap_or(end);
    let mut cursor = Cursor::new(start, filter);
    cursor.floors = Some(Arc::new(floors));
    Ok(without_gap(log, cursor).await?)
}

/// The position of the first of a topic's last `count` events, read in bounded steps.
async fn first_of_last(
    log: &dyn Log,
    topic: &Topic,
    mut before: Position,
    mut count: usize,
) -> Result<Option<Position>, ReadError> {
    let mut first = None;
    while count > 0 {
        let budget = Budget { events: count, bytes: STEP_BYTES };
        let page = log.read_back(topic, Some(before), budget).await?;
        let Some(oldest) = page.events.first() else { break };
        first = Some(oldest.position);
        before = oldest.position;
        count = count.saturating_sub(page.events.len());
        if !page.more {
            break;
        }
    }
    Ok(first)
}
