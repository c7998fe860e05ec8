//! Where the time goes: a flame graph of the server in one scenario of the bench.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    install::flame_tools,
    run::{cargo, command, root, run, target},
};

/// Another build, so that stacks can be told: it leaves that of the bench as it is.
const FLAGS: &str = "-C force-frame-pointers=yes -C debuginfo=1";
/// The recorder writes its file once the server is gone.
const WRITING: Duration = Duration::from_secs(30);

/// Runs `scenario` with the contender that is called `of`, and draws `svg`.
pub(crate) fn flame(scenario: &str, of: &str, svg: &str) -> Result<(), String> {
    flame_tools()?;
    let folder = target().join("flame");
    let mut build = cargo(&["build", "--release", "-p", "eventwall", "-p", "eventwall-bench"]);
    run(build.arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS))?;
    let release = folder.join("release");
    let data = folder.join("perf.data");
    let _ = fs::remove_file(&data);
    let recorded = folder.join("recorded");
    record_by(&recorded, &release.join("eventwall"), &data)?;
    let bench = release.join("eventwall-bench").to_string_lossy().into_owned();
    let words = [&bench, "run", scenario, "--only", of, "--rounds", "1", "--seconds", "5"];
    run(command(&words).env("EVENTWALL_BIN", &recorded))?;
    until_written(&data)?;
    draw(&data, &root().join(svg), &format!("{scenario}: {of}"))
}

/// A program that becomes the server while it is recorded, so that the recorder ends with it.
fn record_by(program: &Path, server: &Path, data: &Path) -> Result<(), String> {
    let script = format!(
        "#!/bin/sh\nperf record -q -F 499 -g -o '{}' -p $$ &\nexec '{}' \"$@\"\n",
        data.display(),
        server.display()
    );
    let written = fs::write(program, script)
        .and_then(|()| fs::set_permissions(program, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| format!("{}: {error}", program.display()))
}

fn until_written(data: &Path) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < WRITING {
        let looked = Command::new("perf").args(["script", "-F", "pid", "-i"]).arg(data).output();
        if looked.is_ok_and(|output| output.status.success() && !output.stdout.is_empty()) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Err("perf recorded nothing: it may need `sysctl kernel.perf_event_paranoid=1`".into())
}

fn draw(data: &Path, svg: &Path, title: &str) -> Result<(), String> {
    let script = format!(
        "perf script -i '{}' 2>/dev/null | inferno-collapse-perf | \
         inferno-flamegraph --title '{title}' --minwidth 0.5 > '{}'",
        data.display(),
        svg.display()
    );
    let mut shell = command(&["sh", "-c", &script]);
    run(shell.stderr(Stdio::inherit()))?;
    println!("{}", svg.display());
    Ok(())
}
