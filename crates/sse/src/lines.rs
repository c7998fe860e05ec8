//! Bytes → lines. Owns the byte order mark, the three line ends and the one line that is
//! cut between two chunks. It never looks at what a line says beyond its field name, and
//! never holds more than `limit` bytes of a line.

use memchr::{memchr, memchr2};

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What becomes of a line that is longer than the limit: only a field that the decoder
/// would have used spoils its block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its line end.
    Whole(&'a [u8]),
    /// The first `limit` bytes of a line that is longer; the rest is dropped.
    Cut(&'a [u8]),
}

#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The line that the last chunk left unfinished.
    partial: Vec<u8>,
    /// `partial` has overflowed; bytes are dropped until the line ends.
    cut: bool,
    /// The last byte seen was a CR, which already ended its line: an LF now belongs to it.
    swallow_lf: bool,
    /// How many bytes of a leading byte order mark have been seen; 3 or more: settled.
    bom: BomState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BomState {
    #[default]
    Start,
    Seen1,
    Seen2,
    Settled,
}

impl Lines {
    /// Splits `chunk` into lines and hands each to `sink`. A CR at the end of a chunk ends
    /// its line at once.
    pub(crate) fn feed(&mut self, chunk: &[u8], limit: usize, mut sink: impl FnMut(Line<'_>)) {
        let mut rest = if self.bom == BomState::Settled { chunk } else { self.skip_bom(chunk) };
        while !rest.is_empty() {
            if std::mem::take(&mut self.swallow_lf) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = line_end(rest) else {
                self.keep(rest, limit);
                return;
            };
            self.finish(&rest[..end], limit, &mut sink);
            self.swallow_lf = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.partial.len()
    }

    /// Drops one leading byte order mark, however it is cut. Bytes that looked like one
    /// but were not go back in front of the line.
    fn skip_bom<'a>(&mut self, mut chunk: &'a [u8]) -> &'a [u8] {
        while self.bom != BomState::Settled && !chunk.is_empty() {
            let seen = self.bom as usize;
            if chunk[0] != BOM[seen] {
                self.partial.extend_from_slice(&BOM[..seen]);
                self.bom = BomState::Settled;
                break;
            }
            chunk = &chunk[1..];
            self.bom = match self.bom {
                BomState::Start => BomState::Seen1,
                BomState::Seen1 => BomState::Seen2,
                _ => BomState::Settled,
            };
        }
        chunk
    }

    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.partial.len());
        if bytes.len() <= room {
            return self.partial.extend_from_slice(bytes);
        }
        self.cut = true;
        self.partial.extend_from_slice(&bytes[..room]);
    }

    fn finish(&mut self, end: &[u8], limit: usize, sink: &mut impl FnMut(Line<'_>)) {
        if self.partial.is_empty() && !self.cut && end.len() <= limit {
            return sink(Line::Whole(end));
        }
        self.keep(end, limit);
        sink(if self.cut { Line::Cut(&self.partial) } else { Line::Whole(&self.partial) });
        self.partial.clear();
        self.cut = false;
        // One huge line must not hold its memory for the life of the connection.
        self.partial.shrink_to(64 * 1024);
    }
}

/// Streams may come in pieces of a few bytes: for those a plain loop is quicker.
const FEW: usize = 16;

fn line_end(bytes: &[u8]) -> Option<usize> {
    if bytes.len() <= FEW {
        return bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    }
    memchr2(b'\n', b'\r', bytes)
}

/// Splits a line at its first colon and drops one space after it (standard, "interpreting
/// an event stream"). A line without a colon is all name.
pub(crate) fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    // Most lines are of these, and a comparison is quicker than a search.
    let common = [&b"data:"[..], b"id:", b"event:"].into_iter().find(|name| line.starts_with(name));
    let colon = common.map(|name| name.len() - 1).or_else(|| memchr(b':', line));
    let Some(colon) = colon else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}
