//! The worst clients, one kind after the other and then all at once, next to a thousand good subscribers
//! and a steady publisher: the good ones lose nothing and are never sent away, memory stays within its
//! bounds, and each attack really was as strong as it says.
//!
//! `EVENTWALL_HOSTILE_SECONDS` is how long each attack lasts (3), and `EVENTWALL_HOSTILE_GOOD` how many
//! good subscribers there are (1,000); `EVENTWALL_HOSTILE_ONLY` is a part of the names of those to run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod attacks;
mod frames;
mod good;
mod ground;

use std::{sync::Arc, time::Duration};

use eventwall_testkit::{Certificate, Server, Setup, allow_files, memory_kib, run};
use tokio::{runtime::Runtime, time::Instant};

use attacks::{Attack, PLAIN, TLS};
use good::Good;
use ground::Ground;

/// What the server may take beyond what it has with the good ones alone, in KiB.
const MEMORY: u64 = 384 * 1024;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn setup() -> Setup {
    // Attackers and good ones have addresses of their own, by the PROXY protocol.
    let trust = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "--allow-anyone"];
    let limits = ["--max-connections", "6000", "--max-all-topics", "20000", "--max-bytes", "64MiB"];
    // Short, so that those who are cut off come again many times.
    let deadlines = ["--header-deadline", "3s", "--body-deadline", "3s", "--write-deadline", "3s"];
    let setup = Setup::default().arg("--window-bytes").arg("8MiB");
    setup.args(trust).args(limits).args(deadlines)
}

/// Runs each attack for a while, then all of them together.
fn campaign(server: &Server, certificate: Option<&Certificate>, attacks: &[Attack]) {
    let only = std::env::var("EVENTWALL_HOSTILE_ONLY").unwrap_or_default();
    let attacks: Vec<_> = attacks.iter().filter(|one| one.name.contains(&only)).collect();
    allow_files(16_000);
    let runtime = Runtime::new().unwrap();
    let each = Duration::from_secs(number("EVENTWALL_HOSTILE_SECONDS", 3));
    let der = certificate.map(Certificate::der);
    runtime.block_on(async {
        let subscribers = number("EVENTWALL_HOSTILE_GOOD", 1000);
        let good = Good::start(server.addr, der.clone(), subscribers).await;
        good.quiet(each).await;
        let before = memory_kib(server.pid());
        let (quiet, _) = good.latency();
        println!("verified: {subscribers} good subscribers alone: {quiet}, {} MiB", before >> 10);
        let ground = || Arc::new(Ground::new(server.addr, der.clone()));
        for attack in &attacks {
            let fought = fight(server, &good, &[(*attack, ground())], each).await;
            println!("verified: {}", fought.told(before));
        }
        let all: Vec<_> = attacks.iter().map(|attack| (*attack, ground())).collect();
        let fought = fight(server, &good, &all, 3 * each).await;
        println!("verified: all at once: {}", fought.told(before));
        good.finish().await;
    });
    // It is as well as ever.
    until_well(server);
}

struct Fought {
    names: String,
    latency: String,
    memory: u64,
}

impl Fought {
    fn told(&self, before: u64) -> String {
        let grown = self.memory.saturating_sub(before);
        assert!(grown < MEMORY, "{}: {grown} KiB more than before", self.names);
        format!("{}; the good: {}, {} MiB", self.names, self.latency, self.memory >> 10)
    }
}

async fn fight(
    server: &Server,
    good: &Good,
    attacks: &[(&Attack, Arc<Ground>)],
    time: Duration,
) -> Fought {
    good.forget_latency();
    let began = Instant::now();
    let running: Vec<_> = attacks.iter().map(|(attack, ground)| (attack.run)(ground)).collect();
    let mut memory = 0;
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(100)).await;
        memory = memory.max(memory_kib(server.pid()));
        good.check();
    }
    drop(running);
    let seconds = began.elapsed().as_secs_f64();
    // Several at once share what the machine has left.
    let several = f64::from(u32::try_from(attacks.len()).unwrap());
    let share = if attacks.len() == 1 { 1.0 } else { 0.5 / several };
    let names = attacks.iter().map(|(attack, ground)| attack.measured(ground, seconds, share));
    let names = names.collect::<Vec<_>>().join(", ");
    // What is left of it is not to be laid to the next one.
    good.settle().await;
    Fought { names, latency: good.latency().0, memory }
}

fn until_well(server: &Server) {
    eventwall_testkit::until("everybody else is gone", || {
        let mut curl = std::process::Command::new("curl");
        let scheme = if server.greeting.contains("https://") { "https" } else { "http" };
        let url = format!("{scheme}://{}/metrics", server.addr);
        // From another address than the proxy's.
        let (_, text, _) = run(curl.args(["-sk", "--interface", "127.0.0.7", "--http1.1", &url]));
        text.contains("eventwall_connections 1\n") && text.contains("eventwall_subscribers 0\n")
    });
}

#[test]
fn hostile_clients_harm_nobody_else() {
    let server = setup().start();
    campaign(&server, None, PLAIN);
}

#[test]
fn nor_do_they_through_tls() {
    let certificate = Certificate::new();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let files = [path(certificate.file()), path(certificate.key())];
    let setup = setup().args(["--tls-cert", &files[0], "--tls-key", &files[1]]);
    let server = setup.arg("--handshake-deadline").arg("3s").start();
    campaign(&server, Some(&certificate), TLS);
}
