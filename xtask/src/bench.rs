//! Measures the release build beside the floor and others. The numbers are for people: nothing passes or
//! fails by them.

use crate::{
    install::nchan,
    run::{cargo, command, run, target},
};

pub(crate) fn bench(words: &[&str]) -> Result<(), String> {
    nchan()?;
    run(&mut cargo(&["build", "--release", "-p", "eventwall", "-p", "eventwall-bench"]))?;
    let release = target().join("release");
    let program = release.join("eventwall-bench").to_string_lossy().into_owned();
    let commit = commit();
    let words = [&[program.as_str(), "run", "--commit", &commit], words].concat();
    run(command(&words).env("EVENTWALL_BIN", release.join("eventwall")))
}

/// What is measured, and whether there is more than was committed.
fn commit() -> String {
    let output = command(&["git", "describe", "--always", "--dirty"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".into())
}
