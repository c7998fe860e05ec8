//! What is kept and for how long: limits for the whole log and for topics by name or pattern.
//! Pure settings: `topics`, `ages` and the logs
//! apply them.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{Millis, Pattern, PatternError, Topic, TopicError};

/// Limits by which a log drops its oldest events. What is over a limit may go a little late,
/// never early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Bytes that the whole log may take.
    pub max_bytes: u64,
    /// For topics that no rule says otherwise of.
    pub limits: Limits,
    /// The first rule that a topic falls under overrides `limits`, field by field.
    pub rules: Vec<Rule>,
    /// A clock that jumps forward by more expires nothing until it has stood for so long, in
    /// milliseconds.
    pub max_clock_step: Millis,
}

/// Limits on what is kept of one topic. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Events older than this go, in milliseconds.
    pub max_age: Option<Millis>,
    /// The newest so many stay.
    pub max_events: Option<u64>,
    /// Bytes of a topic's events.
    pub max_bytes: Option<u64>,
    /// Whether the topic is a history or a state.
    pub keep: Keep,
}

/// What is kept of a topic within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Every event.
    #[default]
    All,
    /// Its latest event only: the topic is a state, and an older value is no loss.
    Latest,
}

/// Limits of some topics. An outer `None` leaves the general limit as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub topics: TopicMatch,
    /// See [`Limits::max_age`].
    pub max_age: Option<Option<Millis>>,
    /// See [`Limits::max_events`].
    pub max_events: Option<Option<u64>>,
    /// See [`Limits::max_bytes`].
    pub max_bytes: Option<Option<u64>>,
    /// See [`Limits::keep`].
    pub keep: Option<Keep>,
}

/// One topic, or those that a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicMatch {
    /// Exactly this.
    Topic(Topic),
    /// These.
    Pattern(Pattern),
}

impl Default for Retention {
    /// 1 GiB, and no other limit.
    fn default() -> Self {
        Self::bytes(1 << 30)
    }
}

impl Retention {
    /// So many bytes, and no other limit.
    #[must_use]
    pub fn bytes(max_bytes: u64) -> Self {
        let (limits, rules) = (Limits::default(), Vec::new());
        Self { max_bytes, limits, rules, max_clock_step: 5 * 60 * 1000 }
    }

    /// The limits of a topic.
    #[must_use]
    pub fn limits_of(&self, topic: &Topic) -> Limits {
        self.rules.iter().find(|rule| rule.topics.matches(topic)).map_or(self.limits, |rule| {
            Limits {
                max_age: rule.max_age.unwrap_or(self.limits.max_age),
                max_events: rule.max_events.unwrap_or(self.limits.max_events),
                max_bytes: rule.max_bytes.unwrap_or(self.limits.max_bytes),
                keep: rule.keep.unwrap_or(self.limits.keep),
            }
        })
    }

    /// Whether anything but the bytes of the whole log limits what is kept.
    #[must_use]
    pub fn limits_topics(&self) -> bool {
        self.limits != Limits::default() || !self.rules.is_empty()
    }

    /// Names the limits by which the events of topics are counted; `None` if there are none.
    pub(crate) fn counting(&self) -> Option<[u8; 8]> {
        let counts = |limits: &Limits| limits.max_events.is_some() || limits.max_bytes.is_some();
        let of_rule = |rule: &Rule| rule.max_events.flatten().or(rule.max_bytes.flatten());
        if !counts(&self.limits) && self.rules.iter().all(|rule| of_rule(rule).is_none()) {
            return None;
        }
        let sum = Sha256::digest(format!("{:?} {:?}", self.limits, self.rules));
        Some(std::array::from_fn(|i| sum[i]))
    }

    /// The shortest `max_age` of all.
    #[must_use]
    pub fn shortest_age(&self) -> Option<Millis> {
        self.ages().into_iter().min()
    }

    /// Every age at which some topic's events go.
    pub(crate) fn ages(&self) -> Vec<Millis> {
        let of_rules = self.rules.iter().filter_map(|rule| rule.max_age.flatten());
        let mut ages: Vec<_> = self.limits.max_age.into_iter().chain(of_rules).collect();
        ages.sort_unstable();
        ages.dedup();
        ages
    }
}

impl Rule {
    /// A rule that changes nothing yet.
    #[must_use]
    pub fn of(topics: TopicMatch) -> Self {
        Self { topics, max_age: None, max_events: None, max_bytes: None, keep: None }
    }
}

impl TopicMatch {
    fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::Topic(exact) => exact == topic,
            Self::Pattern(pattern) => pattern.matches(topic),
        }
    }
}

impl FromStr for TopicMatch {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if Pattern::is_one(text) {
            return text.parse().map(Self::Pattern);
        }
        text.parse().map(Self::Topic).map_err(|error: TopicError| error.into())
    }
}

impl fmt::Display for TopicMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => topic.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_overrides_field_by_field() {
        let mut retention = Retention::default();
        retention.limits.max_age = Some(9);
        let mut audit = Rule::of("audit/**".parse().unwrap());
        audit.max_age = Some(None);
        let mut states = Rule::of("*/state".parse().unwrap());
        (states.keep, states.max_age) = (Some(Keep::Latest), Some(Some(4)));
        retention.rules = vec![audit, states];
        let of = |name: &str| retention.limits_of(&name.parse().unwrap());
        assert_eq!(of("x"), Limits { max_age: Some(9), ..Limits::default() });
        assert_eq!(of("audit/state"), Limits::default());
        assert_eq!(
            of("a/state"),
            Limits { max_age: Some(4), keep: Keep::Latest, ..Limits::default() }
        );
        assert_eq!(retention.ages(), [4, 9]);
    }
}
