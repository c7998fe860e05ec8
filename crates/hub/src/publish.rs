//! What may be published: the checks that keep every frame and every view right.

use std::borrow::Cow;

use eventwall_log::MAX_EVENT_NAME_BYTES;

/// Event names of the hub's own begin with this.
pub const RESERVED_PREFIX: &str = "eventwall:";

/// Why an event name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has a control character; a line break would forge fields.
    #[error("the event name contains the control character U+{0:04X}: remove it")]
    Control(u32),
    /// It is longer than [`MAX_EVENT_NAME_BYTES`].
    #[error("the event name is {0} bytes long; at most {MAX_EVENT_NAME_BYTES} are allowed")]
    TooLong(usize),
    /// It begins with [`RESERVED_PREFIX`].
    #[error(
        "event names that begin with {RESERVED_PREFIX} are Eventwall's own: choose another name"
    )]
    Reserved,
}

/// The name as the log keeps it: none for an empty one and for `message`, which
/// EventSource cannot tell from none.
///
/// # Errors
/// If the name cannot be published.
pub fn check_event_name(name: &str) -> Result<Option<Box<str>>, NameError> {
    if let Some(control) = name.chars().find(|c| c.is_control()) {
        return Err(NameError::Control(control.into()));
    }
    if name.len() > MAX_EVENT_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(NameError::Reserved);
    }
    Ok((!name.is_empty() && name != "message").then(|| name.into()))
}

/// The data with LF as its only line end, so that every view of it agrees with what a
/// stream can carry.
#[must_use]
pub fn normalize_data(data: &str) -> Cow<'_, str> {
    if data.contains('\r') {
        Cow::Owned(data.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(check_event_name(""), Ok(None));
        assert_eq!(check_event_name("message"), Ok(None));
        assert_eq!(check_event_name("check in"), Ok(Some("check in".into())));
        assert_eq!(check_event_name("a\nb"), Err(NameError::Control(10)));
        assert_eq!(check_event_name("a\0"), Err(NameError::Control(0)));
        assert_eq!(check_event_name("eventwall:tick"), Err(NameError::Reserved));
        assert_eq!(check_event_name(&"x".repeat(257)), Err(NameError::TooLong(257)));
    }

    #[test]
    fn line_ends() {
        assert_eq!(normalize_data("a\r\nb\rc\nd\r\n\r"), "a\nb\nc\nd\n\n");
    }
}
