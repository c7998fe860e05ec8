//! How many events a second each address, and each topic, may publish: token buckets that hold ten
//! seconds' worth, which is what a larger batch counts as.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use eventwall_log::Topic;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};
use http::StatusCode;

use crate::{Client, Limits, Problem, client::Origin};

/// So many keys are held before those are looked for that have long been quiet.
const MANY_KEYS: usize = 16_384;
/// Seconds' worth that may come at once.
const BURST: u32 = 10;

/// The buckets of all addresses and topics.
#[derive(Debug)]
pub(crate) struct Rates {
    addresses: Option<Buckets<Origin>>,
    topics: Option<Buckets<Topic>>,
}

/// More than may be published just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooFast {
    /// When it may be tried again.
    pub(crate) wait: Duration,
    detail: String,
}

#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone> {
    rate: NonZeroU32,
    burst: NonZeroU32,
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
    began: Instant,
    /// The second since then in which the quiet ones were last looked for.
    swept: AtomicU64,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            addresses: limits.publish_rate.map(Buckets::new),
            topics: limits.topic_rate.map(Buckets::new),
        }
    }

    /// So many can be counted at once; of more the rest would not be.
    pub(crate) fn most(&self) -> usize {
        let bursts = [
            self.addresses.as_ref().map(|buckets| buckets.burst),
            self.topics.as_ref().map(|buckets| buckets.burst),
        ];
        let least = bursts.into_iter().flatten().min();
        least.map_or(usize::MAX, |burst| burst.get() as usize)
    }

    /// Whether these may be published now, which counts them.
    pub(crate) fn take(&self, client: Option<&Client>, topics: &[&Topic]) -> Result<(), TooFast> {
        let mut counts: HashMap<&Topic, u32> = HashMap::new();
        topics.iter().for_each(|topic| *counts.entry(topic).or_default() += 1);
        self.take_of_address(client, counts.values().sum())?;
        counts.into_iter().try_for_each(|(topic, count)| self.take_of_topic(client, topic, count))
    }

    /// Of the address alone.
    pub(crate) fn take_of_address(
        &self,
        client: Option<&Client>,
        count: u32,
    ) -> Result<(), TooFast> {
        let origin = client.and_then(Client::origin);
        let Some((origin, buckets)) = origin.zip(self.addresses.as_ref()) else { return Ok(()) };
        let taken = buckets.take(&origin, count);
        taken
            .map_err(|wait| too_fast("from your address", (buckets.rate, "max_publish_rate"), wait))
    }

    /// Of one topic alone.
    pub(crate) fn take_of_topic(
        &self,
        client: Option<&Client>,
        topic: &Topic,
        count: u32,
    ) -> Result<(), TooFast> {
        let near = client.and_then(Client::origin).is_none();
        let Some(buckets) = self.topics.as_ref().filter(|_| !near) else { return Ok(()) };
        let taken = buckets.take(topic, count);
        taken.map_err(|wait| {
            too_fast(&format!("to {topic}"), (buckets.rate, "max_topic_rate"), wait)
        })
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: NonZeroU32) -> Self {
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
        let limiter = RateLimiter::hashmap(Quota::per_second(rate).allow_burst(burst));
        Self { rate, burst, limiter, began: Instant::now(), swept: AtomicU64::new(0) }
    }

    /// Takes so many out of one bucket; else says how long until they are in it.
    fn take(&self, key: &K, count: u32) -> Result<(), Duration> {
        self.forget_the_quiet();
        let Some(count) = NonZeroU32::new(count.min(self.burst.get())) else { return Ok(()) };
        match self.limiter.check_key_n(key, count) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(DefaultClock::default().now())),
        }
    }

    fn forget_the_quiet(&self) {
        let now = self.began.elapsed().as_secs();
        if self.limiter.len() >= MANY_KEYS && self.swept.swap(now, Ordering::Relaxed) != now {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

fn too_fast(whose: &str, (rate, key): (NonZeroU32, &str), wait: Duration) -> TooFast {
    let detail = format!(
        "more than {rate} events a second came {whose}, as many as the server's `{key}` allows: send them more slowly"
    );
    TooFast { wait, detail }
}

impl From<TooFast> for Problem {
    fn from(refused: TooFast) -> Self {
        let seconds = refused.wait.as_secs() + 1;
        Self::new(StatusCode::TOO_MANY_REQUESTS, refused.detail).retry_after(seconds)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::Trust;

    fn client(addr: &str) -> Client {
        Trust::default().client(addr.parse().unwrap(), false, &HeaderMap::new())
    }

    fn rates(publish: u32, topic: u32) -> Rates {
        Rates::new(&Limits {
            publish_rate: NonZeroU32::new(publish),
            topic_rate: NonZeroU32::new(topic),
            ..Limits::default()
        })
    }

    #[test]
    fn an_address_has_its_burst_and_no_more() {
        let (rates, topic) = (rates(2, 1000), "a".parse().unwrap());
        let (one, other) = (client("192.0.2.1"), client("192.0.2.2"));
        for _ in 0..20 {
            rates.take(Some(&one), &[&topic]).unwrap();
        }
        let refused = rates.take(Some(&one), &[&topic]).unwrap_err();
        assert!(refused.wait <= Duration::from_millis(500), "{refused:?}");
        assert!(refused.detail.contains("max_publish_rate"), "{refused:?}");
        rates.take(Some(&other), &[&topic]).unwrap();
        for _ in 0..100 {
            rates.take(Some(&client("127.0.0.1")), &[&topic]).unwrap();
        }
    }

    #[test]
    fn a_topic_has_its_own_from_whatever_address() {
        let rates = rates(1000, 2);
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        for n in 0..20 {
            rates.take(Some(&client(&format!("192.0.2.{n}"))), &[&a]).unwrap();
        }
        let refused = rates.take(Some(&client("192.0.2.99")), &[&b, &a, &b]).unwrap_err();
        assert!(refused.detail.contains("to a,"), "{refused:?}");
        rates.take(Some(&client("192.0.2.99")), &[&b]).unwrap();
    }

    #[test]
    fn a_large_batch_counts_as_ten_seconds() {
        let (rates, topic) = (rates(1, 1), "a".parse().unwrap());
        let batch = vec![&topic; 10_000];
        rates.take(Some(&client("192.0.2.1")), &batch).unwrap();
        let refused = rates.take(Some(&client("192.0.2.1")), &[&topic]).unwrap_err();
        assert!(refused.wait <= Duration::from_secs(1), "{refused:?}");
        let refused = rates.take(Some(&client("192.0.2.1")), &batch).unwrap_err();
        assert!(refused.wait > Duration::from_secs(8), "{refused:?}");
    }
}
