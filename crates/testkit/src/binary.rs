//! The binary under test: the one that `EVENTWALL_BIN` names, or the one of this build, built
//! first so that it is never an old one.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("EVENTWALL_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "eventwall", "--bin", "eventwall"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status();
    assert!(built.unwrap().success(), "the binary does not build");
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().find(|folder| folder.ends_with("deps")).unwrap();
    folder.parent().unwrap().join("eventwall")
}

/// The `eventwall` command, with no settings from outside.
#[must_use]
pub fn eventwall() -> Command {
    let mut command = Command::new(path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENTWALL_") {
            command.env_remove(name);
        }
    }
    // Nor from a settings file of whoever runs the tests.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, standard output, standard error.
#[must_use]
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
