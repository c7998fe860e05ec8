//! How much the subscriptions of one connection follow together. The first is the connection's own; each
//! further one takes as much room as a connection would, in all and of its address.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    App, Client, Limits,
    metrics::TurnedAway,
    quota::{Inside, Place},
};

/// What a connection follows now.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    subscriptions: AtomicUsize,
    topics: AtomicUsize,
}

/// The connection that a request is on.
#[derive(Debug, Clone)]
pub(crate) struct On {
    pub(super) subscribed: Arc<Subscribed>,
    /// The request has a place of its own among its address's.
    pub(super) counted: bool,
}

/// One subscription's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _counted: Counted,
    _inside: Option<Inside>,
    _place: Option<Place>,
}

#[derive(Debug)]
struct Counted {
    of: Arc<Subscribed>,
    topics: usize,
}

impl On {
    /// Room for one more subscription, to so many topics.
    pub(crate) fn subscribe(
        &self,
        app: &App,
        client: Option<&Client>,
        topics: usize,
    ) -> Result<Share, TurnedAway> {
        let limits = &app.settings().limits;
        let (counted, first) = self.subscribed.take(topics, limits)?;
        if first {
            return Ok(Share { _counted: counted, _inside: None, _place: None });
        }
        let inside = app.inside.take(limits.connections).ok_or(TurnedAway::Full)?;
        let origin = client.and_then(Client::origin).filter(|_| !self.counted);
        let place = app.places.take(origin, limits.address_connections);
        let place = place.ok_or(TurnedAway::Address)?;
        Ok(Share { _counted: counted, _inside: Some(inside), _place: Some(place) })
    }
}

impl Subscribed {
    /// Room for one more subscription, and whether it is the only one.
    fn take(
        self: &Arc<Self>,
        topics: usize,
        limits: &Limits,
    ) -> Result<(Counted, bool), TurnedAway> {
        // What is one too many is given back at once.
        let before = (
            self.subscriptions.fetch_add(1, Ordering::Relaxed),
            self.topics.fetch_add(topics, Ordering::Relaxed),
        );
        let counted = Counted { of: self.clone(), topics };
        // A single one is within its own limit.
        let first = before.0 == 0;
        if !first && before.0 + 1 > limits.subscriptions {
            return Err(TurnedAway::Subscriptions("max_subscriptions"));
        }
        if !first && before.1 + topics > limits.connection_topics {
            return Err(TurnedAway::Subscriptions("max_connection_topics"));
        }
        Ok((counted, first))
    }
}

impl Drop for Counted {
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
        assert_eq!(
            connection.take(1, &limits).unwrap_err(),
            TurnedAway::Subscriptions("max_connection_topics")
        );
        drop(large);
        let held: Vec<_> = (0..3).map(|_| connection.take(3, &limits).unwrap()).collect();
        assert_eq!(
            connection.take(1, &limits).unwrap_err(),
            TurnedAway::Subscriptions("max_subscriptions")
        );
        drop(held);
        assert!(connection.take(9, &limits).is_ok());
    }
}
