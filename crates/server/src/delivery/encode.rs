//! Events in the bytes of HTTP/1: each a chunk of its own (RFC 9112, 7.1), or nothing around it where the
//! connection's end is the stream's. Made once for all who stand at the same place.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use eventwall_hub::{Form, Stretch};

/// How a stream's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By a last chunk: HTTP/1.1.
    Chunked,
    /// By the connection's end: HTTP/1.0.
    Close,
}

const LINE_END: &[u8] = b"\r\n";
/// Of what was encoded, so much is remembered while a turn lasts.
const REMEMBERED: usize = 8;
/// Buffers larger than this are not kept for the next turn.
const KEPT_BYTES: usize = 64 << 10;
/// What is left of an event is copied up to this size; a larger one's bytes are shared.
const COPIED: usize = 4096;

impl Framing {
    /// One frame.
    pub(super) fn frame(self, frame: &Bytes, to: &mut VecDeque<Bytes>) {
        match self {
            // An empty chunk would be the end.
            _ if frame.is_empty() => {}
            Self::Chunked if frame.len() <= COPIED => {
                let mut chunk = Vec::with_capacity(frame.len() + 8);
                self.push(frame, &mut chunk);
                to.push_back(chunk.into());
            }
            Self::Chunked => {
                let mut size = Vec::with_capacity(8);
                push_size(&mut size, frame.len());
                to.extend([size.into(), frame.clone(), Bytes::from_static(LINE_END)]);
            }
            Self::Close => to.push_back(frame.clone()),
        }
    }

    /// Bytes that are a frame, or nothing.
    pub(crate) fn push(self, frame: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::Chunked if frame.is_empty() => {}
            Self::Chunked => {
                push_size(to, frame.len());
                to.extend_from_slice(frame);
                to.extend_from_slice(LINE_END);
            }
            Self::Close => to.extend_from_slice(frame),
        }
    }

    /// What follows the last frame.
    pub(super) fn end(self) -> Option<Bytes> {
        (self == Self::Chunked).then(|| Bytes::from_static(b"0\r\n\r\n"))
    }
}

/// A stretch of events in their bytes, back to back.
pub(super) struct Encoded {
    of: Arc<Stretch>,
    form: Form,
    framing: Framing,
    pub(super) bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<usize>,
}

/// What is left when a socket took some bytes only.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// So many events are on their way, the last of them perhaps in part.
    pub(super) events: usize,
    /// The rest of that one.
    pub(super) rest: VecDeque<Bytes>,
}

impl Encoded {
    fn new(of: Arc<Stretch>, (form, framing): (Form, Framing), mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        let mut ends = Vec::with_capacity(of.events().len());
        for event in of.events() {
            framing.push(&event.bytes(form), &mut bytes);
            ends.push(bytes.len());
        }
        Self { of, form, framing, bytes, ends }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// After so many bytes.
    pub(super) fn cut(&self, written: usize) -> Cut {
        let whole = self.ends.partition_point(|end| *end <= written);
        let begin = whole.checked_sub(1).map_or(0, |before| self.ends[before]);
        if written == begin {
            return Cut { events: whole, rest: VecDeque::new() };
        }
        let (begun, end) = (whole, self.ends[whole]);
        let mut rest = VecDeque::new();
        if end - written <= COPIED {
            rest.push_back(Bytes::copy_from_slice(&self.bytes[written..end]));
        } else {
            let frame = self.of.events()[begun].bytes(self.form);
            self.framing.frame(&frame, &mut rest);
            drop_front(&mut rest, written - begin);
        }
        Cut { events: begun + 1, rest }
    }
}

/// Drops so many bytes from the front.
pub(super) fn drop_front(parts: &mut VecDeque<Bytes>, mut bytes: usize) {
    while let Some(part) = parts.front_mut() {
        if part.len() > bytes {
            drop(part.split_to(bytes));
            return;
        }
        bytes -= part.len();
        parts.pop_front();
    }
}

/// What was encoded in this turn.
#[derive(Default)]
pub(super) struct Encoder {
    made: Vec<Encoded>,
    spare: Vec<Vec<u8>>,
}

impl Encoder {
    pub(super) fn encode(&mut self, of: &Arc<Stretch>, form: Form, framing: Framing) -> &Encoded {
        let same = |made: &Encoded| {
            Arc::ptr_eq(&made.of, of) && (made.form, made.framing) == (form, framing)
        };
        if let Some(at) = self.made.iter().rposition(same) {
            // What is asked for often is the last to be forgotten.
            self.made[at..].rotate_left(1);
            return &self.made[self.made.len() - 1];
        }
        if self.made.len() >= REMEMBERED {
            let oldest = self.made.remove(0);
            self.spare.push(oldest.bytes);
        }
        let buffer = self.spare.pop().unwrap_or_default();
        self.made.push(Encoded::new(of.clone(), (form, framing), buffer));
        &self.made[self.made.len() - 1]
    }

    /// A turn is over.
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.made.drain(..).map(|made| made.bytes));
        self.spare.retain(|buffer| buffer.capacity() <= KEPT_BYTES);
        self.spare.truncate(REMEMBERED);
    }
}

/// A chunk's size, in hexadecimal digits, and its line's end.
fn push_size(to: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        to.push(b"0123456789abcdef"[(size >> (4 * digit)) & 0xf]);
    }
    to.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal() {
        for size in [0, 1, 9, 10, 15, 16, 17, 255, 256, 4095, 65_536, usize::MAX] {
            let mut text = Vec::new();
            push_size(&mut text, size);
            assert_eq!(text, format!("{size:x}\r\n").into_bytes());
        }
    }

    #[test]
    fn a_frame_is_a_chunk_or_bare() {
        let frame = Bytes::from_static(b"data: x\n\n");
        let framed = |framing: Framing| {
            let mut parts = VecDeque::new();
            framing.frame(&frame, &mut parts);
            parts.iter().flatten().copied().collect::<Vec<u8>>()
        };
        assert_eq!(framed(Framing::Chunked), b"9\r\ndata: x\n\n\r\n");
        assert_eq!(framed(Framing::Close), b"data: x\n\n");
    }

    #[test]
    fn bytes_are_dropped_from_the_front_across_parts() {
        let parts = || VecDeque::from(["abc", "de", "f"].map(Bytes::from));
        for dropped in 0..=6 {
            let mut left = parts();
            drop_front(&mut left, dropped);
            let left: Vec<u8> = left.iter().flatten().copied().collect();
            assert_eq!(left, b"abcdef"[dropped..]);
        }
    }
}
