//! The fuzz targets, on the stable compiler: built once with the coverage that libFuzzer reads, each run for
//! some seconds from its corpus. A finding stays as a file, whose place is said.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    counts::Counts,
    run::{cargo, root, run},
};

/// What `cargo fuzz` would pass to the compiler, but for a sanitizer: there is no unsafe code to look at.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Bytes of an input.
const MAX_LEN: u32 = 4096;

/// Every target for so many seconds; each is counted as a test.
pub(crate) fn fuzz(seconds: u64, counts: &mut Counts) -> Result<(), String> {
    let program = build()?;
    for target in targets()? {
        let fuzzed = fuzz_one(&program, &target, seconds);
        counts.passed += u64::from(fuzzed.is_ok());
        counts.failed += u64::from(fuzzed.is_err());
        fuzzed?;
    }
    Ok(())
}

/// Each has a corpus of its name.
fn targets() -> Result<Vec<String>, String> {
    let folders = fs::read_dir(root().join("fuzz/corpus")).map_err(|error| error.to_string())?;
    let mut names: Vec<String> =
        folders.filter_map(|folder| folder.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or_else(|| "rustc does not name its host".into())
}

/// With a target named, so that build scripts are not built with coverage.
fn build() -> Result<PathBuf, String> {
    let host = host()?;
    let words = ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host];
    let folder = root().join("target/fuzz");
    run(cargo(&words).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &folder))?;
    Ok(folder.join(host).join("release/eventwall-fuzz"))
}

fn fuzz_one(program: &PathBuf, target: &str, seconds: u64) -> Result<(), String> {
    let (found, artifacts) =
        (root().join("target/fuzz/corpus").join(target), root().join("fuzz/artifacts"));
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    let prefix = artifacts.join(format!("{target}-")).display().to_string();
    let mut command = Command::new(program);
    command.current_dir(root()).env("EVENTWALL_FUZZ", target);
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_LEN}")]);
    command.args(["-timeout=10", "-rss_limit_mb=1500", "-verbosity=0", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={prefix}")).arg(found);
    command.arg(format!("fuzz/corpus/{target}"));
    run(&mut command).map_err(|why| {
        format!(
            "{why}: the input is beside {prefix}…; mend it, and keep it in fuzz/corpus/{target}"
        )
    })
}
