//! What the log, its tail and its keeper share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventwall_log::{Budget, Entry, Filter, Millis, Page, Position, ReadRange};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};

use crate::{
    blobs::JetStreamBlobs,
    index::{Index, View},
    nats::Nats,
    runs::{Mark, Runs},
    source::{Source, Stretch, Want},
    verify::list,
};

/// How long a reader or publisher waits for this node to catch up with the cluster.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(5);
/// For so long a node that was refused says that it is not ready.
const REFUSED: Duration = Duration::from_secs(3);
/// Messages that one read looks at, at most, for those that it wants.
const LOOKS: usize = 16_384;
/// Until a server that is behind is asked again.
const BEHIND: Duration = Duration::from_millis(50);
/// Reads of the stream at once.
const READS: usize = 16;
/// Publishes that wait for their acknowledgement.
const PUBLISHES: usize = 1024;

/// What a reader must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// Nothing: there is nothing to be read.
    None,
    /// An event that was there a moment ago.
    At(Position),
    /// Only those who lead can tell.
    Ask,
}

/// How far this node is, and whether it may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Everything up to here is taken in.
    pub(crate) seq: u64,
    /// Grows with each time that the stream was looked at anew.
    pub(crate) generation: u64,
    /// The stream is followed, and is what it was.
    pub(crate) live: bool,
    /// The connection by which that was made sure of.
    pub(crate) connection: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) nats: Nats,
    /// This node's name in the cluster.
    pub(crate) node: String,
    pub(crate) index: Mutex<Index>,
    pub(crate) progress: watch::Sender<Progress>,
    /// Dropped when the log is closed, which ends its tails.
    pub(crate) end: Mutex<Option<watch::Sender<Position>>>,
    pub(crate) ends: watch::Receiver<Position>,
    /// Why it takes no events just now.
    pub(crate) trouble: watch::Sender<Option<String>>,
    pub(crate) source: Source,
    pub(crate) reads: Semaphore,
    pub(crate) publishes: Semaphore,
    /// The tail is to begin anew.
    pub(crate) anew: Notify,
    /// When the servers last took no event, and none since.
    refused: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn new(nats: Nats, index: Index) -> Arc<Self> {
        let (end, ends) = watch::channel(index.end);
        Arc::new(Self {
            nats,
            node: format!("{:016x}", rand::random::<u64>()),
            index: Mutex::new(index),
            progress: watch::Sender::default(),
            end: Mutex::new(Some(end)),
            ends,
            trouble: watch::Sender::new(Some("it is starting".into())),
            source: Source::default(),
            reads: Semaphore::new(READS),
            publishes: Semaphore::new(PUBLISHES),
            anew: Notify::new(),
            refused: Mutex::default(),
        })
    }

    pub(crate) fn blobs(&self) -> JetStreamBlobs {
        JetStreamBlobs(self.nats.blobs.clone())
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everyone who waits how far the index is.
    pub(crate) fn announce(&self) {
        let (seq, position) = {
            let index = self.index();
            (index.taken, index.end)
        };
        if let Some(end) = &*self.end.lock().unwrap_or_else(PoisonError::into_inner) {
            end.send_if_modified(|end| std::mem::replace(end, position) != position);
        }
        self.progress.send_if_modified(|now| std::mem::replace(&mut now.seq, seq) != seq);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Why it takes no events; `None` if it does.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.is_closed() {
            return Some("it is closed".into());
        }
        let trouble = self.trouble.borrow().clone();
        trouble.or_else(|| (!self.is_sure()).then(|| "the connection to NATS is lost".into()))
    }

    /// What became of a publish.
    pub(crate) fn note_taken(&self, taken: bool) {
        let refused = (!taken).then(Instant::now);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Why events are not taken just now, if the last one was not.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = refused.is_some_and(|at| at.elapsed() < REFUSED);
        lately.then(|| "the servers of NATS are choosing who leads".into())
    }

    /// Whether the connection is still the one by which the stream was made sure of.
    pub(crate) fn is_sure(&self) -> bool {
        let nats = &self.nats;
        nats.is_connected() && self.progress.borrow().connection == nats.connection()
    }

    /// Waits until the stream is followed, and everything up to `seq` is taken in.
    pub(crate) async fn reach(&self, seq: u64) -> Result<(), String> {
        let mut progress = self.progress.subscribe();
        let nats = &self.nats;
        let there = progress
            .wait_for(|now| now.live && now.connection == nats.connection() && now.seq >= seq);
        match tokio::time::timeout(CATCH_UP, there).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.trouble().unwrap_or_else(|| "this node is far behind NATS".into())),
        }
    }

    /// Waits until the stream was looked at anew.
    pub(crate) async fn renewed(&self, since: u64) -> Result<(), String> {
        let mut progress = self.progress.subscribe();
        if progress.borrow().generation == since {
            self.anew.notify_one();
        }
        let renewed = progress.wait_for(|now| now.live && now.generation > since);
        match tokio::time::timeout(2 * CATCH_UP, renewed).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.trouble().unwrap_or_else(|| "NATS does not answer".into())),
        }
    }

    /// Waits for what the stream has now.
    pub(crate) async fn catch_up(&self) -> Result<(), String> {
        self.reach(0).await?;
        let info = self.nats.info().await?;
        self.reach(info.state.last_sequence).await?;
        self.index().left(info.state.first_sequence, info.state.bytes);
        Ok(())
    }

    /// Makes sure that this node knows what every other may have given out by now.
    pub(crate) async fn look_again(&self) -> Result<(), String> {
        self.reach(0).await?;
        let (known, seq) = {
            let index = self.index();
            (index.runs.clone(), index.taken)
        };
        let (listed, _) = list(&self.nats).await?;
        let changed = listed.filter(|listed| !listed.says_the_same(&known));
        if changed.is_some_and(|listed| !self.adopts(listed, &known, seq)) {
            let generation = self.progress.borrow().generation;
            self.renewed(generation).await?;
        }
        self.catch_up().await
    }

    /// Goes by a newer list, if what is known holds by it; `false` if it does not. The tail may have
    /// been faster.
    pub(crate) fn adopts(&self, listed: Runs, known: &Runs, seq: u64) -> bool {
        let mut index = self.index();
        if index.runs != *known {
            return true;
        }
        let agrees = listed.agrees(known, seq);
        if agrees {
            index.adopt(listed);
        }
        agrees
    }

    /// Whether what is known is what it was.
    pub(crate) fn still(&self, generation: u64) -> Result<(), String> {
        let now = *self.progress.borrow();
        let same = now.live && now.generation == generation && self.is_sure();
        if same { Ok(()) } else { Err("the stream is looked at anew".into()) }
    }

    /// Waits while what is known is being read anew.
    pub(crate) async fn whole(&self) -> Result<(), String> {
        if self.index().is_whole { Ok(()) } else { self.reach(0).await }
    }

    /// A page of a stretch of the log, from memory if it is there.
    pub(crate) async fn page(
        &self,
        range: ReadRange,
        filter: &Filter,
        (budget, view): (Budget, View),
    ) -> Result<Page, String> {
        self.whole().await?;
        if let Some(page) = self.recent(range, filter, (budget, view)) {
            return Ok(page);
        }
        let _one_of_few = self.reads.acquire().await.map_err(|error| error.to_string())?;
        self.reach(0).await?;
        let generation = self.progress.borrow().generation;
        let (entries, examined) = self.look(range, filter, (budget, view)).await?;
        // What went meanwhile is known once this node is as far as the stream was after the read.
        self.catch_up().await?;
        if self.progress.borrow().generation != generation {
            return Err("the connection to NATS broke during the read".into());
        }
        let index = self.index();
        Ok(index.page((range, examined), filter, (budget, view), entries.into_iter()))
    }

    /// What is wanted of a stretch of the stream, and how far it was looked at.
    async fn look(
        &self,
        range: ReadRange,
        filter: &Filter,
        (budget, view): (Budget, View),
    ) -> Result<(Vec<Entry>, Position), String> {
        let want = Want::of(filter, &self.nats);
        let (mut from, end, witness) = {
            let index = self.index();
            let witness = index.witness(filter, range.after);
            // What a topic hides, however much, need not be read.
            let hidden = match filter {
                Filter::Topics(topics) if topics.len() == 1 && view == View::Kept => {
                    index.topics.get(&topics[0]).hidden.min(index.end)
                }
                _ => Position::START,
            };
            let after = range.after.max(hidden);
            (index.runs.sequence(after) + 1, index.end, witness)
        };
        let (mut entries, mut looked, mut left) = (Vec::new(), 0, budget);
        let mut examined = range.after;
        while looked < LOOKS && left.events > 0 && left.bytes > 0 && examined < range.through {
            // Some of what is read may not be wanted, or not be shown.
            let most = (left.events.saturating_add(64), left.bytes);
            let read = self.stretch(&want, from, most, witness).await?;
            looked += read.messages.len();
            let index = self.index();
            for message in read.messages {
                (from, examined) = (message.mark.seq + 1, index.runs.position(message.mark.seq));
                let entry = index.placed(message).filter(|entry| wanted(entry, filter));
                // What is hidden takes no room: an empty page says that nothing is left.
                if let Some(entry) = entry.filter(|entry| index.shows(entry, view)) {
                    left.events = left.events.saturating_sub(1);
                    left.bytes = left.bytes.saturating_sub(entry.cost());
                    entries.push(entry);
                }
            }
            if read.complete {
                examined = end.max(examined);
                break;
            }
        }
        Ok((entries, examined))
    }

    /// The first event that is not older than a time, by its sequence; `None` if all are older.
    pub(crate) async fn first_since(&self, time: Millis) -> Result<Option<u64>, String> {
        self.reach(0).await?;
        let (mut low, mut high) = {
            let index = self.index();
            (index.first_seq, index.taken + 1)
        };
        let end = high;
        // Times never fall along the log.
        while low < high {
            let middle = low + (high - low) / 2;
            let next = self.nats.next_event(middle).await?.filter(|(mark, ..)| mark.seq < high);
            match next {
                Some((mark, said)) if self.time_of(mark, said) < time => low = mark.seq + 1,
                _ => high = middle,
            }
        }
        let first = self.nats.next_event(low).await?;
        Ok(first.map(|(mark, _)| mark.seq).filter(|seq| *seq < end))
    }

    fn time_of(&self, mark: Mark, said: Millis) -> Millis {
        let index = self.index();
        index.time_at(index.runs.position(mark.seq), said)
    }

    /// Reads from a server that is not behind: who says that there is nothing more, and has not come
    /// to the witness, may be; then those who lead are asked.
    pub(crate) async fn stretch(
        &self,
        want: &Want,
        from: u64,
        most: (usize, usize),
        witness: Witness,
    ) -> Result<Stretch, String> {
        let end = Instant::now() + CATCH_UP;
        loop {
            let read = self.source.read(&self.nats, want, from, most).await?;
            let last = read.messages.last().map_or(from.saturating_sub(1), |last| last.mark.seq);
            if !read.complete || self.is_enough(want, last, witness).await? {
                return Ok(read);
            }
            if Instant::now() > end {
                return Err("a server of NATS is far behind the others".into());
            }
            tokio::time::sleep(BEHIND).await;
        }
    }

    async fn is_enough(&self, want: &Want, last: u64, witness: Witness) -> Result<bool, String> {
        let position = self.index().runs.position(last);
        match witness {
            Witness::None => return Ok(true),
            Witness::At(witness) if position >= witness => return Ok(true),
            Witness::At(_) | Witness::Ask => {}
        }
        let mut there = 0;
        for subject in want.subjects() {
            there = self.nats.last_of(subject).await?.max(there);
        }
        Ok(last >= there)
    }

    fn recent(&self, range: ReadRange, filter: &Filter, how: (Budget, View)) -> Option<Page> {
        let mut index = self.index();
        index.expire();
        index.read_recent(range, filter, how)
    }
}

fn wanted(entry: &Entry, filter: &Filter) -> bool {
    match entry {
        Entry::Event(record) => filter.matches(&record.topic),
        Entry::Erasure { .. } => matches!(filter, Filter::All),
    }
}
