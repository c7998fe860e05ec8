//! Instructions, which no neighbour on the machine changes: what a step of the codec, a publish and a
//! delivery cost the processor in user mode, counted by callgrind and compared with what was committed in
//! `bench/instructions.txt`. They say nothing of the kernel, of caches or of waiting: the scenarios do.

mod callgrind;
mod codec;
mod product;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail, ensure};

pub(crate) use self::codec::Codec;

/// Who needs so much more than before has a regression; the counts of several threads vary by less.
const TOLERANCE: f64 = 1.05;

/// Something whose instructions are counted.
struct Work {
    name: &'static str,
    what: &'static str,
    /// Instructions of each.
    count: fn() -> anyhow::Result<f64>,
}

const WORKS: [Work; 9] = [
    Work {
        name: "decode-small",
        what: "decode an event of 170 bytes, in chunks of 1,460",
        count: || Codec::DecodeSmall.count(),
    },
    Work {
        name: "decode-tiny-chunks",
        what: "decode an event of 4 KB, in chunks of 10 bytes",
        count: || Codec::DecodeTinyChunks.count(),
    },
    Work { name: "encode", what: "encode a frame of 170 bytes", count: || Codec::Encode.count() },
    Work {
        name: "publish-memory",
        what: "a POST of 100 bytes, in memory, nobody follows",
        count: product::publish_memory,
    },
    Work {
        name: "publish-disk",
        what: "a POST of 100 bytes, on disk, synced, nobody follows",
        count: product::publish_disk,
    },
    Work {
        name: "ingest",
        what: "an event of 240 bytes of a streamed body, on disk",
        count: product::ingest,
    },
    Work { name: "subscribe", what: "a subscriber who comes, HTTP/1.1", count: product::subscribe },
    Work {
        name: "deliver",
        what: "one of 200 deliveries of an event of 100 bytes",
        count: product::deliver,
    },
    Work {
        name: "replay",
        what: "an event of 100 bytes that is replayed from the window",
        count: product::replay,
    },
];

/// Counts, prints what changed, and fails if something costs more than it did; or writes what it costs now.
pub(crate) fn run(only: &[String], baseline: &Path, write: bool) -> anyhow::Result<()> {
    let mut before = read(baseline)?;
    ensure!(
        write || !before.is_empty(),
        "{} is not there: begin it with --write",
        baseline.display()
    );
    let wanted = |work: &&Work| {
        only.is_empty() || only.iter().any(|name| work.name.starts_with(name.as_str()))
    };
    ensure!(WORKS.iter().any(|work| wanted(&work)), "nothing is called {}", only.join(", "));
    let mut worse = Vec::new();
    println!("| instructions | before | now | × | |\n|---|---:|---:|---:|---|");
    for work in WORKS.iter().filter(wanted) {
        let now = (work.count)().with_context(|| format!("{} was not counted", work.name))?;
        let then = before.insert(work.name.to_owned(), now);
        ensure!(write || then.is_some(), "{} was never counted: add it with --write", work.name);
        let ratio = then.map_or(1.0, |then| now / then);
        let then = then.map_or("–".to_owned(), |then| format!("{then:.0}"));
        println!("| {} | {then} | {now:.0} | {ratio:.3} | {} |", work.name, work.what);
        if ratio > TOLERANCE {
            worse.push(work.name);
        }
    }
    match (write, worse.is_empty()) {
        (true, _) => self::write(baseline, &before),
        (false, true) => Ok(()),
        (false, false) => bail!(
            "{} cost more than {}; if that is meant, say so with --write",
            worse.join(", "),
            baseline.display()
        ),
    }
}

fn read(file: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| file.display().to_string())?,
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (name, count) = line.split_once(' ').context("a line has no number")?;
        Ok((name.to_owned(), count.trim().parse()?))
    };
    lines.map(value).collect()
}

fn write(file: &Path, counts: &BTreeMap<String, f64>) -> anyhow::Result<()> {
    let lines: String =
        counts.iter().map(|(name, count)| format!("{name:<20}{count:.0}\n")).collect();
    let head = "# Instructions in user mode: written by `cargo xtask count --write`.\n";
    Ok(fs::write(file, format!("{head}{lines}"))?)
}
