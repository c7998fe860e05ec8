//! The one place that decides what follows a cursor. Pure: everyone who delivers (the stream,
//! the JSON page, the long-poll) carries its answer and adds nothing.

use std::sync::Arc;

use eventwall_log::{Entry, Epochs, Filter, Page, Position, ReadRange};

use crate::{
    Framed,
    cursor::Cursor,
    window::{Limit, Slice, Window, collect},
};

/// What follows a cursor.
#[derive(Debug)]
pub(crate) enum Next {
    /// These, after which the cursor stands at `examined`.
    Events(Slice),
    /// Nothing yet; the cursor may move to here.
    Wait(Position),
    /// Matching events are gone.
    Gap {
        /// Nothing that is left lies before.
        resumed: Position,
        /// The last of them was here.
        removed: Position,
        /// All that is told with this, by [`Page::removals`].
        removals: u64,
    },
    /// The log has to be read for it.
    Read(ReadRange),
}

/// What was read from the log for a cursor that is behind the window.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    /// The cursor it was read for.
    pub(crate) after: Position,
    /// The last position examined.
    pub(crate) through: Position,
    pub(crate) events: Vec<Arc<Framed>>,
    pub(crate) removed: Option<Position>,
    /// [`Page::removals`], and what was forgiven.
    pub(crate) removals: u64,
    pub(crate) forgives: u64,
    /// [`Window::erasures`] before it was read.
    pub(crate) erasures: u64,
}

impl CaughtUp {
    /// Frames what was read of `range`.
    pub(crate) fn new(range: ReadRange, page: Page, epochs: &Epochs, erasures: u64) -> Self {
        let framed = |entry: Entry| match entry {
            Entry::Event(record) => {
                let id = epochs.id(record.position);
                Some(Framed::new(record, id))
            }
            Entry::Erasure { .. } => None,
        };
        Self {
            after: range.after,
            through: page.examined,
            events: page.entries.into_iter().filter_map(framed).collect(),
            removed: page.removed,
            removals: page.removals,
            forgives: range.forgives,
            erasures,
        }
    }
}

impl CaughtUp {
    /// Whether it brings what follows the beginning of a range, and nothing was erased since.
    pub(crate) fn covers(&self, range: ReadRange, erasures: u64) -> bool {
        (self.erasures, self.forgives) == (erasures, range.forgives)
            && self.after <= range.after
            && range.after < self.through
    }

    /// Whether anything is left after `position`, as far as it was read.
    fn has_some(&self, position: Position) -> bool {
        self.events.last().is_some_and(|last| last.position() > position)
    }

    /// Up to where nothing is left that comes after `position`.
    fn nothing_up_to(&self, position: Position) -> Position {
        let left = self.events.iter().find(|event| event.position() > position);
        left.map_or(self.through, |event| event.position().before())
    }
}

/// Decides what follows `cursor`, from the window if it reaches back far enough, else from
/// what was read for it.
pub(crate) fn next(
    cursor: &Cursor,
    limit: Limit,
    window: &Window,
    caught_up: Option<&CaughtUp>,
) -> Next {
    if !limit.from_log
        && let Some(slice) = window.after(cursor, limit)
    {
        return from_slice(slice);
    }
    // Not bounded by `limit.through`: a removal beyond it could not be told from one before.
    let range = ReadRange { forgives: cursor.forgives, ..ReadRange::after(cursor.position) };
    let covering = caught_up.filter(|read| read.covers(range, window.erasures()));
    let Some(read) = covering else { return Next::Read(range) };
    match read.removed {
        Some(removed) if removed > cursor.position => {
            let resumed = match &cursor.filter {
                // Retention takes the oldest of a topic first: what was not read of it yet is not
                // there. (What a log lost otherwise may lie behind events that are left.)
                Filter::Topics(topics) if topics.len() == 1 && !read.has_some(cursor.position) => {
                    removed
                }
                _ => removed.min(read.nothing_up_to(cursor.position)),
            };
            Next::Gap { resumed, removed, removals: read.removals }
        }
        _ => {
            let through = read.through.min(limit.through);
            from_slice(collect(read.events.iter(), cursor, limit, through))
        }
    }
}

fn from_slice(slice: Slice) -> Next {
    if slice.events.is_empty() { Next::Wait(slice.examined) } else { Next::Events(slice) }
}
