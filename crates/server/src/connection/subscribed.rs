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
    /// It is a trusted proxy's.
    pub(super) of_proxy: bool,
    /// A stream may leave it.
    pub(crate) detaches: bool,
}

/// How much a subscription asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) topics: usize,
    pub(crate) patterns: usize,
}

/// One subscription's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    counted: Option<Counted>,
    _inside: Option<Inside>,
    _place: Option<Place>,
    _patterns: Inside,
}

#[derive(Debug)]
struct Counted {
    of: Arc<Subscribed>,
    topics: usize,
    /// There were others on its connection.
    further: bool,
}

impl On {
    /// Room for one more subscription.
    pub(crate) fn subscribe(
        &self,
        app: &App,
        client: Option<&Client>,
        size: &Size,
    ) -> Result<Share, TurnedAway> {
        let limits = &app.settings().limits;
        let patterns = app.patterns.take(size.patterns, limits.all_patterns);
        let patterns = patterns.ok_or(TurnedAway::Full("max_all_patterns"))?;
        // A trusted proxy's clients share its connections; each of their requests has a place already.
        let counted = match self.of_proxy {
            true => None,
            false => Some(self.subscribed.take(size.topics + size.patterns, limits)?),
        };
        let mut share = Share { counted, _inside: None, _place: None, _patterns: patterns };
        if share.counted.as_ref().is_some_and(|counted| counted.further) {
            let inside = app.inside.take(1, limits.connections);
            share._inside = Some(inside.ok_or(TurnedAway::Full("max_connections"))?);
            let place =
                app.places.take(client.and_then(Client::origin), limits.address_connections);
            share._place = Some(place.ok_or(TurnedAway::Address)?);
        }
        Ok(share)
    }
}

impl Subscribed {
    fn take(self: &Arc<Self>, topics: usize, limits: &Limits) -> Result<Counted, TurnedAway> {
        // What is one too many is given back at once.
        let before = (
            self.subscriptions.fetch_add(1, Ordering::Relaxed),
            self.topics.fetch_add(topics, Ordering::Relaxed),
        );
        let further = before.0 > 0;
        let counted = Counted { of: self.clone(), topics, further };
        // A single one is within its own limit.
        if further && before.0 + 1 > limits.subscriptions {
            return Err(TurnedAway::Subscriptions("max_subscriptions"));
        }
        if further && before.1 + topics > limits.connection_topics {
            return Err(TurnedAway::Subscriptions("max_connection_topics"));
        }
        Ok(counted)
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
