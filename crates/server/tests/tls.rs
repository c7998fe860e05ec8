//! TLS: what is spoken in it, certificates that are renewed, and clients that do not get through it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::{sync::Arc, time::Duration};

use eventwall_server::{Settings, Tls, TlsError};
use eventwall_testkit::{Certificate, Connection, get, until};
use support::{
    Running,
    http2::{Client, text, tls},
    start_with,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SHORT: Duration = Duration::from_millis(300);

fn start(certificate: &Certificate) -> (Running, Arc<Tls>) {
    let tls = Arc::new(Tls::load(&certificate.file(), &certificate.key()).unwrap());
    let mut settings = Settings { loopback_only: true, ..Settings::default() };
    settings.limits.handshake_deadline = SHORT;
    settings.limits.header_deadline = SHORT;
    (start_with(settings, Some(tls.clone())), tls)
}

#[test]
fn both_versions_of_http_are_spoken_by_choice() {
    let certificate = Certificate::new();
    let (server, _) = start(&certificate);
    server.runtime.block_on(async {
        let io = tls(server.addr, &certificate.der(), &[b"h2", b"http/1.1"]).await;
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = Client::over(server.addr, io, 65_535).await;
        let mut body = client.get("/topics/a").await.into_body();
        text(&mut body, Some("eventwall:tick")).await.unwrap();
        for protocols in [&[&b"http/1.1"[..]][..], &[]] {
            let mut io = tls(server.addr, &certificate.der(), protocols).await;
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            io.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            io.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
            assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
        }
    });
}

#[test]
fn a_renewed_certificate_is_shown_and_streams_go_on() {
    let certificate = Certificate::new();
    let (server, held) = start(&certificate);
    let old = certificate.der();
    let io = server.runtime.block_on(tls(server.addr, &old, &[b"h2"]));
    let mut client = server.runtime.block_on(Client::over(server.addr, io, 65_535));
    let mut body = server.runtime.block_on(client.get("/topics/a")).into_body();
    server.runtime.block_on(text(&mut body, Some("tick"))).unwrap();
    assert!(!held.reload().unwrap(), "nothing has changed");
    certificate.renew();
    assert!(held.reload().unwrap());
    server.runtime.block_on(tls(server.addr, &certificate.der(), &[b"h2"]));
    // Half of it replaced: the new key does not fit.
    let whole = std::fs::read(certificate.file()).unwrap();
    std::fs::write(certificate.file(), pem(&old)).unwrap();
    assert!(matches!(held.reload().unwrap_err(), TlsError::Mismatch { .. }));
    assert!(!held.reload().unwrap(), "not complained of twice");
    server.runtime.block_on(tls(server.addr, &certificate_of(&whole), &[b"h2"]));
    server.publish("still here");
    server.runtime.block_on(text(&mut body, Some("still here"))).unwrap();
}

fn pem(der: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let body = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn certificate_of(pem: &[u8]) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

#[test]
fn plain_http_is_sent_to_https() {
    let certificate = Certificate::new();
    let (server, _) = start(&certificate);
    let answer = get(server.addr, "/walls/lobby?x=1", &["Host: localhost:1"]);
    assert_eq!(answer.status, 308, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("https://localhost:1/walls/lobby?x=1"));
    let answer = eventwall_testkit::request(server.addr, "POST", "/topics/a", &[], b"x");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("use https://"), "{}", answer.text());
    let forged = get(server.addr, "/", &["Host: a b\"c"]);
    assert_eq!((forged.status, forged.header("location")), (400, None));
}

#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    let certificate = Certificate::new();
    let (server, _) = start(&certificate);
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut connection = Connection::open(server.addr).unwrap();
        connection.send(begun).unwrap();
        assert!(connection.is_closed(), "{begun:?}");
    }
    let mut rubbish = Connection::open(server.addr).unwrap();
    rubbish.send(b"\x16rubbish rubbish rubbish rubbish").unwrap();
    assert!(rubbish.is_closed());
    server.runtime.block_on(async {
        let io = tls(server.addr, &certificate.der(), &[b"h2"]).await;
        let mut client = Client::over(server.addr, io, 65_535).await;
        let metrics = client.send("GET", "/metrics", &[], None).await.unwrap();
        let metrics = text(&mut metrics.into_body(), None).await.unwrap();
        let handshakes = "eventwall_cut_peers_total{reason=\"handshake\"} 2\n";
        assert!(metrics.contains(handshakes), "{metrics}");
    });
}

/// However many stop half-way, the next one gets through.
#[test]
fn half_a_handshake_keeps_nobody_out() {
    let certificate = Certificate::new();
    let tls_files = Tls::load(&certificate.file(), &certificate.key()).unwrap();
    let settings = Settings { loopback_only: true, ..Settings::default() };
    let server = start_with(settings, Some(Arc::new(tls_files)));
    let half: Vec<_> = (0..400)
        .map(|_| {
            let mut connection = Connection::open(server.addr).unwrap();
            connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
            connection
        })
        .collect();
    let der = certificate.der();
    let through = tls(server.addr, &der, &[b"h2"]);
    server.runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(5), through).await.expect("it waits for them")
    });
    drop(half);
}

#[test]
fn what_is_no_certificate_is_explained() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let (file, key) = (certificate.file(), certificate.key());
    let why = |cert: &std::path::Path, key: &std::path::Path| {
        Tls::load(cert, key).unwrap_err().to_string()
    };
    assert!(why("/nowhere".as_ref(), &key).starts_with("/nowhere: No such file"));
    assert!(why(&key, &key).contains("no certificate in it"), "{}", why(&key, &key));
    assert!(why(&file, &file).contains("no key in it"), "{}", why(&file, &file));
    assert!(why(&file, &other.key()).contains("is not that of the certificate"));
}

#[test]
fn a_drain_over_tls_ends_cleanly() {
    let certificate = Certificate::new();
    let (mut server, _) = start(&certificate);
    let mut io = server.runtime.block_on(tls(server.addr, &certificate.der(), &[b"http/1.1"]));
    server.runtime.block_on(async {
        let request = "GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        io.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("eventwall:tick") {
            io.read_buf(&mut seen).await.unwrap();
        }
    });
    server.stop();
    let mut rest = String::new();
    // An end without a farewell of TLS would be an error here.
    server.runtime.block_on(io.read_to_string(&mut rest)).unwrap();
    assert!(rest.contains("retry: "), "{rest}");
    server.ended();
    until("the port is closed", || Connection::open(server.addr).is_err());
}
