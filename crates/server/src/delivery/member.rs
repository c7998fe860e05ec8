//! One subscriber with its socket, and what that did not take yet. It decides nothing of what it gets.

use std::{collections::VecDeque, io, mem::size_of, sync::Arc, time::Duration};

use bytes::Bytes;
use eventwall_hub::{Desk, Step, Stretch, Subscriber};
use eventwall_log::ReadRange;
use tokio::time::Instant;

use super::{
    Counted, Detached,
    channel::Seat,
    encode::{Encoder, Framing},
    reads::Wanted,
    socket::Socket,
};

/// Steps of one member in a row: then it is another's turn.
const STEPS: usize = 8;

/// A member's name: its index in the shard, and a number that no later one there has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) number: u32,
}

pub(super) struct Member {
    pub(super) number: u32,
    pub(super) seat: Seat,
    pub(super) socket: Socket,
    pub(super) subscriber: Subscriber,
    framing: Framing,
    /// The socket is full.
    pub(super) blocked: bool,
    /// The log is being read for it, or will be.
    pub(super) reading: Option<Wanted>,
    /// It will have another turn.
    pub(super) queued: bool,
    /// A timer will ask for it.
    pub(super) armed: bool,
    /// A timer will ask whether it is stuck.
    pub(super) watched: bool,
    /// It has taken its first step.
    begun: bool,
    /// Once all is written it is over.
    ends: bool,
    /// What is to be written before anything else.
    pending: VecDeque<Bytes>,
    /// Since when the socket has taken nothing.
    pub(super) stuck_since: Instant,
    _held: Box<dyn Send>,
    /// Last: see [`Detached`].
    _counted: Counted,
}

// Everyone who waits for an event has one of these.
const _: () = assert!(size_of::<Member>() <= 424);

/// What a member waits for now.
#[derive(Debug)]
pub(super) enum Waits {
    /// For news, or until then.
    Until(Instant),
    /// For news: a timer of before is early enough.
    ForNews,
    /// For room in its socket.
    ForRoom,
    /// For a read of the log.
    ForRead(ReadRange),
    /// For its next turn.
    ForTurn,
}

/// Why a member is over.
#[derive(Debug)]
pub(super) enum Over {
    /// All was said.
    Ended,
    /// It was behind for so long.
    Lagging(Duration),
    Broken(io::Error),
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Member {
    pub(super) fn new(detached: Detached, number: u32, seat: Seat, now: Instant) -> Self {
        let Detached { socket, head, framing, subscriber, held, counted } = detached;
        Self {
            number,
            seat,
            socket,
            subscriber,
            framing,
            blocked: false,
            reading: None,
            queued: false,
            armed: false,
            watched: false,
            begun: false,
            ends: false,
            pending: VecDeque::from([head.into()]),
            stuck_since: now,
            _held: held,
            _counted: counted,
        }
    }

    /// Goes on until it has to wait.
    pub(super) fn go_on(&mut self, desk: &mut Desk, encoder: &mut Encoder) -> Result<Waits, Over> {
        for _ in 0..STEPS {
            if self.ends {
                return if self.flush(desk)? { Err(Over::Ended) } else { Ok(Waits::ForRoom) };
            }
            // The head leaves together with the first frames.
            if std::mem::replace(&mut self.begun, true) && !self.flush(desk)? {
                return Ok(Waits::ForRoom);
            }
            match self.subscriber.step(desk) {
                Step::Events(stretch) => {
                    if !self.send(&stretch, desk, encoder)? {
                        return Ok(Waits::ForRoom);
                    }
                    if self.subscriber.is_up_to_date(&stretch) {
                        return Ok(Waits::ForNews);
                    }
                }
                Step::Send(frames) => self.push(&frames, desk),
                Step::Ephemeral(frames) => self.offer(&frames, desk)?,
                Step::Read(range) => return Ok(Waits::ForRead(range)),
                Step::Wait(until) => return Ok(Waits::Until(until)),
                Step::Lagging(lag) => return Err(Over::Lagging(lag)),
                Step::End => self.end(&[], desk),
            }
        }
        Ok(Waits::ForTurn)
    }

    /// Still sends what is at hand, in a few steps, and then these last words.
    pub(super) fn farewell(
        &mut self,
        words: &[Bytes],
        (desk, encoder): (&mut Desk, &mut Encoder),
    ) -> Result<Waits, Over> {
        if !self.blocked && self.reading.is_none() {
            // Those are the last of it, whatever it would wait for then.
            let _ = self.go_on(desk, encoder)?;
        }
        self.end(words, desk);
        self.go_on(desk, encoder)
    }

    /// These frames, and then no more.
    pub(super) fn end(&mut self, words: &[Bytes], desk: &mut Desk) {
        if self.ends {
            return;
        }
        // Whatever is read for it is of no use any more.
        self.reading = None;
        self.push(words, desk);
        self.pending.extend(self.framing.end());
        self.ends = true;
    }

    fn push(&mut self, frames: &[Bytes], desk: &mut Desk) {
        desk.count_bytes(frames.iter().map(Bytes::len).sum());
        frames.iter().for_each(|frame| self.framing.frame(frame, &mut self.pending));
    }

    /// What follows the one that there was no room for is forgotten.
    fn offer(&mut self, frames: &[Bytes], desk: &mut Desk) -> Result<(), Over> {
        for frame in frames {
            desk.count_bytes(frame.len());
            self.framing.frame(frame, &mut self.pending);
            if !self.flush(desk)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the socket took all of it, sooner or later.
    fn send(
        &mut self,
        stretch: &Arc<Stretch>,
        desk: &mut Desk,
        encoder: &mut Encoder,
    ) -> Result<bool, Over> {
        debug_assert!(self.pending.is_empty(), "what is pending goes first");
        let encoded = encoder.encode(stretch, self.subscriber.form(), self.framing);
        let written = self.socket.write(&encoded.bytes)?;
        if written == encoded.len() {
            self.subscriber.sent(stretch, (stretch.events().len(), written), desk);
            return self.flush(desk);
        }
        let cut = encoded.cut(written);
        self.subscriber.sent(stretch, (cut.events, written + length(&cut.rest)), desk);
        self.pending = cut.rest;
        if written == 0 {
            self.fill(desk);
            return Ok(false);
        }
        // Until the system says that there is no room, it does not tell when there is.
        self.flush(desk)
    }

    /// Whether all that is pending is written.
    fn flush(&mut self, desk: &Desk) -> Result<bool, Over> {
        if self.pending.is_empty() && !self.socket.is_holding() {
            self.blocked = false;
            return Ok(true);
        }
        let written = self.socket.write_all(&mut self.pending)?;
        self.blocked &= !written.some;
        if written.all {
            // A queue that is empty takes no memory.
            self.pending = VecDeque::new();
        } else {
            self.fill(desk);
        }
        Ok(written.all)
    }

    /// There is no more room.
    fn fill(&mut self, desk: &Desk) {
        if !std::mem::replace(&mut self.blocked, true) {
            self.stuck_since = desk.now();
        }
    }
}

fn length(parts: &VecDeque<Bytes>) -> usize {
    parts.iter().map(Bytes::len).sum()
}
