//! What one run of a scenario measured, and the medians of several.

use std::time::Duration;

/// One run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Deliveries, or publishes, a second.
    pub(crate) rate: f64,
    /// CPU time of the server for each, in microseconds.
    pub(crate) cpu: f64,
    /// From when an event was due to when it was read, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Bytes, where memory is measured: of the process, and of the kernel on both ends.
    pub(crate) memory: f64,
    pub(crate) kernel: f64,
    /// Acknowledged events that did not come.
    pub(crate) lost: f64,
    /// Events that did not come in order.
    pub(crate) out_of_order: f64,
}

/// Values of a sample, to take medians of.
const FIELDS: [fn(&mut Sample) -> &mut f64; 6] = [
    |sample| &mut sample.rate,
    |sample| &mut sample.cpu,
    |sample| &mut sample.p50,
    |sample| &mut sample.p99,
    |sample| &mut sample.memory,
    |sample| &mut sample.kernel,
];

impl Sample {
    /// So many things in such a time, which cost the server so much.
    pub(crate) fn new(count: u64, took: Duration, cpu: Duration) -> Self {
        let count = count.max(1) as f64;
        let (rate, cpu) = (count / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count);
        Self { rate, cpu, ..Self::default() }
    }

    /// Each value's own median; of what must not be, the most.
    pub(crate) fn median(samples: &[Self]) -> Self {
        let mut of = Self::default();
        for field in FIELDS {
            let values = samples.iter().map(|sample| *field(&mut sample.clone()));
            *field(&mut of) = median(values);
        }
        // One round is enough to be told of.
        let most = |of: fn(&Self) -> f64| samples.iter().map(of).fold(0.0, f64::max);
        (of.lost, of.out_of_order) =
            (most(|sample| sample.lost), most(|sample| sample.out_of_order));
        of
    }
}

/// 0 of nothing.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([1.0, 2.0].into_iter()) - 1.5).abs() < f64::EPSILON);
        let sample = |rate| Sample { rate, ..Sample::default() };
        assert!((Sample::median(&[sample(1.0), sample(9.0), sample(3.0)]).rate - 3.0).abs() < 1e-9);
    }
}
