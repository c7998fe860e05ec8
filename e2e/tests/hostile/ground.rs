//! Where an attack takes place: connections from any address, and the count of what was done.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer},
};

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub struct Ground {
    pub addr: SocketAddr,
    connectors: Option<[TlsConnector; 2]>,
    done: AtomicU64,
}

impl Ground {
    pub fn new(addr: SocketAddr, certificate: Option<Vec<u8>>) -> Self {
        Self { addr, connectors: certificate.map(connectors), done: AtomicU64::new(0) }
    }

    /// Something was done, so many times.
    pub fn did(&self, times: u64) {
        self.done.fetch_add(times, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// A connection that says it comes from this address, as often as it takes.
    pub async fn connect(&self, from: &str) -> TcpStream {
        loop {
            match self.try_connect(from).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn try_connect(&self, from: &str) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Its ports are free again at once, and it holds little of what it does not read.
        socket.set_zero_linger()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let header = format!("PROXY TCP4 {from} 127.0.0.1 1234 80\r\n");
        stream.write_all(header.as_bytes()).await?;
        Ok(stream)
    }

    /// The same through TLS, if that is spoken, for HTTP/1.1 or for HTTP/2.
    pub async fn connect_inside(&self, from: &str, http2: bool) -> Box<dyn Wire> {
        loop {
            let stream = self.connect(from).await;
            let Some(connectors) = &self.connectors else { return Box::new(stream) };
            let connector = &connectors[usize::from(http2)];
            if let Ok(stream) = connector.connect("localhost".try_into().unwrap(), stream).await {
                return Box::new(stream);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn connectors(certificate: Vec<u8>) -> [TlsConnector; 2] {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate)).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let http1 = TlsConnector::from(Arc::new(config.clone()));
    config.alpn_protocols = vec![b"h2".to_vec()];
    [http1, TlsConnector::from(Arc::new(config))]
}

/// Reads and forgets until the end.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 8192];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}
