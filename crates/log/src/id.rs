//! Positions, epochs and event ids: the bytes that clients hold on to, so they never
//! change meaning. An id on the wire is `<epoch>-<position>`.

use std::{fmt, str::FromStr, sync::Arc};

/// A place in the log. Strictly increasing, possibly with holes; 0 is before every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// Before every event.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; [`Position::START`] has none and stays.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random name of one unbroken run of positions: 1 to 32 of `[0-9a-z]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

const MAX_EPOCH_BYTES: usize = 32;
/// 36^8 is 41 bits: enough that two copies of one log never draw the same name.
const NEW_EPOCH_BYTES: usize = 8;

impl Epoch {
    /// A new random epoch.
    #[must_use]
    pub fn random() -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let digit = || char::from(DIGITS[rand::random_range(0..DIGITS.len())]);
        Self((0..NEW_EPOCH_BYTES).map(|_| digit()).collect::<String>().into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Epoch {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        let legal = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        if name.is_empty() || name.len() > MAX_EPOCH_BYTES || !name.bytes().all(legal) {
            return Err(IdError);
        }
        Ok(Self(name.into()))
    }
}

/// An event's id, and a cursor over all topics: everything up to its position is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The run of positions it belongs to.
    pub epoch: Epoch,
    /// The place in the log.
    pub position: Position,
}

/// The text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id looks like k3x9v0qa-1042: pass one exactly as Eventwall gave it")]
pub struct IdError;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.position)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    /// Only the one spelling that [`fmt::Display`] writes is an id.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (epoch, position) = text.split_once('-').ok_or(IdError)?;
        let canonical = position.bytes().all(|b| b.is_ascii_digit())
            && (position == "0" || !position.starts_with('0'));
        if !canonical {
            return Err(IdError);
        }
        let position = Position(position.parse().map_err(|_| IdError)?);
        Ok(Self { epoch: epoch.parse()?, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        for good in ["k3x9v0qa-1042", "a-0", "0-18446744073709551615"] {
            assert_eq!(good.parse::<EventId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "-",
            "a",
            "a-",
            "-1",
            "a-01",
            "a--1",
            "a-+1",
            "A-1",
            "a-1 ",
            " a-1",
            "a_b-1",
            "a-18446744073709551616",
            "a-1-2",
            "0123456789012345678901234567890123-1",
            "é-1",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(IdError), "{bad:?}");
        }
    }

    #[test]
    fn ids_need_no_preflight() {
        let id = EventId { epoch: Epoch::random(), position: Position(u64::MAX) }.to_string();
        assert!(id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}
