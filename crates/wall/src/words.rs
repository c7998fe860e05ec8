//! What the wall says, in the languages it speaks: `web/words`. English is whole; what another lacks is said in
//! English.

use std::{collections::BTreeMap, sync::LazyLock};

use http::{HeaderMap, header};

/// Words by their keys.
pub(crate) type Words = BTreeMap<String, String>;

/// A language with its words.
#[derive(Debug)]
pub(crate) struct Language {
    /// As in `lang` (BCP 47).
    pub(crate) tag: &'static str,
    pub(crate) words: Words,
}

/// The first is for everybody else.
static LANGUAGES: LazyLock<[Language; 2]> = LazyLock::new(|| {
    let english = parse(include_str!("../../../web/words/en.json"));
    let mut german = english.clone();
    german.extend(parse(include_str!("../../../web/words/de.json")));
    [Language { tag: "en", words: english }, Language { tag: "de", words: german }]
});

fn parse(json: &str) -> Words {
    serde_json::from_str(json).unwrap_or_default()
}

impl Language {
    /// The one that a request likes best (RFC 9110, 12.5.4) of those that there are.
    pub(crate) fn of(headers: &HeaderMap) -> &'static Self {
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let mut ranges: Vec<_> = wanted.unwrap_or_default().split(',').map(range).collect();
        // The order of those liked alike is theirs.
        ranges.sort_by(|a, b| b.1.total_cmp(&a.1));
        let liked = ranges.iter().filter(|(_, quality)| *quality > 0.0);
        let mut known = liked.filter_map(|(tag, _)| {
            let primary = tag.split('-').next().unwrap_or_default();
            LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(primary))
        });
        known.next().unwrap_or(&LANGUAGES[0])
    }

    /// What is said for a key.
    pub(crate) fn say(&self, key: &str) -> &str {
        self.words.get(key).map_or("", String::as_str)
    }
}

fn range(text: &str) -> (&str, f32) {
    let (tag, parameter) = text.split_once(';').unwrap_or((text, ""));
    let quality = parameter.trim().strip_prefix("q=").and_then(|value| value.parse().ok());
    (tag.trim(), quality.unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wanted: &str) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, wanted.parse().unwrap());
        Language::of(&headers).tag
    }

    #[test]
    fn the_best_of_those_known_is_spoken() {
        assert_eq!(Language::of(&HeaderMap::new()).tag, "en");
        for (wanted, tag) in [
            ("de", "de"),
            ("de-AT,en;q=0.8", "de"),
            ("fr, de;q=0.5, en;q=0.9", "en"),
            ("en;q=0.2,DE;q=0.3", "de"),
            ("de;q=0, fr", "en"),
            ("*", "en"),
            (";;,=", "en"),
        ] {
            assert_eq!(chosen(wanted), tag, "of {wanted}");
        }
    }

    #[test]
    fn every_language_has_all_the_words_and_their_places() {
        let [english, others @ ..] = &*LANGUAGES;
        let places = |text: &str| {
            let mut found: Vec<String> = text
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}').map(|(name, _)| name.into()))
                .collect();
            found.sort();
            found
        };
        let own = parse(include_str!("../../../web/words/de.json"));
        assert_eq!(own.keys().collect::<Vec<_>>(), english.words.keys().collect::<Vec<_>>());
        for language in others {
            for (key, text) in &english.words {
                assert_eq!(places(language.say(key)), places(text), "{} in {}", key, language.tag);
                assert!(!language.say(key).is_empty());
            }
        }
    }
}
