//! By which limits a log was last kept, noted beside it: so that nobody else removes, by other limits,
//! what its server would have kept.

use eventwall_log::{Retention, State, StateError};

const KEY: &str = "limits";

/// A server keeps the log by these from now on.
pub(crate) async fn note(state: &dyn State, retention: &Retention) -> Result<(), StateError> {
    let (before, text) = (state.get(KEY).await?, text(retention));
    let (old, revision) = before.unwrap_or_default();
    if old != text.as_bytes() {
        state.put(KEY, text.into_bytes(), revision).await?;
    }
    Ok(())
}

/// Whether a log was last kept by these; also if nobody knows.
pub(crate) async fn are_those(
    state: &dyn State,
    retention: &Retention,
) -> Result<bool, StateError> {
    let noted = state.get(KEY).await?;
    Ok(noted.is_none_or(|(noted, _)| noted == text(retention).as_bytes()))
}

fn text(retention: &Retention) -> String {
    format!("{retention:?}")
}
