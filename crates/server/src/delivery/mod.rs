//! Detached delivery: streams over HTTP/1.1 whose sockets were taken back from HTTP after the handshake. Each shard, a
//! thread, owns its members, and ends them all; a member has no task, and no buffer but for what its socket did not take.
//!
//! * `shard`: the loop of one thread: readiness, news, timers. `mailbox`: what others tell it.
//! * `member`: one subscriber with its `socket`, and what that did not take yet.
//! * `channel`: who follows the same; news come once a channel.
//! * `encode`: events in the bytes of HTTP, made once for all in the same place.
//! * `wheel`: timers. `reads`: reading the log for whoever is behind the window.
//!
//! What a member gets is decided by the hub. Nothing here makes anything of what a client sends
//! after its request, or waits for anything but readiness.

mod channel;
mod encode;
mod mailbox;
mod member;
mod reads;
mod shard;
mod socket;
mod wheel;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use eventwall_hub::Subscriber;
use tokio::sync::watch;

pub(crate) use self::{encode::Framing, socket::Socket};
use self::{mailbox::Mailbox, reads::Reads, shard::Shard};
use crate::App;

/// A stream that is to be delivered from now on.
pub(crate) struct Detached {
    pub(crate) socket: Socket,
    /// The head of its answer, and whatever comes before its first frame.
    pub(crate) head: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) subscriber: Subscriber,
    /// What it takes up, such as its client's place; given back when it ends.
    pub(crate) held: Box<dyn Send>,
    /// Last, so that all else is free once it is no longer counted.
    pub(crate) counted: Counted,
}

/// A member, counted for as long as it is there.
pub(crate) struct Counted(Arc<watch::Sender<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|members| *members -= 1);
    }
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Delivery {
    shards: Vec<Handle>,
    next: AtomicUsize,
    members: Arc<watch::Sender<usize>>,
}

#[derive(Debug)]
struct Handle {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

impl Delivery {
    /// A shard for each core but one, within a tokio runtime.
    ///
    /// # Errors
    /// If the system gives no thread or no readiness poll.
    pub(crate) fn start(app: &Arc<App>) -> io::Result<Self> {
        let members = Arc::new(watch::Sender::new(0));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // One core is left to those who publish, so that what they publish can be gathered meanwhile.
        let shards = (0..cores.saturating_sub(1).max(1)).map(|number| Handle::start(number, app));
        let shards = shards.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { shards, next: AtomicUsize::new(0), members })
    }

    /// One more, counted before its connection's task ends: a drain waits for one or the other.
    pub(crate) fn count(&self) -> Counted {
        self.members.send_modify(|members| *members += 1);
        Counted(self.members.clone())
    }

    /// From now on this stream is one of its members.
    pub(crate) fn take_over(&self, detached: Detached) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let all = (0..self.shards.len()).map(|at| &self.shards[(first + at) % self.shards.len()]);
        match all.into_iter().find(|shard| shard.works()) {
            Some(shard) => shard.mailbox.tell(|inbox| inbox.arrivals.push(detached)),
            None => tracing::error!("no delivery thread works any more: a stream is cut"),
        }
    }

    /// Resolves once nobody is left.
    pub(crate) async fn emptied(&self) {
        // The sender lives in `self`, so this can't fail.
        let _ = self.members.subscribe().wait_for(|members| *members == 0).await;
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        *self.members.borrow()
    }
}

impl Handle {
    fn start(number: usize, app: &Arc<App>) -> io::Result<Self> {
        let (poll, mailbox) = Mailbox::with_poll()?;
        let reads = Reads::start(app.clone(), mailbox.clone());
        let mut shard = Shard::new(poll, mailbox.clone(), reads, app.clone());
        let left = mailbox.clone();
        let thread = thread::Builder::new().name(format!("delivery-{number}"));
        let thread = thread.spawn(move || {
            // Whatever one subscriber broke must not end the others for ever.
            while catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
                tracing::error!("delivery failed, and its streams are cut: this is a bug");
                shard.cut_all();
            }
            // Whoever came meanwhile.
            drop(left.take());
        })?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    fn works(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Handle {
    /// Whoever is left is cut.
    fn drop(&mut self) {
        self.mailbox.tell(|inbox| inbox.stops = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
