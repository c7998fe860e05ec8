//! How many are inside, connections and further streams on them, all addresses together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many there are.
#[derive(Debug, Default)]
pub(crate) struct Everybody(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Everybody>);

impl Everybody {
    /// One more, if there are fewer than `max`.
    pub(crate) fn take(self: &Arc<Self>, max: usize) -> Option<Inside> {
        let more = |count| (count < max).then_some(count + 1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Inside(self.clone()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_that() {
        let everybody = Arc::new(Everybody::default());
        let held = (everybody.take(2), everybody.take(2));
        assert!(held.1.is_some() && everybody.take(2).is_none());
        drop(held);
        assert!(everybody.take(1).is_some());
    }
}
