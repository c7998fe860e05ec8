//! The `eventwall` command: flags and glue. What it does is in the libraries; one file a
//! subcommand says how.

mod address;
mod args;
mod failure;
mod pace;
mod publish;
mod remote;
mod replay;
mod serve;
mod subscribe;

use std::process::ExitCode;

use clap::Parser as _;

use self::{
    args::{Cli, Command},
    failure::Failure,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::general(format!("the system gives no threads: {error}")).report();
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            None => serve::serve(cli.serve).await,
            Some(Command::Serve(args)) => serve::serve(args).await,
            Some(Command::Publish(args)) => publish::publish(args).await,
            Some(Command::Subscribe(args)) => subscribe::subscribe(args).await,
            Some(Command::Replay(args)) => replay::replay(args).await,
        }
    });
    // A read of standard input that nobody waits for must not hold the exit.
    runtime.shutdown_background();
    done.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

/// Plain lines; `RUST_LOG` says how many.
fn log_to_stderr() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .init();
}
