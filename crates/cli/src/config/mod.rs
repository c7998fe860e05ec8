//! From what was typed to what holds: flags first, then the environment, then the settings file,
//! then defaults. `file` reads the file, `sample` writes one to begin with, `retention` is its
//! only table, and `units` is how numbers are written.

mod file;
pub(crate) mod retention;
mod sample;
pub(crate) mod units;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, builder::Resettable};
use etcetera::AppStrategy as _;
use eventwall_log::Rule;

pub(crate) use self::sample::sample;
use crate::{args::Cli, failure::Failure, storage::platform};

/// The command line with what the settings file adds to it.
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    /// The file's retention by topic.
    pub(crate) rules: Vec<Rule>,
}

/// Reads the command line, the environment and the settings file. Ends the process as clap does:
/// for `--help`, and for what makes no sense.
pub(crate) fn parse() -> Result<Parsed, Failure> {
    let words: Vec<OsString> = std::env::args_os().collect();
    read(&words).map_err(|error| match error {
        ReadError::Command(error) => error.exit(),
        ReadError::File(failure) => failure,
    })
}

/// Reads all of it once more, for a server that runs.
pub(crate) fn parse_again() -> Result<Parsed, Failure> {
    let words: Vec<OsString> = std::env::args_os().collect();
    read(&words).map_err(|error| match error {
        ReadError::Command(error) => Failure::usage(error.to_string()),
        ReadError::File(failure) => failure,
    })
}

enum ReadError {
    Command(clap::Error),
    File(Failure),
}

fn read(words: &[OsString]) -> Result<Parsed, ReadError> {
    let mut command = declared();
    let mut rules = Vec::new();
    if let Some(path) = settings_file(words) {
        let file = file::read(&path).map_err(ReadError::File)?;
        command = file::with_defaults(command, &path, &file).map_err(ReadError::File)?;
        rules = retention::rules(&path, &file).map_err(ReadError::File)?;
    }
    let matches = command.try_get_matches_from(words).map_err(ReadError::Command)?;
    let cli = Cli::from_arg_matches(&matches).map_err(ReadError::Command)?;
    Ok(Parsed { cli, rules })
}

/// The file that is named, or the platform's if it is there. Only a server has one, and what does
/// a server's work.
fn settings_file(words: &[OsString]) -> Option<PathBuf> {
    // Not told apart from the rest yet: errors are for the real parsing.
    let matches = declared().ignore_errors(true).try_get_matches_from(words).ok()?;
    let named = |matches: &ArgMatches| matches.get_one::<PathBuf>("config").cloned();
    let named = match matches.subcommand() {
        None => named(&matches),
        Some(("serve", serve)) => named(serve),
        Some(("log", log)) => match log.subcommand() {
            Some(("compact" | "copy", verb)) => named(verb),
            _ => return None,
        },
        Some(_) => return None,
    };
    named.or_else(|| platform_file().filter(|file| file.is_file()))
}

/// Where this platform keeps a program's settings; `XDG_CONFIG_HOME` has its say.
fn platform_file() -> Option<PathBuf> {
    platform().map(|folders| folders.config_dir().join("eventwall.toml"))
}

/// The declaration of the server's settings.
fn declared() -> Command {
    without_empty(Cli::command())
}

/// A variable that is set to nothing is not set.
fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let empty = arg
            .get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
        if empty { arg.env(Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty)
}

/// A key of the file, if it is one.
fn is_key(id: &str) -> bool {
    !matches!(id, "config" | "help" | "version")
}

fn in_file(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {what}", path.display()))
}
