//! What must hold of the parsers of requests, whatever they get. Panics if it does not.
#![allow(clippy::missing_panics_doc, clippy::expect_used, reason = "that is what they are for")]

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    ForwardedHeader, Limits, Trust,
    client::forwarded::hops,
    connection::proxy_protocol::{Parsed, parse},
    follow::requested,
    publish::{batch, form, topic_of},
    query::{Query, decode},
};

/// A target: its parameters are decoded exactly once, and what is refused is explained.
pub fn query(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        assert_eq!(decode("x", &encoded).expect("what was encoded is decoded"), text);
    }
    let Ok(uri) = Uri::try_from(input) else { return };
    let query = Query::of(&uri);
    for name in ["topic", "last", "after", "event"] {
        let all = query.all(name);
        assert_eq!(query.has(name), all.as_ref().map_or(true, |all| !all.is_empty()));
        let _ = (query.last(name), query.number(name, 1000), query.last_lossy(&[name]));
    }
    let _ = topic_of(&uri);
    if let Ok((topics, patterns)) = requested(&query) {
        assert!(topics.iter().all(|topic| !topic.is_reserved()));
        assert!(patterns.iter().all(|pattern| !pattern.is_reserved()));
    }
}

/// A batch: all of it or nothing, within its limits.
pub fn batch(input: &[u8]) {
    let limits = Limits { batch_events: 10, body_bytes: 100, ..Limits::default() };
    if let Ok(events) = batch::parse(&limits, None, input) {
        assert!(events.len() <= 10);
        // Line ends become shorter, never longer.
        assert!(events.iter().all(|event| event.data.len() <= 100 && !event.topic.is_reserved()));
        let lines = input.split(|byte| *byte == b'\n').filter(|l| !l.trim_ascii().is_empty());
        assert_eq!(lines.count(), events.len());
    }
}

/// A form: it ends, and makes nothing longer than it was.
pub fn multipart(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
    headers.insert(header::CONTENT_TYPE, kind);
    let body = bytes::Bytes::copy_from_slice(input);
    let fields = form::fields(&headers, body).now_or_never().expect("all of it is there");
    if let Ok(fields) = fields {
        let long = |text: Option<String>| text.map_or(0, |text| text.len());
        assert!(long(fields.data) + long(fields.event) <= input.len());
    }
}

/// A PROXY header: more bytes never change what fewer of them said.
pub fn proxy_header(input: &[u8]) {
    let whole = parse(input);
    for cut in 0..input.len().min(300) {
        match parse(&input[..cut]) {
            Parsed::Incomplete => {}
            sooner => assert_eq!(sooner, whole, "after {cut} bytes"),
        }
    }
    if let Parsed::Header { length, .. } = whole {
        assert!(length <= input.len());
    }
}

/// What proxies write of their clients: nobody is believed whom nobody trusted names.
pub fn forwarded(input: &[u8]) {
    let (mut headers, peer) = (HeaderMap::new(), [127, 0, 0, 1].into());
    for line in input.split(|byte| *byte == b'\n').take(40) {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
            headers.append(name, value.clone());
        }
    }
    for header in [ForwardedHeader::XForwarded, ForwardedHeader::Forwarded] {
        assert!(hops(&headers, header).len() <= 32);
        let nobody = Trust { header, ..Trust::default() };
        assert_eq!(nobody.client(peer, false, &headers).addr, peer);
        let trust = Trust { proxies: vec!["127.0.0.1/32".parse().expect("a network")], ..nobody };
        let client = trust.client(peer, false, &headers);
        // Whoever is named last counts, or it is the proxy.
        let named = hops(&headers, header).into_iter().rev().map(|hop| hop.addr);
        let mut not_proxies = named.skip_while(|addr| *addr == Some(peer));
        assert_eq!(client.addr, not_proxies.next().flatten().unwrap_or(peer));
    }
}
