//! Request bodies, taken in whole: bounded each, bounded together, and in time.

use std::{ops::Deref, sync::Arc};

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{App, Problem};

/// A whole body. Its share of the room for bodies is free again when it is dropped.
#[derive(Debug)]
pub struct Collected {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Deref for Collected {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// A request's whole body, within the limits on an event's size and time.
///
/// # Errors
/// `413`, `408`, `503` if all bodies together are too large, or `400` if the client broke off.
pub async fn collect_body(body: Body, app: &App) -> Result<Collected, Problem> {
    let advice = "publish a smaller event (the server's `max_body`)";
    collect_up_to(body, app, (app.settings().limits.body_bytes, advice)).await
}

/// As [`collect_body`], with another bound and what to do about it.
pub(crate) async fn collect_up_to(
    body: Body,
    app: &App,
    max: (usize, &str),
) -> Result<Collected, Problem> {
    // Refused before it is sent, if it says how large it is.
    if body.size_hint().lower() > max.0 as u64 {
        return Err(too_large(max));
    }
    let deadline = app.settings().limits.body_deadline;
    let late = |_| {
        let detail = format!("the body took longer than {} s: send it faster", deadline.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    timeout(deadline, collect(body, &app.bodies, max)).await.map_err(late)?
}

async fn collect(
    mut body: Body,
    room: &Arc<Semaphore>,
    max: (usize, &str),
) -> Result<Collected, Problem> {
    let (mut bytes, mut taken) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max.0 {
            return Err(too_large(max));
        }
        take_room(room, &mut taken, bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Collected { bytes: bytes.freeze(), _room: taken })
}

/// The share of a body that is read bit by bit: what of it is held just now.
#[derive(Debug, Default)]
pub(crate) struct HeldRoom(Option<OwnedSemaphorePermit>);

/// So little needs no room.
const LITTLE: usize = 4 * 1024;

impl HeldRoom {
    /// Makes it as large as `bytes`, in whole KiB.
    pub(crate) fn hold(&mut self, app: &App, bytes: usize) -> Result<(), Problem> {
        if bytes <= LITTLE {
            self.0 = None;
            return Ok(());
        }
        if let Some(held) = &mut self.0 {
            let surplus = held.num_permits().saturating_sub(bytes.div_ceil(1024));
            drop(held.split(surplus));
        }
        take_room(&app.bodies, &mut self.0, bytes)
    }
}

/// Makes the share at least `bytes` large, in whole KiB.
fn take_room(
    room: &Arc<Semaphore>,
    taken: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), Problem> {
    let missing =
        bytes.div_ceil(1024) - taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
    if missing == 0 {
        return Ok(());
    }
    let more = room.clone().try_acquire_many_owned(missing).map_err(|_| {
        let detail = "more bodies are being received than the server's `max_all_bodies` allows: try again shortly";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1).counted_as("bodies")
    })?;
    match taken {
        Some(taken) => taken.merge(more),
        None => *taken = Some(more),
    }
    Ok(())
}

fn too_large((max, advice): (usize, &str)) -> Problem {
    let detail = format!("the body is larger than {max} bytes: {advice}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
