//! The product as a whole: the server runs under callgrind with few of something and with many, one at a
//! time, and what is between the two is theirs.

use super::callgrind;
use crate::{
    contender::Contender::{self, Disk, Memory},
    load::Load,
};

const TOPIC: &str = "bench/wall";

/// What a run does.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// Events of one request with a stream.
    history: usize,
    subscribers: usize,
    /// Subscribers who want the history.
    readers: usize,
    /// Requests with one event each, each until everybody has it.
    publishes: usize,
}

impl Run {
    /// Instructions of a server that sees this and nothing else.
    fn count(self, contender: Contender) -> anyhow::Result<f64> {
        let out = tempfile::NamedTempFile::new()?;
        let wrap = |command| callgrind::under(&command, out.path());
        let server = contender.start_by(wrap, &["--window-bytes", "64MiB"])?;
        let (mut load, path) = (Load::new()?, server.publish(TOPIC));
        if self.history > 0 {
            load.publish_history(server.at, &path, self.history)?;
        }
        load.subscribe(server.at, self.subscribers, |_| server.follow(TOPIC))?;
        load.subscribe(server.at, self.readers, |_| format!("{}?since=1h", server.follow(TOPIC)))?;
        load.until(|load| load.received.events >= (self.readers * self.history) as u64)?;
        load.add_publishers(server.at, 1)?;
        for _ in 0..self.publishes {
            load.publish(0, &path, 0)?;
            load.until(|load| !load.publishers[0].waits && load.received.missing[0] == 0)?;
        }
        server.stop()?;
        callgrind::counted(out.path())
    }

    /// Instructions of each of so many that `more` has more.
    fn slope(self, more: Self, contender: Contender, many: usize) -> anyhow::Result<f64> {
        Ok((more.count(contender)? - self.count(contender)?) / many as f64)
    }
}

const FEW: usize = 50;
const MANY: usize = 550;
const SUBSCRIBERS: usize = 200;

fn publish(contender: Contender) -> anyhow::Result<f64> {
    let few = Run { publishes: FEW, ..Run::default() };
    few.slope(Run { publishes: MANY, ..few }, contender, MANY - FEW)
}

pub(super) fn publish_memory() -> anyhow::Result<f64> {
    publish(Memory)
}

pub(super) fn publish_disk() -> anyhow::Result<f64> {
    publish(Disk)
}

pub(super) fn ingest() -> anyhow::Result<f64> {
    let few = Run { history: 1000, ..Run::default() };
    few.slope(Run { history: 11_000, ..few }, Disk, 10_000)
}

pub(super) fn subscribe() -> anyhow::Result<f64> {
    let few = Run { subscribers: FEW, ..Run::default() };
    few.slope(Run { subscribers: MANY, ..few }, Memory, MANY - FEW)
}

/// Without what a publish costs when nobody follows.
pub(super) fn deliver() -> anyhow::Result<f64> {
    let few = Run { subscribers: SUBSCRIBERS, publishes: FEW, ..Run::default() };
    let each = few.slope(Run { publishes: MANY, ..few }, Memory, MANY - FEW)?;
    Ok((each - publish(Memory)?) / SUBSCRIBERS as f64)
}

pub(super) fn replay() -> anyhow::Result<f64> {
    let few = Run { history: 5000, readers: 1, ..Run::default() };
    few.slope(Run { readers: 11, ..few }, Memory, 10 * few.history)
}
