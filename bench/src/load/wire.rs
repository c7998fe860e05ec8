//! A subscriber's socket, with or without TLS.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use mio::event::Source;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
};

pub(super) enum Wire {
    Plain(mio::net::TcpStream),
    Tls(Box<(mio::net::TcpStream, ClientConnection)>),
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::Plain(mio::net::TcpStream::from_std(stream))
    }

    /// With a handshake that is waited for.
    pub(super) fn tls(mut stream: TcpStream, config: &Arc<ClientConfig>) -> anyhow::Result<Self> {
        let name = ServerName::try_from("localhost")?;
        let mut tls = ClientConnection::new(config.clone(), name)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new((mio::net::TcpStream::from_std(stream), tls))))
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &mut tls.0,
        }
    }

    /// Sends a request. It is much smaller than a socket's buffer, which is empty.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(request),
            Self::Tls(tls) => {
                let (stream, tls) = &mut **tls;
                tls.writer().write_all(request)?;
                while tls.wants_write() {
                    tls.write_tls(stream)?;
                }
                Ok(())
            }
        }
    }

    /// From now on nothing is waited for.
    pub(super) fn never_wait(&self) -> io::Result<()> {
        let socket = match self {
            Self::Plain(stream) => socket2::SockRef::from(stream),
            Self::Tls(tls) => socket2::SockRef::from(&tls.0),
        };
        socket.set_nonblocking(true)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(tls) => {
                let (stream, tls) = &mut **tls;
                loop {
                    match tls.reader().read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                    if tls.read_tls(stream)? == 0 {
                        return Ok(0);
                    }
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
            }
        }
    }
}

/// A client that believes this certificate only.
pub(super) fn believing(certificate: Vec<u8>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
