//! The settings file: its keys are the flags, and what it says takes the place of their defaults.

use std::path::Path;

use clap::{Command, builder::Resettable};
use toml::{Table, Value};

use super::{declared, in_file, is_key};
use crate::failure::Failure;

/// The key of the table of retention by topic.
pub(super) const RETENTION: &str = "retention";

pub(super) fn read(path: &Path) -> Result<Table, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| in_file(path, error))?;
    text.parse().map_err(|error: toml::de::Error| in_file(path, error.to_string().trim_end()))
}

/// The command with the file's values as defaults, each checked as the flag would be.
pub(super) fn with_defaults(
    mut command: Command,
    path: &Path,
    file: &Table,
) -> Result<Command, Failure> {
    for (key, value) in file.iter().filter(|(key, _)| *key != RETENTION) {
        if !keys().iter().any(|known| known == key) {
            return Err(in_file(path, unknown(key)));
        }
        let values = values(value).ok_or_else(|| {
            in_file(path, format!("`{key}` must be text, a number, true or false, or a list"))
        })?;
        check(key, &values).map_err(|why| in_file(path, why))?;
        command = with_default(command, key, &values);
        command = command.mut_subcommand("serve", |serve| with_default(serve, key, &values));
        command = command.mut_subcommand("log", |log| {
            log.mut_subcommand("compact", |compact| with_default(compact, key, &values))
        });
    }
    Ok(command)
}

/// The command with a default for an argument, if it has it.
fn with_default(command: Command, key: &str, values: &[String]) -> Command {
    let has = command.get_arguments().any(|arg| arg.get_id() == key);
    let values = values.to_vec();
    if has { command.mut_arg(key, |arg| arg.default_values(values)) } else { command }
}

/// Every key, in the order of the help.
fn keys() -> Vec<String> {
    let command = declared();
    let ids = command.get_arguments().map(|arg| arg.get_id().to_string());
    ids.filter(|id| is_key(id)).collect()
}

fn unknown(key: &str) -> String {
    let near = keys().into_iter().min_by_key(|known| distance(known, key));
    let near = near.filter(|known| distance(known, key) <= 3);
    let hint = near.map_or_else(String::new, |known| format!(" (did you mean `{known}`?)"));
    format!("there is no setting `{key}`{hint}; `eventwall config` prints them all")
}

/// How many letters two words differ by.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A value as it would be typed.
fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Boolean(yes) => Some(vec![yes.to_string()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// What the flag would say to these values.
fn check(key: &str, values: &[String]) -> Result<(), String> {
    // The environment is none of the file's business.
    let command = declared().mut_args(|arg| arg.env(Resettable::Reset));
    let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == key) else { return Ok(()) };
    if !arg.get_action().takes_values() {
        let plain = matches!(values, [one] if one == "true" || one == "false");
        return if plain { Ok(()) } else { Err(format!("`{key}` is true or false")) };
    }
    if values.len() != 1 && arg.get_value_delimiter().is_none() {
        return Err(format!("`{key}` takes one value, not a list"));
    }
    let flag = format!("--{}", key.replace('_', "-"));
    let words = values.iter().map(|value| format!("{flag}={value}"));
    let words = std::iter::once("eventwall".to_owned()).chain(words);
    let parsed = command.try_get_matches_from(words).map(drop);
    parsed.map_err(|error| format!("`{key}`: {}", said(&error)))
}

/// Clap's words without its advice on flags.
fn said(error: &clap::Error) -> String {
    let text = error.to_string();
    let advice = |line: &&str| !line.starts_with("For more information") && !line.is_empty();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(advice).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}
