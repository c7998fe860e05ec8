//! Who waits for which topic. Wakes exactly those; a wake-up is never lost, because it is kept
//! for whoever is not waiting just now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eventwall_log::{Filter, Topic};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next_id: u64,
    by_topic: HashMap<Topic, HashMap<u64, Arc<Notify>>>,
    for_all: HashMap<u64, Arc<Notify>>,
    /// Those with patterns, each asked once a topic.
    selections: HashMap<u64, (Filter, Arc<Notify>)>,
}

/// A place in the registry, given up when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    id: u64,
    filter: Filter,
    notify: Arc<Notify>,
}

impl Registry {
    pub(crate) fn register(self: &Arc<Self>, filter: Filter) -> Registration {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.lock();
        waiting.next_id += 1;
        let id = waiting.next_id;
        match &filter {
            Filter::All => drop(waiting.for_all.insert(id, notify.clone())),
            Filter::Selection(_) => {
                waiting.selections.insert(id, (filter.clone(), notify.clone()));
            }
            Filter::Topics(topics) => {
                for topic in topics.iter() {
                    waiting.by_topic.entry(topic.clone()).or_default().insert(id, notify.clone());
                }
            }
        }
        drop(waiting);
        Registration { registry: self.clone(), id, filter, notify }
    }

    /// How many name a topic.
    pub(crate) fn count(&self, topic: &Topic) -> u64 {
        self.lock().by_topic.get(topic).map_or(0, |waiters| waiters.len() as u64)
    }

    /// The topics that are named, the most by most, and by how many.
    pub(crate) fn counts(&self, most: usize) -> HashMap<Topic, u64> {
        let waiting = self.lock();
        let counts = waiting.by_topic.iter().map(|(topic, by)| (topic.clone(), by.len() as u64));
        let mut counts: Vec<(Topic, u64)> = counts.collect();
        if counts.len() > most {
            counts.select_nth_unstable_by_key(most, |(_, count)| std::cmp::Reverse(*count));
            counts.truncate(most);
        }
        counts.into_iter().collect()
    }

    /// Wakes everyone who waits for one of `topics`.
    pub(crate) fn wake<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let waiting = self.lock();
        for topic in topics {
            if let Some(waiters) = waiting.by_topic.get(topic) {
                waiters.values().for_each(|waiter| waiter.notify_one());
            }
            for (filter, waiter) in waiting.selections.values() {
                if filter.matches(topic) {
                    waiter.notify_one();
                }
            }
        }
        waiting.for_all.values().for_each(|waiter| waiter.notify_one());
    }

    /// Wakes everyone.
    pub(crate) fn wake_all(&self) {
        let waiting = self.lock();
        let by_topic = waiting.by_topic.values().flat_map(HashMap::values);
        let selections = waiting.selections.values().map(|(_, waiter)| waiter);
        by_topic
            .chain(waiting.for_all.values())
            .chain(selections)
            .for_each(|waiter| waiter.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Resolves once one of its topics had news since the last time.
    pub(crate) async fn news(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiting = self.registry.lock();
        match &self.filter {
            Filter::All => drop(waiting.for_all.remove(&self.id)),
            Filter::Selection(_) => drop(waiting.selections.remove(&self.id)),
            Filter::Topics(topics) => {
                for topic in topics.iter() {
                    let Some(waiters) = waiting.by_topic.get_mut(topic) else { continue };
                    waiters.remove(&self.id);
                    if waiters.is_empty() {
                        waiting.by_topic.remove(topic);
                    }
                }
            }
        }
    }
}
