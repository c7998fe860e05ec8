//! What must hold of the parsers here, whatever their input. Panics if it does not.
#![allow(clippy::missing_panics_doc, reason = "that is what they are for")]

use crate::{EventId, MAX_TOPIC_BYTES, Pattern, Topic};

pub use crate::disk::fuzzing::{entry, segment};

/// A topic is what its rules say, and prints as it was read.
pub fn topic(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let legal_segment = |segment: &str| !matches!(segment, "" | "." | ".." | "*" | "**");
    let legal = (1..=MAX_TOPIC_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
        && text.split('/').all(legal_segment);
    let parsed: Result<Topic, _> = text.parse();
    assert_eq!(parsed.is_ok(), legal, "{text:?}");
    if let Ok(topic) = parsed {
        assert_eq!(topic.to_string(), text);
        assert_eq!(topic.is_reserved(), text.starts_with('$'));
    }
}

/// Lines of which the first two are patterns and the others topics: what one pattern covers it matches, too,
/// and matching is what a plain reading says.
pub fn pattern(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next()?.parse::<Pattern>().ok();
    let (Some(one), Some(other)) = (next(), next()) else { return };
    assert_eq!(one.to_string().parse().as_ref(), Ok(&one));
    for topic in lines.take(100).filter_map(|line| line.parse::<Topic>().ok()) {
        let segments: Vec<&str> = topic.as_str().split('/').collect();
        let pattern = one.to_string();
        let wanted: Vec<&str> = pattern.split('/').collect();
        assert_eq!(one.matches(&topic), !topic.is_reserved() && plain(&wanted, &segments));
        assert!(!one.covers(&other) || !other.matches(&topic) || one.matches(&topic));
    }
}

fn plain(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) => true,
        (["**"], [_, ..]) => true,
        ([first, pattern @ ..], [segment, topic @ ..]) => {
            (*first == "*" || first == segment) && plain(pattern, topic)
        }
        _ => false,
    }
}

/// An id prints as it was read, and within its bounds.
pub fn id(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
        assert!(text.len() <= 128);
    }
}
