//! What a process and its children have used, as the system counts it.

use std::{fs, time::Duration};

/// The system counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children.flat_map(family)).collect()
}

/// CPU time of a process with its children, in user and kernel mode.
pub(crate) fn cpu(pid: u32) -> Duration {
    let ticks = family(pid).into_iter().map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, which may hold anything, ends with the last parenthesis.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let fields = fields.split_whitespace().skip(11).take(2);
        fields.filter_map(|ticks| ticks.parse::<u32>().ok()).sum::<u32>()
    });
    TICK * ticks.sum::<u32>()
}

/// Anonymous memory of a process with its children, in bytes: what it has taken for itself.
pub(crate) fn memory(pid: u32) -> u64 {
    let of = |pid| kilobytes(&format!("/proc/{pid}/status"), "RssAnon:");
    1024 * family(pid).into_iter().map(of).sum::<u64>()
}

/// Kernel memory for sockets and what belongs to them, of the whole machine, in bytes.
pub(crate) fn kernel_memory() -> u64 {
    1024 * kilobytes("/proc/meminfo", "Slab:")
}

fn kilobytes(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
