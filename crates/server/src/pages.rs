//! Room for pages: how many are made at once, so that streams are never kept waiting for a core, and how
//! many bytes of them are held for clients that have not taken them yet. Streams that begin with the last
//! events take turns with pages. Knows nothing of what they say.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::turns::turns;

/// Of all pages of one server.
#[derive(Debug)]
pub(crate) struct Pages {
    turns: Semaphore,
    /// In KiB.
    room: Arc<Semaphore>,
}

/// Bytes whose room is free again once they are sent, or nobody wants them any more.
struct Held {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pages {
    /// So many bytes at once.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { turns: turns(), room: Arc::new(Semaphore::new(bytes / 1024)) }
    }

    /// Waits until a page may be made: making one takes a core for a moment, and one core is the streams'.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// A page to be sent; `None` if there is no room for it.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> Option<Bytes> {
        let wanted = u32::try_from(bytes.len().div_ceil(1024)).ok()?;
        let room = self.room.clone().try_acquire_many_owned(wanted).ok()?;
        Some(Bytes::from_owner(Held { bytes, _room: room }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_free_again_once_the_last_byte_is_gone() {
        let pages = Pages::new(10 * 1024);
        let mut first = pages.hold(vec![0; 8 * 1024]).unwrap();
        assert!(pages.hold(vec![0; 3 * 1024]).is_none());
        let rest = first.split_off(5);
        drop(first);
        assert!(pages.hold(vec![0; 3 * 1024]).is_none(), "some of it is still to be sent");
        drop(rest);
        assert!(pages.hold(vec![0; 10 * 1024]).is_some());
        assert!(pages.hold(vec![0; 11 * 1024]).is_none(), "more than there ever is");
    }
}
