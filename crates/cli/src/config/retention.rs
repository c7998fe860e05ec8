//! Retention: the general limits from the flags, and the file's `[[retention]]` tables, each for a
//! topic or a pattern.

use std::{fmt::Display, path::Path, str::FromStr};

use eventwall_log::{Keep, Limits, Retention, Rule, TopicMatch};
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    file::RETENTION,
    in_file,
    units::{age, bytes, count, millis},
};
use crate::{
    args::{KeepArg, KeptArgs},
    failure::Failure,
};

/// One table, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    topics: String,
    max_age: Option<Word>,
    max_events: Option<Word>,
    max_bytes: Option<Word>,
    keep: Option<String>,
}

/// A number or a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Number(u64),
    Text(String),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// What the file says of topics.
pub(super) fn rules(path: &Path, file: &Table) -> Result<Vec<Rule>, Failure> {
    let tables = match file.get(RETENTION) {
        None => return Ok(Vec::new()),
        Some(Value::Array(tables)) => tables,
        Some(_) => {
            return Err(in_file(path, "`retention` is a list of tables: write [[retention]]"));
        }
    };
    let number = |(i, table): (usize, &Value)| {
        rule(table).map_err(|why| in_file(path, format!("[[retention]] number {}: {why}", i + 1)))
    };
    tables.iter().enumerate().map(number).collect()
}

fn rule(table: &Value) -> Result<Rule, String> {
    let written: Written =
        table.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut rule = Rule::of(parsed::<TopicMatch>("topics", &written.topics)?);
    rule.max_age = field("max_age", written.max_age.as_ref(), age)?.map(|age| age.map(millis));
    rule.max_events = field("max_events", written.max_events.as_ref(), count)?;
    rule.max_bytes = field("max_bytes", written.max_bytes.as_ref(), bytes_or_none)?;
    rule.keep = match written.keep.as_deref() {
        None => None,
        Some("all") => Some(Keep::All),
        Some("latest") => Some(Keep::Latest),
        Some(other) => return Err(format!("`keep` is \"all\" or \"latest\", not {other:?}")),
    };
    Ok(rule)
}

fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("`{name}`: {why}"))
}

fn field<T>(
    name: &str,
    word: Option<&Word>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let read = |word: &Word| read(&word.text()).map_err(|why| format!("`{name}`: {why}"));
    word.map(read).transpose()
}

fn bytes_or_none(text: &str) -> Result<Option<u64>, String> {
    if text.trim() == "none" { Ok(None) } else { bytes(text).map(Some) }
}

/// All of it together.
pub(crate) fn retention(kept: &KeptArgs, rules: Vec<Rule>) -> Retention {
    Retention {
        max_bytes: kept.max_bytes,
        limits: Limits {
            max_age: kept.max_age.map(millis),
            max_events: kept.max_events_per_topic,
            max_bytes: None,
            keep: match kept.keep {
                KeepArg::All => Keep::All,
                KeepArg::Latest => Keep::Latest,
            },
        },
        rules,
        max_clock_step: millis(kept.max_clock_step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_of(text: &str) -> Result<Vec<Rule>, String> {
        let file: Table = text.parse().unwrap();
        rules(Path::new("x.toml"), &file).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn tables_are_read_in_their_order() {
        let rules = rules_of(
            "[[retention]]\ntopics = 'audit/**'\nmax_age = 'none'\n\
             [[retention]]\ntopics = 'chat/*'\nmax_age = '7d'\nmax_events = 500\nmax_bytes = '1MiB'\n\
             [[retention]]\ntopics = 'lamp'\nkeep = 'latest'\n",
        );
        let rules = rules.unwrap();
        assert_eq!(rules[0].max_age, Some(None));
        assert_eq!(rules[1].max_age, Some(Some(7 * 24 * 3600 * 1000)));
        assert_eq!(
            (rules[1].max_events, rules[1].max_bytes),
            (Some(Some(500)), Some(Some(1 << 20)))
        );
        assert_eq!((rules[2].keep, rules[2].max_events), (Some(Keep::Latest), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("retention = 7", "[[retention]]"),
            ("[[retention]]\nmax_age = '7d'", "topics"),
            ("[[retention]]\ntopics = 'a//b'", "empty segment"),
            ("[[retention]]\ntopics = 'a'\nmax_agee = '7d'", "max_agee"),
            ("[[retention]]\ntopics = 'a'\nmax_age = 'soon'", "`max_age`"),
            ("[[retention]]\ntopics = 'a'\nmax_events = 0", "`max_events`"),
            ("[[retention]]\ntopics = 'a'\nkeep = 'some'", "\\\"all\\\""),
            ("[[retention]]\ntopics = 'a'\n[[retention]]\ntopics = ''", "number 2"),
        ] {
            let error = rules_of(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
