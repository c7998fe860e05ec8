//! The header with which a proxy that passes bytes on names its client: the PROXY protocol, versions 1
//! and 2. Finds its end and the client's address, and reads nothing else of it.

use std::net::SocketAddr;

use ppp::{PartialResult as _, v1, v2};

/// Bytes that a header may have. Version 2 would allow 64 KiB, for what nobody here reads.
const MAX_HEADER: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes that a header of version 1 may have.
const MAX_LINE: usize = 107;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More are needed.
    Incomplete,
    /// A whole header.
    Header {
        /// Its bytes.
        length: usize,
        /// The client, or `None` for the proxy's own connections, such as health checks.
        client: Option<SocketAddr>,
    },
    /// No header.
    Rubbish,
}

pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let begins_as = |version: &[u8]| {
        let known = bytes.len().min(version.len());
        bytes[..known] == version[..known]
    };
    if !begins_as(V1) && !begins_as(V2) {
        return Parsed::Rubbish;
    }
    if begins_as(V1) { line(bytes) } else { binary(bytes) }
}

/// Version 1: a line, which the library sees only once it is whole, as it takes some beginnings for
/// mistakes and some lines without their CR for whole ones.
fn line(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Parsed::Incomplete } else { Parsed::Rubbish };
    };
    let line = &bytes[..=end];
    match v1::Header::try_from(line) {
        Ok(header) if line.ends_with(b"\r\n") => {
            Parsed::Header { length: line.len(), client: client_v1(&header.addresses) }
        }
        _ => Parsed::Rubbish,
    }
}

fn binary(bytes: &[u8]) -> Parsed {
    let header = v2::Header::try_from(&bytes[..bytes.len().min(MAX_HEADER)]);
    if header.is_incomplete() {
        return if bytes.len() < MAX_HEADER { Parsed::Incomplete } else { Parsed::Rubbish };
    }
    let Ok(header) = header else { return Parsed::Rubbish };
    let client = match header.command {
        v2::Command::Local => None,
        v2::Command::Proxy => client_v2(&header.addresses),
    };
    Parsed::Header { length: header.len(), client }
}

fn client_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn client_v2(addresses: &v2::Addresses) -> Option<SocketAddr> {
    match addresses {
        v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
        v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn both_versions_name_the_client() {
        let v4 = [203, 0, 113, 5, 127, 0, 0, 1, 0x30, 0x39, 0, 80];
        let mut v6 = [0; 36];
        v6[15] = 1;
        for (bytes, client) in [
            (b"PROXY TCP4 203.0.113.5 127.0.0.1 12345 80\r\n".to_vec(), Some("203.0.113.5:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 7 80\r\n".to_vec(), Some("[2001:db8::1]:7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &v4), Some("203.0.113.5:12345")),
            (v2(1, 0x21, &v6), Some("[::1]:0")),
            (v2(0, 0x11, &v4), None),
            (v2(0, 0, &[]), None),
        ] {
            let client = client.map(|text| text.parse().unwrap());
            let parsed = Parsed::Header { length: bytes.len(), client };
            let request = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&request), parsed, "{bytes:?}");
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "{:?}", &bytes[..cut]);
            }
        }
    }

    #[test]
    fn rubbish_is_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 a b c d\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 99999 1\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x51\x11\0\0",
            &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
            &v2(1, 0x11, &[0; 4]),
            &v2(1, 0x11, &[0; 5000]),
        ] {
            assert_eq!(parse(bytes), Parsed::Rubbish, "{bytes:?}");
        }
    }
}
