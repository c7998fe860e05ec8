//! Who sends a request: the peer of its connection, or whom a trusted proxy names. Nobody else is
//! believed. `forwarded` reads what proxies write.

pub(crate) mod forwarded;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Once,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;

use self::forwarded::{Hop, hops};

/// Whose word is taken for where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The proxies' addresses.
    pub proxies: Vec<IpNet>,
    /// Where they name their client.
    pub header: ForwardedHeader,
    /// Their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// The headers in which a proxy names its client. Only one kind is read: what a proxy does not write
/// itself it may pass on from anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address, as far as it is known.
    pub addr: IpAddr,
    /// It speaks TLS, to this server or to its proxy.
    pub secure: bool,
    /// The host that it asked its proxy for, if the proxy says so.
    pub(crate) host: Option<String>,
    /// It came by way of a proxy that is not trusted, or does not say from where: the address is that proxy's.
    hidden: bool,
}

/// Addresses that are limited together: a subscriber's network has 2⁶⁴ of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin(IpAddr);

/// What a request that came by way of a proxy has.
const SIGNS_OF_A_PROXY: [&str; 5] =
    ["x-forwarded-for", "forwarded", "x-forwarded-host", "x-real-ip", "via"];

impl Client {
    /// The host that it asked its proxy for, if a trusted one says so.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
}

impl Trust {
    /// Whether an address is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.proxies.iter().any(|network| network.contains(&addr))
    }

    /// Who sends a request with these headers over a connection from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, tls: bool, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        let mut client = Client { addr: peer, secure: tls, host: None, hidden: false };
        if !self.trusts(peer) {
            client.hidden = came_by_a_proxy(headers);
            if client.hidden && is_private(peer) {
                warn_untrusted(peer);
            }
            return client;
        }
        let hops = hops(headers, self.header);
        if hops.is_empty() && came_by_a_proxy(headers) {
            // It writes the other kind of header, perhaps.
            client.hidden = true;
            warn_nameless(peer);
        }
        for Hop { addr, secure, host } in hops.into_iter().rev() {
            if !self.trusts(client.addr) {
                break;
            }
            client.secure = secure.unwrap_or(client.secure);
            client.host = host.or(client.host);
            match addr {
                Some(addr) => client.addr = addr,
                // Beyond there nobody is known.
                None => {
                    client.hidden = true;
                    break;
                }
            }
        }
        client
    }
}

impl Client {
    /// Of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Whether it is on this machine or in a network of its own, as far as can be known.
    #[must_use]
    pub fn is_near(&self) -> bool {
        !self.hidden && is_private(self.addr)
    }

    /// Whom its limits are shared with; `None`: this machine's own programs have none, and nor has a
    /// proxy on it that is not known as one.
    pub(crate) fn origin(&self) -> Option<Origin> {
        Origin::of(self.addr)
    }
}

impl Origin {
    pub(crate) fn of(addr: IpAddr) -> Option<Self> {
        match addr.to_canonical() {
            addr if addr.is_loopback() => None,
            IpAddr::V6(addr) => {
                let network = addr.to_bits() & !u128::from(u64::MAX);
                Some(Self(Ipv6Addr::from_bits(network).into()))
            }
            addr => Some(Self(addr)),
        }
    }
}

fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_loopback() || addr.is_private() || addr.is_link_local(),
        IpAddr::V6(addr) => {
            addr.is_loopback() || addr.is_unique_local() || addr.is_unicast_link_local()
        }
    }
}

fn came_by_a_proxy(headers: &HeaderMap) -> bool {
    SIGNS_OF_A_PROXY.iter().any(|name| headers.contains_key(*name))
}

fn warn_untrusted(peer: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %peer,
            "requests come by way of a proxy that is not trusted, so limits by address are of no use: name it with --trusted-proxy"
        );
    });
}

fn warn_nameless(peer: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %peer,
            "a trusted proxy does not name its clients where it is looked for: see --forwarded-header"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&'static str, &str)]) -> Client {
        let proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let trust = Trust { proxies, header, proxy_protocol: false };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        trust.client(peer.parse().unwrap(), false, &headers)
    }

    fn addr(header: ForwardedHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
        client(header, peer, lines).addr.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        use ForwardedHeader::XForwarded as X;
        let name = "x-forwarded-for";
        assert_eq!(addr(X, "192.0.2.1", &[(name, "203.0.113.5")]), "192.0.2.1");
        assert_eq!(addr(X, "127.0.0.1", &[(name, "203.0.113.5")]), "203.0.113.5");
        assert_eq!(addr(X, "::ffff:127.0.0.1", &[(name, "203.0.113.5")]), "203.0.113.5");
        assert_eq!(addr(X, "127.0.0.1", &[]), "127.0.0.1");
        // What stands before the last that is not trusted may be anybody's word.
        let forged = [(name, "8.8.8.8, 203.0.113.5, 10.1.1.1")];
        assert_eq!(addr(X, "127.0.0.1", &forged), "203.0.113.5");
        let lines = [(name, "8.8.8.8"), (name, "203.0.113.5"), (name, "10.1.1.1")];
        assert_eq!(addr(X, "127.0.0.1", &lines), "203.0.113.5", "several lines are one list");
        assert_eq!(addr(X, "127.0.0.1", &[(name, "8.8.8.8, rubbish, 10.0.0.9")]), "10.0.0.9");
        assert_eq!(addr(X, "127.0.0.1", &[(name, "10.0.0.7, 10.0.0.8")]), "10.0.0.7");
        assert_eq!(addr(X, "127.0.0.1", &[("forwarded", "for=8.8.8.8")]), "127.0.0.1");
    }

    #[test]
    fn the_standard_header() {
        use ForwardedHeader::Forwarded as F;
        let one = client(
            F,
            "127.0.0.1",
            &[("forwarded", "for=9.9.9.9, for=\"[2001:db8::7]:443\";proto=https;host=\"a.b:1\"")],
        );
        assert_eq!((one.addr.to_string().as_str(), one.secure), ("2001:db8::7", true));
        assert_eq!(one.host.as_deref(), Some("a.b:1"));
        assert_eq!(addr(F, "127.0.0.1", &[("x-forwarded-for", "8.8.8.8")]), "127.0.0.1");
        assert_eq!(addr(F, "127.0.0.1", &[("forwarded", "for=unknown")]), "127.0.0.1");
        assert_eq!(addr(F, "127.0.0.1", &[("forwarded", "for=\"_x, for=1.1.1.1")]), "127.0.0.1");
    }

    #[test]
    fn who_is_near_and_who_has_limits() {
        use ForwardedHeader::XForwarded as X;
        let near = |peer, lines: &[_]| client(X, peer, lines).is_near();
        assert!(near("127.0.0.1", &[]) && near("192.168.1.4", &[]) && near("fd00::1", &[]));
        assert!(!near("203.0.113.5", &[]));
        assert!(!near("192.168.1.4", &[("x-forwarded-for", "192.168.1.9")]), "who knows");
        assert!(!near("127.0.0.1", &[("x-forwarded-for", "203.0.113.5")]));
        // A trusted proxy that names nobody is not taken for its client.
        assert!(!near("127.0.0.1", &[("forwarded", "for=203.0.113.5")]));
        assert!(!near("127.0.0.1", &[("x-forwarded-for", "unknown")]));
        assert!(!near("127.0.0.1", &[("via", "1.1 proxy")]));
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(origin("127.8.8.8"), None);
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }
}
