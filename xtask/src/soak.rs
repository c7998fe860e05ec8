//! `cargo xtask soak`: everything that may go wrong, at full size and with fresh seeds, again and again.
//! Each station says what it verified; a moment that it was to hit and did not fails it.

use std::time::{Duration, Instant};

use crate::{
    counts::Counts,
    install::install,
    run::{cargo, command, root, run, run_counted, run_told},
    suites::simulate,
};

/// Some tests from outside, with what makes them large.
struct Station {
    name: &'static str,
    tests: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const OUTSIDE: [Station; 9] = [
    Station {
        name: "kill -9 at random moments",
        tests: &["crash"],
        env: &[("EVENTWALL_ROUNDS", "40")],
    },
    Station {
        name: "kill -9 amid writes, syncs, rolls, compactions and removals",
        tests: &["kill_points"],
        env: &[("EVENTWALL_ROUNDS", "8")],
    },
    Station {
        name: "a minute's stop, and clocks that jump",
        tests: &["time"],
        env: &[("EVENTWALL_STOP_SECONDS", "60")],
    },
    Station {
        name: "full disks and peers that are gone",
        tests: &["full_disk", "half_open"],
        env: &[],
    },
    Station {
        name: "a thousand replays at once, slow readers, load",
        tests: &["replay", "load"],
        env: &[("EVENTWALL_LOAD", "full")],
    },
    Station {
        name: "nodes and NATS servers that fail in turn",
        tests: &["cluster", "nodes", "streams", "cluster_load"],
        env: &[("EVENTWALL_ROUNDS", "3"), ("EVENTWALL_SUBSCRIBERS", "400")],
    },
    Station {
        name: "hostile clients",
        tests: &["hostile"],
        env: &[("EVENTWALL_HOSTILE_SECONDS", "20")],
    },
    Station {
        name: "behind proxies, and five quiet minutes",
        tests: &["proxies"],
        env: &[("EVENTWALL_QUIET_SECONDS", "300")],
    },
    Station { name: "restores and copied directories", tests: &["log_tools", "data"], env: &[] },
];

/// The log's models and the hub's simulator, with seeds for some minutes in each turn.
const MODELS: [(&str, &str); 2] = [("eventwall-log", "24"), ("eventwall-hub", "200")];

/// All of it once, and again until the time is over.
pub(crate) fn soak(minutes: u64) -> Result<(), String> {
    install()?;
    run(&mut cargo(&["build", "--release", "--package", "eventwall"]))?;
    let (began, mut counts) = (Instant::now(), Counts::default());
    let is_over = || began.elapsed() >= Duration::from_secs(60 * minutes);
    for turn in 1.. {
        for station in &OUTSIDE {
            tell(turn, began, station.name);
            outside(station, &mut counts)?;
            if turn > 1 && is_over() {
                break;
            }
        }
        tell(turn, began, "browsers over a minute's outage and a closed lid");
        let mut long = command(&["npm", "run", "--silent", "test:long"]);
        run_counted(
            long.env("EVENTWALL_BIN", root().join("target/release/eventwall")),
            &mut counts,
        )?;
        tell(turn, began, "lost power at every step, retention against its model");
        models(&mut counts)?;
        tell(turn, began, "simulated runs with fresh seeds");
        simulate(&["--minutes", "1", "--steps", "600", "--subscribers", "24"])?;
        if is_over() {
            break;
        }
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(())
}

fn tell(turn: u32, began: Instant, what: &str) {
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("\nturn {turn}, {minutes:.1} min: {what}");
}

fn outside(station: &Station, counts: &mut Counts) -> Result<(), String> {
    let mut words = vec!["test", "--release", "--package", "eventwall-e2e"];
    words.extend(station.tests.iter().flat_map(|name| ["--test", name]));
    words.extend(["--", "--show-output", "--test-threads", "1"]);
    let mut command = cargo(&words);
    command.envs(station.env.iter().copied());
    command.env("EVENTWALL_BIN", root().join("target/release/eventwall"));
    run_told(&mut command, counts)
}

fn models(counts: &mut Counts) -> Result<(), String> {
    MODELS.iter().try_for_each(|(package, seeds)| {
        let words = ["test", "--release", "--package", package, "--", "--show-output"];
        run_told(cargo(&words).env("EVENTWALL_SEEDS", seeds), counts)
    })
}
