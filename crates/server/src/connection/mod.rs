//! A connection, from the accept to its end:
//!
//! * `accept` takes connections, refuses when full, and goes down in order.
//! * `open` finds out who is there and how they speak: `proxy_protocol`, `tls`, and the first bytes,
//!   which `rewind` puts back.
//! * `drive` has it served within its deadlines: HTTP/1.1 by hyper, HTTP/2 by `http2`.
//! * `detach` takes a stream's socket back from hyper, for `delivery`.
//! * `answer` is what every request passes before the router and after it.

mod accept;
mod answer;
mod deadline;
mod detach;
mod drive;
mod http2;
mod open;
pub(crate) mod proxy_protocol;
mod rewind;
mod subscribed;
mod tls;

pub use accept::{Listener, serve};
pub(crate) use detach::{Detachable, Stream};
pub(crate) use subscribed::{On, Share, Size};
pub use tls::{Tls, TlsError};
