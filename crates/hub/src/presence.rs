//! How many streams follow a topic by its name: here, and on the other nodes as they last said. What a
//! node said counts for as long as its lease; nothing of it is stored.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventwall_log::Topic;
use tokio::time::Instant;

/// A node that said nothing for so long has nobody any more.
pub const PRESENCE_LEASE: Duration = Duration::from_secs(10);
/// Nodes remembered.
const MAX_NODES: usize = 1024;

/// When it was said, and whom there are.
type Said = (Instant, HashMap<Topic, u64>);

/// What other nodes said.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<HashMap<String, Said>>);

impl Presence {
    /// A node says whom it has; this replaces what it said before.
    pub(crate) fn heard(&self, node: String, counts: HashMap<Topic, u64>, now: Instant) {
        let mut nodes = self.lock();
        nodes.retain(|_, (heard, _)| now.duration_since(*heard) < PRESENCE_LEASE);
        if counts.is_empty() {
            nodes.remove(&node);
        } else if nodes.len() < MAX_NODES || nodes.contains_key(&node) {
            nodes.insert(node, (now, counts));
        }
    }

    /// How many the other nodes have.
    pub(crate) fn elsewhere(&self, topic: &Topic, now: Instant) -> u64 {
        let nodes = self.lock();
        let fresh = nodes.values().filter(|(heard, _)| now.duration_since(*heard) < PRESENCE_LEASE);
        fresh.filter_map(|(_, counts)| counts.get(topic)).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> HashMap<Topic, u64> {
        of.iter().map(|(name, count)| (name.parse().unwrap(), *count)).collect()
    }

    #[test]
    fn what_nodes_say_adds_up_until_their_lease_ends() {
        let (presence, now) = (Presence::default(), Instant::now());
        let a: Topic = "a".parse().unwrap();
        presence.heard("one".into(), counts(&[("a", 2), ("b", 1)]), now);
        presence.heard("two".into(), counts(&[("a", 3)]), now + PRESENCE_LEASE / 2);
        assert_eq!(presence.elsewhere(&a, now + PRESENCE_LEASE / 2), 5);
        let later = now + PRESENCE_LEASE + Duration::from_millis(1);
        assert_eq!(presence.elsewhere(&a, later), 3, "one has died");
        presence.heard("two".into(), counts(&[]), later);
        assert_eq!(presence.elsewhere(&a, later), 0, "two has said farewell");
    }
}
