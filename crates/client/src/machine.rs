//! The client's rules, as a state machine: heads, bytes and breaks go in, signals and waiting
//! times come out. It has no socket, no clock, and no randomness but what it is given.

use std::{collections::VecDeque, time::Duration};

use eventwall_sse::{Decoder, Event, Item};
use serde::Deserialize;

/// Until the server names another reconnection time.
const DEFAULT_RETRY: Duration = Duration::from_secs(3);
/// A `retry: 0` must not make a hot loop.
const MIN_RETRY: Duration = Duration::from_millis(200);
const MAX_RETRY: Duration = Duration::from_secs(24 * 60 * 60);
/// Failed attempts wait at most this long.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Silence for so many heartbeats is a dropped connection.
const MISSED_HEARTBEATS: u32 = 2;

/// What a stream said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The connection is open.
    Open,
    /// An event.
    Event(Event),
    /// Events were lost to this subscriber.
    Gap(Gap),
    /// Replay is over: what follows is live.
    Live,
    /// The connection ended; the next attempt begins after this time.
    Reconnecting {
        /// How long the client waits.
        after: Duration,
        /// What happened.
        why: String,
    },
}

/// Events between two cursors are gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The cursor that was asked for.
    pub after: String,
    /// Where the stream went on.
    pub resumed: String,
    /// The last of the lost events, if others that are left came before it.
    #[serde(default)]
    pub through: Option<String>,
    /// `expired`, `replaced` or `unknown`.
    pub reason: String,
}

/// The server does not want this client back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// `204`: the server's way to say stop.
    #[error("the server ended the stream")]
    Ended,
    /// An answer that trying again cannot heal.
    #[error("the server refused the stream: {0}")]
    Refused(String),
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The `Eventwall-Heartbeat` header, in seconds.
    pub heartbeat: Option<u64>,
    /// The `Retry-After` header, in seconds.
    pub retry_after: Option<u64>,
}

/// The state of one EventSource, over all its connections.
#[derive(Debug)]
pub struct Machine {
    decoder: Decoder,
    retry: Duration,
    /// Attempts that failed since a connection last lived.
    failures: u32,
    heartbeat: Option<Duration>,
    open: bool,
    signals: VecDeque<Signal>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new("")
    }
}

impl Machine {
    /// A machine that resumes after `last_event_id`; none if empty.
    #[must_use]
    pub fn new(last_event_id: &str) -> Self {
        Self {
            decoder: Decoder::new().with_last_event_id(last_event_id),
            retry: DEFAULT_RETRY,
            failures: 0,
            heartbeat: None,
            open: false,
            signals: VecDeque::new(),
        }
    }

    /// What to send as `Last-Event-ID`; no header at all if empty.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Silence for so long means that the connection is dead.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.heartbeat.map(|heartbeat| heartbeat * MISSED_HEARTBEATS)
    }

    /// The next signal that is ready.
    pub fn next_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// An answer's head came. `Ok(true)`: read its body; `Ok(false)`: wait and try again, as
    /// the `Reconnecting` signal says.
    ///
    /// # Errors
    /// If the server does not want this client back. `detail` is what its body said.
    pub fn head(&mut self, head: Head<'_>, detail: &str, random: f64) -> Result<bool, Closed> {
        let said = |what: &str| match detail.trim() {
            "" => what.to_owned(),
            detail => format!("{what}: {detail}"),
        };
        match head.status {
            200 if is_event_stream(head.content_type) => {
                self.open = true;
                self.heartbeat = head.heartbeat.filter(|s| *s > 0).map(Duration::from_secs);
                self.signals.push_back(Signal::Open);
                Ok(true)
            }
            200 => Err(Closed::Refused(format!(
                "it sent {:?}, not text/event-stream",
                head.content_type
            ))),
            204 => Err(Closed::Ended),
            status @ (408 | 425 | 429 | 500..=599) => {
                let at_least = head.retry_after.map(Duration::from_secs);
                self.broke(&said(&format!("the server answered {status}")), at_least, random);
                Ok(false)
            }
            status => Err(Closed::Refused(said(&format!("it answered {status}")))),
        }
    }

    /// Bytes of the body came.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let Self { decoder, signals, retry, failures, .. } = self;
        // It lives: the next trouble is a first one again.
        *failures = 0;
        decoder.feed(bytes, |item| match item {
            Item::Event(event) => signals.extend(signal(event)),
            Item::Retry(ms) => *retry = Duration::from_millis(ms).clamp(MIN_RETRY, MAX_RETRY),
            Item::Comment(_) | Item::Oversized { .. } => {}
        });
    }

    /// The connection ended or could not be made. `random` is from `[0, 1)`.
    pub fn broke(&mut self, why: &str, at_least: Option<Duration>, random: f64) {
        self.decoder.reconnected();
        let after = if std::mem::take(&mut self.open) && self.failures == 0 {
            // The standard's reconnection time, a little apart from everybody else's.
            self.retry.mul_f64(0.9 + 0.2 * random)
        } else {
            self.failures = self.failures.saturating_add(1);
            let ceiling = self.retry.saturating_mul(1 << self.failures.min(10)).min(MAX_BACKOFF);
            MIN_RETRY + ceiling.mul_f64(random)
        };
        let after = after.max(at_least.unwrap_or_default());
        self.signals.push_back(Signal::Reconnecting { after, why: why.to_owned() });
    }
}

/// Eventwall's own events are signals, and ticks are none.
fn signal(event: Event) -> Option<Signal> {
    match &*event.event {
        "eventwall:tick" => None,
        "eventwall:live" => Some(Signal::Live),
        "eventwall:gap" => Some(match serde_json::from_str(&event.data) {
            Ok(gap) => Signal::Gap(gap),
            Err(_) => Signal::Event(event),
        }),
        _ => Some(Signal::Event(event)),
    }
}

fn is_event_stream(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Head<'_> = Head {
        status: 200,
        content_type: "Text/Event-Stream; charset=utf-8",
        heartbeat: Some(15),
        retry_after: None,
    };

    fn drain(machine: &mut Machine) -> Vec<Signal> {
        std::iter::from_fn(|| machine.next_signal()).collect()
    }

    fn waits(machine: &mut Machine) -> Duration {
        match drain(machine).pop() {
            Some(Signal::Reconnecting { after, .. }) => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_id_survives_connections_and_unfinished_events() {
        let mut machine = Machine::new("a-1");
        assert_eq!(machine.last_event_id(), "a-1");
        machine.head(OK, "", 0.0).unwrap();
        machine.bytes(b"data: x\n\nid: a-2\nevent: eventwall:tick\ndata: \n\nid: a-3\ndata: cut o");
        machine.broke("eof", None, 0.0);
        assert_eq!(machine.last_event_id(), "a-2");
        let events: Vec<_> = drain(&mut machine);
        assert!(
            matches!(&events[..], [Signal::Open, Signal::Event(e), Signal::Reconnecting { .. }] if e.data == "x")
        );
    }

    #[test]
    fn own_events_are_signals() {
        let mut machine = Machine::default();
        machine.bytes(b"event: eventwall:gap\ndata: {\"after\":\"a-1\",\"resumed\":\"a-9\",\"reason\":\"expired\"}\n\n");
        machine.bytes(b"event: eventwall:live\ndata: \n\n");
        let (after, resumed, reason) = ("a-1".into(), "a-9".into(), "expired".into());
        let gap = Gap { after, resumed, through: None, reason };
        assert_eq!(drain(&mut machine), [Signal::Gap(gap), Signal::Live]);
    }

    #[test]
    fn a_clean_end_waits_the_servers_time_and_failures_back_off() {
        let mut machine = Machine::default();
        machine.head(OK, "", 0.0).unwrap();
        machine.bytes(b"retry: 1000\n\n");
        for random in [0.0, 0.5, 0.999] {
            machine.head(OK, "", 0.0).unwrap();
            machine.broke("eof", None, random);
            let wait = waits(&mut machine).as_millis();
            assert!((750..=1250).contains(&wait), "{wait}");
        }
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            machine.broke("refused", None, 0.999);
            let wait = waits(&mut machine);
            assert!(
                wait >= longest.min(Duration::from_secs(29)) && wait <= Duration::from_secs(31)
            );
            longest = longest.max(wait);
        }
        assert!(longest > Duration::from_secs(25));
        machine.bytes(b":\n");
        machine.head(OK, "", 0.0).unwrap();
        machine.broke("eof", None, 0.5);
        assert!(waits(&mut machine) <= Duration::from_millis(1250), "it lived, so it starts over");
    }

    #[test]
    fn retry_zero_is_no_hot_loop_and_retry_after_is_honoured() {
        let mut machine = Machine::default();
        machine.head(OK, "", 0.0).unwrap();
        machine.bytes(b"retry: 0\n");
        machine.broke("eof", None, 0.0);
        assert!(waits(&mut machine) >= MIN_RETRY.mul_f64(0.8));
        let busy = Head { status: 503, retry_after: Some(7), ..OK };
        assert_eq!(machine.head(busy, "", 0.0), Ok(false));
        assert!(waits(&mut machine) >= Duration::from_secs(7));
    }

    #[test]
    fn what_cannot_heal_ends_it() {
        let answer = |status, content_type| {
            Machine::default().head(Head { status, content_type, ..OK }, "detail", 0.0)
        };
        assert_eq!(answer(204, ""), Err(Closed::Ended));
        for (status, content_type) in [
            (200, "text/plain"),
            (200, ""),
            (200, "text/event-streaming"),
            (400, ""),
            (403, ""),
            (404, ""),
        ] {
            assert!(matches!(answer(status, content_type), Err(Closed::Refused(_))), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(answer(status, ""), Ok(false), "{status}");
        }
    }

    #[test]
    fn the_watchdog_follows_the_servers_heartbeat() {
        let mut machine = Machine::default();
        assert_eq!(machine.watchdog(), None);
        machine.head(OK, "", 0.0).unwrap();
        assert_eq!(machine.watchdog(), Some(Duration::from_secs(30)));
    }
}
