//! What proxies write of those before them: `X-Forwarded-*`, or `Forwarded` (RFC 7239). Reads, and
//! believes nobody: what is rubbish names no address.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::ForwardedHeader;

/// Of one header's list so many are read, the last ones.
const MAX_HOPS: usize = 32;

/// Someone on the way of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hop {
    /// The address, if it is one.
    pub(crate) addr: Option<IpAddr>,
    /// Whether it spoke TLS.
    pub(crate) secure: Option<bool>,
    /// The host that it asked for.
    pub(crate) host: Option<String>,
}

/// Those that the headers name, the nearest last.
pub(crate) fn hops(headers: &HeaderMap, kind: ForwardedHeader) -> Vec<Hop> {
    let all = match kind {
        ForwardedHeader::XForwarded => x_forwarded(headers),
        ForwardedHeader::Forwarded => forwarded(headers),
    };
    all.into_iter().rev().take(MAX_HOPS).rev().collect()
}

fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let list = |name: &str| -> Vec<&str> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        values.flat_map(|value| value.split(',')).map(str::trim).collect()
    };
    let addresses = list("x-forwarded-for").into_iter().map(address);
    let mut hops: Vec<Hop> = addresses.map(|addr| Hop { addr, ..Hop::default() }).collect();
    // The nearest proxy's word: it is of whom the proxy named last.
    if let Some(last) = hops.last_mut() {
        last.secure = list("x-forwarded-proto").last().map(|proto| is_https(proto));
        last.host = list("x-forwarded-host").last().map(|host| (*host).to_owned());
    }
    hops
}

fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let values = headers.get_all("forwarded").iter().map(|value| value.to_str().unwrap_or("\""));
    let elements = values.flat_map(|value| split(value, ','));
    elements.map(|element| element.map_or_else(Hop::default, element_hop)).collect()
}

fn element_hop(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in split(element, ';').into_iter().flatten() {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let Some(value) = unquoted(value.trim()) else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.addr = address(&value),
            "proto" => hop.secure = Some(is_https(&value)),
            "host" => hop.host = Some(value),
            _ => {}
        }
    }
    hop
}

/// Splits what is not quoted; `None` for what its quotes leave open.
fn split(text: &str, at: char) -> Vec<Option<&str>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.push(Some(&text[from..i]));
                from = i + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push((!quoted).then_some(&text[from..]));
    parts
}

/// A token, or what a quoted string stands for.
fn unquoted(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let (mut text, mut escaped) = (String::new(), false);
    for c in inner.strip_suffix('"')?.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return None,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    (!escaped).then_some(text)
}

/// An address, with or without a port, in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|addr| addr.ip());
    bare.parse().ok().or_else(with_port).map(|addr: IpAddr| addr.to_canonical())
}

fn is_https(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_all_their_spellings() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text), Some(expected.parse().unwrap()), "{text}");
        }
        for bad in ["", "unknown", "_hidden", "[", "[::1", "1.2.3", "1.2.3.4:x", "[1.2.3.4]]"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn quotes_hide_what_separates() {
        assert_eq!(split("a\"b,\\\"c\",d", ','), [Some("a\"b,\\\"c\""), Some("d")]);
        assert_eq!(split("a,\"b,c", ','), [Some("a"), None]);
        assert_eq!(unquoted("\"a\\\"b\""), Some("a\"b".into()));
        for bad in ["\"a", "a\"", "\"a\"b\"", "\"a\\\"", "\""] {
            assert_eq!(unquoted(bad), None, "{bad}");
        }
    }
}
