//! Sample posts: a file of `text/event-stream` blocks, the format that `eventwall replay`
//! reads, and the player that brings them to a wall one at a time.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::extract::State;
use eventwall_hub::{Hub, check_event_name, normalize_data};
use eventwall_log::{AppendError, AppendOptions, Budget, NewEvent, Topic};
use eventwall_server::{Problem, append_problem};
use eventwall_sse::{Decoder, Item};
use http::{HeaderMap, StatusCode, Uri};
use rand::RngExt as _;
use tokio::{task::JoinHandle, time::sleep};

use crate::{Wall, posts::same_origin, wall_of};

/// Walls that play samples at once.
const MAX_PLAYERS: usize = 16;
/// Between two samples started by a visitor, who is watching.
const VISITOR_PACE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(4);

/// One post of a sample file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The event's name; none for a status.
    pub event: Option<Box<str>>,
    /// Its data.
    pub data: String,
}

/// A file that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// An event's name cannot be published.
    #[error("post {number}: {reason}")]
    Name {
        /// Which post, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
    /// There is nothing in it.
    #[error("there is no post in it: write `data: hello` and an empty line")]
    Empty,
}

/// Reads a file of `text/event-stream` blocks. A last block needs no blank line.
///
/// # Errors
/// If it has no posts, or one that cannot be published.
pub fn parse_samples(file: &[u8]) -> Result<Vec<Sample>, SampleError> {
    let mut events = Vec::new();
    let mut decoder = Decoder::new();
    for piece in [file, b"\n\n"] {
        decoder.feed(piece, |item| {
            if let Item::Event(event) = item {
                events.push(event);
            }
        });
    }
    let samples = events.into_iter().enumerate().map(|(i, event)| {
        let name = check_event_name(&event.event);
        let name = name.map_err(|e| SampleError::Name { number: i + 1, reason: e.to_string() })?;
        Ok(Sample { event: name, data: normalize_data(&event.data).into_owned() })
    });
    let samples = samples.collect::<Result<Vec<_>, _>>()?;
    if samples.is_empty() { Err(SampleError::Empty) } else { Ok(samples) }
}

/// The sample posts that come with Eventwall, of all kinds.
#[must_use]
pub fn sample_posts() -> Vec<Sample> {
    parse_samples(include_bytes!("../samples/lobby.sse")).unwrap_or_default()
}

/// Publishes samples one at a time, the first at once, then with a random pause out of
/// `pace` between them.
///
/// # Errors
/// If the log takes no more events.
pub async fn play(
    hub: &Hub,
    topic: &Topic,
    samples: impl IntoIterator<Item = Sample>,
    pace: RangeInclusive<Duration>,
) -> Result<(), AppendError> {
    for (i, sample) in samples.into_iter().enumerate() {
        if i > 0 {
            let pause = rand::rng().random_range(pace.clone());
            sleep(pause).await;
        }
        let mut event = NewEvent::new(topic.clone(), sample.data);
        event.event = sample.event;
        hub.publish(event.into(), AppendOptions::default()).await?;
    }
    Ok(())
}

/// The walls that are playing; dropping it stops them.
#[derive(Debug, Default)]
pub(crate) struct Players(Mutex<HashMap<Topic, JoinHandle<()>>>);

impl Players {
    fn start(&self, wall: &Arc<Wall>, topic: Topic) -> Result<(), Problem> {
        let mut playing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        playing.retain(|_, player| !player.is_finished());
        if playing.contains_key(&topic) {
            return Err(conflict(
                "sample posts are already playing on this wall: watch them arrive",
            ));
        }
        if playing.len() >= MAX_PLAYERS {
            return Err(conflict("too many walls are playing sample posts: try again in a minute"));
        }
        // Not the wall itself: it owns the player.
        let (app, wanted) = (wall.app.clone(), topic.clone());
        let player = tokio::spawn(async move {
            tokio::select! {
                () = app.drain.draining() => {}
                played = play(&app.hub, &wanted, sample_posts(), VISITOR_PACE) => {
                    if let Err(error) = played {
                        tracing::warn!(%error, "the sample posts stopped");
                    }
                }
            }
        });
        playing.insert(topic, player);
        Ok(())
    }
}

impl Drop for Players {
    fn drop(&mut self) {
        let playing = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        playing.values().for_each(JoinHandle::abort);
    }
}

/// `POST /walls/{wall}/samples`: fills an empty wall, and no other.
pub(crate) async fn start(
    State(wall): State<Arc<Wall>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (_, topic) = wall_of(&uri)?;
    same_origin(&headers)?;
    wall.app.settings().access.check_whole("playing samples")?;
    wall.app.hub.health().map_err(|reason| append_problem(&AppendError::Stopped { reason }))?;
    let any = wall.app.hub.log().read_back(&topic, None, Budget::events(1)).await;
    let any = any.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    if !any.events.is_empty() {
        return Err(conflict("this wall has posts already: sample posts are for an empty one"));
    }
    wall.players.start(&wall, topic)?;
    Ok(StatusCode::ACCEPTED)
}

fn conflict(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_samples_are_posts_of_all_kinds() {
        let samples = sample_posts();
        assert!(samples.len() >= 20);
        for kind in [None, Some("checkin"), Some("forward"), Some("direct")] {
            assert!(samples.iter().any(|sample| sample.event.as_deref() == kind), "{kind:?}");
        }
        for sample in samples {
            let post: serde_json::Value = serde_json::from_str(&sample.data).unwrap();
            let has = |field: &str| post[field].as_str().is_some_and(|text| !text.is_empty());
            let shape = match sample.event.as_deref() {
                Some("checkin") => has("place"),
                Some("forward") => has("through") && has("msg"),
                _ => has("msg"),
            };
            assert!(shape && has("from"), "{}", sample.data);
        }
    }

    #[test]
    fn files_of_people() {
        let one = parse_samples(b"data: hello").unwrap();
        assert_eq!(one, [Sample { event: None, data: "hello".into() }]);
        assert_eq!(parse_samples(b": nothing\n\n"), Err(SampleError::Empty));
        let bad = parse_samples(b"data: x\n\nevent: eventwall:tick\ndata: x\n\n").unwrap_err();
        assert!(bad.to_string().starts_with("post 2: "));
    }
}
