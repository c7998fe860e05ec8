//! The project's chores: `cargo xtask`. Needs nothing but cargo to start; what a chore needs
//! beyond that it names, and installs when asked.

mod bench;
mod counts;
mod flame;
mod fuzz;
mod install;
mod run;
mod soak;
mod suites;

use std::process::ExitCode;

const HELP: &str = "\
Chores of this project.

  cargo xtask test [SUITE…]      install what is missing, then run the suites
                                 (build, rust, clients, browsers, crash, cluster,
                                 proxies, hostile; all of them by default)
  cargo xtask soak --minutes N   crashes, full disks, slow readers, jumping clocks and simulated
                                 runs with fresh seeds: all of it once, and on for N minutes
  cargo xtask simulate [FLAGS]   one run of the simulator, or many (--seed, --steps,
                                 --subscribers, --kind, --minutes)
  cargo xtask fuzz [SECONDS]     each fuzz target for so long (60)
  cargo xtask bench [SCENARIO…] [--rounds N] [--seconds N] [--write docs/benchmarks.md]
                                 Eventwall, the floor and others side by side
  cargo xtask count [WHAT…] [--write]
                                 instructions of codec, publish and delivery, and whether they
                                 are more than those in bench/instructions.txt
  cargo xtask flame SCENARIO OF FILE.svg
                                 a flame graph of one contender, such as `disk`
  cargo xtask screenshots        make the pictures in docs/images
  cargo xtask audit              licences, bans and sources of the dependencies

`test` asks before it installs anything; with CI set it goes ahead.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match &words[..] {
        ["test", suites @ ..] => suites::test(suites),
        ["soak", "--minutes", minutes @ ..] | ["soak", minutes @ ..] => {
            number(minutes, 10).and_then(soak::soak)
        }
        ["simulate", words @ ..] => suites::simulate(words),
        ["fuzz", seconds @ ..] => number(seconds, 60)
            .and_then(|seconds| fuzz::fuzz(seconds, &mut counts::Counts::default())),
        ["bench", words @ ..] => bench::bench(words),
        ["count", words @ ..] => bench::count(words),
        ["flame", scenario, of, svg] => flame::flame(scenario, of, svg),
        ["screenshots"] => suites::screenshots(),
        ["audit"] => suites::audit(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no chore `{}`\n\n{HELP}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn number(words: &[&str], default: u64) -> Result<u64, String> {
    match words {
        [] => Ok(default),
        [number] => number.parse().map_err(|_| format!("{number:?} is no number")),
        more => Err(format!("one number is enough: {}", more.join(" "))),
    }
}
