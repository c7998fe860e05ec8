//! Whether the server is going down, told to everyone who holds a connection.

use std::sync::Arc;

use tokio::sync::watch;

/// Cheap to clone; all clones tell the same.
#[derive(Debug, Clone)]
pub struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    /// From now on nothing new is begun, and streams end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it has begun.
    pub async fn draining(&self) {
        // The sender lives in `self`, so this can't fail.
        let _ = self.0.subscribe().wait_for(|draining| *draining).await;
    }
}
