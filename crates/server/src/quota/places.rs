//! How many connections each address has. Holds an address only while it has one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::client::Origin;

/// The addresses that have connections, and how many each.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<Origin, usize>>);

/// A place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    origin: Option<Origin>,
}

impl Places {
    /// A place for one more, if the address has fewer than `max`.
    pub(crate) fn take(
        self: &Arc<Self>,
        origin: Option<Origin>,
        max: Option<usize>,
    ) -> Option<Place> {
        if let Some(origin) = origin {
            let mut taken = self.lock();
            let count = taken.get(&origin).copied().unwrap_or_default();
            if max.is_some_and(|max| count >= max) {
                return None;
            }
            taken.insert(origin, count + 1);
        }
        Some(Place { places: self.clone(), origin })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(origin) = self.origin else { return };
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_and_gives_them_back() {
        let places = Arc::new(Places::default());
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        let take = |text: &str| places.take(origin(text), Some(2));
        let held = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(held.0.is_some() && held.1.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another address");
        let near: Vec<_> = (0..9).map(|_| take("127.0.0.1")).collect();
        assert!(near.iter().all(Option::is_some), "this machine is not counted");
        drop(held);
        assert!(take("192.0.2.1").is_some());
        assert!(places.lock().is_empty(), "nobody is remembered");
    }
}
