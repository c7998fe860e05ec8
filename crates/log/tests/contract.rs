//! Both kinds of log of this crate, against the contract.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use eventwall_log::{
    DiskConfig, DiskLog, FsMedium, Log, MemoryLog, Retention, contract_tests, system_clock,
};

mod memory {
    use super::*;

    async fn fresh(max_bytes: u64) -> (Arc<dyn Log>, ()) {
        (Arc::new(MemoryLog::new(Retention::bytes(max_bytes), system_clock())), ())
    }

    contract_tests!(fresh);
}

mod disk {
    use super::*;

    async fn fresh(max_bytes: u64) -> (Arc<dyn Log>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let medium = FsMedium::open(folder.path()).unwrap();
        let config = DiskConfig { retention: Retention::bytes(max_bytes), ..DiskConfig::default() };
        let (log, _) = DiskLog::open(medium, config).unwrap();
        (Arc::new(log), folder)
    }

    contract_tests!(fresh);
}
