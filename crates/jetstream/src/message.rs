//! An event as a NATS message: its data is the payload, everything else `Eventwall-*` headers. A
//! message that some other program published to one of our subjects is an event, too.

use async_nats::HeaderMap;
use bytes::Bytes;
use eventwall_log::{
    Fields, IdempotencyKey, MAX_EVENT_NAME_BYTES, MAX_FIELD_BYTES, Millis, NewEvent, Position,
    Record, Topic,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

const EVENT: &str = "Eventwall-Event";
const BY: &str = "Eventwall-By";
const SOURCE_ID: &str = "Eventwall-Source-Id";
const EXPIRES: &str = "Eventwall-Expires";
const TIME: &str = "Eventwall-Time";
const SCOPE: &str = "Eventwall-Key-Scope";
const KEY: &str = "Eventwall-Key";
const FINGERPRINT: &str = "Eventwall-Fingerprint";

/// Header values are visible ASCII.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b':');

/// A key with the digest of what was published with it.
pub(crate) type Keyed = (IdempotencyKey, [u8; 16]);

/// The headers of an event.
pub(crate) fn headers(event: &NewEvent, keyed: Option<&Keyed>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut text = |name: &'static str, value: Option<&str>| {
        if let Some(value) = value {
            headers.insert(name, utf8_percent_encode(value, ESCAPED).to_string());
        }
    };
    text(EVENT, event.event.as_deref());
    text(BY, event.by.as_deref());
    text(SOURCE_ID, event.source_id.as_deref());
    text(EXPIRES, event.expires.map(|at| at.to_string()).as_deref());
    if let Some((key, fingerprint)) = keyed {
        text(SCOPE, Some(&key.scope));
        text(KEY, Some(&key.key));
        text(FINGERPRINT, Some(&hex(fingerprint)));
    }
    headers
}

/// The headers of an event that comes from another log, with its time there.
pub(crate) fn copy_headers(record: &Record) -> HeaderMap {
    let fields = &record.fields;
    let event = NewEvent {
        event: record.event.clone(),
        by: fields.by.clone(),
        source_id: fields.source_id.clone(),
        expires: fields.expires,
        ..NewEvent::new(record.topic.clone(), "")
    };
    let key = fields.key.clone().map(|(scope, key)| IdempotencyKey { scope, key });
    let mut headers = headers(&event, key.zip(fields.fingerprint).as_ref());
    headers.insert(TIME, record.time.to_string());
    headers
}

/// The `Nats-Msg-Id` of the n-th event of a keyed batch: within the stream's duplicate window the
/// servers store it once.
pub(crate) fn message_id(topic: &Topic, key: &IdempotencyKey, n: usize) -> String {
    let mut digest = Sha256::new();
    for text in [&*key.scope, topic.as_str(), &*key.key] {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    format!("{}-{n}", hex(&digest.finalize()[..16]))
}

/// Which event of a batch a `Nats-Msg-Id` is of, if it is of the one whose first event has `first`.
pub(crate) fn nth_of(first: &str, id: &str) -> Option<u64> {
    let (of, n) = id.rsplit_once('-')?;
    (first.rsplit_once('-')?.0 == of).then(|| n.parse().ok())?
}

/// The digest that an event was stored with.
pub(crate) fn fingerprint(headers: &HeaderMap) -> Option<[u8; 16]> {
    let text = headers.get(FINGERPRINT)?.as_str();
    let byte = |n: usize| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..16).map(byte).collect();
    bytes?.try_into().ok()
}

/// The event that a message is.
pub(crate) fn record(
    topic: Topic,
    (position, time): (Position, Millis),
    headers: &HeaderMap,
    payload: &Bytes,
) -> Record {
    let text = |name: &str, max: usize| {
        let value = headers.get(name)?.as_str();
        let text = percent_decode_str(value).decode_utf8().ok()?;
        (text.len() <= max).then(|| Box::from(&*text))
    };
    let field = |name: &str| text(name, MAX_FIELD_BYTES);
    let is_name = |name: &str| !name.is_empty() && !name.contains(['\r', '\n', '\0']);
    let fields = Fields {
        by: field(BY),
        source_id: field(SOURCE_ID),
        expires: field(EXPIRES).and_then(|at| at.parse().ok()),
        key: field(SCOPE).zip(field(KEY)),
        fingerprint: fingerprint(headers),
        ..Fields::default()
    };
    let event = text(EVENT, MAX_EVENT_NAME_BYTES).filter(|name| is_name(name));
    Record { position, time, prev: Position::START, topic, event, data: data(payload), fields }
}

/// When an event was published: as its log says, where it comes from another one.
pub(crate) fn time(headers: &HeaderMap, stored: i128) -> Millis {
    let stored = u64::try_from(stored / 1_000_000).unwrap_or(0);
    let said = headers.get(TIME).and_then(|at| at.as_str().parse().ok());
    said.map_or(stored, |at: Millis| at.min(stored))
}

/// Text with plain line ends, whoever published it.
fn data(payload: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(payload);
    if text.contains('\r') {
        return text.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    text.into()
}

/// The payload of an erasure.
pub(crate) fn erasure(positions: &[Position]) -> String {
    positions.iter().map(|position| format!("{position}\n")).collect()
}

/// The positions that an erasure names.
pub(crate) fn erased(payload: &[u8]) -> Vec<Position> {
    let text = String::from_utf8_lossy(payload);
    text.lines().filter_map(|line| line.parse().ok().map(Position)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        "a".parse().unwrap()
    }

    fn key(scope: &str, key: &str) -> IdempotencyKey {
        IdempotencyKey { scope: scope.into(), key: key.into() }
    }

    #[test]
    fn everything_comes_back() {
        let event = NewEvent {
            event: Some("größer %41\u{1F600}".into()),
            by: Some("a\r\nb".into()),
            source_id: Some(" x ".into()),
            expires: Some(99),
            ..NewEvent::new(topic(), "x\ny")
        };
        let keyed = (key("s", "k 1"), [7; 16]);
        let headers = headers(&event, Some(&keyed));
        let got = record(topic(), (Position(3), 5), &headers, &Bytes::from("x\ny"));
        assert_eq!((got.event, got.data), (event.event, event.data));
        assert_eq!((got.fields.by, got.fields.source_id), (event.by, event.source_id));
        assert_eq!((got.fields.expires, got.fields.fingerprint), (Some(99), Some([7; 16])));
        assert_eq!(got.fields.key, Some(("s".into(), "k 1".into())));
    }

    #[test]
    fn a_foreign_message_is_an_event_if_it_makes_sense() {
        let mut headers = HeaderMap::new();
        headers.insert(EVENT, "bad%0Aname");
        headers.insert(EXPIRES, "soon");
        let got = record(topic(), (Position(1), 0), &headers, &Bytes::from_static(b"a\r\nb\xff"));
        assert_eq!((got.event, &*got.data), (None, "a\nb\u{fffd}"));
        assert_eq!(got.fields, Fields::default());
    }

    #[test]
    fn message_ids_tell_scopes_topics_keys_and_numbers_apart() {
        let other: Topic = "b".parse().unwrap();
        let ids = [
            message_id(&topic(), &key("", "k"), 0),
            message_id(&topic(), &key("", "k"), 1),
            message_id(&topic(), &key("k", ""), 0),
            message_id(&other, &key("", "k"), 0),
        ];
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn an_id_says_which_event_of_its_batch_it_is_of() {
        let first = message_id(&topic(), &key("", "k"), 0);
        assert_eq!(nth_of(&first, &message_id(&topic(), &key("", "k"), 7)), Some(7));
        assert_eq!(nth_of(&first, &message_id(&topic(), &key("", "other"), 7)), None);
        assert_eq!(nth_of(&first, "somebody's"), None);
    }

    #[test]
    fn an_erasure_names_its_positions() {
        let positions = vec![Position(3), Position(1 << 60)];
        assert_eq!(erased(erasure(&positions).as_bytes()), positions);
        assert_eq!(erased(b"x\n-1\n\n7"), [Position(7)]);
    }
}
