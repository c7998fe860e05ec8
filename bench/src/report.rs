//! The report: a table a scenario, in Markdown.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use sha2::{Digest as _, Sha256};

use crate::{
    contender::Contender,
    sample::{Sample, median},
    scenario::{Scenario, Shows},
};

/// All runs of a scenario: for each contender, one sample a round.
pub(crate) struct Measured<'a> {
    pub(crate) scenario: &'a Scenario,
    /// `None`: it failed.
    pub(crate) samples: Vec<(Contender, Vec<Option<Sample>>)>,
}

/// What the numbers stand on.
const FLOORS: [(&str, &str); 2] = [
    ("floor.rs", include_str!("server/floor.rs")),
    ("by_hand.rs", include_str!("server/by_hand.rs")),
];

impl Measured<'_> {
    pub(crate) fn table(&self) -> String {
        let shows = self.scenario.shows;
        let mut text = format!("### {} (`{}`)\n\n", self.scenario.title, self.scenario.name);
        let heads = columns(shows).iter().map(|(head, _)| *head).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(text, "| | {heads} |");
        let _ = writeln!(text, "|---|{}", "---:|".repeat(columns(shows).len()));
        let Some((_, reference)) = self.samples.first() else { return text };
        for (contender, samples) in &self.samples {
            let (cells, failed) = cells(shows, samples, reference);
            let failed =
                if failed > 0 { format!(" ({failed} runs failed)") } else { String::new() };
            let _ = writeln!(text, "| {}{failed} | {cells} |", contender.name());
        }
        text
    }
}

/// What the floor reached in a report before: in a table of the document, the second cell of the first row.
pub(crate) fn floor_before(document: &str, scenario: &str) -> Option<f64> {
    let (_, table) = document.split_once(&format!("(`{scenario}`)"))?;
    let row = table.lines().filter(|line| line.starts_with('|')).nth(2)?;
    let mut cells = row.split('|').map(str::trim).skip(1);
    let name = cells.next()?;
    let rate = cells.next()?.replace(',', "");
    name.starts_with("floor").then(|| rate.parse().ok())?
}

/// A slow floor makes any ratio pass: what it reached is compared with what it reached before.
pub(crate) fn compared(measured: &Measured<'_>, document: &str) -> Option<String> {
    let before = floor_before(document, measured.scenario.name)?;
    let (contender, samples) = measured.samples.first()?;
    let samples: Vec<Sample> = samples.iter().copied().flatten().collect();
    if !contender.name().starts_with("floor") || samples.is_empty() {
        return None;
    }
    let sample = Sample::median(&samples);
    let (now, what) = match measured.scenario.shows {
        Shows::Lateness => (sample.p50, "p50"),
        Shows::Memory => (sample.memory / 1024.0, "memory"),
        _ => (sample.rate, "rate"),
    };
    let ratio = now / before.max(1e-9);
    Some(format!("The floor's {what} is {ratio:.2} × that of the report before.\n"))
}

/// The cells of a row, and how many runs failed. Only rounds count in which both were measured.
fn cells(
    shows: Shows,
    samples: &[Option<Sample>],
    reference: &[Option<Sample>],
) -> (String, usize) {
    let both = samples.iter().zip(reference).filter_map(|(one, first)| (*one).zip(*first));
    let (samples_of_both, first): (Vec<Sample>, Vec<Sample>) = both.unzip();
    let failed = samples.iter().filter(|sample| sample.is_none()).count();
    let cell = |(_, cell): &(&str, Cell)| match samples_of_both.is_empty() {
        true => "–".to_owned(),
        false => cell(&samples_of_both, &first),
    };
    (columns(shows).iter().map(cell).collect::<Vec<_>>().join(" | "), failed)
}

/// What stands in a column, by a contender's samples and those of the first.
type Cell = fn(&[Sample], &[Sample]) -> String;

fn columns(shows: Shows) -> &'static [(&'static str, Cell)] {
    const RATE: Cell = |samples, _| thousands(Sample::median(samples).rate);
    const RATE_RATIO: Cell = |samples, first| ratio(samples, first, |sample| sample.rate);
    const CPU: Cell = |samples, _| format!("{:.2}", Sample::median(samples).cpu);
    const CPU_RATIO: Cell = |samples, first| ratio(samples, first, |sample| sample.cpu);
    const P50: Cell = |samples, _| format!("{:.2}", Sample::median(samples).p50);
    const P99: Cell = |samples, _| format!("{:.2}", Sample::median(samples).p99);
    const P50_RATIO: Cell = |samples, first| ratio(samples, first, |sample| sample.p50);
    const P99_RATIO: Cell = |samples, first| ratio(samples, first, |sample| sample.p99);
    const LOST: Cell = |samples, _| {
        let Sample { lost, out_of_order, .. } = Sample::median(samples);
        let disorder = if out_of_order > 0.0 {
            format!(", {out_of_order:.0} in disorder")
        } else {
            String::new()
        };
        format!("{}{disorder}", thousands(lost))
    };
    const KIB: Cell = |samples, _| format!("{:.2}", Sample::median(samples).memory / 1024.0);
    const KERNEL: Cell = |samples, _| format!("{:.1}", Sample::median(samples).kernel / 1024.0);
    const MIB: Cell = |samples, _| format!("{:.1}", Sample::median(samples).memory / 1_048_576.0);
    match shows {
        Shows::Deliveries => &[
            ("deliveries/s", RATE),
            ("×", RATE_RATIO),
            ("CPU each, µs", CPU),
            ("×", CPU_RATIO),
            ("p50 ms", P50),
            ("p99 ms", P99),
            ("lost", LOST),
        ],
        Shows::Lateness => &[
            ("p50 ms", P50),
            ("×", P50_RATIO),
            ("p99 ms", P99),
            ("×", P99_RATIO),
            ("CPU each, µs", CPU),
            ("lost", LOST),
        ],
        Shows::Publishes => {
            &[("events/s", RATE), ("×", RATE_RATIO), ("CPU each, µs", CPU), ("lost", LOST)]
        }
        Shows::Reads => &[
            ("events/s", RATE),
            ("CPU each, µs", CPU),
            ("memory above idle, MiB", MIB),
            ("in disorder", |samples, _| thousands(Sample::median(samples).out_of_order)),
        ],
        Shows::Memory => &[("KiB each", KIB), ("kernel, both ends, KiB", KERNEL)],
    }
}

/// The median of the ratios of neighbouring runs.
fn ratio(samples: &[Sample], first: &[Sample], of: fn(&Sample) -> f64) -> String {
    let ratios = samples.iter().zip(first).map(|(sample, first)| of(sample) / of(first).max(1e-9));
    format!("{:.2}", median(ratios))
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What was run where.
pub(crate) fn head(rounds: usize, seconds: u64, commit: &str) -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = Command::new("uname").arg("-r").output();
    let kernel = kernel.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let kernel = kernel.unwrap_or_default();
    let mut text = format!(
        "Measured at `{commit}` by `cargo xtask bench --rounds {rounds} --seconds {seconds}` on {cores} cores of {model}, Linux {kernel}; server and load share them. Medians of {rounds} rounds, in each of which everybody had a turn (memory is measured once); × is the median of the ratios to the first row's run of the same round. Events of {} bytes.\n\n",
        crate::load::SIZE
    );
    for (name, source) in FLOORS {
        let sum = Sha256::digest(source.as_bytes());
        let sum: String = sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "* `bench/src/server/{name}`: sha256 {sum}…");
    }
    text
}

/// Where a report's tables begin in the document.
pub(crate) const BEGIN: &str = "<!-- tables: written by `cargo xtask bench` -->";
/// And where they end.
pub(crate) const END: &str = "<!-- end of tables -->";

/// Puts the tables into the document, between their marks.
pub(crate) fn write(file: &Path, tables: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(file)?;
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| anyhow::anyhow!("no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| anyhow::anyhow!("no {END}"))?;
    fs::write(file, format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_a_report_is_found() {
        let table = "### A (`fan-out-1000`)\n\n| | rate |\n|---|---:|\n| floor, synced | 1,234 | 2 |\n| x | 5 |\n";
        let text = format!("{table}\n### B (`memory`)\n\n| | KiB |\n|---|---:|\n| axum | 9 |\n");
        assert_eq!(floor_before(&text, "fan-out-1000"), Some(1234.0));
        assert_eq!(floor_before(&text, "memory"), None, "the first is no floor");
        assert_eq!(floor_before(&text, "fan-out"), None);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!((thousands(0.0), thousands(999.0)), ("0".into(), "999".into()));
    }
}
