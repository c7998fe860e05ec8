//! Query strings, decoded exactly once and strictly: the parameters that Eventwall knows must
//! be well-formed, the others are ignored, as polyfills add their own.

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::Problem;

/// The parameters of a request, in order.
#[derive(Debug)]
pub(crate) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> Result<Vec<String>, Problem> {
        let values = self.0.iter().filter(|(key, _)| decodes_to(key, name));
        values.map(|(key, value)| decode(key, &value.replace('+', " "))).collect()
    }

    /// Whether a parameter is there, with or without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| decodes_to(key, name))
    }

    /// The last value of a parameter, if it is not empty.
    pub(crate) fn last(&self, name: &str) -> Result<Option<String>, Problem> {
        Ok(self.all(name)?.pop().filter(|value| !value.is_empty()))
    }

    /// The last non-empty value of any of these spellings, taken as it is: it never fails.
    pub(crate) fn last_lossy(&self, names: &[&str]) -> Option<String> {
        let known = |key: &str| names.iter().any(|name| decodes_to(key, name));
        let (_, value) = self.0.iter().rfind(|(key, value)| known(key) && !value.is_empty())?;
        Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    }

    /// A parameter that is a number of at most `max`.
    pub(crate) fn number(&self, name: &str, max: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.last(name)? else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && *number <= max);
        number.map(Some).ok_or_else(|| {
            Problem::bad_request(format!("`{name}` must be a number from 0 to {max}, not {text:?}"))
        })
    }
}

fn decodes_to(key: &str, name: &str) -> bool {
    key == name || percent_decode_str(key).eq(name.bytes())
}

/// Decodes percent signs once.
///
/// # Errors
/// `400` for what is not percent-encoded UTF-8; `what` names it.
pub fn decode(what: &str, text: &str) -> Result<String, Problem> {
    let bytes = text.as_bytes();
    for (i, _) in text.match_indices('%') {
        let hex = bytes.get(i + 1..i + 3);
        if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Problem::bad_request(format!(
                "a % in `{what}` is not followed by two hexadecimal digits: write it as %25"
            )));
        }
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        Problem::bad_request(format!("`{what}` is not UTF-8 once its percent signs are decoded"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let uri: Uri = "/x?topic=a%2Fb&topic=c+d&t%6Fpic=%2525&other=%zz&after=".parse().unwrap();
        let query = Query::of(&uri);
        assert_eq!(query.all("topic").unwrap(), ["a/b", "c d", "%25"]);
        assert_eq!(query.last("after").unwrap(), None);
        assert!(query.last("other").is_err());
        assert_eq!(query.last_lossy(&["missing", "topic"]), Some("%25".into()));
    }

    #[test]
    fn bad_encoding_is_refused() {
        for bad in ["%", "%1", "%zz", "%ff", "a%"] {
            assert!(decode("topic", bad).is_err(), "{bad}");
        }
        assert_eq!(decode("topic", "%C3%A9").unwrap(), "é");
    }
}
