//! What an event says: `@` with who sent it, which of theirs it is, and when it was due; nothing else in a
//! stream has an `@`.

use memchr::memchr;

/// Who may publish.
pub(crate) const PUBLISHERS: usize = 64;
/// Bytes of an event's data.
pub(crate) const SIZE: usize = 100;
/// Bytes of what it says.
const TEXT: usize = 1 + 3 + 10 + 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) publisher: usize,
    /// From 1.
    pub(crate) number: u64,
    /// In microseconds.
    pub(crate) due: u64,
}

impl Payload {
    pub(crate) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [b'x'; SIZE];
        let text = format!("@{:03}{:010}{:014}", self.publisher, self.number, self.due);
        bytes[..TEXT].copy_from_slice(text.as_bytes());
        bytes
    }

    /// Takes every payload out of bytes; answers how many of the last bytes may be the beginning of one.
    pub(super) fn all_of(bytes: &[u8], mut each: impl FnMut(Self)) -> usize {
        let mut rest = bytes;
        while let Some(at) = memchr(b'@', rest) {
            if rest.len() < at + TEXT {
                return rest.len() - at;
            }
            let text = &rest[at + 1..at + TEXT];
            let (publisher, number) = (digits(&text[..3]), digits(&text[3..13]));
            each(Self {
                publisher: usize::try_from(publisher).unwrap_or(0),
                number,
                due: digits(&text[13..]),
            });
            rest = &rest[at + TEXT..];
        }
        0
    }
}

fn digits(text: &[u8]) -> u64 {
    text.iter().fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_found_however_it_is_cut() {
        let payloads: Vec<_> =
            (1..4).map(|number| Payload { publisher: 7, number, due: 99 }).collect();
        let mut bytes = b"id: 1\ndata: ".to_vec();
        payloads.iter().for_each(|payload| bytes.extend(payload.to_bytes()));
        for cut in 0..bytes.len() {
            let mut found = Vec::new();
            let kept = Payload::all_of(&bytes[..cut], |payload| found.push(payload));
            Payload::all_of(&bytes[cut - kept..], |payload| found.push(payload));
            assert_eq!(found, payloads, "cut at {cut}");
        }
    }
}
