//! What the hub counts. Counting takes no lock on the way of an event.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eventwall_log::Millis;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::GapReason;

/// The hub's counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct HubMetrics {
    pub(crate) published: Counter,
    pub(crate) subscribers: Gauge,
    delivered: Counter,
    delivered_bytes: Counter,
    replayed: Counter,
    gaps: Family<GapLabels, Counter<u64, AtomicU64>>,
    lag: Lag,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GapLabels {
    reason: GapLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
enum GapLabel {
    #[allow(non_camel_case_types, reason = "the label's value")]
    expired,
    #[allow(non_camel_case_types, reason = "the label's value")]
    replaced,
    #[allow(non_camel_case_types, reason = "the label's value")]
    unknown,
}

/// What one who delivers has counted, to be added to all of it now and then.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) replayed: u64,
    pub(crate) lag: Lags,
}

/// Milliseconds: from what a publish to a socket should take to what nobody should wait.
const BOUNDS: [Millis; 12] = [1, 2, 5, 10, 20, 50, 100, 250, 500, 1000, 5000, 30_000];

/// How many were how late: one more than there are bounds.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    buckets: [u64; BOUNDS.len() + 1],
    sum: Millis,
}

impl Lags {
    pub(crate) fn add(&mut self, lag: Millis) {
        self.buckets[BOUNDS.partition_point(|bound| *bound < lag)] += 1;
        self.sum += lag;
    }
}

/// A histogram that many deliveries are added to at once.
#[derive(Debug, Clone, Default)]
struct Lag(Arc<SharedLags>);

#[derive(Debug, Default)]
struct SharedLags {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Lag {
    fn add(&self, lags: &Lags) {
        for (all, more) in self.0.buckets.iter().zip(lags.buckets) {
            if more > 0 {
                all.fetch_add(more, Ordering::Relaxed);
            }
        }
        self.0.sum.fetch_add(lags.sum, Ordering::Relaxed);
    }
}

impl EncodeMetric for Lag {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::MAX]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl HubMetrics {
    /// Adds them to a registry, which gives them their prefix.
    pub fn register(&self, to: &mut Registry) {
        to.register(
            "published_events",
            "Events appended through this server",
            self.published.clone(),
        );
        to.register("subscribers", "Streams being followed now", self.subscribers.clone());
        to.register("delivered_events", "Events handed to streams", self.delivered.clone());
        let bytes = self.delivered_bytes.clone();
        to.register_with_unit("delivered", "What was handed to streams", Unit::Bytes, bytes);
        let replayed = "Events handed to streams that were behind the window, read from the log";
        to.register("replayed_events", replayed, self.replayed.clone());
        // There from the beginning, so that the first one is a change.
        for reason in [GapLabel::expired, GapLabel::replaced, GapLabel::unknown] {
            drop(self.gaps.get_or_create(&GapLabels { reason }));
        }
        to.register("gaps", "Gaps told to subscribers, by reason", self.gaps.clone());
        let lag = "From an event's time in the log to its being handed to a stream that is live";
        to.register_with_unit("delivery_lag", lag, Unit::Seconds, self.lag.clone());
    }

    pub(crate) fn add(&self, counts: &Counts) {
        if counts.bytes == 0 {
            return;
        }
        self.delivered_bytes.inc_by(counts.bytes);
        self.delivered.inc_by(counts.events);
        self.replayed.inc_by(counts.replayed);
        self.lag.add(&counts.lag);
    }

    pub(crate) fn gap(&self, reason: GapReason) {
        let reason = match reason {
            GapReason::Expired => GapLabel::expired,
            GapReason::Replaced => GapLabel::replaced,
            GapReason::Unknown => GapLabel::unknown,
        };
        self.gaps.get_or_create(&GapLabels { reason }).inc();
    }
}
