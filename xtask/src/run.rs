//! Runs commands in the project's folder, shows what they print, and says what they were.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::counts::Counts;

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    // This crate lies directly beneath it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A command from words. It runs in the project's folder.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or("true"));
    command.args(words.get(1..).unwrap_or_default()).current_dir(root());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = command(&["cargo"]);
    if let Some(cargo) = std::env::var_os("CARGO") {
        command = Command::new(cargo);
        command.current_dir(root());
    }
    command.args(words);
    command
}

/// Runs a command and passes on what it prints; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    announce(command);
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed", shown(command))) }
}

/// Runs a test command, passes on what it prints, and counts its tests.
pub(crate) fn run_counted(command: &mut Command, counts: &mut Counts) -> Result<(), String> {
    run_filtered(command, counts, |_| true)
}

/// As [`run_counted`], but of what it prints passes on what was verified or went wrong.
pub(crate) fn run_told(command: &mut Command, counts: &mut Counts) -> Result<(), String> {
    // From the list of failures on, all of it is of interest.
    let mut failing = false;
    run_filtered(command, counts, |line| {
        failing |= line == "failures:";
        failing || line.contains("verified: ") || line.starts_with("test result: ")
    })
}

fn run_filtered(
    command: &mut Command,
    counts: &mut Counts,
    mut shows: impl FnMut(&str) -> bool,
) -> Result<(), String> {
    announce(command);
    let spawned = command.stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| not_started(command, &error))?;
    let mut found = Counts::default();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(|error| error.to_string())?;
            if shows(&line) {
                println!("{line}");
            }
            found.read(&line);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let what = shown(command);
    let outcome = match (status.success(), found.passed) {
        (true, 0) => Err(format!("`{what}` ran no test")),
        (true, _) => Ok(()),
        (false, _) => Err(format!("`{what}` failed")),
    };
    if outcome.is_err() && found.failed == 0 {
        found.failed = 1;
    }
    counts.add(found);
    outcome
}

/// Whether a program is there.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The binary that tests from outside run.
pub(crate) fn binary() -> PathBuf {
    target().join("debug/eventwall")
}

fn announce(command: &Command) {
    println!("\n$ {}", shown(command));
}

fn not_started(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` could not be started: {error}", shown(command))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
