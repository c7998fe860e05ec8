//! The bytes of a log file: the segment's header and the entry. Pure functions; the only
//! place that knows an offset within either. Numbers are little-endian.
//!
//! ```text
//! segment  magic[8] version:u32 checksum:u32 base:u64 follows:u64 through:u64 generation:u64
//!          epoch[32]
//! entry    magic:u32 head_len:u32 data_len:u32 unsynced:u32 data_crc:u32 head_crc:u32 head data
//! head     kind:u8 flags:u8 position:u64 time:u64 prev:u64 (tag:u8 len:u16 value)*
//! ```

use std::sync::Arc;

use super::input::Input;
use crate::{Epoch, Fields, Millis, Position, Record, Topic};

pub(crate) const SEGMENT_HEADER: usize = 80;
const SEGMENT_MAGIC: &[u8; 8] = b"EVWLLOG\xFF";
const VERSION: u32 = 2;

/// 0xFF never occurs in UTF-8, so no event's data can look like an entry.
pub(crate) const MAGIC: [u8; 4] = [0xFF, b'E', b'V', b'1'];
pub(crate) const PREFIX: usize = 24;
const HEAD_FIXED: usize = 26;

const KIND_EVENT: u8 = 1;
const KIND_ERASURE: u8 = 2;
/// The next entry belongs to the same batch.
const FLAG_MORE: u8 = 1;
/// The event was erased, and is only here for its place.
const FLAG_ERASED: u8 = 2;
/// Retention removed the event, and only its idempotency key is still of use.
const FLAG_REMOVED: u8 = 4;

/// Tags of the typed fields. Never reuse one.
mod tag {
    pub(super) const TOPIC: u8 = 1;
    pub(super) const EVENT: u8 = 2;
    pub(super) const BY: u8 = 3;
    pub(super) const KEY_SCOPE: u8 = 4;
    pub(super) const KEY: u8 = 5;
    pub(super) const FINGERPRINT: u8 = 6;
    pub(super) const SOURCE_ID: u8 = 7;
    pub(super) const EXPIRES: u8 = 8;
    pub(super) const FURTHER_TOPIC: u8 = 9;
    pub(super) const FLAGS: u8 = 10;
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// No entry of the segment is below this position.
    pub(crate) base: Position,
    /// The last position in the log before this segment.
    pub(crate) follows: Position,
    /// Compacted, it stands for everything up to here, and whatever file says otherwise is
    /// old; 0 if it was not compacted.
    pub(crate) through: Position,
    /// How often it was compacted.
    pub(crate) generation: u64,
    pub(crate) epoch: Epoch,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.follows.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.through.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.generation.to_le_bytes());
        let epoch = self.epoch.as_str().as_bytes();
        bytes[48..48 + epoch.len()].copy_from_slice(epoch);
        let sum = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut input = Input(bytes);
        if input.take(8) != Some(SEGMENT_MAGIC) {
            return Err("it is no log segment");
        }
        if input.u32() != Some(VERSION) {
            return Err(
                "it was written by another version of Eventwall, perhaps a development build",
            );
        }
        let sum = input.u32();
        let (rest, checked) = (input.0, bytes.get(16..SEGMENT_HEADER));
        if checked.map(crc32fast::hash) != sum {
            return Err("the checksum of the segment's header is wrong");
        }
        let mut input = Input(rest);
        let header = (|| {
            let (base, follows) = (Position(input.u64()?), Position(input.u64()?));
            let (through, generation) = (Position(input.u64()?), input.u64()?);
            let epoch = std::str::from_utf8(input.take(32)?).ok()?.trim_end_matches('\0');
            Some(Self { base, follows, through, generation, epoch: epoch.parse().ok()? })
        })();
        header.ok_or("the segment's header makes no sense")
    }
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) body: Body,
    /// The next entry belongs to the same batch.
    pub(crate) more: bool,
    /// How many bytes before this entry were not yet synced when it was written: whatever
    /// lies further back was.
    pub(crate) unsynced: u32,
    /// Of an event, only what is still of use was written.
    pub(crate) bare: Option<Bare>,
    /// Its whole length in the file, and that of the data at its end.
    pub(crate) len: usize,
    pub(crate) data_len: usize,
}

/// Why an event was written without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    Erased,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Event(Arc<Record>),
    /// An event whose data is not what was written: erased, or damaged.
    Blank(Record),
    Erasure {
        position: Position,
        time: Millis,
        erased: Vec<Position>,
    },
}

impl Body {
    pub(crate) fn is_event(&self) -> bool {
        !matches!(self, Self::Erasure { .. })
    }

    /// What an event says, but for its data if that is damaged or gone.
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Event(record) => Some(record),
            Self::Blank(record) => Some(record),
            Self::Erasure { .. } => None,
        }
    }

    pub(crate) fn time(&self) -> Millis {
        match self {
            Self::Event(record) => record.time,
            Self::Blank(record) => record.time,
            Self::Erasure { time, .. } => *time,
        }
    }

    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Event(record) => record.position,
            Self::Blank(record) => record.position,
            Self::Erasure { position, .. } => *position,
        }
    }
}

/// The outcome of decoding at a place.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Decoded {
    Entry(Stored),
    /// The bytes end before the entry does, which takes this many in all.
    Incomplete(usize),
    /// No intact entry: a write that a crash cut short, or damage.
    Bad(&'static str),
    /// An intact entry that says nothing to this version: no crash made it so.
    Strange,
}

pub(crate) fn encode_event(out: &mut Vec<u8>, record: &Record, more: bool, unsynced: u32) {
    let mut head = fixed_head(KIND_EVENT, more, record.position, record.time, record.prev);
    encode_record(&mut head, record);
    push_entry(out, &head, record.data.as_bytes(), unsynced);
}

/// Only what an event needs for its place and its topic's order, and its key, so that a repeat is
/// still known.
pub(crate) fn encode_bare(out: &mut Vec<u8>, record: &Record, more: bool, why: Bare) {
    let mut head = fixed_head(KIND_EVENT, more, record.position, record.time, record.prev);
    head[1] |= if why == Bare::Erased { FLAG_ERASED } else { FLAG_REMOVED };
    let Fields { key, fingerprint, .. } = record.fields.clone();
    let fields = Fields { key, fingerprint, ..Fields::default() };
    let bare = Record { event: None, data: Box::default(), fields, ..record.clone() };
    encode_record(&mut head, &bare);
    push_entry(out, &head, &[], 0);
}

fn encode_record(head: &mut Vec<u8>, record: &Record) {
    let fields = &record.fields;
    let expires = fields.expires.map(u64::to_le_bytes);
    let flags = (fields.flags != 0).then(|| fields.flags.to_le_bytes());
    let known: [(u8, Option<&[u8]>); 9] = [
        (tag::TOPIC, Some(record.topic.as_str().as_bytes())),
        (tag::EVENT, record.event.as_deref().map(str::as_bytes)),
        (tag::BY, fields.by.as_deref().map(str::as_bytes)),
        (tag::KEY_SCOPE, fields.key.as_ref().map(|(scope, _)| scope.as_bytes())),
        (tag::KEY, fields.key.as_ref().map(|(_, key)| key.as_bytes())),
        (tag::FINGERPRINT, fields.fingerprint.as_ref().map(|f| &f[..])),
        (tag::SOURCE_ID, fields.source_id.as_deref().map(str::as_bytes)),
        (tag::EXPIRES, expires.as_ref().map(|e| &e[..])),
        (tag::FLAGS, flags.as_ref().map(|f| &f[..])),
    ];
    for (tag, value) in known {
        push_field(head, tag, value);
    }
    for topic in &fields.further_topics {
        push_field(head, tag::FURTHER_TOPIC, Some(topic.as_bytes()));
    }
    for (tag, value) in &fields.unknown {
        push_field(head, *tag, Some(value));
    }
}

pub(crate) fn encode_erasure(
    out: &mut Vec<u8>,
    (position, time): (Position, Millis),
    erased: &[Position],
    unsynced: u32,
) {
    let head = fixed_head(KIND_ERASURE, false, position, time, Position::START);
    let data: Vec<u8> = erased.iter().flat_map(|p| p.0.to_le_bytes()).collect();
    push_entry(out, &head, &data, unsynced);
}

fn fixed_head(kind: u8, more: bool, position: Position, time: Millis, prev: Position) -> Vec<u8> {
    let mut head = Vec::with_capacity(128);
    head.extend([kind, u8::from(more) * FLAG_MORE]);
    for number in [position.0, time, prev.0] {
        head.extend(number.to_le_bytes());
    }
    head
}

fn push_field(head: &mut Vec<u8>, tag: u8, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    // Always fits: `Batch::check_fields` refused what would not.
    let Ok(len) = u16::try_from(value.len()) else { return };
    head.push(tag);
    head.extend(len.to_le_bytes());
    head.extend(value);
}

fn push_entry(out: &mut Vec<u8>, head: &[u8], data: &[u8], unsynced: u32) {
    let start = out.len();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(MAGIC);
    for number in [len(head), len(data), unsynced, crc32fast::hash(data)] {
        out.extend(number.to_le_bytes());
    }
    let sum = head_checksum(&out[start..], head);
    out.extend(sum.to_le_bytes());
    out.extend(head);
    out.extend(data);
}

/// An entry of any head and data.
#[cfg(feature = "fuzzing")]
pub(crate) fn sealed(head: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_entry(&mut bytes, head, data, 0);
    bytes
}

fn head_checksum(prefix: &[u8], head: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&prefix[..PREFIX - 4]);
    sum.update(head);
    sum.finalize()
}

/// Decodes the entry at the beginning of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() < PREFIX {
        return Decoded::Incomplete(PREFIX);
    }
    let mut input = Input(&bytes[4..]);
    let mut number = || input.u32().unwrap_or_default();
    let (head_len, data_len, unsynced) = (number() as usize, number() as usize, number());
    let (data_crc, head_crc) = (number(), number());
    if bytes[..4] != MAGIC {
        return Decoded::Bad("no entry begins here");
    }
    let len = PREFIX + head_len + data_len;
    let Some(head) = bytes.get(PREFIX..PREFIX + head_len) else { return Decoded::Incomplete(len) };
    if head_checksum(bytes, head) != head_crc {
        return Decoded::Bad("the checksum of an entry's head is wrong");
    }
    let Some(data) = bytes.get(PREFIX + head_len..len) else { return Decoded::Incomplete(len) };
    let data = (crc32fast::hash(data) == data_crc).then_some(data);
    let flags = head.get(1).copied().unwrap_or_default();
    let bare = match flags & (FLAG_ERASED | FLAG_REMOVED) {
        0 => None,
        FLAG_ERASED => Some(Bare::Erased),
        _ => Some(Bare::Removed),
    };
    match decode_body(head, data) {
        Some((body, more)) => Decoded::Entry(Stored { body, more, unsynced, bare, len, data_len }),
        None => Decoded::Strange,
    }
}

fn decode_body(head: &[u8], data: Option<&[u8]>) -> Option<(Body, bool)> {
    let mut input = Input(head);
    let (kind, flags) = (input.u8()?, input.u8()?);
    let (position, time, prev) = (Position(input.u64()?), input.u64()?, Position(input.u64()?));
    let more = flags & FLAG_MORE != 0;
    if kind == KIND_ERASURE {
        let chunks = data?.chunks_exact(8);
        let erased = chunks.filter_map(|c| Some(Position(u64::from_le_bytes(c.try_into().ok()?))));
        return Some((Body::Erasure { position, time, erased: erased.collect() }, more));
    }
    if kind != KIND_EVENT {
        return None;
    }
    let (topic, event, fields) = decode_fields(head.get(HEAD_FIXED..)?)?;
    let text = match data {
        Some(data) => std::str::from_utf8(data).ok()?.into(),
        None => Box::default(),
    };
    let record = Record { position, time, prev, topic, event, data: text, fields };
    let blank = data.is_none() || flags & (FLAG_ERASED | FLAG_REMOVED) != 0;
    Some((if blank { Body::Blank(record) } else { Body::Event(record.into()) }, more))
}

fn decode_fields(bytes: &[u8]) -> Option<(Topic, Option<Box<str>>, Fields)> {
    let mut input = Input(bytes);
    let (mut topic, mut event, mut scope, mut key) = (None, None, None, None);
    let mut fields = Fields::default();
    while let Some(tag) = input.u8() {
        let len = input.u16()?;
        let value = input.take(usize::from(len))?;
        let text = || std::str::from_utf8(value).ok().map(Box::<str>::from);
        match tag {
            tag::TOPIC => topic = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            tag::EVENT => event = Some(text()?),
            tag::BY => fields.by = Some(text()?),
            tag::KEY_SCOPE => scope = Some(text()?),
            tag::KEY => key = Some(text()?),
            tag::FINGERPRINT => fields.fingerprint = Some(value.try_into().ok()?),
            tag::SOURCE_ID => fields.source_id = Some(text()?),
            tag::EXPIRES => fields.expires = Some(u64::from_le_bytes(value.try_into().ok()?)),
            tag::FURTHER_TOPIC => fields.further_topics.push(text()?),
            tag::FLAGS => fields.flags = u16::from_le_bytes(value.try_into().ok()?),
            unknown => fields.unknown.push((unknown, value.into())),
        }
    }
    fields.key = scope.zip(key);
    Some((topic?, event, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_record() -> Record {
        Record {
            position: Position(7),
            time: 1_700_000_000_000,
            prev: Position(3),
            topic: "walls/é".parse().unwrap(),
            event: Some("checkin".into()),
            data: "{\"from\":\"Guest 7\"}\nline".into(),
            fields: Fields {
                by: Some("visitor:1".into()),
                key: Some(("scope".into(), "key".into())),
                fingerprint: Some([9; 16]),
                source_id: Some("up-1".into()),
                expires: Some(12),
                further_topics: vec!["a".into(), "b".into()],
                flags: 0x8001,
                unknown: vec![(200, vec![1, 2, 255].into())],
            },
        }
    }

    #[test]
    fn a_record_keeps_every_field_known_or_not() {
        let mut bytes = Vec::new();
        encode_event(&mut bytes, &full_record(), true, 77);
        let Decoded::Entry(stored) = decode(&bytes) else { panic!("no entry") };
        assert_eq!(stored.body, Body::Event(full_record().into()));
        assert_eq!((stored.more, stored.unsynced, stored.len), (true, 77, bytes.len()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode_event(&mut bytes, &full_record(), false, 0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let intact =
                matches!(decode(&flipped), Decoded::Entry(Stored { body: Body::Event(_), .. }));
            assert!(!intact, "bit {bit}");
        }
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let mut bytes = Vec::new();
        encode_event(&mut bytes, &full_record(), false, 0);
        for len in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..len]), Decoded::Incomplete(n) if n > len), "{len}");
        }
    }

    #[test]
    fn a_segment_header_survives_and_notices_flips() {
        let header = SegmentHeader {
            base: Position(5),
            follows: Position(3),
            through: Position(900),
            generation: 2,
            epoch: "k3x9v0qa".parse().unwrap(),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
