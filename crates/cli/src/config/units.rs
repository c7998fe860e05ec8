//! Bytes, times and limits as people write them.

use std::{num::NonZeroU32, time::Duration};

const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// `1048576`, `1024KiB` or `1MiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(size));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
        format!("{text:?} is no number of bytes: write it like 65536, 64KiB, 16MiB or 1GiB")
    })
}

/// `500ms`, `15s`, `5m`, `24h` or `30d`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text.trim()).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{text:?} is no time: write it like 500ms, 15s, 5m, 24h or 30d"))
}

/// A time, or `none`.
pub(crate) fn age(text: &str) -> Result<Option<Duration>, String> {
    if text.trim() == "none" { Ok(None) } else { time(text).map(Some) }
}

/// A number above 0, or `none`.
pub(crate) fn count(text: &str) -> Result<Option<u64>, String> {
    if text.trim() == "none" {
        return Ok(None);
    }
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| format!("{text:?} is no number above 0, nor `none`"))
}

/// A number of things above 0, or `none`.
pub(crate) fn number(text: &str) -> Result<Option<usize>, String> {
    if text.trim() == "none" { Ok(None) } else { some(text).map(Some) }
}

/// So many a second, or `none`.
pub(crate) fn rate(text: &str) -> Result<Option<NonZeroU32>, String> {
    if text.trim() == "none" {
        return Ok(None);
    }
    let rate = text.trim().parse();
    rate.map(Some).map_err(|_| format!("{text:?} is no number above 0, nor `none`"))
}

/// What HTTP/1.1 needs for a head at least.
const LEAST_HEAD: u64 = 8 << 10;

/// Bytes that a head can be limited to.
pub(crate) fn head_bytes(text: &str) -> Result<u64, String> {
    let bytes = bytes(text)?;
    if bytes >= LEAST_HEAD { Ok(bytes) } else { Err(format!("{text:?} is less than 8KiB")) }
}

/// A limit on a number of things: with none at all nothing would work.
pub(crate) fn some(text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no number above 0"))
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, expected) in
            [("7", 7), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30), ("9B", 9)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "-1", "1MB", "1.5GiB", "99999999999GiB", "GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert!(time("0s").is_err() && time("7").is_err());
        assert_eq!(age("none"), Ok(None));
        assert_eq!(age("30d"), Ok(Some(Duration::from_secs(30 * 24 * 3600))));
        assert_eq!((count("none"), count("9")), (Ok(None), Ok(Some(9))));
        assert!(count("0").is_err());
        assert_eq!((number("none"), number("9")), (Ok(None), Ok(Some(9))));
        assert_eq!((rate("none"), rate("9")), (Ok(None), Ok(NonZeroU32::new(9))));
        assert!(rate("0").is_err() && number("0").is_err() && rate("99999999999").is_err());
        assert!(head_bytes("8191").is_err() && head_bytes("8KiB").is_ok());
    }
}
