//! HTTP/2 by hand: frames that no client would send, as many as fit.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The client's settings; each is a number and its value.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// Streams begin without a window.
pub fn no_window() -> Vec<u8> {
    settings(&[(4, 0)])
}

pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"hostile!")
}

/// A literal header that is not kept in the table (RFC 7541, 6.2.2).
fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        let length = text.len();
        if length < 127 {
            block.push(u8::try_from(length).unwrap());
        } else {
            let mut rest = length - 127;
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
        block.extend(text.as_bytes());
    }
}

fn block(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let all =
        [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    for (name, value) in all {
        header(&mut block, name, value);
    }
    header(&mut block, "accept", "text/event-stream");
    block
}

/// A whole request on a stream, which has an odd number.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(path))
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A request whose head never ends.
pub fn endless(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block("/topics/good"))
}

pub fn continuation(stream: u32) -> Vec<u8> {
    let mut more = Vec::new();
    header(&mut more, "x", &"y".repeat(200));
    frame(CONTINUATION, 0, stream, &more)
}
