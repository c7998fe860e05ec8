//! What a hub keeps beside its log, against the contract; and joining a hub that is not as it should be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::LazyLock;

use eventwall_jetstream::{JetStreamConfig, JetStreamLog, OpenError};
use eventwall_log::{
    Keep, Log as _, NewEvent, Retention, Rule,
    contract::stores::{a_state_keeps_the_contract, blobs_keep_the_contract},
};
use eventwall_testkit::{NatsCluster, NatsSetup, NatsVersion};

static OLDEST: LazyLock<NatsCluster> =
    LazyLock::new(|| NatsCluster::start(NatsVersion::Oldest, 1, &NatsSetup::default()));

async fn open(url: &str, retention: Retention) -> Result<JetStreamLog, OpenError> {
    JetStreamLog::open(JetStreamConfig::new(url.parse().unwrap(), retention)).await
}

#[tokio::test]
async fn state_and_blobs_keep_the_contract() {
    let log = open(&OLDEST.url("stores"), Retention::default()).await.unwrap();
    a_state_keeps_the_contract(&log.state()).await;
    blobs_keep_the_contract(&log.blobs()).await;
}

#[tokio::test]
async fn two_nodes_share_state_and_blobs() {
    use eventwall_log::{Blobs as _, State as _};
    let first = open(&OLDEST.url("shared"), Retention::default()).await.unwrap();
    let second = open(&OLDEST.url("shared"), Retention::default()).await.unwrap();
    let revision = first.state().put("a", b"1".to_vec(), 0).await.unwrap();
    assert_eq!(second.state().get("a").await, Ok(Some((b"1".to_vec(), revision))));
    first.blobs().put("b", b"2".to_vec()).await.unwrap();
    assert_eq!(second.blobs().get("b", 10).await, Ok(Some(b"2".to_vec())));
}

fn words(error: &OpenError) -> String {
    error.to_string()
}

#[tokio::test]
async fn nodes_of_other_settings_are_refused_until_they_say_that_they_mean_it() {
    let hub = OLDEST.url("settings");
    let first = open(&hub, Retention::bytes(1 << 20)).await.unwrap();
    first
        .append(NewEvent::new("a".parse().unwrap(), "x").into(), Default::default())
        .await
        .unwrap();
    let other = Retention::bytes(1 << 21);
    let refused = words(&open(&hub, other.clone()).await.unwrap_err());
    assert!(refused.contains("max_bytes is 1048576 there and 2097152 here"), "{refused}");
    assert!(refused.contains("?update=true"), "{refused}");
    let mut states = Retention::bytes(1 << 20);
    let mut rule = Rule::of("state/*".parse().unwrap());
    rule.keep = Some(Keep::Latest);
    states.rules = vec![rule];
    let refused = words(&open(&hub, states).await.unwrap_err());
    assert!(refused.contains("[[retention]]"), "{refused}");
    open(&format!("{hub}?update=true"), other.clone()).await.unwrap();
    open(&hub, other).await.unwrap();
}

#[tokio::test]
async fn replicas_are_what_was_asked_for_or_a_plain_word() {
    let hub = OLDEST.url("replicas");
    let few = words(&open(&format!("{hub}?replicas=3"), Retention::default()).await.unwrap_err());
    assert!(few.contains("fewer than 3 servers that are ready"), "{few}");
    open(&hub, Retention::default()).await.unwrap();
    let other = words(&open(&format!("{hub}?replicas=3"), Retention::default()).await.unwrap_err());
    assert!(other.contains("replicas is 1 there and 3 here"), "{other}");
    let cluster = NatsCluster::start(NatsVersion::Newest, 3, &NatsSetup::default());
    let hub = cluster.url("replicas");
    open(&hub, Retention::default()).await.unwrap();
    let raised =
        open(&format!("{hub}?replicas=3&update=true"), Retention::default()).await.unwrap();
    assert_eq!(raised.extent().await.unwrap().1, 3);
}

#[tokio::test]
async fn keys_outlive_no_event() {
    let mut brief = Retention::default();
    brief.limits.max_age = Some(60_000);
    let refused = words(&open(&OLDEST.url("brief"), brief).await.unwrap_err());
    assert!(refused.contains("lower --idempotency-window to at most 60 s"), "{refused}");
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_left_alone() {
    let client = async_nats::connect(OLDEST.servers[0].addr.to_string()).await.unwrap();
    let config = async_nats::jetstream::stream::Config {
        name: "taken".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(config).await.unwrap();
    let refused = words(&open(&OLDEST.url("taken"), Retention::default()).await.unwrap_err());
    assert!(refused.contains("it is of the subjects orders.>"), "{refused}");
    assert!(refused.contains("name another hub"), "{refused}");
}

#[tokio::test]
async fn without_jetstream_it_says_so() {
    let setup = NatsSetup { no_jetstream: true, ..NatsSetup::default() };
    let plain = NatsCluster::start(NatsVersion::Oldest, 1, &setup);
    eventwall_testkit::until("it listens", || {
        std::net::TcpStream::connect(plain.servers[0].addr).is_ok()
    });
    let refused = words(&open(&plain.url("x"), Retention::default()).await.unwrap_err());
    assert!(refused.contains("start nats-server with -js"), "{refused}");
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let refused = words(&open("nats://127.0.0.1:1", Retention::default()).await.unwrap_err());
    assert!(refused.starts_with("cannot reach NATS at nats://127.0.0.1:1/eventwall"), "{refused}");
}

#[tokio::test]
async fn who_has_to_log_in_does() {
    let settings = "authorization { user: hub, password: secret }\n";
    let guarded = NatsCluster::start_guarded(NatsVersion::Oldest, settings);
    let refused = words(&open(&guarded.url("x"), Retention::default()).await.unwrap_err());
    assert!(refused.contains("authorization"), "{refused}");
    assert!(
        refused.ends_with("check the user and password, creds= or nkey= in its address"),
        "{refused}"
    );
    let url = guarded.url("x").replace("nats://", "nats://hub:secret@");
    open(&url, Retention::default()).await.unwrap();
    let missing = format!("{}?creds=/nowhere/hub.creds", guarded.url("x"));
    let refused = words(&open(&missing, Retention::default()).await.unwrap_err());
    assert!(refused.starts_with("cannot use creds=/nowhere/hub.creds"), "{refused}");
}

fn openssl(folder: &std::path::Path, words: &str) {
    let mut command = std::process::Command::new("openssl");
    let output = command.current_dir(folder).args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Servers that show a certificate of an authority of their own, and want to see one.
#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        folder.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
    );
    for name in ["server", "node"] {
        openssl(
            folder.path(),
            &format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        );
        openssl(
            folder.path(),
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile san"
            ),
        );
    }
    let settings = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    );
    let guarded = NatsCluster::start_guarded(NatsVersion::Newest, &settings);
    let plain = guarded.url("x").replace("nats://", "tls://");
    let strange = words(&open(&plain, Retention::default()).await.unwrap_err());
    assert!(strange.starts_with("cannot reach NATS at tls://"), "{strange}");
    let (ca, cert, key) = (path("ca.pem"), path("node.pem"), path("node.key"));
    let url = format!("{plain}?ca={ca}&cert={cert}&key={key}");
    open(&url, Retention::default()).await.unwrap();
}

#[tokio::test]
async fn nkeys_and_what_is_none() {
    let user = nkeys::KeyPair::new_user();
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("hub.nk");
    std::fs::write(&seed, user.seed().unwrap()).unwrap();
    let settings = format!("authorization {{ users: [{{ nkey: {} }}] }}\n", user.public_key());
    let guarded = NatsCluster::start_guarded(NatsVersion::Oldest, &settings);
    open(&format!("{}?nkey={}", guarded.url("x"), seed.display()), Retention::default())
        .await
        .unwrap();
    std::fs::write(&seed, "no seed").unwrap();
    let url = format!("{}?nkey={}", guarded.url("x"), seed.display());
    let refused = words(&open(&url, Retention::default()).await.unwrap_err());
    assert!(refused.contains("creds= or nkey="), "{refused}");
}
