//! What is measured. Each scenario says who takes part, what one run of it does, and what the report shows.

mod fan_out;
mod latency;
mod memory;
mod publish;
mod replay;
mod topics;

use std::time::Duration;

use crate::{
    contender::Contender::{
        self, BatchingFloor, ByHand, Disk, DiskInterval, DiskUnsynced, Floor, Memory, Nchan,
        SyncedFloor, Tls,
    },
    sample::Sample,
};

/// What a report shows of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// So many a second, CPU for each, and how late.
    Deliveries,
    /// How late only: the rate is given.
    Lateness,
    Publishes,
    /// Events a second.
    Reads,
    /// Bytes a subscriber.
    Memory,
}

/// Something to measure.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) shows: Shows,
    /// The first is what the others are compared with.
    pub(crate) contenders: &'static [Contender],
    pub(crate) run: fn(Contender, Duration) -> anyhow::Result<Sample>,
}

const EVERYBODY: &[Contender] = &[Floor, BatchingFloor, ByHand, Nchan, Memory, Disk];
const UNSYNCED: &[Contender] = &[Floor, ByHand, Nchan, Memory];
const SYNCED: &[Contender] = &[SyncedFloor, Disk];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fan-out-1000",
        title: "One event at a time to 1,000 subscribers",
        shows: Shows::Deliveries,
        contenders: UNSYNCED,
        run: |of, time| fan_out::one_at_a_time(of, 1000, 1, time),
    },
    Scenario {
        name: "fan-out-1000-synced",
        title: "One event at a time to 1,000 subscribers, synced",
        shows: Shows::Deliveries,
        contenders: SYNCED,
        run: |of, time| fan_out::one_at_a_time(of, 1000, 1, time),
    },
    Scenario {
        name: "fan-out-10000",
        title: "One event at a time to 10,000 subscribers",
        shows: Shows::Deliveries,
        contenders: UNSYNCED,
        run: |of, time| fan_out::one_at_a_time(of, 9900, 1, time),
    },
    Scenario {
        name: "fan-out-10000-synced",
        title: "One event at a time to 10,000 subscribers, synced",
        shows: Shows::Deliveries,
        contenders: SYNCED,
        run: |of, time| fan_out::one_at_a_time(of, 9900, 1, time),
    },
    Scenario {
        name: "outstanding-1000",
        title: "16 events outstanding, 1,000 subscribers",
        shows: Shows::Deliveries,
        contenders: EVERYBODY,
        run: |of, time| fan_out::one_at_a_time(of, 1000, 16, time),
    },
    Scenario {
        name: "outstanding-10000",
        title: "16 events outstanding, 10,000 subscribers",
        shows: Shows::Deliveries,
        contenders: EVERYBODY,
        run: |of, time| fan_out::one_at_a_time(of, 9900, 16, time),
    },
    Scenario {
        name: "publishers-16",
        title: "16 publishers, each as fast as it is answered, to 1,000 subscribers",
        shows: Shows::Deliveries,
        contenders: EVERYBODY,
        run: |of, time| fan_out::saturated(of, 1000, 16, time),
    },
    Scenario {
        name: "latency-10",
        title: "10 events/s to 1,000 subscribers",
        shows: Shows::Lateness,
        contenders: UNSYNCED,
        run: |of, time| latency::at_rate(of, 1000, 10, time),
    },
    Scenario {
        name: "latency-10-synced",
        title: "10 events/s to 1,000 subscribers, synced",
        shows: Shows::Lateness,
        contenders: SYNCED,
        run: |of, time| latency::at_rate(of, 1000, 10, time),
    },
    Scenario {
        name: "latency-50",
        title: "50 events/s to 1,000 subscribers",
        shows: Shows::Lateness,
        contenders: UNSYNCED,
        run: |of, time| latency::at_rate(of, 1000, 50, time),
    },
    Scenario {
        name: "latency-50-synced",
        title: "50 events/s to 1,000 subscribers, synced",
        shows: Shows::Lateness,
        contenders: SYNCED,
        run: |of, time| latency::at_rate(of, 1000, 50, time),
    },
    Scenario {
        name: "topics-1000",
        title: "16 publishers to 1,000 topics with one subscriber each",
        shows: Shows::Deliveries,
        contenders: EVERYBODY,
        run: |of, time| topics::one_subscriber_each(of, 1000, time),
    },
    Scenario {
        name: "topics-10000",
        title: "16 publishers to 10,000 topics with one subscriber each",
        shows: Shows::Deliveries,
        contenders: EVERYBODY,
        run: |of, time| topics::one_subscriber_each(of, 9900, time),
    },
    Scenario {
        name: "publish-1",
        title: "One connection, one event a request",
        shows: Shows::Publishes,
        contenders: &[Memory, Disk, DiskInterval, DiskUnsynced, Floor, SyncedFloor, ByHand, Nchan],
        run: |of, time| publish::requests(of, 1, time),
    },
    Scenario {
        name: "publish-64",
        title: "64 connections, one event a request",
        shows: Shows::Publishes,
        contenders: &[Memory, Disk, DiskInterval, DiskUnsynced, Floor, SyncedFloor, ByHand, Nchan],
        run: |of, time| publish::requests(of, 64, time),
    },
    Scenario {
        name: "ingest",
        title: "One `text/event-stream` request with events of 240 bytes",
        shows: Shows::Publishes,
        contenders: &[Memory, Disk, DiskInterval, DiskUnsynced],
        run: publish::one_stream,
    },
    Scenario {
        name: "memory",
        title: "Idle HTTP/1.1 subscribers, from 1,000 to 9,900",
        shows: Shows::Memory,
        contenders: &[Floor, ByHand, Nchan, Memory, Disk],
        run: |of, _| memory::http1(of, 9900),
    },
    Scenario {
        name: "memory-tls",
        title: "Idle HTTP/1.1 subscribers over TLS, from 1,000 to 9,000",
        shows: Shows::Memory,
        contenders: &[Tls],
        run: |of, _| memory::http1(of, 9000),
    },
    Scenario {
        name: "memory-http2-100",
        title: "Idle HTTP/2 streams, 100 a connection",
        shows: Shows::Memory,
        contenders: &[Memory],
        run: |of, _| memory::http2(of, 100),
    },
    Scenario {
        name: "memory-http2-6",
        title: "Idle HTTP/2 streams, 6 a connection",
        shows: Shows::Memory,
        contenders: &[Memory],
        run: |of, _| memory::http2(of, 6),
    },
    Scenario {
        name: "replay-window",
        title: "100 subscribers replay 30,000 events from the window",
        shows: Shows::Reads,
        contenders: &[Memory, Disk],
        run: |of, _| replay::replay(of, replay::FROM_WINDOW, 100),
    },
    Scenario {
        name: "replay-disk",
        title: "100 subscribers replay 100,000 events from disk",
        shows: Shows::Reads,
        contenders: &[Disk],
        run: |of, _| replay::replay(of, replay::FROM_DISK, 100),
    },
    Scenario {
        name: "replay-1000",
        title: "1,000 subscribers at once replay 20,000 events from disk",
        shows: Shows::Reads,
        contenders: &[Disk],
        run: |of, _| replay::replay(of, replay::FROM_DISK_BY_MANY, 1000),
    },
    Scenario {
        name: "mixed",
        title: "20 events/s to 1,000 subscribers, while 50 replay 100,000 events each and 4 publish to others",
        shows: Shows::Lateness,
        contenders: &[Disk],
        run: |of, _| replay::beside_live(of),
    },
];
