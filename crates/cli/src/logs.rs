//! Log lines on standard error, as text or as JSON; `RUST_LOG` says how many.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// The NATS client tells of every step of a connection; what matters of it is said in our own words.
const DEFAULT: &str = "info,async_nats=off";

/// From now on what is traced is written.
pub(crate) fn begin(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT.into());
    let lines = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(filter);
    match format {
        LogFormat::Text => {
            lines.with_target(false).with_ansi(stderr().is_terminal()).init();
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
