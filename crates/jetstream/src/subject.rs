//! Topics as NATS subjects, one each, and back. Every legal topic has exactly one subject, and every
//! pattern one that stands for the same topics (and for `$` topics, which the reader leaves out).
//!
//! `ew.<hub>.t.<segments>` are events, `ew.<hub>.x` erasures, `ew.<hub>.n.…` what is never stored.
//! The hub's name comes first, so that several hubs share a NATS account, and shards may come later.

use std::fmt::Write as _;

use eventwall_log::{Pattern, Topic};

/// Marks an escaped byte.
const ESCAPE: char = '=';

/// The subjects of one hub.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    events: String,
    pub(crate) erasures: String,
    pub(crate) ephemera: String,
    pub(crate) presence: String,
    not_stored: String,
}

impl Subjects {
    pub(crate) fn new(hub: &str) -> Self {
        let of = |what: &str| format!("ew.{hub}.{what}");
        Self {
            events: of("t."),
            erasures: of("x"),
            ephemera: of("n.e"),
            presence: of("n.p"),
            not_stored: of("n.>"),
        }
    }

    /// Of all that passes between the nodes and is never stored.
    pub(crate) fn not_stored(&self) -> String {
        self.not_stored.clone()
    }

    /// Of all events.
    pub(crate) fn all_events(&self) -> String {
        format!("{}>", self.events)
    }

    pub(crate) fn of_topic(&self, topic: &Topic) -> String {
        format!("{}{}", self.events, self.name(topic))
    }

    /// A topic's part of a subject.
    #[allow(clippy::unused_self, reason = "names are of a hub")]
    pub(crate) fn name(&self, topic: &Topic) -> String {
        let segments: Vec<String> = topic.as_str().split('/').map(escape).collect();
        segments.join(".")
    }

    /// The topic of such a part.
    pub(crate) fn named(&self, name: &str) -> Option<Topic> {
        let segments: Option<Vec<String>> = name.split('.').map(unescape).collect();
        let topic: Topic = segments?.join("/").parse().ok()?;
        (self.name(&topic) == name).then_some(topic)
    }

    pub(crate) fn of_pattern(&self, pattern: &Pattern) -> String {
        let text = pattern.to_string();
        let segments = text.split('/').map(|segment| match segment {
            "*" => "*".to_owned(),
            "**" => ">".to_owned(),
            exact => escape(exact),
        });
        format!("{}{}", self.events, segments.collect::<Vec<_>>().join("."))
    }

    /// The topic of an event's subject; `None` if nobody of ours can have written it.
    pub(crate) fn topic(&self, subject: &str) -> Option<Topic> {
        self.named(subject.strip_prefix(&self.events)?)
    }
}

fn escape(segment: &str) -> String {
    let mut escaped = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "{ESCAPE}{byte:02X}");
        }
    }
    escaped
}

fn unescape(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != ESCAPE as u8 {
            bytes.push(*first);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use eventwall_log::MAX_TOPIC_BYTES;
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    #[test]
    fn a_subject_is_readable_where_a_topic_is() {
        let subjects = Subjects::new("main");
        for (name, subject) in [
            ("walls/lobby", "ew.main.t.walls.lobby"),
            ("a.b/c d", "ew.main.t.a=2Eb.c=20d"),
            ("$private/x=1", "ew.main.t.=24private.x=3D1"),
            ("größe", "ew.main.t.gr=C3=B6=C3=9Fe"),
        ] {
            assert_eq!(subjects.of_topic(&topic(name)), subject);
            assert_eq!(subjects.topic(subject), Some(topic(name)));
        }
    }

    #[test]
    fn what_nobody_of_ours_wrote_has_no_topic() {
        let subjects = Subjects::new("main");
        for subject in
            ["ew.other.t.a", "ew.main.x", "ew.main.t.a=2", "ew.main.t.=61", "ew.main.t.é"]
        {
            assert_eq!(subjects.topic(subject), None, "{subject}");
        }
    }

    #[test]
    fn the_longest_topic_fits_into_a_control_line() {
        // The servers' default limit on a protocol line is 4,096 bytes.
        let longest = topic(&"é".repeat(MAX_TOPIC_BYTES / 2));
        assert!(Subjects::new(&"n".repeat(32)).of_topic(&longest).len() < 3_500);
    }

    #[test]
    fn patterns_become_wildcards() {
        let subjects = Subjects::new("main");
        for (pattern, subject) in
            [("a/*/c", "ew.main.t.a.*.c"), ("a.b/**", "ew.main.t.a=2Eb.>"), ("**", "ew.main.t.>")]
        {
            assert_eq!(subjects.of_pattern(&pattern.parse().unwrap()), subject);
        }
    }

    proptest! {
        #[test]
        fn every_topic_comes_back(name in "[^/\\pC]{1,40}(/[^/\\pC]{1,40}){0,5}") {
            if let Ok(topic) = name.parse::<Topic>() {
                let subjects = Subjects::new("main");
                let subject = subjects.of_topic(&topic);
                prop_assert!(subject.is_ascii() && !subject.contains([' ', '*', '>']));
                prop_assert_eq!(subjects.topic(&subject), Some(topic));
            }
        }
    }
}
