//! The index file beside a sealed segment: what an opening would learn by reading the segment. It
//! is made once, believed only if every byte of it is as it was written and the segment has the
//! header and the length that it names, and can always be made anew.
//!
//! ```text
//! file     magic[8] version:u32 sum:u32 | main_len:u64 keys_len:u64 keys_sum:u32 counted_by[8] as_of:u64
//!          main keys                      (sum: of everything behind it, but for keys)
//! main     header[80] len last newest newest_key unscrubbed:u8 events
//!          n (first time offset)*  n (topic first last events bytes prev lost)*
//!          n erasure*  n blank*  n (topic hidden removed n (last events bytes)*)*
//! keys     n (topic scope key fingerprint[16] position time)*
//! ```

use std::{io, sync::Arc};

use super::{
    Medium, MediumFile,
    format::{SEGMENT_HEADER, SegmentHeader},
    input::Input,
    segment::{Block, Segment, Span},
    summary::{Counts, Summary},
};
use crate::{IdempotencyKey, Position, Topic, buckets::Bucket, keys::KeyUse, topics::Counted};

const MAGIC: &[u8; 8] = b"EVWLIDX\xFF";
const VERSION: u32 = 1;
/// What the first checksum covers begins here.
const SUMMED: usize = 16;
const PREFIX: usize = SUMMED + 36;
/// No index file is read that claims to be longer.
const MAX_BYTES: u64 = 1 << 30;

/// The name of a segment's index file.
pub(crate) fn name_of(segment: &str) -> String {
    format!("{}.idx", segment.trim_end_matches(".seg"))
}

/// An index file that is as it was written.
#[derive(Debug)]
pub(crate) struct IndexFile {
    file: Arc<dyn MediumFile>,
    main: Vec<u8>,
    keys: (u64, u64, u32),
    /// See [`Counts::by`].
    pub(crate) counted_by: Option<[u8; 8]>,
    /// See [`Counts::as_of`].
    pub(crate) as_of: Position,
}

impl IndexFile {
    /// The index file of a segment; `None` if there is none, or it is not as it was written.
    pub(crate) fn open(medium: &dyn Medium, segment: &str) -> io::Result<Option<Self>> {
        match medium.open(&name_of(segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Self::read(file?),
        }
    }

    fn read(file: Arc<dyn MediumFile>) -> io::Result<Option<Self>> {
        let mut prefix = vec![0; PREFIX];
        if file.read_at(&mut prefix, 0)? < PREFIX {
            return Ok(None);
        }
        let mut input = Input(&prefix);
        let head = (input.take(8), input.u32(), input.u32());
        let lens = (input.u64().unwrap_or(0), input.u64().unwrap_or(0));
        let keys_sum = input.u32().unwrap_or(0);
        let by: [u8; 8] = input.take(8).and_then(|by| by.try_into().ok()).unwrap_or_default();
        let as_of = Position(input.u64().unwrap_or(0));
        if (head.0, head.1) != (Some(MAGIC), Some(VERSION)) || lens.0.max(lens.1) > MAX_BYTES {
            return Ok(None);
        }
        let Some(main) = section(&*file, PREFIX as u64, lens.0)? else { return Ok(None) };
        if head.2 != Some(checksum(&prefix[SUMMED..], &main)) {
            return Ok(None);
        }
        let (keys, counted_by) = ((PREFIX as u64 + lens.0, lens.1, keys_sum), some(by));
        Ok(Some(Self { file, main, keys, counted_by, as_of }))
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
        let as_of = self.as_of;
        summary.counts = self.counted_by.map(|by| Counts { by, as_of, topics });
        Some(summary)
    }

    /// Lets go of all but what the keys need.
    pub(crate) fn for_keys(self) -> Self {
        Self { main: Vec::new(), ..self }
    }

    /// The segment's newest idempotency keys; `None` if they are not as they were written.
    pub(crate) fn keys(&self) -> io::Result<Option<Vec<KeyUse>>> {
        let (at, len, sum) = self.keys;
        let Some(bytes) = section(&*self.file, at, len)? else { return Ok(None) };
        if crc32fast::hash(&bytes) != sum {
            return Ok(None);
        }
        Ok(list(&mut Input(&bytes), key))
    }
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

fn some(by: [u8; 8]) -> Option<[u8; 8]> {
    (by != [0; 8]).then_some(by)
}

/// The bytes of a segment's index file.
pub(crate) fn encode(header: &SegmentHeader, summary: &Summary) -> Vec<u8> {
    let (main, keys) = (encode_main(header, summary), encode_keys(&summary.keys));
    let (by, as_of) = summary.counts.as_ref().map_or(([0; 8], 0), |c| (c.by, c.as_of.0));
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    numbers(&mut out, [main.len() as u64, keys.len() as u64]);
    out.extend(crc32fast::hash(&keys).to_le_bytes());
    out.extend(by);
    numbers(&mut out, [as_of]);
    let sum = checksum(&out[SUMMED..], &main);
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

fn encode_keys(keys: &[KeyUse]) -> Vec<u8> {
    let mut out = Vec::new();
    numbers(&mut out, [keys.len() as u64]);
    for KeyUse { topic, key, fingerprint, position, time } in keys {
        [topic.as_str(), &key.scope, &key.key].iter().for_each(|part| text(&mut out, part));
        out.extend(fingerprint);
        numbers(&mut out, [position.0, *time]);
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
    Some(KeyUse { topic, key, fingerprint, position: position(input)?, time: input.u64()? })
}
