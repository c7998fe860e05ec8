//! How many of something there are, all addresses together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many there are.
#[derive(Debug, Default)]
pub(crate) struct Everybody(AtomicUsize);

/// Some of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Inside {
    of: Arc<Everybody>,
    count: usize,
}

impl Everybody {
    /// So many more, if there are at most `max` then.
    pub(crate) fn take(self: &Arc<Self>, more: usize, max: usize) -> Option<Inside> {
        let grown = |count: usize| count.checked_add(more).filter(|count| *count <= max);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        taken.ok().map(|_| Inside { of: self.clone(), count: more })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_that() {
        let everybody = Arc::new(Everybody::default());
        let held = (everybody.take(1, 3), everybody.take(2, 3));
        assert!(held.1.is_some() && everybody.take(1, 3).is_none());
        assert!(everybody.take(0, 3).is_some(), "nothing always fits");
        drop(held);
        assert!(everybody.take(3, 3).is_some());
        assert!(everybody.take(usize::MAX, usize::MAX).is_some());
    }
}
