//! The load: subscribers and publishers on one thread behind one readiness poll, thin enough never to be
//! what is measured. Every event says who sent it, which of theirs it is, and when it was due; so what each
//! subscriber gets is checked for order and completeness, and lateness counts from when an event should
//! have been sent, not from when there was time to send it.

pub(crate) mod http2;
mod payload;
mod publisher;
mod subscriber;
mod wire;

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use self::payload::{Payload, SIZE};
use self::{payload::PUBLISHERS, publisher::Publisher, subscriber::Subscriber, wire::Wire};

/// Connections from one source address: it has some 28,000 ports.
const PER_ADDRESS: usize = 5000;
/// Nothing may take longer without any progress.
const STALLED: Duration = Duration::from_secs(20);

/// Subscribers and publishers.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    began: Instant,
    connected: usize,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) received: Received,
    buffer: Vec<u8>,
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

/// What all subscribers got.
pub(crate) struct Received {
    pub(crate) events: u64,
    /// Microseconds from when an event was due to when it was read.
    pub(crate) lateness: Histogram<u64>,
    /// Of each publisher's last event, how many subscribers still wait for it.
    pub(crate) missing: [u64; PUBLISHERS],
    pub(crate) out_of_order: u64,
}

impl Received {
    fn new() -> Self {
        let lateness = Histogram::new_with_bounds(1, 600_000_000, 3);
        let lateness = lateness.expect("these bounds are legal");
        Self { events: 0, lateness, missing: [0; PUBLISHERS], out_of_order: 0 }
    }
}

impl Load {
    /// Nobody yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            began: Instant::now(),
            connected: 0,
            subscribers: Vec::new(),
            publishers: Vec::new(),
            received: Received::new(),
            buffer: vec![0; 256 * 1024],
            tls: None,
        })
    }

    /// Who comes from now on speaks TLS, and believes this certificate.
    pub(crate) fn speak_tls(&mut self, certificate: Vec<u8>) -> anyhow::Result<()> {
        self.tls = Some(wire::believing(certificate)?);
        Ok(())
    }

    /// Microseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Adds `count` subscribers of what `path` names, each with its number, and waits until they follow.
    pub(crate) fn subscribe(
        &mut self,
        at: SocketAddr,
        count: usize,
        path: impl Fn(usize) -> String,
    ) -> anyhow::Result<()> {
        let first = self.subscribers.len();
        for number in first..first + count {
            let mut wire = self.wire(at)?;
            let request = format!(
                "GET {} HTTP/1.1\r\nHost: {at}\r\nAccept: text/event-stream\r\n\r\n",
                path(number)
            );
            wire.send(request.as_bytes())?;
            wire.never_wait()?;
            self.poll.registry().register(wire.source(), Token(number), Interest::READABLE)?;
            self.subscribers.push(Subscriber::new(wire));
            // The accept queue is short.
            if number % 64 == 63 {
                self.until(|load| load.followers() + 64 > number)?;
            }
        }
        self.until(|load| load.followers() == load.subscribers.len())
    }

    fn followers(&self) -> usize {
        self.subscribers.iter().filter(|subscriber| subscriber.follows).count()
    }

    /// Adds publishers, each with a connection that stays.
    pub(crate) fn add_publishers(&mut self, at: SocketAddr, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let number = self.publishers.len();
            if number == PUBLISHERS {
                bail!("there are {PUBLISHERS} publishers at most");
            }
            let mut wire = self.wire(at)?;
            wire.never_wait()?;
            let token = Token(usize::MAX / 2 + number);
            self.poll.registry().register(wire.source(), token, Interest::READABLE)?;
            self.publishers.push(Publisher::new(wire, at));
        }
        Ok(())
    }

    /// Publishes so many events as a stream, in one request that is waited for.
    pub(crate) fn publish_history(
        &mut self,
        at: SocketAddr,
        path: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        let mut stream = self.connect(at)?;
        let mut body = Vec::new();
        for number in 1..=count {
            let payload = Payload { publisher: 0, number: number as u64, due: 0 };
            body.extend_from_slice(b"data: ");
            body.extend_from_slice(&payload.to_bytes());
            // To 240 bytes with their lines' ends.
            body.extend_from_slice(&[b'y'; 240 - SIZE - 8]);
            body.extend_from_slice(b"\n\n");
        }
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 201"), "the history was answered {answer}");
        Ok(())
    }

    fn wire(&mut self, at: SocketAddr) -> anyhow::Result<Wire> {
        let stream = self.connect(at)?;
        match &self.tls {
            None => Ok(Wire::plain(stream)),
            Some(config) => Wire::tls(stream, config),
        }
    }

    fn connect(&mut self, at: SocketAddr) -> anyhow::Result<std::net::TcpStream> {
        let address = 2 + u8::try_from(self.connected / PER_ADDRESS)?;
        self.connected += 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, address), 0)).into())?;
        socket.connect_timeout(&at.into(), STALLED).context("no connection")?;
        socket.set_tcp_nodelay(true)?;
        // Closed without ceremony, so that thousands of ports are not kept waiting.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(socket.into())
    }

    /// Publishes an event that was due at `due`, by a publisher that waits for no answer.
    pub(crate) fn publish(&mut self, by: usize, path: &str, due: u64) -> io::Result<()> {
        let waiting = self.subscribers.len() as u64;
        let publisher = &mut self.publishers[by];
        publisher.count += 1;
        self.received.missing[by] = waiting;
        let payload = Payload { publisher: by, number: publisher.count, due };
        publisher.send(path, &payload.to_bytes())
    }

    /// Publishes now by everyone who has the answer to its last event, each to what `path` says; and takes in
    /// what is there.
    pub(crate) fn publish_by_all<'a>(
        &mut self,
        mut path: impl FnMut() -> &'a str,
    ) -> anyhow::Result<()> {
        for by in 0..self.publishers.len() {
            if !self.publishers[by].waits {
                self.publish(by, path(), self.now())?;
            }
        }
        self.turn(Duration::from_millis(100))?;
        Ok(())
    }

    /// Publishes at given times whatever happens, until `done`, which is told how many it were.
    pub(crate) fn publish_on_time(
        &mut self,
        path: &str,
        interval: Duration,
        mut done: impl FnMut(u32) -> bool,
    ) -> anyhow::Result<()> {
        let (began, first_due, mut count) = (Instant::now(), self.now(), 0);
        while !done(count) {
            let due = interval * count;
            let left = due.saturating_sub(began.elapsed());
            let free = self.publishers.iter().position(|publisher| !publisher.waits);
            match free {
                Some(by) if left.is_zero() => {
                    self.publish(by, path, first_due + u64::try_from(due.as_micros())?)?;
                    count += 1;
                }
                Some(_) => {
                    // The poll counts in whole milliseconds: the last one is spent looking.
                    self.turn(left.saturating_sub(Duration::from_millis(1)))?;
                }
                None => drop(self.turn(Duration::from_millis(1))?),
            }
        }
        Ok(())
    }

    /// Takes in what is there, waiting for it at most so long; whether there was anything.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<bool> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            outcome => outcome?,
        }
        let began = self.began;
        for event in &self.events {
            let Token(number) = event.token();
            if let Some(publisher) = number.checked_sub(usize::MAX / 2) {
                self.publishers[publisher].read(&mut self.buffer)?;
            } else {
                let now = || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.subscribers[number].read(&mut self.buffer, &mut self.received, now)?;
            }
        }
        Ok(!self.events.is_empty())
    }

    /// Turns until a condition holds.
    pub(crate) fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> anyhow::Result<()> {
        let mut progress = Instant::now();
        while !done(self) {
            if self.turn(Duration::from_millis(100))? {
                progress = Instant::now();
            } else if progress.elapsed() > STALLED {
                bail!("nothing happens any more: {}", self.state());
            }
        }
        Ok(())
    }

    /// Turns until nothing comes for so long.
    pub(crate) fn until_quiet(&mut self, quiet: Duration) -> anyhow::Result<()> {
        let (mut last, mut events) = (Instant::now(), self.received.events);
        while last.elapsed() < quiet {
            self.turn(quiet / 4)?;
            if events != self.received.events {
                (last, events) = (Instant::now(), self.received.events);
            }
        }
        Ok(())
    }

    /// Events that were sent and have not come everywhere.
    pub(crate) fn state(&self) -> String {
        format!(
            "{} of {} subscribers follow, {} events came, {} publishers wait for an answer",
            self.followers(),
            self.subscribers.len(),
            self.received.events,
            self.publishers.iter().filter(|publisher| publisher.waits).count(),
        )
    }

    /// Forgets what was measured so far.
    pub(crate) fn reset(&mut self) {
        self.received.events = 0;
        self.received.lateness.reset();
        self.received.out_of_order = 0;
    }

    /// Events that the publishers sent.
    pub(crate) fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.count).sum()
    }
}
