//! The one thread that takes away: it hides what is over its limits, unlinks whole segments,
//! and has the others compacted when most of them is hidden. What is gone is on record before a
//! file is; what fails is tried again at the next pass, and never stops the log.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

#[cfg(test)]
use super::tests::Mutation;
use super::{
    DiskConfig, Medium,
    age::expire,
    compact::{CompactError, Job, Rewritten},
    erase,
    format::SEGMENT_HEADER,
    index::SharedIndex,
    persist::Persist,
    segment::Segment,
    writer::Queue,
};
use crate::{Millis, Retention, ages::Ages};

/// What compaction may write, in bytes a second, unless somebody waits for it.
const RATE: u64 = 32 << 20;
/// Heads of erased events are scrubbed within twice this time, in milliseconds of uptime.
const SCRUB_AFTER: Millis = 25 * 60 * 1000;
/// So many segments in a row that together are no larger than one become one.
const MANY_SMALL: usize = 8;
const HEADER: u64 = SEGMENT_HEADER as u64;
/// Asked for, not yet begun.
const MAX_WAITING: usize = 16;

/// The way to the keeper, and its end.
#[derive(Debug)]
pub(crate) struct Handle {
    /// `None` once it is closed.
    sender: Option<SyncSender<Ask>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Wake(SyncSender<Ask>);

enum Ask {
    Look,
    Maintain(oneshot::Sender<()>),
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
}

impl Handle {
    pub(crate) fn spawn(keeper: Keeper) -> std::io::Result<(Self, Wake)> {
        let (sender, asked) = sync_channel(MAX_WAITING);
        let closing = keeper.closing.clone();
        let builder = std::thread::Builder::new().name("eventwall-keep".into());
        let thread = builder.spawn(move || keeper.run(&asked))?;
        let wake = Wake(sender.clone());
        Ok((Self { sender: Some(sender), closing, thread: Some(thread) }, wake))
    }

    /// Asks for a whole pass; resolves when it is done, or the keeper is gone.
    pub(crate) fn maintain(&self) -> oneshot::Receiver<()> {
        let (reply, done) = oneshot::channel();
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(Ask::Maintain(reply));
        }
        done
    }

    /// Ends it, and answers the thread to wait for.
    pub(crate) fn close(&mut self) -> Option<JoinHandle<()>> {
        self.closing.store(true, Ordering::Relaxed);
        self.sender = None;
        self.thread.take()
    }
}

impl Wake {
    /// There may be something to do.
    pub(crate) fn look(&self) {
        match self.0.try_send(Ask::Look) {
            // It is awake, or gone.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Keeper {
    /// Runs until it is closed.
    fn run(mut self, asked: &Receiver<Ask>) {
        let every = self.config.keep_every;
        while !self.closing.load(Ordering::Relaxed) {
            let next = match every {
                Some(every) => asked.recv_timeout(every),
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Ask::Maintain(reply)) => {
                    self.hurry = true;
                    self.pass();
                    self.hurry = false;
                    let _ = reply.send(());
                }
                Ok(Ask::Look) if every.is_none() => {}
                Ok(Ask::Look) | Err(RecvTimeoutError::Timeout) => self.pass(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = self.persist.put_aged(self.index.read().now);
    }

    fn pass(&mut self) {
        if let Err(why) = self.try_pass() {
            tracing::warn!(%why, "old events could not be cleared away; trying again");
        }
    }

    fn try_pass(&mut self) -> Result<(), String> {
        self.expire()?;
        self.shrink()?;
        self.look_at_segments();
        loop {
            let Some(run) = self.worth_compacting() else { return Ok(()) };
            let done = self.reclaim(run);
            match done {
                Err(_) if self.closing.load(Ordering::Relaxed) => return Ok(()),
                Err(why) => return Err(why),
                Ok(()) if self.hurry => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Hides what is too old.
    pub(crate) fn expire(&mut self) -> Result<(), String> {
        let retention = self.index.read().topics.retention().clone();
        if !Arc::ptr_eq(&retention, &self.retention) {
            self.ages.set(&retention);
            self.retention = retention;
        }
        let now = self.ages.now((self.config.clock)(), self.retention.max_clock_step);
        #[cfg(test)]
        let now = now + 2_000 * u64::from(self.mutated(Mutation::ExpireEarly));
        self.index.write().now = now;
        if self.ages.scans.is_empty() {
            return Ok(());
        }
        for scan in &mut self.ages.scans {
            expire(&self.index, scan, now).map_err(|error| error.to_string())?;
        }
        // After a crash what was hidden in the last minute may be shown once more.
        if now >= self.recorded + 60_000 {
            self.persist.put_aged(now).map_err(|error| error.to_string())?;
            self.recorded = now;
        }
        Ok(())
    }

    /// Drops the oldest segments until the log fits. States that nothing has superseded stay,
    /// unless there is nothing else to drop.
    fn shrink(&mut self) -> Result<(), String> {
        loop {
            let mut index = self.index.write();
            if index.bytes() <= index.topics.retention().max_bytes || index.sealed().is_empty() {
                return Ok(());
            }
            let droppable = index.sealed().iter().position(|segment| index.is_droppable(segment));
            if droppable.is_none() {
                tracing::warn!(
                    "states that are to be kept take more than max_bytes: the oldest are dropped"
                );
            }
            let at = droppable.unwrap_or(0);
            index.hide_segment(at, droppable.is_none());
            drop(index);
            self.give_back(at)?;
        }
    }

    /// Gives back the space of a segment whose history is hidden.
    fn give_back(&mut self, at: usize) -> Result<(), String> {
        let index = self.index.read();
        let live = index.segments.get(at).map_or(0, |segment| index.live_bytes(segment));
        drop(index);
        if at == 0 && live == 0 {
            return self.unlink_oldest();
        }
        let first = self.room_before(at, live);
        self.reclaim(first..at + 1)
    }

    /// The first of the segments before `at` that fit into one with it.
    fn room_before(&self, at: usize, live: u64) -> usize {
        let (index, full) = (self.index.read(), self.config.segment_bytes(&self.retention));
        let mut sum = live;
        let fits = |segment: &&Segment| {
            sum += segment.len;
            sum <= full
        };
        at - index.segments[..at].iter().rev().take_while(fits).count()
    }

    fn unlink_oldest(&mut self) -> Result<(), String> {
        let index = self.index.read();
        let Some(oldest) = index.sealed().first() else { return Ok(()) };
        let (name, through) = (oldest.name.clone(), index.gone.max(oldest.last));
        let marks = Persist::watermarks(&index.topics, through);
        drop(index);
        self.persist.put_watermarks(&marks).map_err(|error| error.to_string())?;
        self.index.write().drop_oldest();
        // One by one, so that a crash leaves no hole between what is there and what is not.
        self.remove(&name)?;
        tracing::debug!(segment = &*name, "dropped the oldest segment");
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), String> {
        let removed = self.medium.remove(name);
        removed.and_then(|()| self.medium.sync_folder("log")).map_err(|error| error.to_string())
    }

    /// Looks again at how much of a segment is shown: at one in each pass, as it takes a look
    /// at each of its topics; at all of them if somebody waits.
    fn look_at_segments(&mut self) {
        let names: Vec<_> = self.index.read().sealed().iter().map(|s| s.name.clone()).collect();
        self.live.retain(|name, _| names.contains(name));
        let unseen = names.iter().find(|name| !self.live.contains_key(*name));
        let turn = usize::try_from((self.config.uptime)() / 1000).unwrap_or(0);
        let one = unseen.or_else(|| names.get(turn % names.len().max(1)));
        let looked_at: Vec<_> =
            if self.hurry { names.iter().collect() } else { one.into_iter().collect() };
        for name in looked_at {
            let index = self.index.read();
            let segment = index.sealed().iter().find(|segment| segment.name == *name);
            if let Some(live) = segment.map(|segment| index.live_bytes(segment)) {
                self.live.insert(name.clone(), live);
            }
        }
        self.look_for_heads();
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
        let due = |since: &Millis| (self.config.uptime)() >= since + SCRUB_AFTER;
        self.unscrubbed.get(name).is_some_and(due)
    }

    /// The run of sealed segments that gains most by being compacted.
    fn worth_compacting(&self) -> Option<Range<usize>> {
        let index = self.index.read();
        let sealed = index.sealed();
        let weigh = |segment: &Segment| {
            let live = self.live.get(&segment.name).map_or(segment.len, |live| live + HEADER);
            Weight { len: segment.len, live: live.min(segment.len) }
        };
        let weights: Vec<_> = sealed.iter().map(weigh).collect();
        let scrub = sealed.iter().position(|segment| self.is_scrub_due(&segment.name));
        pick(&weights, self.config.segment_bytes(&self.retention))
            .or_else(|| scrub.map(|at| at..at + 1))
    }

    /// Compacts a run of segments, or unlinks the oldest if nothing in it is shown.
    fn reclaim(&mut self, run: Range<usize>) -> Result<(), String> {
        let index = self.index.read();
        let live: u64 = index.sealed()[run.clone()].iter().map(|s| index.live_bytes(s)).sum();
        let Some(job) = Job::new(&index, run.clone()) else { return Ok(()) };
        drop(index);
        #[cfg(test)]
        let job = if self.mutated(Mutation::CompactTooMuch) { job.hiding_more() } else { job };
        if run.start == 0 && live == 0 {
            return (0..run.len()).try_for_each(|_| self.unlink_oldest());
        }
        let (closing, hurry) = (self.closing.clone(), self.hurry);
        let mut pause = |bytes: usize| {
            if closing.load(Ordering::Relaxed) {
                return Err(CompactError::Closing);
            }
            if !hurry {
                std::thread::sleep(Duration::from_millis(bytes as u64 * 1000 / RATE));
            }
            Ok(())
        };
        let new = job.run(&self.medium, &mut pause).map_err(|error| error.to_string())?;
        self.swap(run, &job, new)
    }

    fn swap(&mut self, run: Range<usize>, job: &Job, new: Rewritten) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let through = self.index.read().gone.max(new.segment.last);
        let marks = Persist::watermarks(&self.index.read().topics, through);
        #[cfg(test)]
        let marks = if self.mutated(Mutation::ForgetWatermarks) { "0\n0\n".into() } else { marks };
        self.persist.put_watermarks(&marks).map_err(|error| error.to_string())?;
        let (name, len, file) =
            (new.segment.name.clone(), new.segment.len, new.segment.file.clone());
        self.medium.rename(&new.temporary, &name).map_err(text)?;
        self.medium.sync_folder("log").map_err(text)?;
        file.release();
        let before: u64 = self.index.read().segments[run.clone()].iter().map(|s| s.len).sum();
        let late = self.index.write().swap(run, new.segment, &new.erased, &job.erased);
        self.live.insert(name.clone(), len);
        // What was erased in the meantime is whole in the new file.
        erase::overwrite(&self.index, &late).map_err(text)?;
        tracing::debug!(segment = &*name, bytes = len, before, "compacted segments");
        job.sources.iter().try_for_each(|source| self.remove(&source.name))
    }
}

#[cfg(test)]
impl Keeper {
    fn mutated(&self, mutation: Mutation) -> bool {
        self.config.mutation == Some(mutation)
    }
}

/// What a segment takes, and how much of that is shown.
#[derive(Debug, Clone, Copy)]
struct Weight {
    len: u64,
    live: u64,
}

/// The run that gives back most, if that is at least half of it; or else many small ones.
fn pick(weights: &[Weight], full: u64) -> Option<Range<usize>> {
    let mut best: Option<(u64, Range<usize>)> = None;
    for start in 0..weights.len() {
        let (mut len, mut live) = (0, 0);
        for (i, weight) in weights[start..].iter().enumerate() {
            (len, live) = (len + weight.len, live + weight.live);
            if live > full && i > 0 {
                break;
            }
            let gain = len - live;
            let worth = gain * 2 >= len || (i + 1 >= MANY_SMALL && len <= full);
            let better = best.as_ref().is_none_or(|(most, run)| (gain, i + 1) > (*most, run.len()));
            if worth && better {
                best = Some((gain, start..start + i + 1));
            }
        }
    }
    best.map(|(_, run)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(weights: &[(u64, u64)]) -> Option<Range<usize>> {
        let weights: Vec<_> =
            weights.iter().map(|(len, live)| Weight { len: *len, live: *live }).collect();
        pick(&weights, 100)
    }

    #[test]
    fn what_is_worth_compacting() {
        assert_eq!(picked(&[]), None);
        assert_eq!(picked(&[(100, 100), (100, 51)]), None);
        assert_eq!(picked(&[(100, 100), (100, 50)]), Some(1..2));
        assert_eq!(picked(&[(100, 30), (100, 30), (100, 30), (100, 30)]), Some(0..3));
        assert_eq!(picked(&[(2, 2); 7]), None);
        assert_eq!(picked(&[(2, 2); 9]), Some(0..9));
        assert_eq!(picked(&[(300, 120), (100, 100)]), Some(0..1), "however large it is");
    }
}
