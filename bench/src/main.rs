//! Measures Eventwall, the floor beneath it, and others, side by side: `cargo xtask bench`.
//!
//! * `server`: the floor and what everybody writes by hand; `contender` starts them and the others.
//! * `load`: subscribers and publishers on one thread.
//! * `count`: instructions, which the machine's other tenants do not change: `cargo xtask count`.
//! * `scenario`: what is measured, one file a kind; `sample` and `report`: medians and tables.

mod contender;
mod count;
mod load;
mod process;
mod report;
mod sample;
mod scenario;
mod server;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    count::Codec,
    report::Measured,
    scenario::{SCENARIOS, Scenario, Shows},
    server::{by_hand, floor},
};

#[derive(Debug, Parser)]
#[command(about = "Measures Eventwall, the floor beneath it and others side by side")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and print tables
    Run(RunArgs),
    /// Serve as the floor does
    Floor {
        listen: SocketAddr,
        /// Write at once all that a subscriber is behind
        #[arg(long)]
        batching: bool,
        /// Sync before an event is shown
        #[arg(long)]
        sync: bool,
    },
    /// Serve as what everybody writes by hand does
    ByHand { listen: SocketAddr },
    /// Name the scenarios
    List,
    /// Count instructions, and compare them with those of before
    Count {
        /// What begins like one of these; everything without any
        only: Vec<String>,
        /// The file that has those of before
        #[arg(long, default_value = "bench/instructions.txt")]
        baseline: PathBuf,
        /// These are the new ones to compare with
        #[arg(long)]
        write: bool,
    },
    /// Do what is counted
    #[command(hide = true)]
    Work { codec: Codec, events: usize },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The scenarios whose names begin like one of these; all of them without any
    scenarios: Vec<String>,
    /// How often everybody has a turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long one run measures
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only those whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// What is measured: its commit
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// Put the tables into this document
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Floor { listen, batching, sync } => {
            floor::serve(listener(listen)?, floor::How { batching, sync })
        }
        Command::ByHand { listen } => by_hand::serve(listener(listen)?),
        Command::Count { only, baseline, write } => count::run(&only, &baseline, write),
        Command::Work { codec, events } => {
            codec.work(events);
            Ok(())
        }
        Command::List => {
            SCENARIOS
                .iter()
                .for_each(|scenario| println!("{:<22}{}", scenario.name, scenario.title));
            Ok(())
        }
    }
}

/// With room for thousands that come at once.
fn listener(at: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn run(args: &RunArgs) -> anyhow::Result<()> {
    let wanted = |scenario: &&Scenario| {
        let named = args.scenarios.iter().any(|name| scenario.name.starts_with(name.as_str()));
        args.scenarios.is_empty() || named
    };
    let mut tables = report::head(args.rounds, args.seconds, &args.commit);
    println!("{tables}");
    for scenario in SCENARIOS.iter().filter(wanted) {
        let table = measure(scenario, args).table();
        println!("{table}");
        tables = format!("{tables}\n{table}");
    }
    match &args.write {
        Some(file) => report::write(file, &tables),
        None => Ok(()),
    }
}

/// In each round everybody has a turn, so that what the machine does meanwhile meets all of them.
fn measure<'a>(scenario: &'a Scenario, args: &RunArgs) -> Measured<'a> {
    let chosen = scenario.contenders.iter().filter(|contender| {
        args.only
            .as_ref()
            .is_none_or(|only| only.split(',').any(|only| contender.name().contains(only)))
    });
    let mut samples: Vec<_> = chosen.map(|contender| (*contender, Vec::new())).collect();
    // A slope over thousands is the same each time, and takes long.
    let rounds = if scenario.shows == Shows::Memory { 1 } else { args.rounds };
    for round in 1..=rounds {
        for (contender, of) in &mut samples {
            eprintln!("{} {round}/{rounds}: {}", scenario.name, contender.name());
            match (scenario.run)(*contender, Duration::from_secs(args.seconds)) {
                Ok(sample) => of.push(Some(sample)),
                Err(error) => {
                    eprintln!("  not measured: {error:#}");
                    of.push(None);
                }
            }
        }
    }
    Measured { scenario, samples }
}
