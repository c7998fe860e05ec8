//! Topic names: the one place that says what a legal topic is.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest legal topic, in bytes of UTF-8.
pub const MAX_TOPIC_BYTES: usize = 1024;

/// A legal topic name, such as `walls/lobby`. Cheap to clone; compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the hub's own, which begin with `$` and match no pattern.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no legal topic, in words for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It is empty.
    #[error("the topic is empty: name one, such as walls/lobby")]
    Empty,
    /// It is longer than [`MAX_TOPIC_BYTES`].
    #[error("the topic is {0} bytes long; at most {MAX_TOPIC_BYTES} are allowed")]
    TooLong(usize),
    /// It has a control character.
    #[error("the topic contains the control character U+{0:04X}: remove it")]
    Control(u32),
    /// It has an empty segment.
    #[error("the topic has an empty segment: join segments by single slashes, as in walls/lobby")]
    EmptySegment,
    /// It has a `.` or `..` segment, which clients and proxies rewrite.
    #[error("a topic segment cannot be `.` or `..`: rename it")]
    DotSegment,
    /// It has a `*` or `**` segment, which only patterns have.
    #[error("a topic segment cannot be `*` or `**`, which stand for many topics: name one topic")]
    Wildcard,
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(name: &str) -> Result<Self, TopicError> {
        if name.is_empty() {
            return Err(TopicError::Empty);
        }
        if name.len() > MAX_TOPIC_BYTES {
            return Err(TopicError::TooLong(name.len()));
        }
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            return Err(TopicError::Control(control.into()));
        }
        for segment in name.split('/') {
            match segment {
                "" => return Err(TopicError::EmptySegment),
                "." | ".." => return Err(TopicError::DotSegment),
                "*" | "**" => return Err(TopicError::Wildcard),
                _ => {}
            }
        }
        Ok(Self(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_topic() {
        let longest = "a".repeat(MAX_TOPIC_BYTES);
        for good in
            ["a", "walls/lobby", "orders/1337/status", "é/😀", "a b", "*a", "...", "$x", &longest]
        {
            assert_eq!(good.parse::<Topic>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_is_not() {
        let long = "é".repeat(MAX_TOPIC_BYTES / 2 + 1);
        for (bad, why) in [
            ("", TopicError::Empty),
            (&long[..], TopicError::TooLong(1026)),
            ("a\nb", TopicError::Control(10)),
            ("a\0", TopicError::Control(0)),
            ("a\u{7f}", TopicError::Control(0x7f)),
            ("a\u{85}", TopicError::Control(0x85)),
            ("/a", TopicError::EmptySegment),
            ("a/", TopicError::EmptySegment),
            ("a//b", TopicError::EmptySegment),
            ("a/./b", TopicError::DotSegment),
            ("..", TopicError::DotSegment),
            ("a/*", TopicError::Wildcard),
            ("**", TopicError::Wildcard),
        ] {
            assert_eq!(bad.parse::<Topic>(), Err(why), "{bad:?}");
        }
    }
}
