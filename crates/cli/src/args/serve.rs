//! The settings of a server. This one declaration makes the flags, the environment variables, the
//! help, and the keys of the settings file with their comments.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::BoolishValueParser};

use eventwall_jetstream::{StoreUrl, StoreUrlError};

use super::{AccessArgs, LimitArgs};
use crate::{
    address::listen_address,
    config::units::{age, bytes, count, time},
};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "EVENTWALL_LISTEN", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,

    /// The data directory [default: the platform's, such as ~/.local/share/eventwall]
    #[arg(long, value_name = "DIR", env = "EVENTWALL_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// Where events are kept: `disk` is durable, `memory` is gone when the server stops, and
    /// `nats://HOST[:PORT][,HOST…][/HUB][?replicas=3&creds=FILE…]` is a NATS JetStream that many
    /// servers share; docs/operate/cluster.md has its options
    #[arg(long, value_name = "STORE", env = "EVENTWALL_STORE", value_parser = store)]
    pub(crate) store: Option<Store>,

    /// Play sample posts in the lobby, in memory unless --data is given
    #[arg(long, env = "EVENTWALL_DEMO", value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,

    /// The settings file [default: the platform's, such as ~/.config/eventwall/eventwall.toml, if
    /// it is there]; `eventwall config` prints one to begin with
    #[arg(long, value_name = "FILE", env = "EVENTWALL_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// When a publish is acknowledged: after an fsync, or after the write with an fsync every
    /// 100 ms (`interval`), or with none
    #[arg(
        long,
        value_enum,
        env = "EVENTWALL_DURABILITY",
        default_value = "sync",
        hide_short_help = true
    )]
    pub(crate) durability: DurabilityArg,

    #[command(flatten)]
    pub(crate) kept: KeptArgs,

    /// Memory for the newest events; whoever is further behind reads the log
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_WINDOW_BYTES", default_value = "32MiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) window_bytes: u64,

    /// A stream that was quiet for so long gets an `eventwall:tick`
    #[arg(long, value_name = "TIME", env = "EVENTWALL_HEARTBEAT", default_value = "15s", value_parser = time, hide_short_help = true)]
    pub(crate) heartbeat: Duration,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    /// How log lines are written on standard error; RUST_LOG says how many
    #[arg(
        long,
        value_enum,
        env = "EVENTWALL_LOG_FORMAT",
        default_value = "text",
        hide_short_help = true
    )]
    pub(crate) log_format: LogFormat,
}

/// What is kept, and for how long.
#[derive(Debug, Args)]
pub(crate) struct KeptArgs {
    /// Bytes that the whole log may take; the oldest events go first
    #[arg(long, value_name = "BYTES", env = "EVENTWALL_MAX_BYTES", default_value = "1GiB", value_parser = bytes, hide_short_help = true)]
    pub(crate) max_bytes: u64,

    /// How old events may become, such as 30d, or `none` for as old as they like
    #[arg(long, value_name = "TIME", env = "EVENTWALL_MAX_AGE", default_value = "none", value_parser = age, hide_short_help = true)]
    pub(crate) max_age: std::option::Option<Duration>,

    /// How many events of each topic stay, the newest, or `none` for all
    #[arg(long, value_name = "N", env = "EVENTWALL_MAX_EVENTS_PER_TOPIC", default_value = "none", value_parser = count, hide_short_help = true)]
    pub(crate) max_events_per_topic: std::option::Option<u64>,

    /// What is kept of a topic: `all` of its events, or the `latest` only, for topics that are a
    /// state rather than a history
    #[arg(long, value_enum, env = "EVENTWALL_KEEP", default_value = "all", hide_short_help = true)]
    pub(crate) keep: KeepArg,

    /// A clock that jumps forward by more lets no event grow old until it has stood for so long
    #[arg(long, value_name = "TIME", env = "EVENTWALL_MAX_CLOCK_STEP", default_value = "5m", value_parser = time, hide_short_help = true)]
    pub(crate) max_clock_step: Duration,

    /// How long an `Idempotency-Key` is remembered
    #[arg(long, value_name = "TIME", env = "EVENTWALL_IDEMPOTENCY_WINDOW", default_value = "24h", value_parser = time, hide_short_help = true)]
    pub(crate) idempotency_window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    Disk,
    Memory,
    Nats(Box<StoreUrl>),
}

fn store(text: &str) -> Result<Store, String> {
    match text {
        "disk" => Ok(Store::Disk),
        "memory" => Ok(Store::Memory),
        url if url.contains("://") => url
            .parse()
            .map(|url| Store::Nats(Box::new(url)))
            .map_err(|error: StoreUrlError| error.to_string()),
        _ => {
            Err("it is disk, memory, or the address of a NATS server, as in nats://localhost:4222"
                .into())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    Sync,
    Interval,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepArg {
    All,
    Latest,
}
