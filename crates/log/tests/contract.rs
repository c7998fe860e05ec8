//! Both kinds of log of this crate, against the contract.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;

use eventwall_log::{
    DiskConfig, DiskLog, FileBlobs, FileState, FsMedium, Log, MemoryBlobs, MemoryLog, MemoryState,
    Retention,
    contract::stores::{a_state_keeps_the_contract, blobs_keep_the_contract},
    contract_tests, system_clock,
};

#[tokio::test]
async fn states_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let medium = FsMedium::open(folder.path()).unwrap();
    a_state_keeps_the_contract(&FileState::new(medium)).await;
    a_state_keeps_the_contract(&MemoryState::default()).await;
}

#[tokio::test]
async fn blobs_keep_their_contract() {
    let folder = tempfile::tempdir().unwrap();
    blobs_keep_the_contract(&FileBlobs::open(&folder.path().join("blobs")).unwrap()).await;
    blobs_keep_the_contract(&MemoryBlobs::default()).await;
}

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
