//! Follows a log. A tail is a cursor and a wake-up: it reads what is acknowledged, then waits
//! for more. So history and live are one code path, with no seam to lose an event in.

use std::{fmt, sync::Arc};

use futures_core::future::BoxFuture;
use tokio::sync::watch;

use crate::{Budget, Page, Position, ReadError, ReadRange};

/// Reads a page of everything in a range.
type ReadAll =
    Arc<dyn Fn(ReadRange, Budget) -> BoxFuture<'static, Result<Page, ReadError>> + Send + Sync>;

/// Everything that comes into a log after a position, in order, without holes.
pub struct Tail {
    cursor: Position,
    end: watch::Receiver<Position>,
    read: ReadAll,
}

/// Bounds the memory of one step of a tail.
const STEP: Budget = Budget { events: 16_384, bytes: 8 << 20 };

impl Tail {
    /// A tail over a log that announces its acknowledged end through `end`.
    pub fn new(
        after: Position,
        end: watch::Receiver<Position>,
        read: impl Fn(ReadRange, Budget) -> BoxFuture<'static, Result<Page, ReadError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { cursor: after, end, read: Arc::new(read) }
    }

    /// The next entries: at least one position further, or `None` once the log is closed.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the log cannot be read; calling again tries again.
    pub async fn next(&mut self) -> Result<Option<Page>, ReadError> {
        let cursor = self.cursor;
        if self.end.wait_for(|end| *end > cursor).await.is_err() {
            return Ok(None);
        }
        let page = (self.read)(ReadRange::after(cursor), STEP).await?;
        self.cursor = page.examined;
        Ok(Some(page))
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
