//! The first byte says how the rest is cut; the decoder must agree with the plain reading of
//! the standard, whatever the bytes. `crates/sse/tests/corpus.rs` replays the corpus.
#![no_main]

use eventwall_sse::Decoder;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/sse/tests/support/mod.rs"]
mod support;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let chunks: Vec<&[u8]> = bytes.chunks(*cut as usize + 1).collect();
    assert_eq!(support::decode(Decoder::new(), &chunks), support::reference(bytes));
    let limited = support::decode(Decoder::with_max_event_size(16), &chunks);
    assert_eq!(limited, support::decode(Decoder::with_max_event_size(16), &[bytes]));
});
