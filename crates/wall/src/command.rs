//! What a visitor asks to post, checked: the shapes of 2011, with bounds. Pure.

use serde::{Deserialize, Serialize};

/// Characters of a post's text.
const MAX_MSG: usize = 2000;
/// Characters of a place, a location, or whom a post is forwarded from.
const MAX_LINE: usize = 200;
/// Characters of a visitor's name.
const MAX_NAME: usize = 40;

/// A visitor's request to post.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Command {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) msg: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) through: Option<String>,
    pub(crate) location: Option<String>,
}

/// A post, as it stands in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Post {
    /// The event's name; none for a status.
    pub(crate) event: Option<&'static str>,
    /// The JSON of the event's data.
    pub(crate) data: String,
}

/// A field that cannot be posted, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) message: String,
}

#[derive(Serialize)]
struct PostData<'a> {
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
}

impl Command {
    /// The name that the visitor wants from now on, if they gave one.
    pub(crate) fn new_name(&self) -> Result<Option<&str>, FieldError> {
        let name = self.name.as_deref().map(str::trim);
        name.map(|name| check("name", "your name", name, MAX_NAME, false)).transpose()
    }

    /// The post of a visitor called `from`.
    pub(crate) fn post(&self, from: &str) -> Result<Post, FieldError> {
        let msg = || required("msg", "the post", self.msg.as_ref(), MAX_MSG);
        let line = |field, what, value| required(field, what, value, MAX_LINE);
        let (event, msg, place, through) = match &*self.kind {
            "status" => (None, Some(msg()?), None, None),
            "checkin" => (
                Some("checkin"),
                None,
                Some(line("place", "the place", self.place.as_ref())?),
                None,
            ),
            "forward" => {
                let through = line("through", "whom it came through", self.through.as_ref())?;
                (Some("forward"), Some(msg()?), None, Some(through))
            }
            other => {
                let message = format!("a post is a status, a checkin or a forward, not {other:?}");
                return Err(FieldError { field: "kind", message });
            }
        };
        let location = optional("location", "the location", self.location.as_ref())?;
        let data = PostData { from, through, msg, place, location };
        Ok(Post { event, data: serde_json::to_string(&data).unwrap_or_default() })
    }
}

fn required<'a>(
    field: &'static str,
    what: &str,
    value: Option<&'a String>,
    max: usize,
) -> Result<&'a str, FieldError> {
    check(field, what, value.map_or("", |value| value.trim()), max, field == "msg")
}

fn optional<'a>(
    field: &'static str,
    what: &str,
    value: Option<&'a String>,
) -> Result<Option<&'a str>, FieldError> {
    let value = value.map(|value| value.trim()).filter(|value| !value.is_empty());
    value.map(|value| check(field, what, value, MAX_LINE, false)).transpose()
}

/// Characters are Unicode code points, as the page counts them.
fn check<'a>(
    field: &'static str,
    what: &str,
    value: &'a str,
    max: usize,
    lines: bool,
) -> Result<&'a str, FieldError> {
    let count = value.chars().count();
    let allowed = |c: char| !c.is_control() || (lines && matches!(c, '\n' | '\r' | '\t'));
    let message = if count == 0 {
        format!("{what} is empty: write something")
    } else if count > max {
        format!("{what} is {count} characters long: at most {max} fit")
    } else if !value.chars().all(allowed) {
        format!("{what} contains control characters: remove them")
    } else {
        return Ok(value);
    };
    Err(FieldError { field, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(json: &str) -> Command {
        serde_json::from_str(json).unwrap()
    }

    fn data(json: &str) -> String {
        command(json).post("Guest 7").unwrap().data
    }

    fn refused(json: &str) -> &'static str {
        command(json).post("Guest 7").unwrap_err().field
    }

    #[test]
    fn the_shapes_of_2011() {
        assert_eq!(
            data(r#"{"kind":"status","msg":" hi\nyou "}"#),
            r#"{"from":"Guest 7","msg":"hi\nyou"}"#
        );
        assert_eq!(
            data(r#"{"kind":"status","msg":"hi","location":"Hall 2","place":"ignored"}"#),
            r#"{"from":"Guest 7","msg":"hi","location":"Hall 2"}"#
        );
        assert_eq!(
            data(r#"{"kind":"checkin","place":"Hall 2","location":" "}"#),
            r#"{"from":"Guest 7","place":"Hall 2"}"#
        );
        let forward = command(r#"{"kind":"forward","through":"the desk","msg":"x"}"#)
            .post("Guest 7")
            .unwrap();
        assert_eq!(
            (forward.event, &*forward.data),
            (Some("forward"), r#"{"from":"Guest 7","through":"the desk","msg":"x"}"#)
        );
    }

    #[test]
    fn errors_name_their_field() {
        assert_eq!(refused(r#"{}"#), "kind");
        assert_eq!(refused(r#"{"kind":"direct","msg":"x"}"#), "kind");
        assert_eq!(refused(r#"{"kind":"status"}"#), "msg");
        assert_eq!(refused(r#"{"kind":"status","msg":" \n "}"#), "msg");
        assert_eq!(refused(r#"{"kind":"status","msg":"a\u0000b"}"#), "msg");
        assert_eq!(refused(r#"{"kind":"checkin","place":"a\nb"}"#), "place");
        assert_eq!(refused(r#"{"kind":"forward","msg":"x"}"#), "through");
        let far = format!(r#"{{"kind":"status","msg":"x","location":"{}"}}"#, "x".repeat(201));
        assert_eq!(refused(&far), "location");
    }

    #[test]
    fn lengths_are_characters_not_bytes() {
        let post =
            |n| command(&format!(r#"{{"kind":"status","msg":"{}"}}"#, "😀".repeat(n))).post("A");
        assert!(post(2000).is_ok() && post(2001).is_err());
    }
}
