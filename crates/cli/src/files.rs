//! Open files: each connection is one, and most systems let a process have 1,024 until it asks for
//! more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: the log's, and what readers of it open.
const OTHERS: u64 = 256;

/// Asks for as many as the system allows, and warns if that is too few.
pub(crate) fn allow_connections(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let wanted = connections as u64 + OTHERS;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than connections: raise the hard limit (ulimit -Hn) or lower max_connections"
        );
    }
}
