//! The index behind its lock. A thread that takes it twice may wait for ever, as soon as another
//! thread waits between the two to write; debug builds, and so every test, refuse it.

use std::{
    ops::{Deref, DerefMut},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::index::Index;

#[derive(Debug)]
pub(crate) struct SharedIndex(RwLock<Index>);

/// The lock, held; and noted to be, in debug builds.
#[derive(Debug)]
pub(crate) struct Held<G> {
    guard: G,
    #[cfg(debug_assertions)]
    _noted: noted::Noted,
}

impl SharedIndex {
    pub(crate) fn new(index: Index) -> Self {
        Self(RwLock::new(index))
    }

    pub(crate) fn read(&self) -> Held<RwLockReadGuard<'_, Index>> {
        #[cfg(debug_assertions)]
        let _noted = noted::Noted::new(self);
        Held {
            guard: self.0.read().unwrap_or_else(PoisonError::into_inner),
            #[cfg(debug_assertions)]
            _noted,
        }
    }

    pub(crate) fn write(&self) -> Held<RwLockWriteGuard<'_, Index>> {
        #[cfg(debug_assertions)]
        let _noted = noted::Noted::new(self);
        Held {
            guard: self.0.write().unwrap_or_else(PoisonError::into_inner),
            #[cfg(debug_assertions)]
            _noted,
        }
    }
}

impl<G: Deref<Target = Index>> Deref for Held<G> {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.guard
    }
}

impl<G: DerefMut<Target = Index>> DerefMut for Held<G> {
    fn deref_mut(&mut self) -> &mut Index {
        &mut self.guard
    }
}

#[cfg(debug_assertions)]
mod noted {
    use std::cell::RefCell;

    use super::SharedIndex;

    thread_local! {
        /// The indexes that this thread holds, by their address.
        static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    pub(super) struct Noted(usize);

    impl Noted {
        pub(super) fn new(index: &SharedIndex) -> Self {
            let at = std::ptr::from_ref(index).addr();
            HELD.with_borrow_mut(|held| {
                assert!(!held.contains(&at), "this thread holds the index's lock already");
                held.push(at);
            });
            Self(at)
        }
    }

    impl Drop for Noted {
        fn drop(&mut self) {
            let at = self.0;
            HELD.with_borrow_mut(|held| held.retain(|other| *other != at));
        }
    }
}
