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
            "max_bytes {}\nwindow {idempotency_window}\nclock {}\n{}\n",
            retention.max_bytes,
            retention.max_clock_step,
            limits(&retention.limits)
        );
        for rule in &retention.rules {
            let (age, events, bytes) = (rule.max_age, rule.max_events, rule.max_bytes);
            let keep = rule.keep.map(keep);
            let _ = writeln!(text, "{}: {age:?} {events:?} {bytes:?} {keep:?}", rule.topics);
        }
        Self(text)
    }
}

fn limits(limits: &Limits) -> String {
    let Limits { max_age, max_events, max_bytes, keep: kept } = limits;
    format!("{max_age:?} {max_events:?} {max_bytes:?} {}", keep(*kept))
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

/// Whether a log was last kept by these; `None` if nobody noted by which.
pub(crate) async fn are_those(state: &dyn State, now: &Noted) -> Result<Option<bool>, StateError> {
    let noted = state.get(KEY).await?;
    Ok(noted.map(|(noted, _)| noted == now.0.as_bytes()))
}
