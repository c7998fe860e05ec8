//! A subscriber that does what stock EventSource does: keeps the last event id over
//! connections, sends it on a reconnect, drops what never ended, and comes back for ever.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use eventwall_sse::{Decoder, Event, Item};

use crate::{Connection, until};

/// What a follower has seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every dispatched event, ticks and the like too.
    pub events: Vec<Event>,
    /// Connections that were answered.
    pub connections: usize,
    /// The last `retry:` of the server, in milliseconds.
    pub retry: Option<u64>,
}

impl Seen {
    /// The events that are not Eventwall's own.
    pub fn messages(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| !event.event.starts_with("eventwall:"))
    }

    /// Their data.
    #[must_use]
    pub fn data(&self) -> Vec<&str> {
        self.messages().map(|event| event.data.as_str()).collect()
    }

    /// Names of Eventwall's own events, and data of the others.
    #[must_use]
    pub fn told(&self) -> Vec<&str> {
        let own = |event: &'_ Event| event.event.starts_with("eventwall:");
        self.events.iter().map(|e| if own(e) { &e.event[10..] } else { e.data.as_str() }).collect()
    }
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// The socket in use, to cut the line; `None` once the follower is to stop.
    line: Mutex<Option<Option<TcpStream>>>,
}

/// A subscriber on a thread of its own, until dropped.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows `target`, such as `/topics/a?last=5`; `headers` go with every request.
    #[must_use]
    pub fn start(addr: SocketAddr, target: &str, headers: &[&str]) -> Self {
        let shared = Arc::new(Shared::default());
        *shared.line.lock().unwrap() = Some(None);
        let (run, target) = (shared.clone(), target.to_owned());
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let thread = std::thread::spawn(move || run.follow(addr, &target, &headers));
        Self { shared, thread: Some(thread) }
    }

    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until what it has seen satisfies `condition`, and answers that.
    pub fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Seen {
        until(what, || condition(&self.shared.seen.lock().unwrap()));
        self.seen()
    }

    /// Waits until it has seen an event with this data.
    pub fn wait_for(&self, data: &str) -> Seen {
        self.wait(&format!("{data:?} is seen"), |seen| {
            seen.messages().any(|event| event.data == data)
        })
    }

    /// Cuts the line, as a tunnel does. It comes back by itself.
    pub fn cut(&self) {
        if let Some(Some(stream)) = &*self.shared.line.lock().unwrap() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.cut();
        *self.shared.line.lock().unwrap() = None;
        self.cut();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn follow(&self, addr: SocketAddr, target: &str, headers: &str) {
        let mut decoder = Decoder::new();
        while self.line.lock().unwrap().is_some() {
            // Whatever ends it, stock EventSource comes back.
            let _ = self.connect(addr, target, headers, &mut decoder);
            decoder.reconnected();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn connect(
        &self,
        addr: SocketAddr,
        target: &str,
        headers: &str,
        decoder: &mut Decoder,
    ) -> io::Result<()> {
        let mut connection = Connection::open(addr)?;
        match &mut *self.line.lock().unwrap() {
            Some(line) => *line = Some(connection.stream().try_clone()?),
            None => return Ok(()),
        }
        let resume = match decoder.last_event_id() {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n{resume}{headers}\r\n"
        ))?;
        let head = connection.head()?;
        assert_eq!(head.status, 200, "stock EventSource would give up for ever");
        self.seen.lock().unwrap().connections += 1;
        while let Some(chunk) = connection.chunk()? {
            let mut seen = self.seen.lock().unwrap();
            decoder.feed(&chunk, |item| match item {
                Item::Event(event) => seen.events.push(event),
                Item::Retry(ms) => seen.retry = Some(ms),
                Item::Comment(_) => {}
                Item::Oversized { .. } => panic!("an event is larger than the decoder's limit"),
            });
        }
        Ok(())
    }
}
