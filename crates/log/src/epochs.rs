//! The list of a log's epochs: turns positions into ids and ids back into positions, and
//! says honestly when it can't. It never changes an epoch's name or end once told.

use std::fmt::Write as _;

use crate::{Epoch, EventId, Position};

/// Epochs remembered; an id of an older one is unknown.
const MAX_EPOCHS: usize = 4096;

/// One unbroken run of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochSpan {
    /// Its name.
    pub epoch: Epoch,
    /// The first position that it may give out.
    pub first: Position,
    /// The last position that this log holds of it; `None` while it is open.
    pub last: Option<Position>,
}

/// A log's epochs, oldest first; only the last is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs(Vec<EpochSpan>);

/// Where an id points in this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Exactly here.
    At(Position),
    /// Beyond the end of its epoch in this log: this log was restored, copied or cut
    /// after the id was given out. Everything up to `end` is the same.
    Beyond {
        /// The end of that epoch here.
        end: Position,
    },
    /// No epoch of this log: the log was replaced.
    Unknown,
}

impl Epochs {
    /// A list of one open epoch.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self(vec![EpochSpan { epoch, first: Position(1), last: None }])
    }

    /// A list from its spans; `None` unless there is one, they ascend, and only the last
    /// is open.
    #[must_use]
    pub fn from_spans(spans: Vec<EpochSpan>) -> Option<Self> {
        let (open, closed) = spans.split_last()?;
        let ascending =
            spans.windows(2).all(|w| w[0].last < Some(w[1].first) && w[0].first <= w[1].first);
        let closed = closed.iter().all(|span| span.last.is_some()) && open.last.is_none();
        (ascending && closed).then_some(Self(spans))
    }

    /// Closes the open epoch at `last` and opens `epoch` from `first` on. An open epoch that
    /// never gave out a position (none after `used`) is forgotten, if an older one already
    /// names its only cursor.
    pub fn open(&mut self, epoch: Epoch, last: Position, used: Position, first: Position) {
        self.clamp(last);
        if self.0.len() > 1 && self.0.last().is_some_and(|open| open.first > used.max(last)) {
            self.0.pop();
        } else if let Some(open) = self.0.last_mut() {
            open.last = Some(last);
        }
        self.0.push(EpochSpan { epoch, first, last: None });
        if self.0.len() > MAX_EPOCHS {
            self.0.remove(0);
        }
    }

    /// The log ends at `end`: what epochs held beyond is gone, so that ids of it are no longer
    /// exact.
    fn clamp(&mut self, end: Position) {
        for span in &mut self.0 {
            span.last = span.last.map(|last| last.min(end));
        }
    }

    /// The spans, oldest first.
    #[must_use]
    pub fn spans(&self) -> &[EpochSpan] {
        &self.0
    }

    /// The open epoch.
    #[must_use]
    pub fn current(&self) -> &Epoch {
        &self.span_at(Position(u64::MAX)).epoch
    }

    /// The id of a position: named by the oldest epoch that reaches so far, so that it
    /// resolves in every copy of this log that holds it.
    #[must_use]
    pub fn id(&self, position: Position) -> EventId {
        EventId { epoch: self.span_at(position).epoch.clone(), position }
    }

    /// Where `id` points, in a log that ends at `end`.
    #[must_use]
    pub fn resolve(&self, id: &EventId, end: Position) -> Resolution {
        let Some(span) = self.0.iter().rev().find(|span| span.epoch == id.epoch) else {
            return Resolution::Unknown;
        };
        let end = span.last.unwrap_or(end);
        if id.position <= end { Resolution::At(id.position) } else { Resolution::Beyond { end } }
    }

    fn span_at(&self, position: Position) -> &EpochSpan {
        let reaches = |span: &EpochSpan| span.last.is_none_or(|last| position <= last);
        let at = self.0.partition_point(|span| !reaches(span));
        &self.0[at.min(self.0.len() - 1)]
    }
}

/// One line an epoch: `name first last`, with `-` for an open end.
impl std::fmt::Display for Epochs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for span in &self.0 {
            let last = span.last.map_or("-".into(), |last| last.to_string());
            writeln!(f, "{} {} {last}", span.epoch.as_str(), span.first)?;
        }
        f.write_char('\n')
    }
}

impl std::str::FromStr for Epochs {
    type Err = crate::IdError;

    fn from_str(text: &str) -> Result<Self, crate::IdError> {
        let number = |text: &str| text.parse().map(Position).map_err(|_| crate::IdError);
        let mut spans = Vec::new();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let mut words = line.split(' ');
            let mut word = || words.next().ok_or(crate::IdError);
            let (epoch, first, last) = (word()?.parse()?, number(word()?)?, word()?);
            let last = if last == "-" { None } else { Some(number(last)?) };
            spans.push(EpochSpan { epoch, first, last });
        }
        Self::from_spans(spans).ok_or(crate::IdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        name.parse().unwrap()
    }

    fn id(text: &str) -> EventId {
        text.parse().unwrap()
    }

    fn two() -> Epochs {
        let mut epochs = Epochs::new(epoch("a"));
        epochs.open(epoch("b"), Position(100), Position(100), Position(500));
        epochs
    }

    #[test]
    fn ids_name_the_oldest_epoch_that_reaches_them() {
        let epochs = two();
        for (position, expected) in [(0, "a-0"), (100, "a-100"), (101, "b-101"), (500, "b-500")] {
            assert_eq!(epochs.id(Position(position)).to_string(), expected);
        }
    }

    #[test]
    fn every_id_given_out_resolves_to_itself() {
        let epochs = two();
        for position in [0, 1, 99, 100, 500, 520] {
            let id = epochs.id(Position(position));
            assert_eq!(epochs.resolve(&id, Position(520)), Resolution::At(Position(position)));
        }
    }

    #[test]
    fn what_this_log_does_not_hold_is_not_guessed() {
        let epochs = two();
        let end = Position(520);
        assert_eq!(epochs.resolve(&id("a-101"), end), Resolution::Beyond { end: Position(100) });
        assert_eq!(epochs.resolve(&id("b-521"), end), Resolution::Beyond { end });
        assert_eq!(epochs.resolve(&id("c-1"), end), Resolution::Unknown);
    }

    #[test]
    fn openings_without_events_leave_no_trace_and_lose_no_cursor() {
        let mut epochs = Epochs::new(epoch("a"));
        let before = epochs.id(Position(0));
        for name in ["b", "c", "d"] {
            epochs.open(epoch(name), Position(0), Position(0), Position(1));
        }
        assert_eq!(epochs.spans().len(), 2);
        assert_eq!(epochs.resolve(&before, Position(0)), Resolution::At(Position(0)));
        assert_eq!(epochs.id(Position(0)), before);
        assert_eq!(epochs.current().as_str(), "d");
        assert_eq!(epochs.to_string().parse::<Epochs>().unwrap(), epochs, "on disk too");
    }

    #[test]
    fn an_epoch_that_may_have_given_ids_is_kept_and_a_shorter_log_is_told() {
        let mut epochs = two();
        epochs.open(epoch("c"), Position(60), Position(900), Position(901));
        let end = Position(60);
        assert_eq!(epochs.resolve(&id("a-80"), end), Resolution::Beyond { end });
        assert_eq!(epochs.resolve(&id("b-501"), end), Resolution::Beyond { end });
        assert_eq!(epochs.resolve(&id("a-60"), end), Resolution::At(end));
        assert_eq!(epochs.to_string().parse::<Epochs>().unwrap(), epochs);
    }

    #[test]
    fn the_list_survives_its_text() {
        assert_eq!(two().to_string().parse::<Epochs>().unwrap(), two());
        for bad in ["", "a 1", "a 1 2", "a 1 -\nb 2 -", "a 1 9\nb 5 -", "A 1 -", "a x -"] {
            assert!(bad.parse::<Epochs>().is_err(), "{bad:?}");
        }
    }
}
