//! A command's output, each time: a clock or a random number in one line. A run that takes too
//! long is ended, one that fails is told and not published, runs never overlap, and a server that
//! is away is waited for.

use std::{process::Stdio, time::Duration};

use tokio::{
    process::Command,
    time::{MissedTickBehavior, interval, timeout},
};

use super::Target;
use crate::failure::Failure;

/// A run may take this long even if it is asked for more often.
const LEAST_TIME: Duration = Duration::from_secs(10);

pub(super) async fn publish(
    target: &Target,
    pause: Duration,
    command: &[String],
) -> Result<(), Failure> {
    let [program, args @ ..] = command else {
        return Err(Failure::usage("name the command: eventwall publish clock --every 1s -- date"));
    };
    if pause.is_zero() {
        return Err(Failure::usage("--every 0s would never rest: write --every 1s"));
    }
    // A server that was never there is a mistake; one that went away comes back.
    let mut went_well = false;
    let mut ticks = interval(pause);
    // Whoever is late starts at once and keeps the distance from there.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        match run(program, args, pause.max(LEAST_TIME)).await? {
            Ok(output) => match target.publish(output).await {
                // The next one may find the server back.
                Err(failure) if went_well && failure.is_passing() => {
                    eprintln!("eventwall: {failure}; this one is dropped, going on");
                }
                published => {
                    published?;
                    went_well = true;
                }
            },
            Err(why) => eprintln!("eventwall: {program} {why}: nothing was published"),
        }
    }
}

/// The command's output without its last line end, or why there is none to publish. The outer
/// error is for a command that can't be started at all.
async fn run(
    program: &str,
    args: &[String],
    limit: Duration,
) -> Result<Result<String, String>, Failure> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = command
        .spawn()
        .map_err(|error| Failure::general(format!("cannot run {program}: {error}")))?;
    let Ok(output) = timeout(limit, child.wait_with_output()).await else {
        return Ok(Err(format!("took longer than {} s and was ended", limit.as_secs())));
    };
    let output = output.map_err(|error| Failure::general(format!("{program}: {error}")))?;
    if !output.status.success() {
        return Ok(Err(format!("failed ({})", output.status)));
    }
    match String::from_utf8(output.stdout) {
        Ok(text) => Ok(Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
        Err(_) => Ok(Err("printed something that is not UTF-8".into())),
    }
}
