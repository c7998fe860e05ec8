//! The log on JetStream against the contract: on the oldest nats-server that is supported, on one that
//! writes batches as one unit, and on a cluster.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use eventwall_jetstream::{JetStreamConfig, JetStreamLog};
use eventwall_log::{Log, Retention, contract_tests};
use eventwall_testkit::{NatsCluster, NatsSetup, NatsVersion};

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Each case has a hub of its own on servers that they share.
async fn hub(servers: &NatsCluster, max_bytes: u64, replicas: usize) -> Arc<dyn Log> {
    let name = format!("hub-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let url = format!("{}?replicas={replicas}", servers.url(&name)).parse().unwrap();
    let config = JetStreamConfig::new(url, Retention::bytes(max_bytes));
    Arc::new(JetStreamLog::open(config).await.unwrap())
}

mod oldest {
    use super::*;

    static SERVERS: LazyLock<NatsCluster> =
        LazyLock::new(|| NatsCluster::start(NatsVersion::Oldest, 1, &NatsSetup::default()));

    async fn fresh(max_bytes: u64) -> (Arc<dyn Log>, ()) {
        (hub(&SERVERS, max_bytes, 1).await, ())
    }

    contract_tests!(fresh);
}

mod newest {
    use super::*;

    static SERVERS: LazyLock<NatsCluster> =
        LazyLock::new(|| NatsCluster::start(NatsVersion::Newest, 1, &NatsSetup::default()));

    async fn fresh(max_bytes: u64) -> (Arc<dyn Log>, ()) {
        (hub(&SERVERS, max_bytes, 1).await, ())
    }

    contract_tests!(fresh);
}

mod cluster {
    use super::*;

    static SERVERS: LazyLock<NatsCluster> =
        LazyLock::new(|| NatsCluster::start(NatsVersion::Newest, 3, &NatsSetup::default()));

    async fn fresh(max_bytes: u64) -> (Arc<dyn Log>, ()) {
        (hub(&SERVERS, max_bytes, 3).await, ())
    }

    contract_tests!(fresh);
}
