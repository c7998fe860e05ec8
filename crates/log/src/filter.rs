//! Which topics a reader wants.

use std::{collections::BTreeSet, sync::Arc};

use crate::Topic;

/// A set of topics to read. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Every topic: what a hub's tail reads.
    All,
    /// These exact topics, sorted and without doubles.
    Topics(Arc<[Topic]>),
}

impl Filter {
    /// Exactly these topics, each once however often it is named.
    pub fn topics(topics: impl IntoIterator<Item = Topic>) -> Self {
        let unique: BTreeSet<Topic> = topics.into_iter().collect();
        Self::Topics(unique.into_iter().collect())
    }

    /// Whether an event of `topic` passes.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Topics(topics) => topics.binary_search(topic).is_ok(),
        }
    }
}
