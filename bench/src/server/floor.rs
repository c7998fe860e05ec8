//! The floor: one thread, one readiness poll, and for each event one write to every socket of its topic. No
//! limits, no history, no errors that help: what is left when everything else is taken away. It can also
//! write at once all that a subscriber is behind (`batching`), and sync each event, or batch, before it
//! shows it (`sync`).

use std::{
    collections::HashMap,
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
};

use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream};

const LISTENER: Token = Token(usize::MAX - 1);
const FOLLOWING: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\r\n: hello\n\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";

/// What the floor does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Write at once all that a subscriber is behind.
    pub(crate) batching: bool,
    /// Sync before an event is shown.
    pub(crate) sync: bool,
}

#[derive(Default)]
struct Topic {
    subscribers: Vec<usize>,
    /// Frames that are not with all of them yet, back to back.
    frames: Vec<u8>,
    dirty: bool,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Of its topic's frames it has so much.
    offset: usize,
    /// What its socket did not take, if not batching.
    rest: Vec<u8>,
    topic: Option<usize>,
}

struct Floor {
    how: How,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    by_name: HashMap<Vec<u8>, usize>,
    topics: Vec<Topic>,
    dirty: Vec<usize>,
    answers: Vec<usize>,
    log: Option<File>,
    count: u64,
}

/// Serves until it is killed.
pub(crate) fn serve(listener: TcpListener, how: How) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let log = how.sync.then(|| tempfile::tempfile_in(".")).transpose()?;
    let mut floor = Floor {
        how,
        poll,
        connections: Vec::new(),
        by_name: HashMap::new(),
        topics: Vec::new(),
        dirty: Vec::new(),
        answers: Vec::new(),
        log,
        count: 0,
    };
    let mut events = Events::with_capacity(1024);
    loop {
        floor.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(at) => floor.ready(at, event.is_readable(), event.is_writable()),
            }
        }
        floor.show()?;
    }
}

impl Floor {
    fn accept(&mut self, listener: &mio::net::TcpListener) -> std::io::Result<()> {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let token = Token(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, token, interest)?;
            let (received, rest) = (Vec::new(), Vec::new());
            let connection = Connection { stream, received, offset: 0, rest, topic: None };
            self.connections.push(Some(connection));
        }
        Ok(())
    }

    fn ready(&mut self, at: usize, readable: bool, writable: bool) {
        if writable {
            self.write(at);
        }
        if readable && !self.read(at) {
            self.leave(at);
        }
    }

    fn leave(&mut self, at: usize) {
        let left = self.connections[at].take();
        if let Some(topic) = left.and_then(|connection| connection.topic) {
            self.topics[topic].subscribers.retain(|subscriber| *subscriber != at);
        }
    }

    /// Whether the peer is still there.
    fn read(&mut self, at: usize) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            let Some(connection) = &mut self.connections[at] else { return true };
            match connection.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) if connection.topic.is_none() => {
                    connection.received.extend_from_slice(&buffer[..count]);
                    self.requests(at);
                }
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn requests(&mut self, at: usize) {
        while let Some(connection) = &mut self.connections[at]
            && let Some(head) = memmem::find(&connection.received, b"\r\n\r\n")
        {
            let length = content_length(&connection.received[..head + 2]);
            let end = head + 4 + length;
            if connection.received.len() < end {
                return;
            }
            let request: Vec<u8> = connection.received.drain(..end).collect();
            let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default().to_vec();
            let topic = *self.by_name.entry(path).or_insert_with(|| {
                self.topics.push(Topic::default());
                self.topics.len() - 1
            });
            if request.starts_with(b"GET") {
                self.follow(at, topic);
            } else {
                self.publish(at, topic, &request[head + 4..]);
            }
        }
    }

    fn follow(&mut self, at: usize, topic: usize) {
        self.topics[topic].subscribers.push(at);
        let offset = self.topics[topic].frames.len();
        let Some(connection) = &mut self.connections[at] else { return };
        (connection.topic, connection.offset) = (Some(topic), offset);
        let _ = connection.stream.write(FOLLOWING);
    }

    fn publish(&mut self, at: usize, topic: usize, data: &[u8]) {
        self.count += 1;
        let id = self.count;
        let of = &mut self.topics[topic];
        let begin = of.frames.len();
        let _ = write!(of.frames, "id: k3x9v0qa-{id}\ndata: ");
        of.frames.extend_from_slice(data);
        of.frames.extend_from_slice(b"\n\n");
        if self.how.batching {
            if !std::mem::replace(&mut of.dirty, true) {
                self.dirty.push(topic);
            }
            self.answers.push(at);
            return;
        }
        let frame = of.frames.split_off(begin);
        if let Some(log) = &mut self.log {
            let _ = log.write_all(&frame).and_then(|()| log.sync_data());
        }
        for subscriber in &self.topics[topic].subscribers {
            let Some(connection) = &mut self.connections[*subscriber] else { continue };
            if !connection.rest.is_empty() {
                connection.rest.extend_from_slice(&frame);
                continue;
            }
            let written = connection.stream.write(&frame).unwrap_or(0);
            if written < frame.len() {
                connection.rest.extend_from_slice(&frame[written..]);
            }
        }
        self.answer(at);
    }

    fn answer(&mut self, at: usize) {
        if let Some(publisher) = &mut self.connections[at] {
            let _ = publisher.stream.write(PUBLISHED);
        }
    }

    fn write(&mut self, at: usize) {
        let Some(connection) = &mut self.connections[at] else { return };
        let Some(topic) = connection.topic else { return };
        if self.how.batching {
            let frames = &self.topics[topic].frames[connection.offset..];
            if !frames.is_empty() {
                connection.offset += connection.stream.write(frames).unwrap_or(0);
            }
        } else if !connection.rest.is_empty()
            && let Ok(written) = connection.stream.write(&connection.rest)
        {
            connection.rest.drain(..written);
        }
    }

    /// Batching: everybody gets all that was published since.
    fn show(&mut self) -> std::io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.is_empty() {
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            for topic in &dirty {
                log.write_all(&self.topics[*topic].frames)?;
            }
            log.sync_data()?;
        }
        for topic in dirty {
            self.topics[topic].dirty = false;
            for index in 0..self.topics[topic].subscribers.len() {
                self.write(self.topics[topic].subscribers[index]);
            }
            self.trim(topic);
        }
        for at in std::mem::take(&mut self.answers) {
            self.answer(at);
        }
        Ok(())
    }

    /// Lets go of what everybody has.
    fn trim(&mut self, topic: usize) {
        let Topic { subscribers, frames, .. } = &mut self.topics[topic];
        let slowest = subscribers.iter().filter_map(|at| self.connections[*at].as_ref());
        let had = slowest.map(|connection| connection.offset).min().unwrap_or(frames.len());
        // Not for every few bytes, if somebody is behind.
        if had < frames.len() && had < 1 << 20 {
            return;
        }
        frames.drain(..had);
        for at in subscribers {
            if let Some(connection) = &mut self.connections[*at] {
                connection.offset -= had;
            }
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let lower = head.to_ascii_lowercase();
    let Some(at) = memmem::find(&lower, b"content-length:") else { return 0 };
    let digits = lower[at + 15..].iter().skip_while(|byte| **byte == b' ');
    digits
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
