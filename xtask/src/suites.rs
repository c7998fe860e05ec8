//! The suites, each with the time that it may take on two cores. A suite that is over its time
//! is told, not failed: machines differ.

use std::time::{Duration, Instant};

use crate::{
    counts::Counts,
    fuzz::fuzz,
    install::install,
    run::{binary, cargo, command, root, run, run_counted},
};

struct Suite {
    name: &'static str,
    minutes: u64,
    run: fn(&mut Counts) -> Result<(), String>,
}

const SUITES: [Suite; 8] = [
    Suite { name: "build", minutes: 12, run: build },
    Suite { name: "rust", minutes: 6, run: rust },
    Suite { name: "clients", minutes: 3, run: clients },
    Suite { name: "browsers", minutes: 12, run: browsers },
    Suite { name: "crash", minutes: 4, run: crash },
    Suite { name: "cluster", minutes: 6, run: cluster },
    Suite { name: "proxies", minutes: 4, run: proxies },
    Suite { name: "hostile", minutes: 7, run: hostile },
];

/// Runs the named suites, or all; ends with the number of tests.
pub(crate) fn test(names: &[&str]) -> Result<(), String> {
    let known = |name: &&&str| !SUITES.iter().any(|suite| suite.name == **name);
    if let Some(unknown) = names.iter().find(known) {
        return Err(format!(
            "there is no suite `{unknown}`: {}",
            SUITES.map(|suite| suite.name).join(", ")
        ));
    }
    install()?;
    let (mut counts, mut failures, mut table) = (Counts::default(), Vec::new(), String::new());
    for suite in SUITES.iter().filter(|suite| names.is_empty() || names.contains(&suite.name)) {
        let began = Instant::now();
        let outcome = (suite.run)(&mut counts);
        table += &row(suite, began.elapsed(), outcome.is_ok());
        failures.extend(outcome.err());
    }
    println!("\n{table}");
    failures.iter().for_each(|failure| println!("{failure}"));
    let failed = counts.failed.max(failures.len() as u64);
    println!("{} passed, {failed} failed, {} skipped", counts.passed, counts.skipped);
    if failures.is_empty() { Ok(()) } else { Err("not everything passed".into()) }
}

fn row(suite: &Suite, took: Duration, ok: bool) -> String {
    let budget = Duration::from_secs(60 * suite.minutes);
    let note = if took > budget { "  OVER ITS BUDGET" } else { "" };
    let outcome = if ok { "ok" } else { "FAILED" };
    let (name, took) = (suite.name, took.as_secs_f64() / 60.0);
    format!("{name:<10}{outcome:<8}{took:>5.1} min of {}{note}\n", suite.minutes)
}

/// Everything builds, and nothing that a tool can notice is wrong.
fn build(_: &mut Counts) -> Result<(), String> {
    run(&mut cargo(&["fmt", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    run(&mut cargo(&["test", "--workspace", "--no-run"]))?;
    run(&mut command(&["npm", "run", "--silent", "check"]))?;
    build_binary()
}

pub(crate) fn build_binary() -> Result<(), String> {
    run(&mut cargo(&["build", "--package", "eventwall"]))
}

fn rust(counts: &mut Counts) -> Result<(), String> {
    build_binary()?;
    run_counted(
        &mut cargo(&["test", "--workspace", "--exclude", "eventwall-e2e", "--no-fail-fast"]),
        counts,
    )?;
    let outside = outside_tests()?;
    let mut words = vec!["test", "--package", "eventwall-e2e", "--no-fail-fast"];
    words.extend(outside.iter().flat_map(|name| ["--test", name]));
    run_counted(cargo(&words).env("EVENTWALL_BIN", binary()), counts)
}

/// Tests of a suite of their own: a server that dies, sleeps or loses its clock.
const CRASHES: [&str; 3] = ["crash", "kill_points", "time"];

/// Nodes that share a log in NATS.
const CLUSTERS: [&str; 4] = ["cluster", "nodes", "streams", "cluster_load"];

/// Behind other people's proxies.
const PROXIES: [&str; 1] = ["proxies"];

/// Of each fuzz target.
const FUZZ_SECONDS: u64 = 3;

/// Attacked, with users inside.
const HOSTILE: [&str; 1] = ["hostile"];

/// Every file of tests from outside, but those.
fn outside_tests() -> Result<Vec<String>, String> {
    let files = std::fs::read_dir(root().join("e2e/tests")).map_err(|error| error.to_string())?;
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let names = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
    let others = [&CRASHES[..], &CLUSTERS, &PROXIES, &HOSTILE].concat();
    Ok(names.filter(|name| !others.contains(&&**name)).collect())
}

/// Other people's clients, outside of browsers.
fn clients(counts: &mut Counts) -> Result<(), String> {
    node_tests("test:clients", counts)
}

fn browsers(counts: &mut Counts) -> Result<(), String> {
    node_tests("test:browsers", counts)
}

fn node_tests(script: &str, counts: &mut Counts) -> Result<(), String> {
    build_binary()?;
    let mut npm = command(&["npm", "run", "--silent", script]);
    run_counted(npm.env("EVENTWALL_BIN", binary()), counts)
}

fn crash(counts: &mut Counts) -> Result<(), String> {
    told_outside(&CRASHES, counts)
}

fn cluster(counts: &mut Counts) -> Result<(), String> {
    told_outside(&CLUSTERS, counts)
}

fn proxies(counts: &mut Counts) -> Result<(), String> {
    told_outside(&PROXIES, counts)
}

fn hostile(counts: &mut Counts) -> Result<(), String> {
    fuzz(FUZZ_SECONDS, counts)?;
    // One server is attacked at a time.
    told_outside_by(&HOSTILE, &["--test-threads", "1"], counts)
}

/// Tests from outside that say what they do.
fn told_outside(names: &[&str], counts: &mut Counts) -> Result<(), String> {
    told_outside_by(names, &[], counts)
}

fn told_outside_by(names: &[&str], how: &[&str], counts: &mut Counts) -> Result<(), String> {
    build_binary()?;
    let mut words = vec!["test", "--package", "eventwall-e2e", "--no-fail-fast"];
    words.extend(names.iter().flat_map(|name| ["--test", name]));
    words.extend(["--", "--nocapture"]);
    words.extend(how);
    run_counted(cargo(&words).env("EVENTWALL_BIN", binary()), counts)
}

/// Runs the simulator with these words: see its own help.
pub(crate) fn simulate(words: &[&str]) -> Result<(), String> {
    let example = ["run", "--release", "--quiet", "--package", "eventwall-hub", "--features"];
    let example = [&example[..], &["simulator", "--example", "simulate", "--"], words].concat();
    run(&mut cargo(&example))
}

pub(crate) fn screenshots() -> Result<(), String> {
    install()?;
    build_binary()?;
    run(command(&["npm", "run", "--silent", "screenshots"]).env("EVENTWALL_BIN", binary()))
}

pub(crate) fn audit() -> Result<(), String> {
    run(&mut cargo(&["deny", "check", "licenses", "bans", "sources"]))
        .map_err(|why| format!("{why}; it needs `cargo install cargo-deny --locked`"))
}
