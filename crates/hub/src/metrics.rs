//! What the hub counts. Counting takes no lock on the way of an event.

use std::sync::atomic::AtomicU64;

use eventwall_log::Millis;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{GapReason, follower::Tally};

/// The hub's counters. Clones count together.
#[derive(Debug, Clone)]
pub struct HubMetrics {
    pub(crate) published: Counter,
    pub(crate) subscribers: Gauge,
    delivered: Counter,
    delivered_bytes: Counter,
    replayed: Counter,
    gaps: Family<GapLabels, Counter<u64, AtomicU64>>,
    lag: Histogram,
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

/// Seconds: from what a publish to a socket should take to what nobody should wait.
const LAG: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Default for HubMetrics {
    fn default() -> Self {
        Self {
            published: Counter::default(),
            subscribers: Gauge::default(),
            delivered: Counter::default(),
            delivered_bytes: Counter::default(),
            replayed: Counter::default(),
            gaps: Family::default(),
            lag: Histogram::new(LAG),
        }
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

    pub(crate) fn count(&self, tally: &Tally, bytes: usize, now: Millis) {
        self.delivered_bytes.inc_by(bytes as u64);
        self.delivered.inc_by(tally.events);
        if tally.replayed {
            self.replayed.inc_by(tally.events);
        } else if let Some(oldest) = tally.oldest {
            let milliseconds = u32::try_from(now.saturating_sub(oldest)).unwrap_or(u32::MAX);
            self.lag.observe(f64::from(milliseconds) / 1000.0);
        }
        if let Some(reason) = tally.gap {
            let reason = match reason {
                GapReason::Expired => GapLabel::expired,
                GapReason::Replaced => GapLabel::replaced,
                GapReason::Unknown => GapLabel::unknown,
            };
            self.gaps.get_or_create(&GapLabels { reason }).inc();
        }
    }
}
