//! The hub between a log and its subscribers. Data flows one way: log → [tail task] →
//! window → cursor → frames.
//!
//! * `window` holds the newest events, framed once; `next` is the one place that decides
//!   what follows a cursor.
//! * [`Follower`] is one subscriber's state machine: no socket, no clock of its own.
//! * [`Subscriber`] is a follower with its hub, for who drives it by steps, with a [`Desk`] that
//!   remembers what others in the same place were given; [`Subscription`] is one for a task to await.
//! * `registry` knows who waits for which topic.
//! * `catch_up` reads the log for those behind the window, and shares what it read.
//! * [`Hub`] ties them to a log; subscribers and pages carry what `next` decides.
//!
//! The hub knows no HTTP, and nothing but ephemeral events reaches a subscriber other than
//! through the log's tail.

mod catch_up;
mod control;
mod cursor;
mod desk;
mod ephemeral;
mod follower;
mod frame;
mod hub;
mod metrics;
mod mutation;
mod next;
mod page;
mod presence;
mod publish;
mod registry;
#[cfg(any(test, feature = "simulator"))]
pub mod simulator;
mod start;
mod subscription;
mod window;

pub use control::{Gap, GapReason, padding_frame, retry_frame};
pub use desk::{Desk, Stretch};
pub use ephemeral::Ephemeral;
pub use follower::{FollowOptions, Follower, Step};
pub use frame::{Form, Framed, rfc3339};
pub use hub::{Hub, HubConfig, Relay};
pub use metrics::HubMetrics;
pub use page::{EventPage, PageLimit};
pub use presence::PRESENCE_LEASE;
pub use publish::{NameError, RESERVED_PREFIX, check_event_name, normalize_data};
pub use registry::{Registration, Waiter};
pub use start::{Start, StartError};
pub use subscription::{FollowError, Read, Subscriber, Subscription};

#[cfg(test)]
mod tests;
