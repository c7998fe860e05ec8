//! Runs the simulator: one seed again, or one after the other for so many minutes.
//!
//! `cargo xtask simulate --seed 7 --kind disk`, `cargo xtask simulate --minutes 10`

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use eventwall_hub::simulator::{Kind, Plan, Report, simulate};

const USAGE: &str = "\
simulate [--seed N] [--steps N] [--subscribers N] [--kind memory|disk|unsynced] [--minutes N]

One run of the seed, or fresh seeds of every kind for so many minutes. Ends with the first thing that
is not as it should be, and says how to see it again.";

struct Asked {
    plan: Plan,
    minutes: u64,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { plan: Plan::small(rand::random(), Kind::Disk), minutes: 0 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))?;
        let number = || value.parse().map_err(|_| format!("{word}: {value:?} is no number"));
        let small = || number().map(|n: u64| usize::try_from(n).unwrap_or(usize::MAX));
        match &*word {
            "--seed" => asked.plan.seed = number()?,
            "--steps" => asked.plan.steps = small()?,
            "--subscribers" => asked.plan.subscribers = small()?,
            "--minutes" => asked.minutes = number()?,
            "--kind" => asked.plan.kind = kind(&value)?,
            _ => return Err(format!("there is no {word}\n\n{USAGE}")),
        }
    }
    Ok(asked)
}

fn kind(name: &str) -> Result<Kind, String> {
    match name {
        "memory" => Ok(Kind::Memory),
        "disk" => Ok(Kind::Disk),
        "unsynced" => Ok(Kind::Unsynced),
        _ => Err(format!("--kind is memory, disk or unsynced, not {name:?}")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let Asked { mut plan, minutes } = asked()?;
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let (mut all, mut runs, mut told) = (Report::default(), 0, Instant::now());
    loop {
        all += simulate(plan).await.map_err(|failure| failure.to_string())?;
        runs += 1;
        if told.elapsed() > Duration::from_secs(10) {
            println!("{runs} runs, {} events delivered, {} crashes", all.delivered, all.crashes);
            told = Instant::now();
        }
        if Instant::now() >= end {
            println!("verified: {runs} runs, all as they should be: {all:?}");
            return Ok(());
        }
        let kinds = [Kind::Memory, Kind::Disk, Kind::Unsynced];
        (plan.seed, plan.kind) = (rand::random(), kinds[runs % kinds.len()]);
    }
}
