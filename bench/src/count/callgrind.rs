//! Runs a program under callgrind, and says how many instructions it took.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The same command, under callgrind, which writes its counts to `out`.
pub(super) fn under(command: &Command, out: &Path) -> Command {
    let mut wrapped = Command::new("valgrind");
    wrapped.args(["--tool=callgrind", "--quiet"]);
    wrapped.arg(format!("--callgrind-out-file={}", out.display()));
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// How many instructions a program took from its beginning to its end.
pub(super) fn count(command: &Command) -> anyhow::Result<f64> {
    let out = tempfile::NamedTempFile::new()?;
    let output = under(command, out.path()).stdin(Stdio::null()).output();
    let output = output.context("valgrind cannot be started: install it")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    counted(out.path())
}

/// What a run that has ended wrote.
pub(super) fn counted(out: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(out)?;
    let total = |line: &str| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.trim().parse::<u64>().ok()
    };
    let total = text.lines().find_map(total).context("callgrind wrote no totals")?;
    Ok(total as f64)
}
