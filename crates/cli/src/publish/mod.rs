//! `eventwall publish`: one event, a pipe full of them, or a command's output every so often.

mod every;
mod pipe;

use std::io::Write as _;

use crate::{
    args::{Format, PublishArgs},
    failure::Failure,
    remote::Remote,
};

pub(crate) async fn publish(args: PublishArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.server.server)?;
    let target = Target { remote, topic: args.topic, event: args.event };
    if let Some(pause) = args.every {
        return every::publish(&target, pause.draw(), &args.command).await;
    }
    if !args.command.is_empty() {
        return Err(Failure::usage(
            "a command after -- is run again and again: say how often with --every 1s",
        ));
    }
    match args.data {
        Some(data) if data != "-" => target.publish(data).await,
        _ => match args.format {
            Format::Lines => pipe::lines(&target).await,
            Format::Ndjson => pipe::batches(&target).await,
            Format::EventStream => pipe::stream(&target).await,
        },
    }
}

/// Where events go.
struct Target {
    remote: Remote,
    topic: String,
    event: String,
}

impl Target {
    async fn publish(&self, data: String) -> Result<(), Failure> {
        print(&self.remote.publish(&self.topic, &self.event, data).await?)
    }
}

fn print(id: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{id}")?;
    Ok(out.flush()?)
}
