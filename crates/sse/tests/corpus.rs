//! Replays the fuzzer's corpus with the fuzz target's own checks, so that every input that
//! ever found a bug stays a plain test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use eventwall_sse::Decoder;
use support::{decode, reference};

#[test]
fn the_corpus_of_the_fuzz_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/sse_decoder");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(file.unwrap().path()).unwrap();
        let (cut, bytes) = input.split_first().map_or((1, &[][..]), |(c, b)| (*c as usize + 1, b));
        let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
        assert_eq!(decode(Decoder::new(), &chunks), reference(bytes));
        count += 1;
    }
    assert!(count >= 10, "the corpus is gone");
}
