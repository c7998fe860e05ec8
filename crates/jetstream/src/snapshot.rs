//! What a node knows of the log at some point, in bytes: kept in the cluster, so that the next node
//! need not read everything. It is a shortcut and no truth: without it, the stream is read.

use eventwall_log::{
    Millis, Position, Topic,
    kit::{Bucket, Known, Reach},
};

use std::collections::HashMap;

use crate::{runs::Mark, trail::Ahead};

const MAGIC: &[u8; 8] = b"EWTOPIC2";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// When the stream was made.
    pub(crate) created: String,
    /// The epoch at its end.
    pub(crate) epoch: String,
    /// The limits by which it was counted.
    pub(crate) retention: String,
    /// Everything up to here is taken in.
    pub(crate) mark: Mark,
    pub(crate) position: Position,
    pub(crate) first_seq: u64,
    pub(crate) last_time: Millis,
    pub(crate) forgotten: Position,
    pub(crate) unsure: Position,
    pub(crate) falls: Vec<(Position, Millis)>,
    pub(crate) erased: Vec<Position>,
    pub(crate) topics: Vec<Known>,
    /// Up to where events may have been lost as the list of epochs says.
    pub(crate) unsure_by_runs: Position,
    /// The events that will go next, all up to a position.
    pub(crate) front: (Vec<Ahead>, Position),
    /// Of each age, up to where nothing younger lies.
    pub(crate) ages: Vec<(Millis, Position)>,
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        for text in [&self.created, &self.epoch, &self.retention] {
            out.text(text);
        }
        out.number(self.mark.seq);
        out.0.extend(self.mark.time.to_le_bytes());
        for number in [self.position.0, self.first_seq, self.last_time] {
            out.number(number);
        }
        out.number(self.forgotten.0);
        out.number(self.unsure.0);
        out.list(&self.falls, |out, (position, floor)| {
            out.number(position.0);
            out.number(*floor);
        });
        out.list(&self.erased, |out, position| out.number(position.0));
        out.list(&self.topics, |out, known| {
            out.text(known.topic.as_str());
            out.number(known.reach.last.0);
            out.number(known.reach.hidden.0);
            out.number(known.removed.0);
            out.list(&known.held, |out, bucket| {
                out.number(bucket.last.0);
                out.number(bucket.events);
                out.number(bucket.bytes);
            });
        });
        out.number(self.unsure_by_runs.0);
        let names: HashMap<&Topic, u64> =
            self.topics.iter().map(|known| &known.topic).zip(0..).collect();
        let known = self.front.0.iter().filter(|ahead| names.contains_key(&ahead.topic));
        let known: Vec<&Ahead> = known.collect();
        out.list(&known, |out, ahead| {
            out.number(ahead.position.0);
            out.number(ahead.time);
            out.number(names[&ahead.topic]);
        });
        out.number(self.front.1.0);
        out.list(&self.ages, |out, (age, at)| {
            out.number(*age);
            out.number(at.0);
        });
        out.0
    }

    /// `None` if the bytes are no snapshot of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes.strip_prefix(MAGIC)?);
        let mut snapshot = Self {
            created: input.text()?,
            epoch: input.text()?,
            retention: input.text()?,
            mark: Mark { seq: input.number()?, time: input.time()? },
            position: input.position()?,
            first_seq: input.number()?,
            last_time: input.number()?,
            forgotten: input.position()?,
            unsure: input.position()?,
            falls: input.list(|input| Some((input.position()?, input.number()?)))?,
            erased: input.list(Reader::position)?,
            topics: input.list(Reader::known)?,
            unsure_by_runs: input.position()?,
            front: (Vec::new(), Position::START),
            ages: Vec::new(),
        };
        let front = input.list(|input| {
            let (position, time) = (input.position()?, input.number()?);
            let topic = usize::try_from(input.number()?).ok()?;
            Some(Ahead { position, time, topic: snapshot.topics.get(topic)?.topic.clone() })
        })?;
        snapshot.front = (front, input.position()?);
        snapshot.ages = input.list(|input| Some((input.number()?, input.position()?)))?;
        input.0.is_empty().then_some(snapshot)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| write(self, item));
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn position(&mut self) -> Option<Position> {
        self.number().map(Position)
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn time(&mut self) -> Option<i128> {
        Some(i128::from_le_bytes(self.take(16)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// What does not fit into the bytes is not made room for.
    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }

    fn known(&mut self) -> Option<Known> {
        let topic: Topic = self.text()?.parse().ok()?;
        let reach = Reach { last: self.position()?, hidden: self.position()? };
        let removed = self.position()?;
        let held = self.list(|input| {
            let last = input.position()?;
            Some(Bucket { last, events: input.number()?, bytes: input.number()? })
        })?;
        Some(Known { topic, reach, removed, held })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot() -> Snapshot {
        let known = Known {
            topic: "walls/lobby".parse().unwrap(),
            reach: Reach { last: Position(900), hidden: Position(7) },
            removed: Position(6),
            held: vec![Bucket { last: Position(900), events: 3, bytes: 1 << 40 }],
        };
        Snapshot {
            created: "2026-01-01T00:00:00Z".into(),
            epoch: "k3x9v0qa".into(),
            retention: "all".into(),
            mark: Mark { seq: 900, time: 1_700_000_000_000_000_000 },
            position: Position(u64::MAX),
            first_seq: 5,
            last_time: 12,
            forgotten: Position(3),
            unsure: Position(2),
            falls: vec![(Position(4), 11)],
            erased: vec![Position(8), Position(300)],
            unsure_by_runs: Position(1),
            front: (
                vec![Ahead { position: Position(8), time: 3, topic: known.topic.clone() }],
                Position(9),
            ),
            ages: vec![(60_000, Position(7))],
            topics: vec![known],
        }
    }

    #[test]
    fn it_survives_its_bytes() {
        assert_eq!(Snapshot::decode(&snapshot().encode()), Some(snapshot()));
    }

    #[test]
    fn cut_anywhere_it_is_none() {
        let bytes = snapshot().encode();
        for end in 0..bytes.len() {
            assert_eq!(Snapshot::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Snapshot::decode(&[bytes, vec![0]].concat()), None);
    }

    proptest! {
        #[test]
        fn rubbish_does_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Snapshot::decode(&bytes);
            bytes.splice(0..0, *MAGIC);
            let _ = Snapshot::decode(&bytes);
        }
    }
}
