//! Open files: each connection is one, and most systems let a process have 1,024 until it asks for
//! more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: the log's, and what readers of it open.
const OTHERS: u64 = 256;

/// Asks for as many as the system allows; answers how many those are, if there is a limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Warns if these are too few for so many connections.
pub(crate) fn check_limit(allowed: Option<u64>, connections: usize) {
    let wanted = connections as u64 + OTHERS;
    let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) else { return };
    if allowed < connections as u64 {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than connections: raise the hard limit (ulimit -Hn) or lower max_connections"
        );
    } else {
        // That matters to a server that is full only.
        tracing::debug!(allowed, wanted, "few open files are left beside connections");
    }
}
