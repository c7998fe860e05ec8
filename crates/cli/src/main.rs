//! The `eventwall` command: flags and glue. What it does is in the libraries; one file a
//! subcommand says how.

mod address;
mod args;
mod config;
mod control;
mod failure;
mod files;
mod limits;
mod log;
mod logs;
mod pace;
mod publish;
mod reload;
mod remote;
mod replay;
mod serve;
mod signals;
mod storage;
mod subscribe;
mod whispering;

use std::process::ExitCode;

use self::{args::Command, config::Parsed, failure::Failure};

fn main() -> ExitCode {
    let Parsed { cli, rules } = match config::parse() {
        Ok(parsed) => parsed,
        Err(failure) => return failure.report(),
    };
    logs::begin(cli.log_format());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::general(format!("the system gives no threads: {error}")).report();
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            None => serve::serve(cli.serve, rules).await,
            Some(Command::Serve(args)) => serve::serve(*args, rules).await,
            Some(Command::Config) => print_sample(),
            Some(Command::Log(command)) => log::log(command, rules).await,
            Some(Command::Publish(args)) => publish::publish(args).await,
            Some(Command::Subscribe(args)) => subscribe::subscribe(args).await,
            Some(Command::Replay(args)) => replay::replay(args).await,
        }
    });
    // A read of standard input that nobody waits for must not hold the exit.
    runtime.shutdown_background();
    done.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

fn print_sample() -> Result<(), Failure> {
    use std::io::Write as _;
    Ok(std::io::stdout().lock().write_all(config::sample().as_bytes())?)
}
