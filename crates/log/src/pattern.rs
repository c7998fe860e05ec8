//! Patterns over topics: `*` stands for one whole segment, a last `**` for all the rest.

use std::{fmt, str::FromStr};

use crate::{MAX_TOPIC_BYTES, Topic, TopicError};

/// A legal pattern, such as `walls/*` or `orders/**`. It never matches a topic that begins
/// with `$`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    /// It ends in `**`: one segment or more may follow.
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Segment {
    Any,
    Exactly(Box<str>),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It would be no topic either.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// `**` stands for the rest, so nothing can follow it.
    #[error(
        "`**` can only be the last segment of a pattern: use `*` for one segment in the middle"
    )]
    RestInTheMiddle,
}

impl Pattern {
    /// Whether a text has a `*` or `**` segment, and so is a pattern rather than a topic.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.split('/').any(|segment| matches!(segment, "*" | "**"))
    }

    /// Whether it begins with `$`, like the hub's own topics.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.text.starts_with('$')
    }

    /// Whether it stands for `topic`.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        if topic.is_reserved() {
            return false;
        }
        let mut rest = topic.as_str().split('/');
        let begins = self.segments.iter().all(|segment| match (segment, rest.next()) {
            (_, None) => false,
            (Segment::Any, Some(_)) => true,
            (Segment::Exactly(text), Some(segment)) => **text == *segment,
        });
        begins && (rest.next().is_some() == self.open)
    }

    /// Whether every topic that `other` stands for is one that this stands for, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.is_reserved() || other.is_reserved() {
            return false;
        }
        // Of other's topics the shortest have so many segments.
        let shortest = other.segments.len() + usize::from(other.open);
        let long_enough = shortest >= self.segments.len() + usize::from(self.open);
        let ends = self.open || (!other.open && other.segments.len() == self.segments.len());
        let mut theirs = other.segments.iter();
        let begins = self.segments.iter().all(|segment| match (segment, theirs.next()) {
            // Whatever an open pattern has there.
            (Segment::Any, _) => true,
            (Segment::Exactly(text), Some(Segment::Exactly(their))) => text == their,
            (Segment::Exactly(_), _) => false,
        });
        long_enough && ends && begins
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_TOPIC_BYTES {
            return Err(TopicError::TooLong(text.len()).into());
        }
        let mut parts: Vec<&str> = text.split('/').collect();
        let open = parts.last() == Some(&"**");
        if open {
            parts.pop();
        }
        if parts.contains(&"**") {
            return Err(PatternError::RestInTheMiddle);
        }
        let segment = |part: &str| match part {
            "*" => Ok(Segment::Any),
            // A segment is legal if it would be as a topic of its own.
            "" => Err(TopicError::EmptySegment),
            part => part.parse::<Topic>().map(|_| Segment::Exactly(part.into())),
        };
        let segments = parts.into_iter().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments, open })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(&topic.parse().unwrap())
    }

    #[test]
    fn what_stands_for_what() {
        for (pattern, topic) in [
            ("*", "a"),
            ("**", "a"),
            ("**", "a/b/c"),
            ("a/*", "a/b"),
            ("*/b", "a/b"),
            ("a/*/c", "a/b/c"),
            ("a/**", "a/b"),
            ("a/**", "a/b/c"),
            ("*/*/**", "a/b/c"),
        ] {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [
            ("*", "a/b"),
            ("a/*", "a"),
            ("a/*", "a/b/c"),
            ("a/**", "a"),
            ("a/**", "ab/c"),
            ("*/b", "a/c"),
            ("*/*/**", "a/b"),
            ("**", "$private/x"),
            ("*/x", "$private/x"),
            ("$private/*", "$private/x"),
        ] {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn what_covers_what() {
        let covers = |one: &str, other: &str| {
            one.parse::<Pattern>().unwrap().covers(&other.parse().unwrap())
        };
        for (one, other) in [
            ("**", "**"),
            ("**", "*"),
            ("**", "a/**"),
            ("*", "a"),
            ("a/*", "a/*"),
            ("a/**", "a/*"),
            ("a/**", "a/*/c"),
            ("a/**", "a/b/**"),
            ("a/*/**", "a/b/**"),
            ("*/**", "a/**"),
            ("a/b", "a/b"),
        ] {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("*", "**"),
            ("a/*", "a/**"),
            ("a/*", "*/*"),
            ("a/**", "**"),
            ("a/**", "a"),
            ("*/*/**", "a/**"),
            ("a/b", "a/*"),
            ("a", "b"),
            ("**", "$private/*"),
            ("$private/*", "$private/*"),
        ] {
            assert!(!covers(one, other), "{one} {other}");
        }
    }

    /// Two patterns over two letters and every short topic: what is covered is matched, and what is not
    /// covered has a topic that shows it.
    #[test]
    fn covering_is_matching_of_all() {
        fn texts(words: &[&str], depth: usize) -> Vec<String> {
            let mut all: Vec<String> = words.iter().map(ToString::to_string).collect();
            for _ in 1..depth {
                let longer = all.iter().flat_map(|t| words.iter().map(move |w| format!("{t}/{w}")));
                all.extend(longer.collect::<Vec<_>>());
            }
            all.sort_unstable();
            all.dedup();
            all
        }
        let topics: Vec<Topic> =
            texts(&["a", "b", "c"], 4).iter().map(|text| text.parse().unwrap()).collect();
        let patterns: Vec<Pattern> =
            texts(&["a", "*", "**"], 3).iter().filter_map(|text| text.parse().ok()).collect();
        for one in &patterns {
            for other in &patterns {
                let all = topics.iter().all(|t| !other.matches(t) || one.matches(t));
                assert_eq!(one.covers(other), all, "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in ["", "/*", "*/", "a//*", "**/a", "a/**/b", "*/..", "*/a\nb", "**/**"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
        assert!(Pattern::is_one("a/*") && Pattern::is_one("**") && !Pattern::is_one("a*/b**"));
    }
}
