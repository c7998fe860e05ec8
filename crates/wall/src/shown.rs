//! A post as it is shown: read out of an event as `web/js/post.js` does, for whoever looks. Pure.

use eventwall_hub::rfc3339;
use eventwall_log::{EventId, Millis, Record};
use serde::Serialize;
use serde_json::Value;

use crate::{
    avatar::Avatar,
    text::{Part, is_pictures, parts},
};

/// Whoever posts by the API has no id that begins so.
const VISITOR: &str = "visitor:";
/// Characters.
const MAX_SHOWN: usize = 10_000;

/// What is known of an event that may be a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    #[serde(serialize_with = "as_text")]
    pub(crate) id: EventId,
    /// The name of the event, `message` for none.
    pub(crate) event: String,
    #[serde(serialize_with = "as_time")]
    pub(crate) time: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    pub(crate) data: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) edited: bool,
}

fn as_text<S: serde::Serializer>(id: &EventId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn as_time<S: serde::Serializer>(time: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*time))
}

/// A post, ready for the page's template.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    id: String,
    kind: &'static str,
    time: String,
    author: Option<&'a str>,
    avatar: Avatar,
    parts: Vec<Part<'a>>,
    pictures: bool,
    place: Option<&'a str>,
    location: Option<&'a str>,
    through: Option<&'a str>,
    mine: bool,
    trusted: bool,
    edited: bool,
    /// Its data, for its author to change.
    raw: Option<&'a str>,
}

/// The name of an event, `message` for none.
pub(crate) fn name_of(record: &Record) -> &str {
    record.event.as_deref().unwrap_or("message")
}

/// The kind of post that an event of that name is; none, if it is no post.
pub(crate) fn kind_of(event: &str) -> Option<&'static str> {
    Some(match event {
        "message" => "status",
        "checkin" => "checkin",
        "forward" => "forward",
        "direct" => "direct",
        _ => return None,
    })
}

/// What a post says, in one of the shapes of 2011.
struct Words<'a> {
    author: &'a str,
    text: Option<&'a str>,
    place: Option<&'a str>,
    location: Option<&'a str>,
    through: Option<&'a str>,
}

impl Entry {
    /// The event's data, to be looked at by [`Entry::shown`].
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }

    /// The post as `visitor` sees it; none for what is no post. `value` is this entry's own.
    pub(crate) fn shown<'a>(&'a self, value: &'a Value, visitor: &str) -> Option<Shown<'a>> {
        let kind = kind_of(&self.event)?;
        let words = words(kind, value);
        // Data in no known shape is somebody's plain text: all of it is shown, and no author.
        let plain = words.is_none().then_some(&*self.data);
        let text = words.as_ref().map_or(plain, |words| words.text);
        let text = text.map(shortened);
        let author = words.as_ref().map(|words| words.author);
        let by = self.by.as_deref().unwrap_or_default();
        let mine = !by.is_empty() && by == visitor;
        Some(Shown {
            id: self.id.to_string(),
            kind: if words.is_some() { kind } else { "status" },
            time: rfc3339(self.time),
            author,
            avatar: Avatar::of(author.unwrap_or_default()),
            parts: text.map(parts).unwrap_or_default(),
            pictures: text.is_some_and(is_pictures),
            place: words.as_ref().and_then(|words| words.place),
            location: words.as_ref().and_then(|words| words.location),
            through: words.as_ref().and_then(|words| words.through),
            mine,
            trusted: !by.starts_with(VISITOR),
            edited: self.edited,
            raw: mine.then_some(&*self.data),
        })
    }
}

/// As much of a text as a page shows; visitors write less.
fn shortened(text: &str) -> &str {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn words<'a>(kind: &str, data: &'a Value) -> Option<Words<'a>> {
    let text = |name| data.get(name)?.as_str().filter(|text| !text.trim().is_empty());
    let author = text("from")?;
    let location = text("location");
    if kind == "checkin" {
        let place = Some(text("place")?);
        return Some(Words { author, text: None, place, location, through: None });
    }
    let through = if kind == "forward" { text("through") } else { None };
    Some(Words { author, text: Some(text("msg")?), place: None, location, through })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: &str, data: &str, by: Option<&str>) -> Entry {
        let id = "abc12345-7".parse().unwrap();
        Entry {
            id,
            event: event.into(),
            time: 0,
            by: by.map(Into::into),
            data: data.into(),
            edited: false,
        }
    }

    fn shown(event: &str, data: &str, by: Option<&str>) -> Value {
        let entry = entry(event, data, by);
        let value = entry.value();
        serde_json::to_value(entry.shown(&value, "visitor:1")).unwrap()
    }

    #[test]
    fn the_shapes_of_2011_are_known_and_all_else_is_plain() {
        let status =
            shown("message", r#"{"from":"A B","msg":"hi","location":"x"}"#, Some("visitor:1"));
        assert_eq!(
            (&status["author"], &status["avatar"]["letters"]),
            (&"A B".into(), &"AB".into())
        );
        assert_eq!((&status["mine"], &status["trusted"]), (&true.into(), &false.into()));
        assert_eq!(status["location"], "x");
        let checkin = shown("checkin", r#"{"from":"A","place":"here","msg":"no"}"#, None);
        assert_eq!(
            (&checkin["place"], checkin["parts"].as_array().unwrap().len()),
            (&"here".into(), 0)
        );
        assert_eq!(checkin["trusted"], true);
        for odd in ["words", "[1]", r#"{"from":"A"}"#, r#"{"from":" ","msg":"x"}"#, "7", "null"] {
            let plain = shown("forward", odd, None);
            assert_eq!(
                (&plain["kind"], &plain["parts"][0]["text"]),
                (&"status".into(), &odd.into())
            );
            assert!(plain["author"].is_null());
        }
        assert!(shown("eventwall:edit", "x", None).is_null());
        assert!(shown("other", "x", None).is_null());
    }
}
