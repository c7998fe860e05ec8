//! One thread that delivers: it waits until a socket has room or closes, until there are news, or until a
//! timer is due; then everyone concerned goes on. It holds no lock while it writes.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use eventwall_hub::{Desk, Read, retry_frame};
use eventwall_log::ReadError;
use mio::{Events, Poll, Token, event::Event};
use slab::Slab;
use tokio::time::Instant;

use super::{
    Detached,
    channel::{Channels, small},
    encode::Encoder,
    mailbox::{Inbox, MAIL, Mailbox},
    member::{Key, Member, Over, Waits},
    reads::Reads,
    wheel::Wheel,
};
use crate::{
    App,
    metrics::Cut,
    stream::{comment, retry_of, spread},
};

/// Readiness taken in at once.
const EVENTS: usize = 1024;

pub(super) struct Shard {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    app: Arc<App>,
    members: Slab<Box<Member>>,
    channels: Channels,
    timers: Wheel<Timer>,
    reads: Reads,
    /// Whoever had more to do than one turn allows.
    again: Vec<Key>,
    encoder: Encoder,
    next_number: u32,
    /// The settings by which it was found that members may read what they follow.
    allowed_by: u64,
    drains: bool,
}

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// Asks what is to be done next: a tick.
    GoOn(Key),
    /// Asks whether its socket takes anything.
    Stuck(Key),
}

impl Shard {
    pub(super) fn new(poll: Poll, mailbox: Arc<Mailbox>, reads: Reads, app: Arc<App>) -> Self {
        let allowed_by = app.generation();
        Self {
            poll,
            mailbox,
            app,
            members: Slab::new(),
            channels: Channels::default(),
            timers: Wheel::new(Instant::now()),
            reads,
            again: Vec::new(),
            encoder: Encoder::default(),
            next_number: 0,
            allowed_by,
            drains: false,
        }
    }

    /// Until it is told to stop.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut desk = Desk::new(&self.app.hub, Instant::now());
        loop {
            // Nothing is held, and all is counted, while there is nothing to do.
            desk.clear(Instant::now());
            self.encoder.clear();
            if let Err(error) = self.poll.poll(&mut events, self.patience(desk.now()))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "a delivery thread cannot wait for its sockets");
                return self.cut_all();
            }
            desk.clear(Instant::now());
            let inbox = self.mailbox.take();
            if inbox.stops {
                return self.cut_all();
            }
            // Before anybody takes a step: what comes after that step is told anew.
            let news = inbox.news.iter().filter_map(|channel| self.channels.get(*channel));
            news.for_each(|channel| channel.news.seen());
            self.check_allowed(&mut desk);
            for event in events.iter().filter(|event| event.token() != MAIL) {
                self.ready(event, &mut desk);
            }
            self.take_in(inbox, &mut desk);
            for key in std::mem::take(&mut self.again) {
                if let Some(member) = self.member(key) {
                    member.queued = false;
                    self.go_on(key, &mut desk);
                }
            }
            for timer in self.timers.due(desk.now()) {
                self.fire(timer, &mut desk);
            }
        }
    }

    /// How long to wait for readiness.
    fn patience(&self, now: Instant) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.timers.next()?.saturating_duration_since(now);
        // The poll counts in whole milliseconds, and a timer is never early.
        Some(due + Duration::from_millis(1))
    }

    fn ready(&mut self, event: &Event, desk: &mut Desk) {
        let Token(index) = event.token();
        let Some(member) = self.members.get_mut(index) else { return };
        let key = Key { index: small(index), number: member.number };
        if event.is_error()
            && let Some(error) = member.socket.error()
        {
            self.finish(key, &Over::Broken(error), desk);
        } else if event.is_read_closed() || event.is_write_closed() || event.is_error() {
            // Whoever closes its half has gone, as browsers do.
            self.remove(key);
        } else if event.is_writable() && member.blocked {
            self.go_on(key, desk);
        }
    }

    fn take_in(&mut self, inbox: Inbox, desk: &mut Desk) {
        for detached in inbox.arrivals {
            if let Err(error) = self.arrive(detached, desk) {
                tracing::warn!(%error, "a stream cannot be delivered");
            }
        }
        for (key, read) in inbox.reads {
            self.has_read(key, read, desk);
        }
        for channel in inbox.news {
            self.news(channel, desk);
        }
        if !self.drains && self.app.drain.is_draining() {
            self.drains = true;
            for key in self.keys() {
                self.farewell(key, desk);
            }
        }
    }

    fn keys(&self) -> Vec<Key> {
        let members = self.members.iter();
        members.map(|(at, member)| Key { index: small(at), number: member.number }).collect()
    }

    fn arrive(&mut self, mut detached: Detached, desk: &mut Desk) -> io::Result<()> {
        let entry = self.members.vacant_entry();
        let (index, number) = (entry.key(), self.next_number);
        let key = Key { index: small(index), number };
        detached.socket.register(self.poll.registry(), Token(index))?;
        self.next_number = self.next_number.wrapping_add(1);
        let filter = detached.subscriber.filter();
        let seat = self.channels.join(key.index, filter, (&self.app.hub, &self.mailbox));
        if let Some(channel) = self.channels.get(seat.channel) {
            detached.subscriber.share_filter(&channel.filter);
        }
        let allowed = self.app.settings().access.reads_all_of(detached.subscriber.filter());
        entry.insert(Box::new(Member::new(detached, number, seat, desk.now())));
        // After it has joined: an event that comes now is news, and one of before is found by its first step.
        match (allowed, self.drains) {
            (false, _) => self.send_away(key, desk),
            (true, true) => self.farewell(key, desk),
            (true, false) => self.go_on(key, desk),
        }
        Ok(())
    }

    /// Everyone in the channel goes on, but for those who wait for something else.
    fn news(&mut self, channel: u32, desk: &mut Desk) {
        let Some(members) = self.channels.get(channel) else { return };
        // From the end: whoever leaves on the way is replaced by one who had its turn.
        for seat in (0..members.members.len()).rev() {
            let members = self.channels.get(channel).map(|channel| &channel.members);
            let Some(index) = members.and_then(|members| members.get(seat)).copied() else {
                continue;
            };
            let Some(member) = self.members.get(index as usize) else { continue };
            if !member.blocked && !member.queued && member.reading.is_none() {
                self.go_on(Key { index, number: member.number }, desk);
            }
        }
    }

    fn has_read(&mut self, key: Key, read: Option<Result<Read, ReadError>>, desk: &mut Desk) {
        self.let_another_read(desk);
        let Some(member) = self.member(key).filter(|member| member.reading.is_some()) else {
            return;
        };
        member.reading = None;
        match read {
            None => {}
            Some(Ok(read)) => {
                member.subscriber.take_in(read);
                self.go_on(key, desk);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a subscriber cannot go on and is disconnected");
                let window = self.app.settings().limits.drain_window;
                let retry = retry_frame(retry_of(&error, window));
                // The first for who looks at the bytes; and stock clients must not come back at once.
                self.end(key, &[comment(&error.to_string()), retry], desk);
            }
        }
    }

    /// There is room for one more.
    fn let_another_read(&mut self, desk: &mut Desk) {
        while let Some(next) = self.reads.next() {
            let Some(member) = self.member(next) else { continue };
            if member.reading.take().is_none() {
                continue;
            }
            self.go_on(next, desk);
            if self.member(next).is_some_and(|member| member.reading.is_some()) {
                return;
            }
        }
    }

    fn fire(&mut self, timer: Timer, desk: &mut Desk) {
        match timer {
            Timer::GoOn(key) => {
                let Some(member) = self.member(key) else { return };
                member.armed = false;
                // Else another timer is set once it goes on.
                if !member.blocked && member.reading.is_none() {
                    self.go_on(key, desk);
                }
            }
            Timer::Stuck(key) => {
                let deadline = self.app.settings().limits.write_deadline;
                let Some(member) = self.member(key) else { return };
                member.watched = false;
                if member.blocked && desk.now() >= member.stuck_since + deadline {
                    let stuck = io::Error::new(ErrorKind::TimedOut, "the peer takes no data");
                    self.finish(key, &Over::Broken(stuck), desk);
                } else if member.blocked {
                    self.watch(key);
                }
            }
        }
    }

    fn member(&mut self, Key { index, number }: Key) -> Option<&mut Member> {
        let member = self.members.get_mut(index as usize)?;
        (member.number == number).then_some(&mut **member)
    }

    fn go_on(&mut self, key: Key, desk: &mut Desk) {
        if self.app.generation() != self.allowed_by {
            self.check_allowed(desk);
        }
        let Some(member) = self.members.get_mut(key.index as usize) else { return };
        if member.number == key.number && member.reading.is_none() {
            let outcome = member.go_on(desk, &mut self.encoder);
            self.after(key, outcome, desk);
        }
    }

    fn after(&mut self, key: Key, outcome: Result<Waits, Over>, desk: &mut Desk) {
        let until = match outcome {
            Ok(Waits::ForNews) => None,
            Ok(Waits::Until(until)) => Some(until),
            Ok(Waits::ForRoom) => {
                self.watch(key);
                None
            }
            Ok(Waits::ForTurn) => {
                let member = self.member(key);
                if member.is_some_and(|member| !std::mem::replace(&mut member.queued, true)) {
                    self.again.push(key);
                }
                None
            }
            Ok(Waits::ForRead(range)) => {
                if let Some(member) = self.members.get_mut(key.index as usize) {
                    let reading = Box::pin(member.subscriber.read(range));
                    member.reading = Some(self.reads.begin(key, reading));
                }
                None
            }
            Err(over) => return self.finish(key, &over, desk),
        };
        self.arm(key, until, desk.now());
    }

    /// A timer will ask for it, once: those that are early ask again.
    fn arm(&mut self, key: Key, until: Option<Instant>, now: Instant) {
        let heartbeat = self.app.hub.heartbeat();
        let Some(member) = self.member(key) else { return };
        if !std::mem::replace(&mut member.armed, true) {
            self.timers.insert(until.unwrap_or(now + heartbeat), Timer::GoOn(key));
        }
    }

    fn watch(&mut self, key: Key) {
        let deadline = self.app.settings().limits.write_deadline;
        let Some(member) = self.member(key) else { return };
        let due = member.stuck_since + deadline;
        if !std::mem::replace(&mut member.watched, true) {
            self.timers.insert(due, Timer::Stuck(key));
        }
    }

    /// What each may read is looked at again once settings have changed.
    fn check_allowed(&mut self, desk: &mut Desk) {
        let generation = self.app.generation();
        if generation == self.allowed_by {
            return;
        }
        self.allowed_by = generation;
        let settings = self.app.settings();
        let refused = self.channels.iter().filter(|of| !settings.access.reads_all_of(&of.filter));
        let refused: Vec<u32> = refused.flat_map(|channel| channel.members.clone()).collect();
        for index in refused {
            if let Some(member) = self.members.get(index as usize) {
                self.send_away(Key { index, number: member.number }, desk);
            }
        }
    }

    /// What it would get is no longer public. It is answered like anybody if it comes back.
    fn send_away(&mut self, key: Key, desk: &mut Desk) {
        let retry = retry_frame(spread(self.app.settings().limits.drain_window));
        self.end(key, &[comment("what this stream follows is no longer public"), retry], desk);
    }

    /// Each is told to come back at a time of its own, so that a restart is no stampede.
    fn farewell(&mut self, key: Key, desk: &mut Desk) {
        let retry = retry_frame(spread(self.app.settings().limits.drain_window));
        let Some(member) = self.members.get_mut(key.index as usize) else { return };
        if member.number == key.number {
            let outcome = member.farewell(&[retry], (desk, &mut self.encoder));
            self.after(key, outcome, desk);
        }
    }

    /// Last words, and an end.
    fn end(&mut self, key: Key, words: &[Bytes], desk: &mut Desk) {
        let Some(member) = self.member(key) else { return };
        member.end(words, desk);
        self.go_on(key, desk);
    }

    fn finish(&mut self, key: Key, over: &Over, desk: &mut Desk) {
        let Some(member) = self.member(key) else { return };
        match over {
            Over::Ended => member.socket.end(),
            Over::Lagging(lag) => {
                self.app.metrics.cut(Cut::lag);
                tracing::info!(seconds = lag.as_secs(), "a slow subscriber is disconnected");
                return self.end(key, &[], desk);
            }
            Over::Broken(error) => {
                let peer = member.socket.peer();
                self.app.metrics.broken(error, peer);
            }
        }
        self.remove(key);
    }

    fn remove(&mut self, key: Key) {
        if self.member(key).is_none() {
            return;
        }
        let member = self.members.remove(key.index as usize);
        if let Some(moved) = self.channels.leave(member.seat)
            && let Some(moved) = self.members.get_mut(moved as usize)
        {
            moved.seat = member.seat;
        }
    }

    /// Ends everybody at once.
    pub(super) fn cut_all(&mut self) {
        for key in self.keys() {
            self.remove(key);
        }
    }
}
