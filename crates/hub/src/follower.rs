//! One subscriber, without its socket: says at each step what to send, what to read, or how
//! long to wait. Time is passed in. It never skips an event that `next` gave it.

use std::sync::Arc;

use bytes::Bytes;
use eventwall_log::{Epochs, EventId, Filter, Position, ReadRange};
use tokio::time::{Duration, Instant};

use crate::{
    Form, Gap, GapReason,
    control::{comment_tick, gap_frame, live_frame, tick_frame},
    cursor::Cursor,
    desk::Stretch,
    mutation::Mutation,
    next::{CaughtUp, Next, next},
    start::Started,
    window::{Limit, Slice, Window},
};

/// Bounds of one step: what a slow subscriber holds at most beside its socket.
const STEP_EVENTS: usize = 1024;
const STEP_BYTES: usize = 128 * 1024;

/// How a subscriber wants its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FollowOptions {
    /// Which of an event's frames it gets.
    pub form: Form,
    /// Ticks are comments: for clients that mind events they did not ask for. Their cursor
    /// does not move in quiet times.
    pub comment_ticks: bool,
    /// End after the first events, or after this time: for who sees nothing of a stream
    /// until it ends.
    pub wait: Option<Duration>,
    /// Once live, it may be behind for so long without having caught up in between. A replay may
    /// take as long as it likes.
    pub max_lag: Option<Duration>,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Follower {
    cursor: Cursor,
    options: FollowOptions,
    heartbeat: Duration,
    began: Instant,
    /// Nothing more is to be sent.
    ended: bool,
    /// The first tick is still to be sent.
    beginning: bool,
    // Boxed, as hardly anybody has one.
    gap: Option<Box<Gap>>,
    /// Replay ends here; `None` once `live` was said, or if no start was asked for.
    live_at: Option<Position>,
    /// Up to here it reads the log, which knows what the limits of topics leave.
    from_log_to: Option<Position>,
    quiet_since: Instant,
    /// It was up to date once, or asked for nothing before that.
    was_live: bool,
    /// Since when it has been on its way to where the window ended then.
    behind: Option<(Instant, Position)>,
    caught_up: Option<Arc<CaughtUp>>,
    /// The number of the next ephemeral event; `None` until it is live.
    next_ephemeral: Option<u64>,
    /// It was told of one, which is not counted yet.
    told_gap: Option<GapReason>,
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) mutation: Option<Mutation>,
}

/// What a follower wants done.
#[derive(Debug)]
pub enum Step {
    /// Send these events, and say by [`Subscriber::sent`](crate::Subscriber::sent) how many are on their
    /// way: the others come again.
    Events(Arc<Stretch>),
    /// Send these frames, in order. They do not come again.
    Send(Vec<Bytes>),
    /// Send these frames, in order, or forget them if there is no room: best effort.
    Ephemeral(Vec<Bytes>),
    /// Read the log by [`Subscriber::read`](crate::Subscriber::read).
    Read(ReadRange),
    /// Wait for news of its topics, at most until then.
    Wait(Instant),
    /// Disconnect it: it has been behind for this time, longer than it may.
    Lagging(Duration),
    /// The stream is complete.
    End,
}

impl Follower {
    pub(crate) fn new(
        started: Started,
        options: FollowOptions,
        heartbeat: Duration,
        now: Instant,
    ) -> Self {
        Self {
            cursor: started.cursor,
            options,
            heartbeat,
            began: now,
            ended: false,
            beginning: true,
            gap: started.gap.map(Box::new),
            // Whoever waits for the first events only never gets as far as live.
            live_at: started.live_at.filter(|_| options.wait.is_none()),
            from_log_to: started.live_at.filter(|_| started.from_log),
            quiet_since: now,
            was_live: started.live_at.is_none(),
            behind: None,
            caught_up: None,
            next_ephemeral: None,
            told_gap: None,
            #[cfg(any(test, feature = "simulator"))]
            mutation: None,
        }
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Events that it holds by itself.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> usize {
        self.caught_up.as_ref().map_or(0, |read| read.events.len())
    }

    /// Which of an event's frames it gets.
    pub(crate) fn form(&self) -> Form {
        self.options.form
    }

    /// `filter` equals its own.
    pub(crate) fn share_filter(&mut self, filter: &Filter) {
        self.cursor.filter = filter.clone();
    }

    /// Why it was told of a gap, once.
    pub(crate) fn take_told_gap(&mut self) -> Option<GapReason> {
        self.told_gap.take()
    }

    /// What is replayed on request says nothing about how fast delivery is.
    pub(crate) fn is_live(&self) -> bool {
        self.live_at.is_none() && self.options.wait.is_none()
    }

    /// Where it stands, if what it gets next depends on that and its topics alone.
    pub(crate) fn plain(&self) -> Option<Position> {
        let begun = !self.beginning && !self.ended && self.is_live();
        let plain = begun && self.cursor.is_plain() && !self.replays_from_log();
        plain.then_some(self.cursor.position)
    }

    /// Events that were found to follow where it stands.
    pub(crate) fn offer(&mut self, stretch: Arc<Stretch>, now: Instant) -> Step {
        self.too_far_behind(stretch.tail, now).unwrap_or(Step::Events(stretch))
    }

    pub(crate) fn take_in(&mut self, read: Arc<CaughtUp>) {
        self.caught_up = Some(read);
    }

    pub(crate) fn step(&mut self, window: &Window, epochs: &Epochs, now: Instant) -> Step {
        if self.ended {
            return Step::End;
        }
        if std::mem::take(&mut self.beginning) {
            let frames = self.first_frames(epochs);
            if !frames.is_empty() {
                return self.send(frames, now);
            }
        }
        loop {
            if self.live_at.is_some_and(|at| self.cursor.position >= at) {
                self.live_at = None;
                return self.send(vec![live_frame(&self.id(epochs))], now);
            }
            let behind = self.cursor.position < window.start() || self.replays_from_log();
            if !behind {
                // Whoever has caught up holds nothing beside the window.
                self.caught_up = None;
            }
            match next(&self.cursor, self.limit(), window, self.caught_up.as_deref()) {
                Next::Events(Slice { events, examined }) => {
                    let (tail, ephemera) = (window.tail(), window.ephemera.count());
                    let stretch = Stretch { events, examined, tail, replayed: behind, ephemera };
                    return self.offer(Arc::new(stretch), now);
                }
                Next::Gap { resumed, removals, .. } if self.mutated(Mutation::HideGap) => {
                    self.cursor.advance(resumed);
                    self.cursor.forgives = removals;
                }
                Next::Gap { resumed, removed, removals } => {
                    self.told_gap = Some(GapReason::Expired);
                    let gap = Gap::expired(epochs, self.cursor.position, (resumed, removed));
                    self.cursor.advance(resumed);
                    self.cursor.forgives = removals;
                    return self.send(vec![gap_frame(&gap, &epochs.id(resumed))], now);
                }
                Next::Read(range) => {
                    self.caught_up = None;
                    return Step::Read(range);
                }
                // Nothing matched in what was read: go on behind it.
                Next::Wait(examined) if behind => {
                    self.cursor.advance(self.reached(examined, behind));
                }
                Next::Wait(examined) => {
                    let moved = examined > self.cursor.position;
                    self.cursor.advance(examined);
                    if self.live_at.is_none() || !moved {
                        return self.up_to_date(window, epochs, now);
                    }
                }
            }
        }
    }

    /// What a stream that ends before its time still has to say: one that waits has not told
    /// its cursor yet, and its client would come back without one.
    pub(crate) fn last_words(&self, epochs: &Epochs) -> Option<Bytes> {
        let untold = self.options.wait.is_some() && !self.ended;
        untold.then(|| self.tick(epochs))
    }

    /// The first `count` events of a stretch are on their way.
    pub(crate) fn sent(&mut self, stretch: &Stretch, count: usize, now: Instant) {
        let Some(last) = stretch.events[..count].last() else { return };
        let whole = count == stretch.events.len();
        let through = if whole { stretch.examined } else { last.position() };
        self.cursor.advance(self.reached(through, stretch.replayed));
        // Whoever does not take its frames holds them, and nothing beside.
        self.caught_up.take_if(|read| read.through <= self.cursor.position);
        self.ended = self.options.wait.is_some();
        self.quiet_since = now;
        if self.is_up_to_date(stretch) {
            (self.was_live, self.behind) = (true, None);
        }
    }

    /// Whether nothing was left after a stretch when it was looked up, and all of that was sent.
    pub(crate) fn is_up_to_date(&self, stretch: &Stretch) -> bool {
        let all = !stretch.has_more() && self.cursor.position >= stretch.examined;
        all && self.plain().is_some() && self.next_ephemeral == Some(stretch.ephemera)
    }

    /// Nothing of the log is left to send just now.
    fn up_to_date(&mut self, window: &Window, epochs: &Epochs, now: Instant) -> Step {
        (self.was_live, self.behind) = (true, None);
        let ephemeral = self.ephemeral(window);
        if ephemeral.is_empty() {
            return self.wait(epochs, now);
        }
        self.ended = self.options.wait.is_some();
        self.quiet_since = now;
        Step::Ephemeral(ephemeral)
    }

    /// Ends it if it has been on its way to what was there before for longer than it may. On a busy
    /// topic there is always something newer, and that alone is no lag.
    fn too_far_behind(&mut self, tail: Position, now: Instant) -> Option<Step> {
        let (since, _) = match self.behind {
            Some(behind) if self.cursor.position < behind.1 => behind,
            _ => *self.behind.insert((now, tail)),
        };
        let lag = now.saturating_duration_since(since);
        let max = self.options.max_lag.filter(|_| self.was_live)?;
        self.ended = lag > max;
        self.ended.then_some(Step::Lagging(lag))
    }

    /// What passed by since it was last up to date.
    fn ephemeral(&mut self, window: &Window) -> Vec<Bytes> {
        let seen = self.next_ephemeral.replace(window.ephemera.count());
        let since = |seen| window.ephemera.since(seen, &self.cursor.filter, self.options.form);
        seen.map_or_else(Vec::new, since)
    }

    /// Until replay is over.
    fn replays_from_log(&self) -> bool {
        self.from_log_to.is_some_and(|to| self.cursor.position < to)
    }

    fn limit(&self) -> Limit {
        let through = self.live_at.unwrap_or(Position(u64::MAX));
        let from_log = self.replays_from_log();
        Limit { events: STEP_EVENTS, bytes: STEP_BYTES, through, from_log }
    }

    /// A gap comes before the tick that would move the client's cursor past it.
    fn first_frames(&mut self, epochs: &Epochs) -> Vec<Bytes> {
        self.told_gap = self.gap.as_ref().map(|gap| gap.reason);
        let gap = self.gap.take().map(|gap| gap_frame(&gap, &self.id(epochs)));
        let tick = self.options.wait.is_none().then(|| self.tick(epochs));
        gap.into_iter().chain(tick).collect()
    }

    fn wait(&mut self, epochs: &Epochs, now: Instant) -> Step {
        let quiet = self.quiet_since + self.heartbeat;
        let due = self.options.wait.map_or(quiet, |wait| self.began + wait);
        if now < due {
            return Step::Wait(due);
        }
        self.ended = self.options.wait.is_some();
        self.send(vec![self.tick(epochs)], now)
    }

    fn tick(&self, epochs: &Epochs) -> Bytes {
        let further = u64::from(self.mutated(Mutation::TickTooFar));
        let id = epochs.id(Position(self.cursor.position.0 + further));
        if self.options.comment_ticks { comment_tick() } else { tick_frame(&id) }
    }

    /// Where the cursor stands after a step.
    fn reached(&self, examined: Position, behind: bool) -> Position {
        let skip = behind && self.mutated(Mutation::SkipAtSeam);
        if skip { examined.next() } else { examined }
    }

    #[cfg(any(test, feature = "simulator"))]
    fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    #[cfg(not(any(test, feature = "simulator")))]
    #[allow(clippy::unused_self, reason = "it makes no mistake")]
    const fn mutated(&self, _: Mutation) -> bool {
        false
    }

    fn id(&self, epochs: &Epochs) -> EventId {
        epochs.id(self.cursor.position)
    }

    fn send(&mut self, frames: Vec<Bytes>, now: Instant) -> Step {
        self.quiet_since = now;
        Step::Send(frames)
    }
}
