//! The index file beside a sealed segment: what an opening would learn by reading the segment. It
//! is made once, believed only if it is as it was written (its keys by themselves) and the segment
//! has the header and the length that it names, and can always be made anew.
//!
//! ```text
//! file     magic[8] version:u32 sum:u32 | main_len:u64 keys_len:u64 keys_sum:u32 counted_by[8]
//!          as_of:u64 epoch[32] main keys  (sum: of everything behind it, but for keys)
//! main     header[80] len last newest newest_key unscrubbed:u8 events
//!          n (first time offset)*  n (topic first last events bytes prev lost)*
//!          n erasure*  n blank*  n (topic hidden removed n (last events bytes)*)*
//! keys     n (topic scope key fingerprint[16] n position* time)*
//! ```

use std::{io, sync::Arc};

use super::{
    Medium, MediumFile,
    format::{SEGMENT_HEADER, SegmentHeader},
    input::Input,
    segment::{Block, Segment, Span},
    summary::{Counts, Summary},
};
use crate::{
    EventId, IdempotencyKey, Position, Topic,
    buckets::Bucket,
    keys::{KeyUse, KeyUses},
    topics::Counted,
};

const MAGIC: &[u8; 8] = b"EVWLIDX\xFF";
const VERSION: u32 = 1;
/// What the first checksum covers begins here.
const SUMMED: usize = 16;
const PREFIX: usize = SUMMED + 68;
/// Of a segment, an index file may take a fourth, and keys in it an eighth, or so many bytes. What is
/// larger is not worth it: the segment is then read when it is needed.
const SMALL: u64 = 4 << 10;
/// No index file is read that claims to be longer.
const MAX_BYTES: u64 = 1 << 30;

/// The name of a segment's index file.
pub(crate) fn name_of(segment: &str) -> String {
    format!("{}.idx", segment.trim_end_matches(".seg"))
}

/// What an index file says before all else.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    sum: u32,
    main_len: u64,
    keys_len: u64,
    keys_sum: u32,
    /// See [`Counts`]; `None` if nothing is counted.
    pub(crate) counted: Option<([u8; 8], EventId)>,
    bytes: Vec<u8>,
}

/// An index file of which all but the keys is as it was written.
#[derive(Debug)]
pub(crate) struct IndexFile {
    prefix: Prefix,
    main: Vec<u8>,
}

impl Prefix {
    /// Reads the beginning of a segment's index file; `None` if there is none that makes sense.
    pub(crate) fn read(medium: &dyn Medium, segment: &str) -> Option<Self> {
        with_file(medium, segment, Self::of)
    }

    fn of(file: &dyn MediumFile) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; PREFIX];
        if file.read_at(&mut bytes, 0)? < PREFIX {
            return Ok(None);
        }
        Ok(Self::decode(bytes).filter(|prefix| prefix.main_len.max(prefix.keys_len) <= MAX_BYTES))
    }

    fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut input = Input(&bytes);
        if input.take(8)? != MAGIC || input.u32()? != VERSION {
            return None;
        }
        let (sum, main_len, keys_len, keys_sum) =
            (input.u32()?, input.u64()?, input.u64()?, input.u32()?);
        let (by, position): ([u8; 8], _) = (input.take(8)?.try_into().ok()?, position(&mut input)?);
        let epoch = std::str::from_utf8(input.take(32)?).ok()?.trim_end_matches('\0');
        let counted = if by == [0; 8] {
            None
        } else {
            Some((by, EventId { epoch: epoch.parse().ok()?, position }))
        };
        Some(Self { sum, main_len, keys_len, keys_sum, counted, bytes })
    }
}

/// Does something with a segment's index file. What the system does not let read is as good as
/// not there.
fn with_file<T>(
    medium: &dyn Medium,
    segment: &str,
    read: impl FnOnce(&dyn MediumFile) -> io::Result<Option<T>>,
) -> Option<T> {
    let name = name_of(segment);
    let done = match medium.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        file => file.and_then(|file| read(&*file)),
    };
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, file = name, "an index file cannot be read; its segment is read instead");
        None
    })
}

impl IndexFile {
    /// The index file of a segment; `None` if there is none, or it is not as it was written.
    pub(crate) fn read(medium: &dyn Medium, segment: &str) -> Option<Self> {
        with_file(medium, segment, |file| {
            let Some(prefix) = Prefix::of(file)? else { return Ok(None) };
            let Some(main) = section(file, PREFIX as u64, prefix.main_len)? else {
                return Ok(None);
            };
            let intact = checksum(&prefix.bytes[SUMMED..], &main) == prefix.sum;
            Ok(intact.then_some(Self { prefix, main }))
        })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        PREFIX as u64 + self.prefix.main_len + self.prefix.keys_len
    }

    /// What it says of the segment with this header and length; `None` if it is of another.
    pub(crate) fn summary(
        &self,
        segment: Segment,
        len: u64,
        intern: &dyn Fn(Topic) -> Topic,
    ) -> Option<Summary> {
        let mut input = Input(&self.main);
        let same = input.take(SEGMENT_HEADER)? == segment.header.encode();
        if !same || input.u64()? != len {
            return None;
        }
        let mut summary = Summary::new(Segment { len, ..segment });
        let segment = &mut summary.segment;
        segment.last = position(&mut input)?;
        (segment.newest, segment.newest_key) = (input.u64()?, input.u64()?);
        segment.unscrubbed = input.u8()? != 0;
        summary.events = input.u64()?;
        segment.blocks = Arc::new(list(&mut input, block)?);
        segment.topics = list(&mut input, |input| Some((intern(topic(input)?), span(input)?)))?
            .into_iter()
            .collect();
        summary.erasures = list(&mut input, position)?;
        summary.blank = list(&mut input, position)?;
        let topics = list(&mut input, |input| Some((intern(topic(input)?), counted(input)?)))?;
        summary.counts =
            self.prefix.counted.clone().map(|(by, as_of)| Counts { by, as_of, topics });
        (input.0.is_empty() && makes_sense(&summary.segment)).then_some(summary)
    }
}

/// A segment's newest idempotency keys, by its index file; `None` if they are not there, or not as
/// they were written.
pub(crate) fn keys(medium: &dyn Medium, segment: &str) -> Option<KeyUses> {
    with_file(medium, segment, |file| {
        let Some(prefix) = Prefix::of(file)? else { return Ok(None) };
        let at = PREFIX as u64 + prefix.main_len;
        let Some(bytes) = section(file, at, prefix.keys_len)? else { return Ok(None) };
        let intact = crc32fast::hash(&bytes) == prefix.keys_sum;
        Ok(intact.then(|| list(&mut Input(&bytes), key)).flatten().map(KeyUses))
    })
}

/// Whether a segment can be as it is said to be, whoever said it.
fn makes_sense(segment: &Segment) -> bool {
    let ascending = |w: &[Block]| w[0].first < w[1].first && w[0].offset < w[1].offset;
    segment.blocks.windows(2).all(ascending)
        && segment.blocks.last().is_none_or(|block| block.offset < segment.len)
        && segment
            .topics
            .values()
            .all(|span| span.events > 0 && span.first <= span.last && span.last <= segment.last)
}

fn section(file: &dyn MediumFile, at: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    if at.saturating_add(len) > file.len()? {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(&mut bytes, at)?;
    Ok((read == bytes.len()).then_some(bytes))
}

fn checksum(prefix: &[u8], main: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(prefix);
    sum.update(main);
    sum.finalize()
}

/// The bytes of a segment's index file; `None` if they are too many to be worth it.
pub(crate) fn encode(header: &SegmentHeader, summary: &Summary) -> Option<Vec<u8>> {
    let (main, segment_len) = (encode_main(header, summary), summary.segment.len);
    let keys = encode_keys(&summary.keys);
    let keys = if is_worth_it(&keys, 8, segment_len) { keys } else { Vec::new() };
    is_worth_it(&main, 4, segment_len).then(|| encode_file(&main, &keys, summary))
}

/// Whether keys are so few that an index file has them.
pub(crate) fn has_keys(summary: &Summary) -> bool {
    is_worth_it(&encode_keys(&summary.keys), 8, summary.segment.len)
}

fn is_worth_it(bytes: &[u8], part: u64, segment_len: u64) -> bool {
    let len = bytes.len() as u64;
    len <= SMALL || len * part <= segment_len
}

fn encode_file(main: &[u8], keys: &[u8], summary: &Summary) -> Vec<u8> {
    let counts = summary.counts.as_ref();
    let (by, as_of) = counts.map_or(([0; 8], 0), |c| (c.by, c.as_of.position.0));
    let mut epoch = [0; 32];
    if let Some(counts) = counts {
        let name = counts.as_of.epoch.as_str().as_bytes();
        epoch[..name.len()].copy_from_slice(name);
    }
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    numbers(&mut out, [main.len() as u64, keys.len() as u64]);
    out.extend(crc32fast::hash(keys).to_le_bytes());
    out.extend(by);
    numbers(&mut out, [as_of]);
    out.extend(epoch);
    let sum = checksum(&out[SUMMED..], main);
    out[12..SUMMED].copy_from_slice(&sum.to_le_bytes());
    out.extend(main);
    out.extend(keys);
    out
}

fn encode_main(header: &SegmentHeader, summary: &Summary) -> Vec<u8> {
    let segment = &summary.segment;
    let mut out = header.encode().to_vec();
    numbers(&mut out, [segment.len, segment.last.0, segment.newest, segment.newest_key]);
    out.push(u8::from(segment.unscrubbed));
    numbers(&mut out, [summary.events, segment.blocks.len() as u64]);
    for block in &*segment.blocks {
        numbers(&mut out, [block.first.0, block.time, block.offset]);
    }
    numbers(&mut out, [segment.topics.len() as u64]);
    for (topic, span) in &segment.topics {
        text(&mut out, topic.as_str());
        let Span { first, last, events, bytes, prev, lost } = span;
        numbers(&mut out, [first.0, last.0, *events, *bytes, prev.0, lost.0]);
    }
    for positions in [&summary.erasures, &summary.blank] {
        numbers(&mut out, [positions.len() as u64]);
        positions.iter().for_each(|position| numbers(&mut out, [position.0]));
    }
    let counted = summary.counts.as_ref().map_or(&[][..], |counts| &counts.topics);
    numbers(&mut out, [counted.len() as u64]);
    for (topic, Counted { hidden, removed, buckets }) in counted {
        text(&mut out, topic.as_str());
        numbers(&mut out, [hidden.0, removed.0, buckets.iter().len() as u64]);
        buckets.iter().for_each(|b| numbers(&mut out, [b.last.0, b.events, b.bytes]));
    }
    out
}

fn encode_keys(keys: &KeyUses) -> Vec<u8> {
    let mut out = Vec::new();
    numbers(&mut out, [keys.0.len() as u64]);
    for KeyUse { topic, key, fingerprint, positions, time } in &keys.0 {
        [topic.as_str(), &key.scope, &key.key].iter().for_each(|part| text(&mut out, part));
        out.extend(fingerprint);
        numbers(&mut out, [positions.len() as u64]);
        positions.iter().for_each(|position| numbers(&mut out, [position.0]));
        numbers(&mut out, [*time]);
    }
    out
}

fn numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

/// Topics and keys are short: what is longer was refused when it was published.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

fn list<T>(
    input: &mut Input<'_>,
    mut item: impl FnMut(&mut Input<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = input.u64()?;
    (0..count).map(|_| item(input)).collect()
}

fn position(input: &mut Input<'_>) -> Option<Position> {
    input.u64().map(Position)
}

fn topic(input: &mut Input<'_>) -> Option<Topic> {
    input.text()?.parse().ok()
}

fn block(input: &mut Input<'_>) -> Option<Block> {
    Some(Block { first: position(input)?, time: input.u64()?, offset: input.u64()? })
}

fn span(input: &mut Input<'_>) -> Option<Span> {
    let (first, last) = (position(input)?, position(input)?);
    let (events, bytes) = (input.u64()?, input.u64()?);
    Some(Span { first, last, events, bytes, prev: position(input)?, lost: position(input)? })
}

fn counted(input: &mut Input<'_>) -> Option<Counted> {
    let (hidden, removed) = (position(input)?, position(input)?);
    let bucket = |input: &mut Input<'_>| {
        Some(Bucket { last: position(input)?, events: input.u64()?, bytes: input.u64()? })
    };
    Some(Counted { hidden, removed, buckets: list(input, bucket)?.into_iter().collect() })
}

fn key(input: &mut Input<'_>) -> Option<KeyUse> {
    let topic = topic(input)?;
    let (scope, key) = (input.text()?.into(), input.text()?.into());
    let fingerprint = input.take(16)?.try_into().ok()?;
    let key = IdempotencyKey { scope, key };
    let positions = list(input, position)?;
    Some(KeyUse { topic, key, fingerprint, positions, time: input.u64()? })
}
