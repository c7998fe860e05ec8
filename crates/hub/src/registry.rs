//! Who waits for which topic, and how many follow it. Wakes exactly those, once a topic however many
//! subscribers stand behind one waiter. It knows nothing of what they get.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eventwall_log::{Filter, Topic};
use tokio::sync::Notify;

/// Is told that there are news. It must not block, and must keep a wake-up for later if it is busy.
pub trait Waiter: fmt::Debug + Send + Sync {
    /// There is something new, or there may be.
    fn wake(&self);
}

impl Waiter for Notify {
    fn wake(&self) {
        self.notify_one();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Waiting>);

type Waiters = HashMap<u64, Arc<dyn Waiter>>;

#[derive(Debug, Default)]
struct Waiting {
    next_id: u64,
    by_topic: HashMap<Topic, Waiters>,
    for_all: Waiters,
    /// Those with patterns.
    selections: HashMap<u64, (Filter, Arc<dyn Waiter>)>,
    /// Which of those match a topic: asked once a topic, not once an event. Those that are gone may still
    /// stand there.
    resolved: HashMap<Topic, Vec<u64>>,
    /// How many there are in it, and how many have gone since it was empty.
    resolved_ids: usize,
    gone: usize,
    /// Subscribers that name a topic.
    named: HashMap<Topic, u64>,
}

/// Topics whose patterns are remembered, and what stands there of all of them together.
const MAX_RESOLVED: usize = 4096;
const MAX_RESOLVED_IDS: usize = 1 << 18;
/// So many may have gone.
const MAX_GONE: usize = 1024;

/// A place in the registry, given up when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    id: u64,
    filter: Filter,
}

/// A task's place in the registry.
#[derive(Debug)]
pub(crate) struct News {
    notify: Arc<Notify>,
    _registration: Registration,
}

/// A subscriber, counted until it is dropped for each topic that it names.
#[derive(Debug)]
pub(crate) struct Named {
    registry: Arc<Registry>,
    filter: Filter,
}

impl Registry {
    /// From now on `waiter` hears of news of these topics.
    pub(crate) fn register(
        self: &Arc<Self>,
        filter: Filter,
        waiter: &Arc<dyn Waiter>,
    ) -> Registration {
        let id = self.lock().add(&filter, waiter);
        Registration { registry: self.clone(), id, filter }
    }

    /// For a task that awaits them.
    pub(crate) fn news(self: &Arc<Self>, filter: Filter) -> News {
        let notify = Arc::new(Notify::new());
        let waiter: Arc<dyn Waiter> = notify.clone();
        News { notify, _registration: self.register(filter, &waiter) }
    }

    /// Counts a subscriber.
    pub(crate) fn name(self: &Arc<Self>, filter: Filter) -> Named {
        let mut waiting = self.lock();
        for topic in named(&filter) {
            *waiting.named.entry(topic.clone()).or_default() += 1;
        }
        drop(waiting);
        Named { registry: self.clone(), filter }
    }

    /// How many name a topic.
    pub(crate) fn count(&self, topic: &Topic) -> u64 {
        self.lock().named.get(topic).copied().unwrap_or(0)
    }

    /// The topics that are named, the most by most, and by how many.
    pub(crate) fn counts(&self, most: usize) -> HashMap<Topic, u64> {
        let waiting = self.lock();
        let mut counts: Vec<(&Topic, u64)> =
            waiting.named.iter().map(|(topic, count)| (topic, *count)).collect();
        if counts.len() > most {
            counts.select_nth_unstable_by_key(most, |(_, count)| std::cmp::Reverse(*count));
            counts.truncate(most);
        }
        counts.into_iter().map(|(topic, count)| (topic.clone(), count)).collect()
    }

    /// Wakes everyone who waits for one of `topics`.
    pub(crate) fn wake<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let mut waiting = self.lock();
        for topic in topics {
            waiting.wake(topic);
        }
        waiting.for_all.values().for_each(|waiter| waiter.wake());
    }

    /// Wakes everyone.
    pub(crate) fn wake_all(&self) {
        let waiting = self.lock();
        let by_topic = waiting.by_topic.values().flat_map(HashMap::values);
        let selections = waiting.selections.values().map(|(_, waiter)| waiter);
        by_topic.chain(waiting.for_all.values()).chain(selections).for_each(|waiter| waiter.wake());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who follows everything, or by a pattern only, names no topic.
fn named(filter: &Filter) -> &[Topic] {
    match filter {
        Filter::Topics(topics) => topics,
        Filter::All | Filter::Selection(_) => &[],
    }
}

impl Waiting {
    fn add(&mut self, filter: &Filter, waiter: &Arc<dyn Waiter>) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        match filter {
            Filter::All => drop(self.for_all.insert(id, waiter.clone())),
            Filter::Selection(_) => {
                self.match_newcomer(id, filter);
                self.selections.insert(id, (filter.clone(), waiter.clone()));
            }
            Filter::Topics(topics) => {
                for topic in topics.iter() {
                    self.by_topic.entry(topic.clone()).or_default().insert(id, waiter.clone());
                }
            }
        }
        id
    }

    fn remove(&mut self, filter: &Filter, id: u64) {
        match filter {
            Filter::All => drop(self.for_all.remove(&id)),
            Filter::Selection(_) => {
                self.selections.remove(&id);
                self.gone += 1;
                if self.gone > MAX_GONE {
                    self.forget_resolved();
                }
            }
            Filter::Topics(topics) => {
                for topic in topics.iter() {
                    let Some(waiters) = self.by_topic.get_mut(topic) else { continue };
                    waiters.remove(&id);
                    if waiters.is_empty() {
                        self.by_topic.remove(topic);
                    }
                }
            }
        }
    }

    fn wake(&mut self, topic: &Topic) {
        if let Some(waiters) = self.by_topic.get(topic) {
            waiters.values().for_each(|waiter| waiter.wake());
        }
        if self.selections.is_empty() {
            return;
        }
        if !self.resolved.contains_key(topic) {
            self.resolve(topic);
        }
        let matching = self.resolved.get(topic).into_iter().flatten();
        matching.filter_map(|id| self.selections.get(id)).for_each(|(_, waiter)| waiter.wake());
    }

    fn resolve(&mut self, topic: &Topic) {
        if self.resolved.len() >= MAX_RESOLVED || self.resolved_ids >= MAX_RESOLVED_IDS {
            self.forget_resolved();
        }
        let all = self.selections.iter();
        let matching = all.filter(|(_, (filter, _))| filter.matches(topic)).map(|(id, _)| *id);
        let matching: Vec<u64> = matching.collect();
        self.resolved_ids += matching.len();
        self.resolved.insert(topic.clone(), matching);
    }

    fn match_newcomer(&mut self, id: u64, filter: &Filter) {
        if self.resolved_ids >= MAX_RESOLVED_IDS {
            return self.forget_resolved();
        }
        for (topic, matching) in &mut self.resolved {
            if filter.matches(topic) {
                matching.push(id);
                self.resolved_ids += 1;
            }
        }
    }

    fn forget_resolved(&mut self) {
        self.resolved.clear();
        (self.resolved_ids, self.gone) = (0, 0);
    }
}

impl News {
    /// Resolves once one of its topics had news since the last time.
    pub(crate) async fn news(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.filter, self.id);
    }
}

impl Named {
    /// `filter` equals its own.
    pub(crate) fn share_filter(&mut self, filter: &Filter) {
        self.filter = filter.clone();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut waiting = self.registry.lock();
        for topic in named(&self.filter) {
            let Some(count) = waiting.named.get_mut(topic) else { continue };
            *count -= 1;
            if *count == 0 {
                waiting.named.remove(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Waiter for Counting {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    fn counting() -> (Arc<Counting>, Arc<dyn Waiter>) {
        let counting = Arc::new(Counting::default());
        (counting.clone(), counting)
    }

    #[test]
    fn patterns_are_resolved_once_a_topic_and_stay_true_as_waiters_come_and_go() {
        let registry = Arc::new(Registry::default());
        let select =
            |pattern: &str| Filter::select([topic("named")], vec![pattern.parse().unwrap()]);
        let woken = |of: &Counting| of.0.swap(0, Ordering::Relaxed);
        let (one, waiter) = counting();
        let first = registry.register(select("a/*"), &waiter);
        registry.wake(&[topic("a/1"), topic("b/1"), topic("named")]);
        assert_eq!(woken(&one), 2);
        // A newcomer, after the topics were resolved.
        let (two, waiter) = counting();
        let _second = registry.register(select("*/1"), &waiter);
        registry.wake(&[topic("a/1"), topic("b/1"), topic("c/2")]);
        assert_eq!((woken(&one), woken(&two)), (1, 2));
        drop(first);
        registry.wake(&[topic("a/1")]);
        assert_eq!((woken(&one), woken(&two)), (0, 1));
        // Many come and go: what is remembered of them has a bound.
        for _ in 0..2 * MAX_GONE {
            drop(registry.register(select("a/*"), &waiter));
            registry.wake(&[topic("a/1")]);
        }
        assert!(registry.lock().resolved_ids <= 2 * MAX_GONE);
    }

    #[test]
    fn who_is_gone_is_not_counted() {
        let registry = Arc::new(Registry::default());
        let both = registry.name(Filter::topics([topic("a"), topic("b")]));
        let one = registry.name(Filter::topics([topic("a")]));
        assert_eq!((registry.count(&topic("a")), registry.count(&topic("b"))), (2, 1));
        assert_eq!(registry.counts(1), HashMap::from([(topic("a"), 2)]));
        drop((both, one));
        assert!(registry.counts(9).is_empty());
    }
}
