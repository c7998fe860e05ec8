//! Work that takes a core for long takes turns, one fewer at once than there are cores: one is left to the
//! streams.

use tokio::sync::Semaphore;

/// As many turns as that, and one at least.
pub(crate) fn turns() -> Semaphore {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores - 1).max(1))
}
