//! What must hold of the log's formats, whatever their bytes. Panics if it does not.
#![allow(clippy::missing_panics_doc, clippy::expect_used, reason = "that is what they are for")]

use super::{
    Medium as _,
    format::{
        Body, Decoded, PREFIX, SEGMENT_HEADER, SegmentHeader, decode, encode_erasure, encode_event,
        sealed,
    },
    index_file::{self, IndexFile, Prefix},
    scan::{Step, Walk, is_intact, was_synced},
};
use crate::simulator::CrashMedium;

/// An entry: as it is, and with checksums that fit, which no random bytes have. What is understood is
/// written as it was read.
pub fn entry(input: &[u8]) {
    let _ = (decode(input), SegmentHeader::decode(input));
    let Some((cut, rest)) = input.split_first() else { return };
    let (head, data) = rest.split_at(usize::from(*cut).min(rest.len()));
    let bytes = sealed(head, data);
    let Decoded::Entry(stored) = decode(&bytes) else { return };
    assert_eq!((stored.len, stored.data_len), (bytes.len(), data.len()));
    for cut in [0, 4, PREFIX - 1, PREFIX, bytes.len() - 1] {
        assert!(matches!(decode(&bytes[..cut]), Decoded::Incomplete(_)));
    }
    let mut again = Vec::new();
    match &stored.body {
        Body::Event(record) => encode_event(&mut again, record, stored.more, stored.unsynced),
        Body::Erasure { position, time, erased } => {
            encode_erasure(&mut again, (*position, *time), erased, stored.unsynced);
        }
        Body::Blank(_) => return,
    }
    let Decoded::Entry(reread) = decode(&again) else { panic!("what was written is not read") };
    assert_eq!(reread.body, stored.body);
}

/// A segment's file and its index: a walk goes forward and ends.
pub fn segment(input: &[u8]) {
    let medium = CrashMedium::new();
    let file = medium.create("0.seg").expect("a file in memory");
    file.write_at(input, 0).expect("a write in memory");
    let (start, end) = (SEGMENT_HEADER.min(input.len()) as u64, input.len() as u64);
    let (mut walk, mut last) = (Walk::new(file.clone(), start, end), None);
    while let Ok(Step::Entry(offset, stored)) = walk.next() {
        assert!(last.is_none_or(|last| offset > last) && offset + stored.len as u64 <= end);
        last = Some(offset);
    }
    let _ = (was_synced(&*file, start, end), is_intact(&*file, start, end));
    let index = medium.create(&index_file::name_of("0.seg")).expect("a file in memory");
    index.write_at(input, 0).expect("a write in memory");
    let _ = (Prefix::read(&*medium, "0.seg"), IndexFile::read(&*medium, "0.seg").is_some());
    let _ = index_file::keys(&*medium, "0.seg").is_some();
}
