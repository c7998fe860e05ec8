//! Which sequences of the stream are which positions of the log, under which epoch. Kept in the
//! cluster and agreed on by compare-and-set. Pure: `verify` decides when a run ends.
//!
//! A position is a stream sequence, moved by what was skipped when the stream was found to be
//! another than before: so no position is ever given to a second event.

use eventwall_log::{Epoch, EpochSpan, Epochs, Position};

/// Far beyond whatever any node may have shown of a run that broke.
const SKIP: u64 = 1 << 20;
/// Runs remembered by name; ids of older ones are unknown, their events are not.
const MAX_RUNS: usize = 8192;

/// Sequences without a break, under one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    epoch: Epoch,
    first: Position,
    /// The sequence of `first`.
    seq: u64,
    last: Option<Position>,
}

/// A message that was seen in the stream: its sequence, and when the servers stored it, in
/// nanoseconds. Two streams agree up to it if both have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) time: i128,
}

/// The runs of one stream, oldest first; only the last is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runs {
    /// When the stream was made, as its servers say it.
    pub(crate) created: String,
    runs: Vec<Run>,
    /// The last message that somebody noted here.
    pub(crate) seen: Mark,
    /// Up to here events may have been lost, of any topic.
    pub(crate) unsure: Position,
    /// Up to here events were lost before the log was copied, of topics that a snapshot names:
    /// without one, of any.
    pub(crate) copied: Position,
}

impl Runs {
    /// Of a stream that nobody knows anything of.
    pub(crate) fn new(created: String) -> Self {
        let run = Run { epoch: Epoch::random(), first: Position(1), seq: 1, last: None };
        let (unsure, copied) = (Position::START, Position::START);
        Self { created, runs: vec![run], seen: Mark::default(), unsure, copied }
    }

    /// Of a copy of another log, which is to be described by what follows.
    pub(crate) fn copied(created: String) -> Self {
        Self { runs: Vec::new(), ..Self::new(created) }
    }

    /// An epoch of the log that is copied, from where its first message will be.
    pub(crate) fn copy(&mut self, span: &EpochSpan, seq: u64) {
        let (epoch, first, last) = (span.epoch.clone(), span.first, span.last);
        self.runs.push(Run { epoch, first, seq, last });
    }

    /// Positions are stepped over: the next message has this one.
    pub(crate) fn step(&mut self, position: Position, seq: u64) {
        let Some(run) = self.runs.last_mut() else { return };
        let (epoch, last) = (run.epoch.clone(), run.last);
        run.last = Some(Position(run.first.0 + (seq - run.seq)).before());
        self.runs.push(Run { epoch, first: position, seq, last });
    }

    /// The copied log ends here; what comes is of a new epoch.
    pub(crate) fn finish_copy(&mut self, end: Position, seq: u64, lost: Position) {
        if let Some(run) = self.runs.last_mut() {
            run.last = Some(end);
        }
        self.runs.push(Run { epoch: Epoch::random(), first: end.next(), seq, last: None });
        self.copied = lost;
    }

    pub(crate) fn position(&self, seq: u64) -> Position {
        let run = self.runs.iter().rev().find(|run| run.seq <= seq);
        run.map_or(Position::START, |run| Position(run.first.0 + (seq - run.seq)))
    }

    /// The last sequence that is not beyond a position.
    pub(crate) fn sequence(&self, position: Position) -> u64 {
        let Some(at) = self.runs.iter().rposition(|run| run.first <= position) else { return 0 };
        let run = &self.runs[at];
        let position = run.last.map_or(position, |last| last.min(position));
        let into = position.0.saturating_sub(run.first.0);
        let seq = (run.seq + into).saturating_sub(u64::from(position < run.first));
        // A run may have held more positions than it has messages.
        self.runs.get(at + 1).map_or(seq, |next| seq.min(next.seq - 1))
    }

    pub(crate) fn epochs(&self) -> Epochs {
        Epochs::from_spans(self.spans()).unwrap_or_else(|| Epochs::new(Epoch::random()))
    }

    /// An epoch may have several runs.
    fn spans(&self) -> Vec<EpochSpan> {
        let of_one = self.runs.chunk_by(|one, next| one.epoch == next.epoch);
        let span = |runs: &[Run]| {
            let (first, last) = (runs.first()?, runs.last()?);
            Some(EpochSpan { epoch: first.epoch.clone(), first: first.first, last: last.last })
        };
        of_one.filter_map(span).collect()
    }

    /// Goes on after `seq` under a new epoch, with nothing lost: somebody begins to watch who does
    /// not know what was shown before.
    pub(crate) fn begin(&mut self, seq: u64) {
        let unused = self.runs.last().filter(|run| run.seq > seq).cloned();
        let Some(unused) = unused else {
            let first = self.position(seq).next();
            return self.open(first, seq);
        };
        // It has no message, but may have had; and cursors may stand at its beginning, unless an
        // older one names those.
        let older = self.runs.len().checked_sub(2).and_then(|at| self.runs[at].last);
        if older == Some(unused.first.before()) {
            self.runs.pop();
        } else if let Some(run) = self.runs.last_mut() {
            run.last = Some(unused.first.before());
        }
        self.runs.push(Run { epoch: Epoch::random(), last: None, ..unused });
    }

    /// The stream is no longer what it was after `seq`: what came then is lost, up to `shown` or
    /// further.
    pub(crate) fn break_after(&mut self, seq: u64, shown: Position) {
        self.runs.retain(|run| run.seq <= seq.max(1));
        let first = Position(shown.max(self.position(seq)).max(self.unsure).0 + SKIP);
        self.open(first, seq);
        self.seen = Mark::default();
        self.unsure = first.before();
    }

    /// The stream is another one: no id of before says anything about it.
    pub(crate) fn replace(&mut self, created: String, shown: Position) {
        let first = Position(shown.max(self.unsure).0 + SKIP);
        let run = Run { epoch: Epoch::random(), first, seq: 1, last: None };
        let (unsure, copied) = (first.before(), Position::START);
        *self = Self { created, runs: vec![run], seen: Mark::default(), unsure, copied };
    }

    fn open(&mut self, first: Position, after: u64) {
        let last = self.position(after);
        for run in &mut self.runs {
            run.last = run.last.map(|end| end.min(last));
        }
        let unused = self.runs.last().is_some_and(|run| run.first > last);
        if unused && self.runs.len() > 1 {
            self.runs.pop();
        } else if let Some(run) = self.runs.last_mut() {
            run.last = Some(last);
        }
        self.runs.push(Run { epoch: Epoch::random(), first, seq: after + 1, last: None });
        if self.runs.len() > MAX_RUNS {
            self.forget_oldest();
        }
    }

    /// The oldest run gives up its name, and its messages go over to the next; unless positions were
    /// stepped over between them.
    fn forget_oldest(&mut self) {
        let [oldest, next, ..] = &self.runs[..] else { return };
        let ends = Position(oldest.first.0 + (next.seq - oldest.seq));
        let (first, seq) = (oldest.first, oldest.seq);
        if ends == next.first {
            (self.runs[1].first, self.runs[1].seq) = (first, seq);
        } else if seq < next.seq {
            return;
        }
        self.runs.remove(0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The first sequence of the open run: all before it were there once.
    pub(crate) fn open_seq(&self) -> u64 {
        self.runs.last().map_or(1, |run| run.seq)
    }

    /// Whether what was known by `older` up to a sequence is so still.
    pub(crate) fn agrees(&self, older: &Self, seq: u64) -> bool {
        self.created == older.created
            && self.position(seq) == older.position(seq)
            && self.unsure == older.unsure
    }

    /// Whether two lists say the same, whatever was seen since.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (&self.created, &self.runs, self.unsure) == (&other.created, &other.runs, other.unsure)
    }

    /// The name of the run that a sequence is in.
    pub(crate) fn epoch(&self, seq: u64) -> Option<&Epoch> {
        self.runs.iter().rev().find(|run| run.seq <= seq).map(|run| &run.epoch)
    }
}

/// One line each: `created`, `seen`, `unsure`, and a `run` each.
impl std::fmt::Display for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "created {}", self.created)?;
        writeln!(f, "seen {} {}", self.seen.seq, self.seen.time)?;
        writeln!(f, "unsure {}", self.unsure)?;
        writeln!(f, "copied {}", self.copied)?;
        for run in &self.runs {
            let last = run.last.map_or("-".into(), |last| last.to_string());
            writeln!(f, "run {} {} {} {last}", run.epoch.as_str(), run.first, run.seq)?;
        }
        f.write_str("")
    }
}

/// The text is no list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's list of epochs makes no sense")]
pub(crate) struct RunsError;

impl std::str::FromStr for Runs {
    type Err = RunsError;

    fn from_str(text: &str) -> Result<Self, RunsError> {
        let mut runs = Self::new(String::new());
        runs.runs.clear();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["created", created] => created.clone_into(&mut runs.created),
                ["seen", seq, time] => {
                    let time = time.parse().map_err(|_| RunsError)?;
                    runs.seen = Mark { seq: number(seq)?, time };
                }
                ["unsure", position] => runs.unsure = Position(number(position)?),
                ["copied", position] => runs.copied = Position(number(position)?),
                ["run", epoch, first, seq, last] => runs.runs.push(Run {
                    epoch: epoch.parse().map_err(|_| RunsError)?,
                    first: Position(number(first)?),
                    seq: number(seq)?,
                    last: if last == "-" { None } else { Some(Position(number(last)?)) },
                }),
                // Later versions may write more.
                _ => {}
            }
        }
        let ascend = runs.runs.windows(2).all(|w| w[0].seq <= w[1].seq && w[0].first <= w[1].first);
        let sound = ascend && Epochs::from_spans(runs.spans()).is_some();
        if sound { Ok(runs) } else { Err(RunsError) }
    }
}

fn number(text: &str) -> Result<u64, RunsError> {
    text.parse().map_err(|_| RunsError)
}

#[cfg(test)]
mod tests {
    use eventwall_log::Resolution;

    use super::*;

    fn known() -> Runs {
        let mut runs = Runs::new("yesterday".into());
        runs.begin(100);
        runs
    }

    #[test]
    fn a_beginning_moves_no_position() {
        let runs = known();
        for seq in [1, 100, 101, 5000] {
            assert_eq!(runs.position(seq), Position(seq));
            assert_eq!(runs.sequence(Position(seq)), seq);
        }
        assert_eq!(runs.sequence(Position::START), 0);
        assert_ne!(runs.epoch(100), runs.epoch(101));
    }

    #[test]
    fn beginnings_without_events_leave_no_trace() {
        let mut runs = known();
        let before = runs.epochs().id(Position(100));
        for _ in 0..5 {
            runs.begin(100);
        }
        assert_eq!(runs.epochs().spans().len(), 2);
        assert_eq!(runs.epochs().id(Position(100)), before);
    }

    #[test]
    fn what_is_lost_is_never_given_again_and_told() {
        let mut runs = known();
        let lost = runs.epochs().id(Position(190));
        let kept = runs.epochs().id(Position(150));
        runs.break_after(180, Position(220));
        assert!(runs.position(181) > Position(220 + SKIP - 1));
        assert_eq!(runs.position(180), Position(180));
        assert_eq!(runs.sequence(Position(200)), 180, "nothing of the new run");
        assert_eq!(runs.sequence(runs.position(181)), 181);
        assert_eq!(runs.unsure, runs.position(181).before());
        let (epochs, end) = (runs.epochs(), runs.position(190));
        assert_eq!(epochs.resolve(&lost, end), Resolution::Beyond { end: Position(180) });
        assert_eq!(epochs.resolve(&kept, end), Resolution::At(Position(150)));
    }

    #[test]
    fn a_break_before_older_runs_forgets_those() {
        let mut runs = known();
        let first = runs.epochs().id(Position(40));
        runs.break_after(50, Position(120));
        let epochs = runs.epochs();
        assert_eq!(epochs.resolve(&first, Position(u64::MAX)), Resolution::At(Position(40)));
        assert_eq!(epochs.spans().len(), 2);
        assert_eq!(runs.sequence(Position(100)), 50);
    }

    #[test]
    fn a_stream_emptied_from_its_start_goes_on() {
        let mut runs = Runs::new("yesterday".into());
        runs.break_after(0, Position(7));
        assert_eq!(runs.to_string().parse(), Ok(runs.clone()));
        assert!(runs.position(1) > Position(7));
        assert_eq!(runs.sequence(Position(5)), 0);
    }

    #[test]
    fn of_another_stream_no_id_resolves() {
        let mut runs = known();
        let old = runs.epochs().id(Position(40));
        runs.replace("today".into(), Position(220));
        assert_eq!(runs.epochs().resolve(&old, Position(u64::MAX)), Resolution::Unknown);
        assert!(runs.position(1) > Position(220));
        assert_eq!(runs.sequence(Position(220)), 0);
    }

    #[test]
    fn the_list_survives_its_text() {
        let mut runs = known();
        runs.seen = Mark { seq: 7, time: 1_700_000_000_000_000_000 };
        runs.break_after(180, Position(220));
        assert_eq!(runs.to_string().parse(), Ok(runs));
        for bad in ["", "run a 1 1", "run a 1 1 -\nrun b 1 1 -", "seen x y"] {
            assert_eq!(bad.parse::<Runs>(), Err(RunsError), "{bad:?}");
        }
    }

    #[test]
    fn a_cursor_at_the_beginning_of_an_unused_epoch_resolves() {
        let mut runs = known();
        runs.break_after(180, Position(220));
        let told = runs.epochs().id(runs.unsure);
        runs.begin(180);
        runs.begin(180);
        let at = Resolution::At(runs.unsure);
        assert_eq!(runs.epochs().resolve(&told, runs.unsure), at);
        assert_eq!(runs.to_string().parse(), Ok(runs));
    }

    #[test]
    fn however_many_runs_there_are_no_message_loses_its_place() {
        let mut runs = Runs::new("today".into());
        for n in 0..MAX_RUNS as u64 + 50 {
            runs.begin(n + 1);
        }
        assert_eq!(runs.len(), MAX_RUNS);
        for seq in [1, 2, 51, 52, 5000, MAX_RUNS as u64 + 60] {
            assert_eq!(runs.position(seq), Position(seq));
            assert_eq!(runs.sequence(Position(seq)), seq);
        }
        assert!(runs.to_string().len() < 512 << 10, "it fits into a key");
    }

    #[test]
    fn a_copy_resolves_what_its_origin_resolved() {
        let span = |name: &str, first, last: Option<u64>| EpochSpan {
            epoch: name.parse().unwrap(),
            first: Position(first),
            last: last.map(Position),
        };
        let mut runs = Runs::copied("today".into());
        runs.copy(&span("a", 1, Some(50)), 1);
        // Events at 5000…5009 of the second epoch, then at 9000, and an end at 9100.
        runs.copy(&span("b", 4000, None), 1);
        runs.step(Position(5000), 1);
        runs.step(Position(9000), 11);
        runs.finish_copy(Position(9100), 12, Position(4999));
        assert_eq!(runs.to_string().parse(), Ok(runs.clone()));
        for (seq, position) in [(1, 5000), (10, 5009), (11, 9000), (12, 9101), (13, 9102)] {
            assert_eq!(runs.position(seq), Position(position));
            assert_eq!(runs.sequence(Position(position)), seq);
        }
        for (position, seq) in [(20, 0), (4500, 0), (6000, 10), (9050, 11), (9100, 11)] {
            assert_eq!(runs.sequence(Position(position)), seq, "{position}");
        }
        let epochs = runs.epochs();
        assert_eq!(epochs.spans().len(), 3);
        for id in ["a-20", "a-50", "b-4000", "b-5003", "b-9100"] {
            let id = id.parse().unwrap();
            assert!(matches!(epochs.resolve(&id, Position(9100)), Resolution::At(_)), "{id}");
        }
        runs.begin(11);
        assert_eq!(runs.position(12), Position(9101), "who begins alone moves nothing");
        let id = "b-9100".parse().unwrap();
        assert!(matches!(runs.epochs().resolve(&id, Position(9100)), Resolution::At(_)));
    }

    #[test]
    fn a_node_sees_whether_what_it_knew_still_holds() {
        let older = known();
        let mut newer = older.clone();
        newer.begin(150);
        assert!(newer.agrees(&older, 150));
        newer.break_after(140, Position(160));
        assert!(!newer.agrees(&older, 130), "even there a gap is to be told");
    }
}
