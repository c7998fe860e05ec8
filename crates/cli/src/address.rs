//! Addresses, origins and host names as people write them, checked when they are read: one that
//! could never match would only be found out in a browser's console.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use eventwall_log::{Pattern, PatternError};
use ipnet::IpNet;
use reqwest::Url;

/// `ADDR:PORT`, where the address may be a name such as `localhost`.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let example = "write an address and a port, such as 127.0.0.1:8080";
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}: {example}"))?;
    found.next().ok_or_else(|| format!("there is no such address: {example}"))
}

/// An address, or a network such as `10.0.0.0/8`.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|addr: IpAddr| IpNet::from(addr.to_canonical()));
    text.parse().ok().or_else(address).ok_or_else(|| {
        format!("{text:?} is no address or network: write it like 10.0.0.7, 10.0.0.0/8 or fd00::/8")
    })
}

/// Topics that can be public.
pub(crate) fn pattern(text: &str) -> Result<Pattern, String> {
    let pattern: Pattern = text.parse().map_err(|error: PatternError| error.to_string())?;
    if pattern.is_reserved() {
        return Err(format!("{text} stands for the hub's own topics, which are never public"));
    }
    let whole = |segment: &str| !segment.contains('*') || matches!(segment, "*" | "**");
    if !text.split('/').all(whole) {
        return Err(format!("{text:?}: a * stands for a whole segment, or for nothing else"));
    }
    Ok(pattern)
}

/// Walls, by one name or `*`, as topics.
pub(crate) fn wall_pattern(text: &str) -> Result<Pattern, String> {
    if text.contains('/') || text == "**" {
        return Err(format!(
            "{text:?} is no wall: write a name without slashes, or * for all walls"
        ));
    }
    pattern(&format!("walls/{text}"))
}

/// The origin of a web page: scheme, host and port, or `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no origin: write it like https://example.org, without a path, or *"
            )
        };
        if text == "*" {
            return Ok(Self(text.into()));
        }
        let url: Url = text.parse().map_err(|_| wrong())?;
        let origin = url.origin().ascii_serialization();
        let is_web = matches!(url.scheme(), "http" | "https");
        // Browsers send exactly this spelling.
        if is_web && origin == text { Ok(Self(origin)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host name without scheme, port or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName(String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || !text.chars().all(legal) {
            return Err(format!(
                "{text:?} is no host name: write it like wall.example.org, without a port"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in ["*", "https://example.org", "http://localhost:3000", "http://[::1]:8080"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "example.org",
            "https://example.org/",
            "https://example.org/x",
            "https://example.org:443",
            "ftp://x",
            "https://EXAMPLE.org",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_and_what_is_public() {
        assert_eq!(network("10.0.0.7").unwrap(), "10.0.0.7/32".parse().unwrap());
        assert_eq!(network("::ffff:10.0.0.7").unwrap(), "10.0.0.7/32".parse().unwrap());
        assert!(network("fd00::/8").is_ok() && network("10.0.0.0/33").is_err());
        assert!(network("proxy.example").unwrap_err().contains("10.0.0.0/8"));
        assert!(pattern("news/**").is_ok() && pattern("news").is_ok());
        assert!(pattern("$private/**").unwrap_err().contains("never public"));
        assert!(pattern("a/**/b").is_err() && pattern("").is_err());
        assert!(pattern("a*").is_err() && wall_pattern("lob*").unwrap_err().contains("whole"));
        assert_eq!(wall_pattern("*").unwrap().to_string(), "walls/*");
        assert!(wall_pattern("a/b").is_err() && wall_pattern("**").is_err());
    }

    #[test]
    fn hosts_and_addresses() {
        assert!("wall.test".parse::<HostName>().is_ok());
        for bad in ["", "http://x", "x:80", "x/y", "[::1]"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        assert_eq!(listen_address("127.0.0.1:1").unwrap().port(), 1);
        assert!(listen_address("localhost:8080").unwrap().ip().is_loopback());
        assert!(listen_address("8080").unwrap_err().contains("127.0.0.1:8080"));
    }
}
