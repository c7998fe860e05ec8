//! Every parser of bytes from outside, and a check of it that any input must pass. What is checked lies
//! with each parser, in its crate's `fuzzing`; here they have their names.

use eventwall_log::fuzzing::{entry, id, pattern, segment, topic};
use eventwall_server::fuzzing::{batch, forwarded, multipart, proxy_header, query};

#[path = "../../sse/tests/support/mod.rs"]
mod decoder;

/// A check of one parser. It panics if the input shows a mistake.
pub type Check = fn(&[u8]);

/// The name of each target, which is that of its corpus, with its check.
pub const TARGETS: [(&str, Check); 11] = [
    ("sse_decoder", sse_decoder),
    ("topic", topic),
    ("pattern", pattern),
    ("id", id),
    ("query", query),
    ("batch", batch),
    ("multipart", multipart),
    ("proxy_header", proxy_header),
    ("forwarded", forwarded),
    ("log_entry", entry),
    ("log_segment", segment),
];

/// The first byte says how the rest is cut; the decoder must agree with the plain reading of the standard,
/// whatever the bytes.
fn sse_decoder(input: &[u8]) {
    use eventwall_sse::Decoder;
    let Some((cut, bytes)) = input.split_first() else { return };
    let chunks: Vec<&[u8]> = bytes.chunks(usize::from(*cut) + 1).collect();
    assert_eq!(decoder::decode(Decoder::new(), &chunks), decoder::reference(bytes));
    let limited = decoder::decode(Decoder::with_max_event_size(16), &chunks);
    assert_eq!(limited, decoder::decode(Decoder::with_max_event_size(16), &[bytes]));
}
