//! Where a request asks to start. The first spelling that is there wins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eventwall_hub::Start;
use eventwall_log::{EventId, Millis};
use http::{HeaderMap, HeaderName};

use crate::{App, Problem, query::Query};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The spellings that polyfills append to the URL.
const POLYFILLS: [&str; 3] = ["lastEventId", "lastEventID", "last_event_id"];

/// What a request says of its start.
pub(super) fn start(app: &App, query: &Query<'_>, headers: &HeaderMap) -> Result<Start, Problem> {
    let header = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty());
    if let Some(id) = header {
        return Ok(resume(&String::from_utf8_lossy(id.as_bytes())));
    }
    if let Some(id) = query.last_lossy(&POLYFILLS) {
        return Ok(resume(&id));
    }
    if let Some(after) = query.last("after")? {
        return Ok(Start::After(event_id("after", &after)?));
    }
    if let Some(since) = query.last("since")? {
        return Ok(Start::Since(since_time(&since)?));
    }
    let last = query.number("last", app.hub.max_start_events())?;
    Ok(last.map_or(Start::Now, Start::Last))
}

/// No id of any hub is longer; what is cut of one that is nobody's is not told back.
const LONGEST_ID: usize = 128;

fn resume(id: &str) -> Start {
    Start::Resume(id.chars().take(LONGEST_ID).collect())
}

/// An RFC 3339 time, or a duration before now such as `10m`.
fn since_time(text: &str) -> Result<Millis, Problem> {
    let time = rfc3339(text).or_else(|| {
        let ago = humantime::parse_duration(text).ok()?;
        Some(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH))
    });
    let time = time.ok_or_else(|| {
        let detail = format!(
            "`since` must be a time like 2026-01-31T12:00:00Z or a duration like 10m, not {text:?}"
        );
        Problem::bad_request(detail)
    })?;
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX))
}

/// A time in any of its spellings: with an offset from UTC too, and in lower case.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (east, offset) = match offset.split_at_checked(1)? {
        ("+", offset) => (true, offset),
        ("-", offset) => (false, offset),
        _ => return humantime::parse_rfc3339(&text).ok(),
    };
    let (hours, minutes) = offset.split_once(':')?;
    let number = |text: &str, max: u64| -> Option<u64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= max)
    };
    let offset = Duration::from_secs(60 * (60 * number(hours, 23)? + number(minutes, 59)?));
    let time = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    if east { time.checked_sub(offset) } else { time.checked_add(offset) }
}

pub(super) fn event_id(name: &str, text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("`{name}`: {error}")))
}
