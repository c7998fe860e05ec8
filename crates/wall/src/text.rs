//! The words of a post in their parts: plain text, links, code. Pure, and the same as `web/js/rich.js`: both are
//! held to `web/vectors/text.json`.

use serde::Serialize;

/// Characters that end a sentence rather than a link.
const AFTER_LINKS: &str = ".,;:!?'\"’”»)]}…";
const SCHEMES: [&str; 2] = ["https://", "http://"];
const FENCE: &str = "```";
/// So few pictures alone are shown large.
const MOST_PICTURES: usize = 8;

/// A stretch of a post's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "text", rename_all = "lowercase")]
pub(crate) enum Part<'a> {
    /// As it is written.
    Text(&'a str),
    /// An address, to be followed.
    Link(&'a str),
    /// Between backticks.
    Code(&'a str),
    /// Whole lines of code, between fences.
    Block(&'a str),
}

/// The parts of a text, in order; nothing but the marks of code is left out.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut plain) = (text, text);
    while !rest.is_empty() {
        let is_fence = rest.starts_with(FENCE);
        let Some((block, after)) = is_fence.then(|| fenced(rest)).flatten() else {
            // Without an end for this one there is none for any.
            if is_fence {
                break;
            }
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        };
        let before = &plain[..plain.len() - rest.len()];
        inline(before.strip_suffix('\n').unwrap_or(before), &mut parts);
        parts.push(Part::Block(block));
        (rest, plain) = (after, after);
    }
    inline(plain, &mut parts);
    parts
}

/// The lines between a fence here and its end, and what follows.
fn fenced(text: &str) -> Option<(&str, &str)> {
    let (_, body) = text.split_once('\n')?;
    let mut at = 0;
    for line in body.split('\n') {
        if line == FENCE {
            let block = body[..at].strip_suffix('\n').unwrap_or("");
            let after = &body[at + line.len()..];
            return Some((block, after.strip_prefix('\n').unwrap_or(after)));
        }
        at += line.len() + 1;
    }
    None
}

fn inline<'a>(text: &'a str, parts: &mut Vec<Part<'a>>) {
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        let Some((part, len)) = special(text, at) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if from < at {
            parts.push(Part::Text(&text[from..at]));
        }
        parts.push(part);
        at += len;
        from = at;
    }
    if from < text.len() {
        parts.push(Part::Text(&text[from..]));
    }
}

/// What begins here, if it is no plain text, and how long it is with its marks.
fn special(text: &str, at: usize) -> Option<(Part<'_>, usize)> {
    let rest = &text[at..];
    if let Some(inside) = rest.strip_prefix('`') {
        let end = inside.find(['`', '\n'])?;
        let code = &inside[..end];
        return (inside[end..].starts_with('`') && end > 0).then_some((Part::Code(code), end + 2));
    }
    let scheme = SCHEMES.iter().find(|scheme| rest.starts_with(**scheme))?;
    if text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
        return None;
    }
    let stops = |c: char| c.is_whitespace() || c.is_control() || "<>\"`".contains(c);
    let link = &rest[..rest.find(stops).unwrap_or(rest.len())];
    let link = link.trim_end_matches(|c| AFTER_LINKS.contains(c));
    (link.len() > scheme.len()).then_some((Part::Link(link), link.len()))
}

/// Whether a text is nothing but a few pictures.
pub(crate) fn is_pictures(text: &str) -> bool {
    let count = text.chars().count();
    (1..=MOST_PICTURES).contains(&count) && text.chars().all(is_picture)
}

/// Pictures, and what joins and colours them.
pub(crate) fn is_picture(c: char) -> bool {
    matches!(u32::from(c), 0x200D | 0x20E3 | 0x2190..=0x2BFF | 0x3030 | 0xFE0F | 0x1F000..=0x1FAFF)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_parts_are_those_of_the_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../web/vectors/text.json")).unwrap();
        assert!(vectors.len() > 20);
        for vector in vectors {
            let text = vector["text"].as_str().unwrap();
            let found = serde_json::to_value(parts(text)).unwrap();
            assert_eq!(found, vector["parts"], "of {text:?}");
            assert_eq!(is_pictures(text), vector["pictures"] == true, "of {text:?}");
        }
    }
}
