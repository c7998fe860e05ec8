//! Writes a settings file to begin with, from the declaration of the flags.

use std::fmt::Write as _;

use clap::Arg;

use super::{declared, is_key};

const WIDTH: usize = 92;

const INTRODUCTION: &str = "\
# Settings of an Eventwall server. Flags come first, then EVENTWALL_… variables, then this file.
# Every key is here with its default (`data` and `tls_…` with an example); take away the # to change one.
# Tables, which begin with [[, come last.
# SIGHUP makes a running server read it again; what needs a restart is said in its log.
";

const RETENTION: &str = r#"
# What is kept of some topics: the first table whose topics fit overrides, key by key, what is
# set above. `topics` is a topic or a pattern (`*` is one whole segment, a last `**` the rest).
# What is not named stays as it is; "none" is no limit. Here max_bytes and max_events are of each
# topic; above, max_bytes is of the whole log.
#
# [[retention]]
# topics = "chat/**"
# max_age = "7d"          # events older than this go
# max_events = 1000       # the newest so many of each topic stay
# max_bytes = "10MiB"     # of each topic
#
# [[retention]]
# topics = "lamps/*"
# keep = "latest"         # a state: only the latest event of each topic is kept
"#;

/// The file's text.
pub(crate) fn sample() -> String {
    let command = declared();
    let mut text = INTRODUCTION.to_owned();
    for arg in command.get_arguments().filter(|arg| is_key(arg.get_id().as_str())) {
        write_key(&mut text, arg);
    }
    text + RETENTION
}

fn write_key(text: &mut String, arg: &Arg) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    text.push('\n');
    for line in wrapped(&help.replace('\n', " ")) {
        let _ = writeln!(text, "# {line}");
    }
    let (flag, env) = (arg.get_long().unwrap_or_default(), arg.get_env().unwrap_or_default());
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("{:?}", value.get_name())).collect();
    if !choices.is_empty() && arg.get_action().takes_values() {
        let _ = writeln!(text, "# One of {}.", choices.join(", "));
    }
    let _ = writeln!(text, "# (--{flag}, {})", env.to_string_lossy());
    let _ = writeln!(text, "# {} = {}", arg.get_id(), value(arg));
}

/// The default, or an example where there is none.
fn value(arg: &Arg) -> String {
    let default = arg.get_default_values().first().map(|value| value.to_string_lossy());
    match default {
        _ if !arg.get_action().takes_values() => "false".into(),
        Some(number) if number.parse::<u64>().is_ok() => number.into(),
        Some(text) => format!("{text:?}"),
        None if arg.get_value_delimiter().is_some() => "[]".into(),
        None if arg.get_id() == "store" => "\"disk\"".into(),
        None if arg.get_id() == "tls_cert" => "\"/etc/eventwall/fullchain.pem\"".into(),
        None if arg.get_id() == "tls_key" => "\"/etc/eventwall/key.pem\"".into(),
        None => "\"/var/lib/eventwall\"".into(),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = lines.last().is_some_and(|line| line.len() + word.len() < WIDTH);
        match lines.last_mut().filter(|_| room) {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With every key uncommented it still says what no file at all says.
    #[test]
    fn the_sample_is_the_default() {
        let mut bare = String::new();
        for line in sample().lines() {
            let key = line.strip_prefix("# ").filter(|line| {
                line.contains(" = ") && !line.starts_with("data") && !line.starts_with("tls")
            });
            let _ = writeln!(bare, "{}", key.unwrap_or(line));
        }
        let bare = bare.split("\n# What is kept of some").next().unwrap().to_owned();
        let file: toml::Table = bare.parse().unwrap_or_else(|error| panic!("{error}{bare}"));
        assert!(file.len() > 20, "{bare}");
        let path = std::path::Path::new("sample.toml");
        let command = super::super::file::with_defaults(declared(), path, &file).unwrap();
        command.debug_assert();
    }
}
