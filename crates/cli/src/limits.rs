//! By which limits a log was last kept, noted beside it: so that nobody else removes, by other limits,
//! what its server would have kept.

use std::fmt::Write as _;

use eventwall_log::{Keep, Limits, Millis, Retention, State, StateError};

const KEY: &str = "limits";

/// All that says what may be removed of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted(String);

impl Noted {
    pub(crate) fn new(retention: &Retention, idempotency_window: Millis) -> Self {
        let mut text = format!(
            "max_bytes {}\nidempotency_window {idempotency_window} ms\nmax_clock_step {} ms\n",
            retention.max_bytes, retention.max_clock_step,
        );
        let Limits { max_age, max_events, max_bytes: _, keep: kept } = retention.limits;
        let _ = writeln!(text, "max_age {} ms", some(max_age));
        let _ = writeln!(text, "max_events_per_topic {}", some(max_events));
        let _ = writeln!(text, "keep {}", keep(kept));
        for rule in &retention.rules {
            let _ = write!(text, "retention of {}:", rule.topics);
            let numbers = [
                ("max_age", rule.max_age),
                ("max_events", rule.max_events),
                ("max_bytes", rule.max_bytes),
            ];
            for (name, number) in numbers {
                let _ = number.map(|number| write!(text, " {name} {}", some(number)));
            }
            let _ = rule.keep.map(|kept| write!(text, " keep {}", keep(kept)));
            text.push('\n');
        }
        Self(text)
    }
}

fn some(number: Option<u64>) -> String {
    number.map_or_else(|| "none".into(), |number| number.to_string())
}

fn keep(keep: Keep) -> &'static str {
    match keep {
        Keep::All => "all",
        Keep::Latest => "latest",
    }
}

/// A server keeps the log by these from now on.
pub(crate) async fn note(state: &dyn State, now: &Noted) -> Result<(), StateError> {
    let (old, revision) = state.get(KEY).await?.unwrap_or_default();
    if old != now.0.as_bytes() {
        state.put(KEY, now.0.clone().into_bytes(), revision).await?;
    }
    Ok(())
}

/// The limits by which a log was last kept, beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nobody noted them.
    Unknown,
    Same,
    /// What only those say, and what only the others.
    Otherwise(String, String),
}

/// Compares the limits by which a log was last kept with these.
pub(crate) async fn compare(state: &dyn State, these: &Noted) -> Result<Kept, StateError> {
    let Some((noted, _)) = state.get(KEY).await? else { return Ok(Kept::Unknown) };
    let noted = String::from_utf8_lossy(&noted);
    if noted == these.0 {
        return Ok(Kept::Same);
    }
    Ok(Kept::Otherwise(only_in(&noted, &these.0), only_in(&these.0, &noted)))
}

/// The lines of one that the other does not have.
fn only_in(one: &str, other: &str) -> String {
    let lines: Vec<&str> =
        one.lines().filter(|line| !other.lines().any(|known| known == *line)).collect();
    // The first rule that fits a topic counts, so their order matters.
    if lines.is_empty() { "in another order".into() } else { lines.join("; ") }
}
