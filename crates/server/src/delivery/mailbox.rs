//! What other threads tell a shard, and how they wake it: once, however much they tell.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use eventwall_hub::{Read, Waiter};
use eventwall_log::ReadError;
use mio::{Poll, Token, Waker};

use super::{Detached, member::Key};

/// The readiness that means: look into the mailbox.
pub(super) const MAIL: Token = Token(usize::MAX);

/// A shard's mailbox. What lies in it is bounded by who there is: each member waits for one read at most,
/// and each channel has news once at most.
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    /// The shard was woken, and has not looked yet.
    rung: AtomicBool,
    waker: Waker,
}

#[derive(Default)]
pub(super) struct Inbox {
    /// Channels.
    pub(super) news: Vec<u32>,
    pub(super) arrivals: Vec<Detached>,
    /// Outcomes of reads; `None` of one that nobody wanted any more.
    pub(super) reads: Vec<(Key, Option<Result<Read, ReadError>>)>,
    /// The shard ends now.
    pub(super) stops: bool,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl Mailbox {
    pub(super) fn with_poll() -> io::Result<(Poll, Arc<Self>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), MAIL)?;
        let (inbox, rung) = (Mutex::default(), AtomicBool::new(false));
        Ok((poll, Arc::new(Self { inbox, rung, waker })))
    }

    pub(super) fn tell(&self, what: impl FnOnce(&mut Inbox)) {
        what(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a delivery thread cannot be woken");
        }
    }

    /// All that was told.
    pub(super) fn take(&self) -> Inbox {
        // First this: what is told from now on rings again.
        self.rung.store(false, Ordering::Release);
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a channel has news, told once until the shard looks.
#[derive(Debug)]
pub(super) struct ChannelNews {
    mailbox: Arc<Mailbox>,
    channel: u32,
    told: AtomicBool,
}

impl ChannelNews {
    pub(super) fn new(mailbox: Arc<Mailbox>, channel: u32) -> Self {
        Self { mailbox, channel, told: AtomicBool::new(false) }
    }

    /// The shard looks now: news from now on are told again.
    pub(super) fn seen(&self) {
        self.told.store(false, Ordering::Release);
    }
}

impl Waiter for ChannelNews {
    fn wake(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.mailbox.tell(|inbox| inbox.news.push(self.channel));
        }
    }
}
