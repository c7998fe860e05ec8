//! Which topics a reader wants.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{Pattern, Topic};

/// A set of topics to read. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every topic: what a hub's tail reads.
    All,
    /// These exact topics, sorted and without doubles.
    Topics(Arc<[Topic]>),
    /// What a selection of topics and patterns stands for.
    Selection(Arc<Selection>),
}

/// Topics and patterns.
#[derive(Debug)]
pub struct Selection {
    topics: Arc<[Topic]>,
    patterns: Vec<Pattern>,
    /// A topic is matched once, not once an event.
    known: RwLock<HashMap<Topic, bool>>,
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        (&self.topics, &self.patterns) == (&other.topics, &other.patterns)
    }
}

impl Eq for Selection {}

impl Hash for Selection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.topics, &self.patterns).hash(state);
    }
}

/// Topics whose match is remembered, per selection: there may be as many of those as streams.
const MAX_KNOWN: usize = 128;

impl Filter {
    /// Exactly these topics, each once however often it is named.
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Self {
        let unique: BTreeSet<Topic> = topics.into_iter().collect();
        Self::Topics(unique.into_iter().collect())
    }

    /// These topics, and whatever the patterns stand for.
    pub fn select(topics: impl IntoIterator<Item = Topic>, patterns: Vec<Pattern>) -> Self {
        let exact = Self::topics(topics);
        match exact {
            Self::Topics(topics) if !patterns.is_empty() => {
                Self::Selection(Arc::new(Selection { topics, patterns, known: RwLock::default() }))
            }
            exact => exact,
        }
    }

    /// Whether another is for the same topics; quick if it is a clone.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Topics(one), Self::Topics(two)) if Arc::ptr_eq(one, two) => true,
            (Self::Selection(one), Self::Selection(two)) if Arc::ptr_eq(one, two) => true,
            (one, two) => one == two,
        }
    }

    /// Whether an event of `topic` passes.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Topics(topics) => topics.binary_search(topic).is_ok(),
            Self::Selection(selection) => selection.matches(topic),
        }
    }
}

impl Selection {
    /// The topics that it names.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Its patterns.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    fn matches(&self, topic: &Topic) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        known.unwrap_or_else(|| {
            let matches = self.topics.binary_search(topic).is_ok()
                || self.patterns.iter().any(|pattern| pattern.matches(topic));
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(topic.clone(), matches);
            matches
        })
    }
}
