//! How much the subscriptions of one connection follow together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::Limits;

/// What a connection follows now.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    subscriptions: AtomicUsize,
    topics: AtomicUsize,
}

/// One subscription's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Subscribed>,
    topics: usize,
}

impl Subscribed {
    /// Room for one more subscription, to so many topics; else why there is none.
    pub(crate) fn take(
        self: &Arc<Self>,
        topics: usize,
        limits: &Limits,
    ) -> Result<Share, &'static str> {
        // The share that is one too many is given back at once.
        let before = (
            self.subscriptions.fetch_add(1, Ordering::Relaxed),
            self.topics.fetch_add(topics, Ordering::Relaxed),
        );
        let share = Share { of: self.clone(), topics };
        // One subscription is within its own limit.
        if before.0 > 0 && before.0 + 1 > limits.subscriptions {
            return Err("max_subscriptions");
        }
        if before.0 > 0 && before.1 + topics > limits.connection_topics {
            return Err("max_connection_topics");
        }
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.subscriptions.fetch_sub(1, Ordering::Relaxed);
        self.of.topics.fetch_sub(self.topics, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_room_for_so_much() {
        let limits = Limits { subscriptions: 3, connection_topics: 10, ..Limits::default() };
        let connection = Arc::new(Subscribed::default());
        let large = connection.take(20, &limits);
        assert!(large.is_ok(), "a single one is within its own limit");
        assert_eq!(connection.take(1, &limits).unwrap_err(), "max_connection_topics");
        drop(large);
        let held: Vec<_> = (0..3).map(|_| connection.take(3, &limits).unwrap()).collect();
        assert_eq!(connection.take(1, &limits).unwrap_err(), "max_subscriptions");
        drop(held);
        assert!(connection.take(9, &limits).is_ok());
    }
}
