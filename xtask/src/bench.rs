//! Measures the release build beside the floor and others: those numbers are for people, and nothing passes
//! or fails by them. And counts its instructions, which may not grow unseen.

use crate::{
    install::{nchan, valgrind},
    run::{cargo, command, run, target},
};

pub(crate) fn bench(words: &[&str]) -> Result<(), String> {
    nchan()?;
    built(&[&["run", "--commit", &commit()], words].concat())
}

pub(crate) fn count(words: &[&str]) -> Result<(), String> {
    valgrind()?;
    built(&[&["count"], words].concat())
}

/// Builds, and runs the bench's program.
fn built(words: &[&str]) -> Result<(), String> {
    run(&mut cargo(&["build", "--release", "-p", "eventwall", "-p", "eventwall-bench"]))?;
    let release = target().join("release");
    let program = release.join("eventwall-bench").to_string_lossy().into_owned();
    let words = [&[program.as_str()], words].concat();
    run(command(&words).env("EVENTWALL_BIN", release.join("eventwall")))
}

/// What is measured, and whether there is more than was committed.
fn commit() -> String {
    let output = command(&["git", "describe", "--always", "--dirty"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".into())
}
