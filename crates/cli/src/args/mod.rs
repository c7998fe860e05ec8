//! The command line, as data: names, defaults, environment and help in one place.

mod access;
mod limits;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::serve::{DurabilityArg, KeepArg, KeptArgs, LogFormat, ServeArgs, Store};
pub(crate) use self::{
    access::{AccessArgs, ForwardedArg},
    limits::LimitArgs,
};
use crate::{failure::EXIT_CODES, log::copy::Place, pace::Pace};

const EXAMPLES: &str = "\
Examples:
  eventwall                                          a wall at http://127.0.0.1:8080/
  eventwall --demo                                   the same, with sample posts
  eventwall --listen 0.0.0.0:80 --public-walls lobby a wall for everyone
  curl -d hello http://127.0.0.1:8080/topics/walls/lobby
  eventwall subscribe walls/lobby --last 10          the last ten posts, then live
  date | eventwall publish clock -                   one event a line
";

/// A live wall for the web and the event hub beneath it, over Server-Sent Events.
///
/// Run without a command, it serves: open the address that it prints, post, and every
/// browser that looks at the wall shows it at once. Publish with anything that can POST,
/// follow with `EventSource` or curl; nothing is lost when a line drops or the server
/// restarts.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}\n\nLog lines go to standard error; RUST_LOG=debug shows more of them."),
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

impl Cli {
    /// Only a server has a format of its own.
    pub(crate) fn log_format(&self) -> LogFormat {
        match &self.command {
            None => self.serve.log_format,
            Some(Command::Serve(args)) => args.log_format,
            Some(_) => LogFormat::Text,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the wall and the hub (what no command means)
    Serve(Box<ServeArgs>),
    /// Look at a log, check it, back it up, while a server uses it, too; or copy it elsewhere
    #[command(subcommand)]
    Log(LogCommand),
    /// Print a settings file with every key, its meaning and its default
    Config,
    /// Publish an event, or one for every line of standard input
    Publish(PublishArgs),
    /// Follow topics; reconnects and resumes by itself
    Subscribe(SubscribeArgs),
    /// Post the events of a file, one at a time
    Replay(ReplayArgs),
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  eventwall log inspect                              what the default log holds
  eventwall log verify --data /srv/wall              read every byte of another
  eventwall log compact                              give back all space that can be
  eventwall log backup /backups/monday               copy it, while it is in use
  eventwall log restore /backups/monday --data /srv/wall")]
pub(crate) enum LogCommand {
    /// Show what the log holds, a line a segment
    Inspect {
        #[command(flatten)]
        data: DataArg,
    },
    /// Read every byte and name all that is damaged, with its place
    Verify {
        #[command(flatten)]
        data: DataArg,
    },
    /// Give back the space of all that is over its limits or erased, at once
    ///
    /// A server that uses the log is asked to do it, by its own limits, and goes on serving. Else it is
    /// done here, by the limits of the settings file, the environment and these flags; they must be
    /// those by which its server last kept the log.
    Compact {
        /// The settings file [default: as for a server]
        #[arg(long, value_name = "FILE", env = "EVENTWALL_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        data: DataArg,
        #[command(flatten)]
        kept: Box<KeptArgs>,
    },
    /// Copy the log into a new folder, and verify the copy
    Backup {
        /// The folder to make
        to: PathBuf,
        #[command(flatten)]
        data: DataArg,
    },
    /// Copy the log from disk to NATS JetStream, or back, or elsewhere
    ///
    /// Every event keeps its place, so that whoever followed there resumes here; what comes after is of
    /// a new epoch. No server may use either of them meanwhile. The settings must be those of the
    /// servers that will use the copy.
    Copy {
        /// A data directory, or the address of a hub in NATS, as for --store
        from: Place,
        /// A folder to make, or a hub that has no event yet
        to: Place,
        /// The settings file [default: as for a server]
        #[arg(long, value_name = "FILE", env = "EVENTWALL_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        kept: Box<KeptArgs>,
    },
    /// Put a backup into an empty data directory
    Restore {
        /// The folder of the backup
        from: PathBuf,
        #[command(flatten)]
        data: DataArg,
    },
}

/// The log that a command looks at.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArg {
    /// The data directory [default: the platform's, such as ~/.local/share/eventwall]
    #[arg(long, value_name = "DIR", env = "EVENTWALL_DATA")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Lines,
    Ndjson,
    EventStream,
}

/// The server that a command talks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArg {
    /// The server's address
    #[arg(
        long,
        value_name = "URL",
        env = "EVENTWALL_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) server: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventwall publish walls/lobby 'hello, wall'
  eventwall publish builds --event failed 'main is red'
  tail -f app.log | eventwall publish logs/app -     every line is an event
  eventwall publish clock --every 1s -- date +%T     a command's output, each time
  eventwall publish dice --every 2s -- shuf -i 1-6 -n 1

  eventwall subscribe a --json | eventwall publish b - --format ndjson
  curl -N https://example.org/stream | eventwall publish copy - --format event-stream

Each event's id is printed once the server has stored it.")]
pub(crate) struct PublishArgs {
    /// The topic, such as walls/lobby
    pub(crate) topic: String,
    /// The event's data; `-` or nothing: every line of standard input is an event
    pub(crate) data: Option<String>,
    /// The event's name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) event: String,
    /// What standard input holds: `lines`, `ndjson` ({"data": …, "event": …} a line, written in
    /// batches), or an `event-stream`
    #[arg(long, value_enum, default_value = "lines", conflicts_with_all = ["every", "command"])]
    pub(crate) format: Format,
    /// Run the command after -- this often and publish what it prints
    #[arg(long, value_name = "TIME", requires = "command", conflicts_with = "data")]
    pub(crate) every: Option<Pace>,
    /// The command to run
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventwall subscribe walls/lobby                    what comes from now on
  eventwall subscribe walls/lobby --last 10          the last ten, then live
  eventwall subscribe a b --json | jq .data          two topics, as JSON lines
  eventwall subscribe 'rooms/*' --since 10m          a pattern, from ten minutes ago on

Events go to standard output, everything else to standard error.")]
pub(crate) struct SubscribeArgs {
    /// The topics and patterns to follow: `*` is one whole segment, a last `**` the rest
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Start after this event
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    pub(crate) after: Option<String>,
    /// Start with the last N events of each topic
    #[arg(long, value_name = "N", conflicts_with = "since")]
    pub(crate) last: Option<u32>,
    /// Start at a time, such as 2026-01-31T12:00:00Z, or so long ago, such as 10m
    #[arg(long, value_name = "TIME", conflicts_with = "after")]
    pub(crate) since: Option<String>,
    /// Print each event as a line of JSON: id, topic, event, time, by, data
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file holds text/event-stream blocks, each ended by an empty line:

  data: {\"from\": \"Front desk\", \"msg\": \"Doors are open.\"}

  event: checkin
  data: {\"from\": \"Row two\", \"place\": \"Hall A\"}

Example:
  eventwall replay posts.sse --topic walls/lobby --every 2s..7s")]
pub(crate) struct ReplayArgs {
    /// The file to replay
    pub(crate) file: PathBuf,
    /// The topic to post to
    #[arg(long, default_value = "walls/lobby")]
    pub(crate) topic: String,
    /// The pause between two posts: a time, or a range to draw from at random
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) every: Pace,
    #[command(flatten)]
    pub(crate) server: ServerArg,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
