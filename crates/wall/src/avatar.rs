//! What stands for an author whose picture nobody has: letters of the name, and a colour. Pure, and the same as
//! `web/js/avatar.js`: both are held to `web/vectors/avatars.json`.

use serde::Serialize;

use crate::text::is_picture;

/// Colours to choose from; the style sheet has as many.
const HUES: u32 = 12;

/// Made from a name alone, so that it is the same everywhere.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Avatar {
    /// The first letters of the first and last word; a picture stands alone.
    pub(crate) letters: String,
    /// Which of the colours.
    pub(crate) hue: u32,
}

impl Avatar {
    pub(crate) fn of(name: &str) -> Self {
        let mut words = name.split_whitespace();
        let first = words.next().and_then(|word| word.chars().next());
        let last = words.next_back().and_then(|word| word.chars().next());
        let picture = first.into_iter().chain(last).find(|letter| is_picture(*letter));
        let letters = picture.map_or_else(
            || first.into_iter().chain(last).flat_map(char::to_uppercase).collect(),
            String::from,
        );
        // FNV-1a, of 32 bits.
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Self { letters, hue: name.bytes().fold(0x811c_9dc5, step) % HUES }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn they_are_those_of_the_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../web/vectors/avatars.json")).unwrap();
        assert!(vectors.len() > 5);
        for vector in vectors {
            let avatar = Avatar::of(vector["name"].as_str().unwrap());
            assert_eq!(
                serde_json::to_value(avatar).unwrap(),
                vector["avatar"],
                "of {}",
                vector["name"]
            );
        }
    }
}
