//! The one thread that takes away: it hides what is over its limits, unlinks whole segments,
//! and has the others compacted when most of them is hidden. What is gone is on record before a
//! file is; what fails is tried again at the next pass, and never stops the log.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use super::{
    DiskConfig, Medium,
    age::expire,
    choose::{Least, Weight, pick},
    format::SEGMENT_HEADER,
    mutation::Mutation,
    persist::Persist,
    queue::Queue,
    reclaim::Overhead,
    segment::{Indexed, Segment},
    shared_index::SharedIndex,
};
use crate::{Millis, Position, Retention, Topic, ages::Ages};

/// Heads of erased events are scrubbed within twice this time, in milliseconds of uptime.
const SCRUB_AFTER: Millis = 25 * 60 * 1000;
const HEADER: u64 = SEGMENT_HEADER as u64;

/// Segments to give back, and what is hidden with that.
struct ToReclaim {
    run: Range<usize>,
    more: Vec<(Topic, Position)>,
}

/// The way to the keeper, and its end.
#[derive(Debug)]
pub(crate) struct Handle {
    /// `None` once it is closed.
    wake: Option<Wake>,
    waiters: Waiters,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Wake(SyncSender<()>);

/// Who is told when a whole pass is done, and whether it is to be thorough.
type Waiters = Arc<Mutex<Vec<(oneshot::Sender<Result<(), String>>, bool)>>>;

/// How far a pass is that somebody waits for, in bytes: about so many of about so many.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    pub(crate) done: AtomicU64,
    pub(crate) of: AtomicU64,
}

pub(crate) struct Keeper {
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) config: DiskConfig,
    pub(crate) index: Arc<SharedIndex>,
    pub(crate) persist: Persist,
    pub(crate) queue: Arc<Queue>,
    pub(crate) ages: Ages,
    /// The settings that `ages` were made from.
    pub(crate) retention: Arc<Retention>,
    /// By segment: about how many bytes are still shown, when last looked at.
    pub(crate) live: HashMap<Arc<str>, u64>,
    /// By segment: since when it has heads to scrub.
    pub(crate) unscrubbed: HashMap<Arc<str>, Millis>,
    /// The time of ages that was last put on record.
    pub(crate) recorded: Millis,
    pub(crate) closing: Arc<AtomicBool>,
    /// Somebody waits: no need to spare the disk.
    pub(crate) hurry: bool,
    /// Whatever can be given back is to be, whether it is worth it or not.
    pub(crate) thorough: bool,
    pub(crate) effort: Arc<Effort>,
    /// Files that are no longer part of the log.
    pub(crate) to_remove: VecDeque<Arc<str>>,
    /// Erased events whose data is still in a file.
    pub(crate) to_overwrite: Vec<Position>,
    /// By segment: until when it is not tried again.
    pub(crate) put_off: HashMap<Arc<str>, Millis>,
    /// By segment: until when its index file is not tried again.
    pub(crate) not_indexed: HashMap<Arc<str>, Millis>,
    /// Limits were changed, and what topics hold was not counted anew yet.
    pub(crate) recounts: bool,
    /// What is hidden may be hidden by mistake: nothing is removed until a restart.
    pub(crate) distrusts: bool,
    /// Segments that failed in this pass.
    pub(crate) failed: HashSet<Arc<str>>,
    /// Segments that failed together with others.
    pub(crate) alone: HashSet<Arc<str>>,
    /// It was told that states are dropped.
    pub(crate) told_of_states: bool,
    /// By segment that was rewritten: what of it could not be done without.
    pub(crate) rewritten: HashMap<Arc<str>, Overhead>,
    /// What was last complained of.
    pub(crate) warned: Option<String>,
}

impl Handle {
    pub(crate) fn spawn(keeper: Keeper) -> std::io::Result<(Self, Wake)> {
        // One is enough: it says only that there may be something to do.
        let (sender, woken) = sync_channel(1);
        let (closing, waiters) = (keeper.closing.clone(), Waiters::default());
        let builder = std::thread::Builder::new().name("eventwall-keep".into());
        let waiting = waiters.clone();
        let thread = builder.spawn(move || keeper.run(&woken, &waiting))?;
        let wake = Wake(sender);
        let handle = Self { wake: Some(wake.clone()), waiters, closing, thread: Some(thread) };
        Ok((handle, wake))
    }

    /// Asks for a whole pass; resolves when it is done, or the keeper is gone.
    pub(crate) fn maintain(&self, thorough: bool) -> oneshot::Receiver<Result<(), String>> {
        let (reply, done) = oneshot::channel();
        if let Some(wake) = &self.wake {
            let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            waiters.push((reply, thorough));
            if !wake.look() {
                waiters.clear();
            }
        }
        done
    }

    /// Ends it, and answers the thread to wait for.
    pub(crate) fn close(&mut self) -> Option<JoinHandle<()>> {
        self.closing.store(true, Ordering::Relaxed);
        self.wake = None;
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.thread.take()
    }
}

impl Wake {
    /// There may be something to do; `false` if nobody is there to do it.
    pub(crate) fn look(&self) -> bool {
        // If there is one waiting it is as good as this.
        !matches!(self.0.try_send(()), Err(TrySendError::Disconnected(())))
    }
}

impl Keeper {
    /// `time` is one that is known to have been.
    pub(crate) fn new(
        (medium, config, persist): (Arc<dyn Medium>, DiskConfig, Persist),
        index: Arc<SharedIndex>,
        queue: Arc<Queue>,
        time: Millis,
    ) -> Self {
        let ages = Ages::new(&config.retention, time, config.uptime.clone());
        let retention = index.read().topics.retention().clone();
        Self {
            medium,
            config,
            index,
            persist,
            queue,
            ages,
            retention,
            recorded: time,
            live: HashMap::new(),
            unscrubbed: HashMap::new(),
            closing: Arc::default(),
            hurry: false,
            thorough: false,
            effort: Arc::default(),
            to_remove: VecDeque::new(),
            to_overwrite: Vec::new(),
            put_off: HashMap::new(),
            not_indexed: HashMap::new(),
            recounts: false,
            distrusts: false,
            failed: HashSet::new(),
            alone: HashSet::new(),
            told_of_states: false,
            rewritten: HashMap::new(),
            warned: None,
        }
    }

    /// Runs until it is closed.
    fn run(mut self, woken: &Receiver<()>, waiters: &Waiters) {
        let every = self.config.keep_every;
        while !self.closing.load(Ordering::Relaxed) {
            let next = match every {
                Some(every) => woken.recv_timeout(every),
                None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if next == Err(RecvTimeoutError::Disconnected) {
                break;
            }
            let waiting =
                std::mem::take(&mut *waiters.lock().unwrap_or_else(PoisonError::into_inner));
            self.hurry = !waiting.is_empty();
            self.thorough = waiting.iter().any(|(_, thorough)| *thorough);
            let done = if self.hurry || every.is_some() { self.pass() } else { Ok(()) };
            for (waiter, _) in waiting {
                let _ = waiter.send(done.clone());
            }
        }
        let now = self.index.read().now;
        let _ = self.persist.put_aged(now);
    }

    /// Each segment may be read to be rewritten, and to be indexed.
    fn begin_effort(&self) {
        let index = self.index.read();
        let bytes = |segment: &Segment| {
            let live = self.live.get(&segment.name);
            let rewritten = segment.unscrubbed || live.is_some_and(|live| *live < segment.len);
            let known = matches!(segment.indexed, Some(Indexed::Checked | Indexed::Damaged));
            let read = u64::from(rewritten) + u64::from(rewritten || !known);
            read * segment.len
        };
        let of = index.sealed().iter().map(bytes).sum();
        self.effort.of.store(of, Ordering::Relaxed);
        self.effort.done.store(0, Ordering::Relaxed);
    }

    fn pass(&mut self) -> Result<(), String> {
        let done = self.try_pass();
        match &done {
            Ok(()) => self.warned = None,
            Err(_) if self.closing.load(Ordering::Relaxed) => {}
            // Once, not each second.
            Err(why) if self.warned.as_ref() == Some(why) => tracing::debug!(%why, "still"),
            Err(why) => {
                tracing::warn!(%why, "old events could not be cleared away; trying again");
                self.warned = Some(why.clone());
            }
        }
        done
    }

    /// Each step is tried whatever became of the one before it; the first failure is told.
    fn try_pass(&mut self) -> Result<(), String> {
        self.failed.clear();
        let removed = self.drain_removals();
        let erased = self.finish_erasures();
        let expired = self.expire();
        let recounted = self.recount();
        self.look_at_segments();
        if self.hurry {
            self.begin_effort();
        }
        let (shrunk, compacted) =
            if self.distrusts { (Ok(()), Ok(())) } else { (self.shrink(), self.compact()) };
        let indexed = self.index_segments();
        removed.and(erased).and(expired).and(recounted).and(shrunk).and(compacted).and(indexed)
    }

    /// Compacts what gains most; all that gains if somebody waits.
    fn compact(&mut self) -> Result<(), String> {
        let mut done = Ok(());
        while let Some(run) = self.worth_compacting() {
            done = done.and(self.reclaim(run, &[], self.hurry));
            if !self.hurry || self.closing.load(Ordering::Relaxed) {
                break;
            }
        }
        done
    }

    /// Hides what is too old.
    pub(crate) fn expire(&mut self) -> Result<(), String> {
        let retention = self.index.read().topics.retention().clone();
        if !Arc::ptr_eq(&retention, &self.retention) {
            self.ages.set(&retention);
            self.recounts = retention.counting().is_some();
            self.retention = retention;
        }
        let now = self.ages.now((self.config.clock)(), self.retention.max_clock_step);
        let now = now + 2_000 * u64::from(self.config.mutated(Mutation::ExpireEarly));
        self.index.write().now = now;
        if self.ages.scans.is_empty() {
            return Ok(());
        }
        for scan in &mut self.ages.scans {
            expire(&self.index, scan, now).map_err(|error| error.to_string())?;
        }
        // After a crash what was hidden in the last minute may be shown once more; on a full disk,
        // what was hidden since there was room.
        if now >= self.recorded + 60_000 && self.persist.put_aged(now).is_ok() {
            self.recorded = now;
        }
        Ok(())
    }

    /// Drops the oldest segments until the log fits, after whatever can be given back without
    /// that. States that nothing has superseded stay, unless there is nothing else to drop. A
    /// segment is hidden only once it can be given back, or what is over a limit for a moment
    /// would take more and more with it.
    fn shrink(&mut self) -> Result<(), String> {
        let mut done = Ok(());
        while self.is_over() && !self.closing.load(Ordering::Relaxed) {
            self.look_at_all();
            let gaining = self.worth_compacting().map(|run| ToReclaim { run, more: Vec::new() });
            let Some(ToReclaim { run, more }) = gaining.or_else(|| self.run_to_drop()) else {
                break;
            };
            done = done.and(self.reclaim(run, &more, true));
        }
        if done.is_err() && self.is_over() && self.index.read().stopped.is_some() {
            // There is no room to write what is to stay of the oldest: then all of it goes.
            let states_too = self.index.read().held_by(0, true);
            self.index.write().hide(&states_too);
            return self.unlink_oldest();
        }
        done
    }

    /// The oldest segments that are to go, and what of them is hidden with that.
    fn run_to_drop(&mut self) -> Option<ToReclaim> {
        let index = self.index.read();
        if index
            .sealed()
            .first()
            .is_some_and(|s| index.shows_nothing(s) && !self.is_put_off(&s.name))
        {
            return Some(ToReclaim { run: 0..1, more: Vec::new() });
        }
        drop(index);
        let (at, states_too) = self.to_drop()?;
        if states_too && !std::mem::replace(&mut self.told_of_states, true) {
            tracing::warn!(
                "states that are to be kept take more than max_bytes: the oldest are dropped"
            );
        }
        let more = self.index.read().held_by(at, states_too);
        let run = if at == 0 { 0..1 } else { self.room_before(at)..at + 1 };
        Some(ToReclaim { run, more })
    }

    pub(super) fn is_over(&self) -> bool {
        let index = self.index.read();
        index.bytes() > index.topics.retention().max_bytes && !index.sealed().is_empty()
    }

    /// The oldest segment that holds more than states; or else the oldest of all, with them.
    fn to_drop(&self) -> Option<(usize, bool)> {
        let index = self.index.read();
        let sealed = index.sealed();
        let may = |segment: &Segment| !self.is_put_off(&segment.name);
        let history = sealed.iter().position(|s| may(s) && index.shows_history(s));
        let states = || sealed.iter().position(|s| may(s) && !index.shows_nothing(s));
        if let Some(at) = history {
            return Some((at, false));
        }
        let at = states()?;
        Some((at, true))
    }

    /// The first of the segments before `at` that fit into one with it.
    fn room_before(&self, at: usize) -> usize {
        let (index, full) = (self.index.read(), self.config.segment_bytes(&self.retention));
        let mut sum = 0;
        let fits = |segment: &&Segment| {
            sum += segment.len;
            sum <= full && !self.is_put_off(&segment.name) && !self.alone.contains(&segment.name)
        };
        at - index.segments[..at].iter().rev().take_while(fits).count()
    }

    /// A segment that could not be rewritten is left alone for a while.
    pub(super) fn is_put_off(&self, name: &Arc<str>) -> bool {
        self.failed.contains(name)
            || self.put_off.get(name).is_some_and(|until| (self.config.uptime)() < *until)
    }

    /// Looks again at how much of a segment is shown: at one in each pass, as it takes a look
    /// at each of its topics; at all of them if somebody waits.
    fn look_at_segments(&mut self) {
        if self.hurry {
            self.look_at_all();
        } else {
            let index = self.index.read();
            let sealed = index.sealed();
            let turn = usize::try_from((self.config.uptime)() / 1000).unwrap_or(0);
            let unseen = sealed.iter().find(|segment| !self.live.contains_key(&segment.name));
            let one = unseen.or_else(|| sealed.get(turn % sealed.len().max(1)));
            if let Some(segment) = one {
                self.live.insert(segment.name.clone(), index.live_bytes(segment));
            }
        }
        self.look_for_heads();
    }

    fn look_at_all(&mut self) {
        let index = self.index.read();
        let live = |segment: &Segment| (segment.name.clone(), index.live_bytes(segment));
        self.live = index.sealed().iter().map(live).collect();
        self.rewritten.retain(|name, _| self.live.contains_key(name));
        self.put_off.retain(|name, _| self.live.contains_key(name));
        self.alone.retain(|name| self.live.contains_key(name));
    }

    /// Notes where heads are to be scrubbed, and has an active segment sealed in time.
    fn look_for_heads(&mut self) {
        let (index, uptime) = (self.index.read(), (self.config.uptime)());
        let marked = |name: &Arc<str>| {
            index.segments.iter().any(|segment| segment.unscrubbed && segment.name == *name)
        };
        self.unscrubbed.retain(|name, _| marked(name));
        for segment in index.segments.iter().filter(|segment| segment.unscrubbed) {
            self.unscrubbed.entry(segment.name.clone()).or_insert(uptime);
        }
        let active = index.segments.last().filter(|active| self.is_scrub_due(&active.name));
        if active.is_some() {
            self.queue.ask_to_roll();
        }
    }

    fn is_scrub_due(&self, name: &Arc<str>) -> bool {
        let due = |since: &Millis| self.thorough || (self.config.uptime)() >= since + SCRUB_AFTER;
        self.unscrubbed.get(name).is_some_and(due)
    }

    /// The run of sealed segments that gains most by being compacted.
    fn worth_compacting(&self) -> Option<Range<usize>> {
        let keys_since = self.keys_since();
        let index = self.index.read();
        let sealed = index.sealed();
        let weigh = |segment: &Segment| {
            let live = self.live.get(&segment.name);
            let live =
                live.map_or(segment.len, |live| live + HEADER + self.overhead(segment, keys_since));
            let weight = Weight {
                len: segment.len,
                live: live.min(segment.len),
                alone: self.alone.contains(&segment.name),
            };
            (!self.is_put_off(&segment.name)).then_some(weight)
        };
        let weights: Vec<_> = sealed.iter().map(weigh).collect();
        let due =
            |segment: &Segment| self.is_scrub_due(&segment.name) && !self.is_put_off(&segment.name);
        let scrub = sealed.iter().position(due);
        let least = if self.thorough { Least::Anything } else { Least::Half };
        pick(&weights, self.config.segment_bytes(&self.retention), least)
            .or_else(|| scrub.map(|at| at..at + 1))
    }
}
