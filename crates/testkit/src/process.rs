//! What tests ask of the system about a process.

use std::{fs, process::Command};

/// Lets this process have so many files open: a test with thousands of sockets needs them.
///
/// # Panics
/// If the system does not allow it.
pub fn allow_files(count: u64) {
    let me = std::process::id().to_string();
    let limit = format!("--nofile={count}:");
    let allowed = Command::new("prlimit").args(["--pid", &me, &limit]).output().unwrap();
    let why = String::from_utf8_lossy(&allowed.stderr).into_owned();
    assert!(allowed.status.success(), "{count} open files are needed (ulimit -Hn): {why}");
}

/// The memory that a process holds, in KiB.
#[must_use]
pub fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
