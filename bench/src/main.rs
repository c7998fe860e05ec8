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
    /// The scenarios of these names, or those whose names begin so; all of them without any
    scenarios: Vec<String>,
    /// How often everybody has a turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long one run measures
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only who is called so, such as `floor` or `disk`, or else whose names contain it
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What is measured: its commit
    #[arg(long, default_value = "unknown")]
    commit: String,
    /// The report before, whose floors are compared with these
    #[arg(long, default_value = "docs/benchmarks.md")]
    compare: PathBuf,
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
    let exists = |name: &String| SCENARIOS.iter().any(|scenario| scenario.name == name);
    let wanted = |scenario: &&Scenario| {
        let is_meant = |name: &String| match exists(name) {
            true => scenario.name == name,
            false => scenario.name.starts_with(name.as_str()),
        };
        args.scenarios.is_empty() || args.scenarios.iter().any(is_meant)
    };
    let before = std::fs::read_to_string(&args.compare).unwrap_or_default();
    let mut tables = report::head(args.rounds, args.seconds, &args.commit);
    println!("{tables}");
    for scenario in SCENARIOS.iter().filter(wanted) {
        let measured = measure(scenario, args);
        let compared = report::compared(&measured, &before);
        let table = [Some(measured.table()), compared].into_iter().flatten();
        let table = table.collect::<Vec<_>>().join("\n");
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
    let all = scenario.contenders;
    let is_called = |name: &String| all.iter().any(|contender| contender.short_name() == name);
    let chosen = all.iter().filter(|contender| {
        let is_meant = |name: &String| match is_called(name) {
            true => contender.short_name() == name,
            false => contender.name().contains(name.as_str()),
        };
        args.only.is_empty() || args.only.iter().any(is_meant)
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
