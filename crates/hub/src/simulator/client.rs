//! A subscriber: what stock EventSource does, and no more; with what it was told, so that each word
//! of it can be checked.

use std::collections::HashSet;

use bytes::Bytes;
use eventwall_log::{EventId, Filter, Position};
use eventwall_sse::{Decoder, Event, Item};
use tokio::time::Instant;

use super::model::Model;
use crate::{GapReason, Subscription};

/// Lost events, as a gap told of them.
#[derive(Debug, Clone, Copy)]
struct ToldGap {
    after: Position,
    to: Position,
    /// Something in it was really lost.
    true_loss: bool,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) filter: Filter,
    /// `None` while disconnected.
    pub(super) stream: Option<Subscription>,
    /// It waits for news, at most until then.
    pub(super) waiting: Option<Instant>,
    /// It reads seldom.
    pub(super) slow: bool,
    decoder: Decoder,
    /// Everything up to here it has, or knows to be lost.
    cursor: Option<EventId>,
    gaps: Vec<ToldGap>,
    /// Nothing is expected before the replay that it asked for is over.
    starting: bool,
    /// What was gone before it asked for a start is no loss: only these were there, up to the end
    /// of the log then.
    start: Option<(HashSet<Position>, Position)>,
    /// A gap that the log was replaced is due.
    pub(super) stale: bool,
    pub(super) delivered: usize,
    pub(super) gaps_told: usize,
}

/// What a start leaves out.
pub(super) struct Beginning {
    /// Nothing is expected before `live`.
    pub(super) last: bool,
    pub(super) visible: Option<(HashSet<Position>, Position)>,
}

impl Client {
    pub(super) fn new(filter: Filter, slow: bool) -> Self {
        Self {
            filter,
            stream: None,
            waiting: None,
            slow,
            decoder: Decoder::new(),
            cursor: None,
            gaps: Vec::new(),
            starting: false,
            start: None,
            stale: false,
            delivered: 0,
            gaps_told: 0,
        }
    }

    /// What it sends to resume; empty the first time.
    pub(super) fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    pub(super) fn cursor(&self) -> Option<&EventId> {
        self.cursor.as_ref()
    }

    pub(super) fn connected(&mut self, stream: Subscription, beginning: Beginning) {
        self.decoder.reconnected();
        (self.stream, self.waiting) = (Some(stream), None);
        self.starting = beginning.last;
        if beginning.visible.is_some() {
            self.start = beginning.visible;
        }
    }

    pub(super) fn disconnected(&mut self) {
        (self.stream, self.waiting) = (None, None);
    }

    /// The log is another one, so that what was told of the old one can't be checked any more.
    pub(super) fn log_replaced(&mut self, stale: bool) {
        self.stale = stale;
        self.gaps.iter_mut().for_each(|gap| gap.true_loss = true);
    }

    /// Takes bytes in, and checks what they say.
    pub(super) fn receive(&mut self, bytes: &Bytes, model: &Model) -> Result<(), String> {
        let mut items = Vec::new();
        self.decoder.feed(bytes, |item| items.push(item));
        items.into_iter().try_for_each(|item| match item {
            Item::Event(event) => self.event(&event, model),
            other => Err(format!("unexpected {other:?}")),
        })
    }

    fn event(&mut self, event: &Event, model: &Model) -> Result<(), String> {
        let id: EventId =
            event.last_event_id.parse().map_err(|_| format!("{event:?} has no id"))?;
        match &*event.event {
            "eventwall:tick" => self.moves_to(&id, model),
            "eventwall:live" => {
                self.starting = false;
                self.moves_to(&id, model)
            }
            "eventwall:gap" => self.gap(&event.data, &id, model),
            _ => self.delivery(&event.data, &id, model),
        }
    }

    fn delivery(&mut self, text: &str, id: &EventId, model: &Model) -> Result<(), String> {
        let at = id.position;
        let known = model.published.get(&at).ok_or_else(|| format!("{id} was invented"))?;
        if known.id != *id || known.text != text {
            return Err(format!("{id} is {text:?}, but was published as {known:?}"));
        }
        if !self.filter.matches(&known.topic) {
            return Err(format!("{id} of {} was not asked for", known.topic));
        }
        if model.erased.contains(&at) {
            return Err(format!("{id} was erased"));
        }
        let before = self.cursor.as_ref().map_or(Position::START, |cursor| cursor.position);
        if at <= before && self.cursor.is_some() {
            return Err(format!("{id} comes after {before}"));
        }
        self.delivered += 1;
        self.passes(at.before(), model)?;
        self.cursor = Some(id.clone());
        Ok(())
    }

    /// Nothing up to `id` is still to come.
    fn moves_to(&mut self, id: &EventId, model: &Model) -> Result<(), String> {
        if self.stale {
            return Err(format!("it goes on at {id} without being told that the log was replaced"));
        }
        if let Some(cursor) = self.cursor.as_ref().filter(|c| c.position > id.position) {
            return Err(format!("a tick goes back from {cursor} to {id}"));
        }
        self.passes(id.position, model)?;
        self.cursor = Some(id.clone());
        Ok(())
    }

    /// It goes on behind `through`: what it has not been given up to there must be accounted for.
    fn passes(&mut self, through: Position, model: &Model) -> Result<(), String> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        for event in model.matching(&self.filter, cursor.position, through) {
            let at = event.id.position;
            let mut told = false;
            for gap in self.gaps.iter_mut().filter(|gap| gap.after < at && at <= gap.to) {
                (gap.true_loss, told) = (true, true);
            }
            let before_its_start = self.starting
                || self
                    .start
                    .as_ref()
                    .is_some_and(|(there, end)| at <= *end && !there.contains(&at));
            if !told && !before_its_start && !model.is_excused(event) {
                return Err(format!(
                    "{} of {} was lost in silence between {cursor} and {through}",
                    event.id, event.topic
                ));
            }
        }
        self.check_gaps(through, model)
    }

    /// A gap in which nothing was lost is a false one.
    fn check_gaps(&mut self, through: Position, model: &Model) -> Result<(), String> {
        let over: Vec<ToldGap> = self.gaps.extract_if(.., |gap| gap.to <= through).collect();
        for gap in over {
            if !gap.true_loss && !model.is_doubtful(&self.filter, gap.after, gap.to) {
                return Err(format!("a gap was told where nothing was lost: {gap:?}"));
            }
        }
        Ok(())
    }

    fn gap(&mut self, data: &str, id: &EventId, model: &Model) -> Result<(), String> {
        let gap: serde_json::Value =
            serde_json::from_str(data).map_err(|error| format!("{data}: {error}"))?;
        let position = |key: &str| -> Option<Position> {
            gap[key].as_str()?.parse::<EventId>().ok().map(|id| id.position)
        };
        self.gaps_told += 1;
        if gap["reason"] != serde_json::json!(GapReason::Expired) {
            if !self.stale {
                return Err(format!("no log was replaced, and {:?} is known: {gap}", self.cursor));
            }
            self.stale = false;
            self.gaps.clear();
            self.cursor = Some(id.clone());
            return Ok(());
        }
        let after = position("after").ok_or_else(|| format!("{gap} begins nowhere"))?;
        let to = position("through").or(position("resumed"));
        let to = to.ok_or_else(|| format!("{gap} ends nowhere"))?;
        self.gaps.push(ToldGap { after, to, true_loss: false });
        self.moves_to(id, model)
    }
}
