//! The pause between two posts: `1s`, or a random one out of `2s..7s`.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use rand::RngExt as _;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pace(RangeInclusive<Duration>);

impl Pace {
    pub(crate) fn draw(&self) -> Duration {
        rand::rng().random_range(self.0.clone())
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| {
            humantime::parse_duration(text.trim())
                .map_err(|_| format!("{text:?} is no time: write 500ms, 2s or 2s..7s"))
        };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let (from, to) = (time(from)?, time(to)?);
        if from > to {
            return Err(format!("{text} runs backwards: write the shorter time first"));
        }
        Ok(Self(from..=to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranges() {
        assert_eq!("2s".parse::<Pace>().unwrap().draw(), Duration::from_secs(2));
        let range: Pace = "10ms..1s".parse().unwrap();
        assert!((10..=1000).contains(&range.draw().as_millis()));
        for bad in ["", "2", "7s..2s", "..", "x..y"] {
            assert!(bad.parse::<Pace>().is_err(), "{bad:?}");
        }
    }
}
