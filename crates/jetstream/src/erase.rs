//! Erasure: a record on the stream, which every node takes in, then the messages themselves are
//! overwritten and removed.

use bytes::Bytes;
use eventwall_log::{AppendError, Position};

use crate::{
    keeper,
    message::erasure,
    nats::{ACKNOWLEDGE, in_full},
    shared::Shared,
};

/// Positions that one record may name.
const MOST: usize = 10_000;

pub(crate) async fn erase(
    shared: &Shared,
    mut positions: Vec<Position>,
) -> Result<Position, AppendError> {
    if let Some(reason) = shared.trouble() {
        return Err(AppendError::Stopped { reason });
    }
    let end = shared.index().end;
    positions.retain(|position| *position <= end);
    if positions.len() > MOST {
        return Err(AppendError::Unsupported { what: "erase more than 10000 events at once" });
    }
    let payload = Bytes::from(erasure(&positions));
    let unknown = |reason: String| AppendError::OutcomeUnknown { reason };
    let context = &shared.nats.context;
    let sent = context.publish(shared.nats.subjects.erasures.clone(), payload).await;
    let acknowledged = async { sent?.await };
    let ack = tokio::time::timeout(ACKNOWLEDGE, acknowledged).await;
    let ack = ack.map_err(|_| unknown("NATS did not acknowledge it in time".into()))?;
    let seq = ack.map_err(|error| unknown(in_full(&error)))?.sequence;
    shared.reach(seq).await.map_err(unknown)?;
    for position in positions {
        // If this fails, the keeper comes to it.
        if let Err(why) = keeper::delete(shared, position).await {
            tracing::warn!(why, "an erased event could not be removed from NATS yet");
            break;
        }
    }
    let index = shared.index();
    Ok(index.runs.position(seq))
}
