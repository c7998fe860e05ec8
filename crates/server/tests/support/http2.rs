//! A client of HTTP/2 over what may be TLS, that takes nothing unless it is told to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{self, SendRequest},
};
use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
};

const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    addr: SocketAddr,
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// With prior knowledge; streams get a window of so many bytes at first.
    pub async fn plain(addr: SocketAddr, window: u32) -> Self {
        Self::over(addr, TcpStream::connect(addr).await.unwrap(), window).await
    }

    pub async fn over(
        addr: SocketAddr,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        window: u32,
    ) -> Self {
        let handshake = client::Builder::new().initial_window_size(window).handshake(io);
        let (requests, connection) = handshake.await.unwrap();
        Self { addr, requests, connection: tokio::spawn(connection) }
    }

    fn head(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let uri = format!("http://{}{target}", self.addr);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Response<RecvStream>, h2::Error> {
        let request = self.head(method, target, headers);
        self.requests = timeout(DEADLINE, self.requests.clone().ready()).await.unwrap()?;
        let end = body.is_none();
        let (response, mut stream) = self.requests.send_request(request, end).unwrap();
        if let Some(body) = body {
            stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        }
        timeout(DEADLINE, response).await.unwrap()
    }

    /// Sends a head whose body never comes.
    pub async fn begin(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<RecvStream>, h2::Error> {
        let request = self.head(method, target, headers);
        self.requests = timeout(DEADLINE, self.requests.clone().ready()).await.unwrap()?;
        let (response, _stream) = self.requests.send_request(request, false)?;
        timeout(DEADLINE, response).await.unwrap()
    }

    /// Asks, and takes it back before there can be an answer.
    pub async fn send_and_reset(&mut self, target: &str) -> Result<(), h2::Error> {
        let request = self.head("GET", target, &[]);
        self.requests = timeout(DEADLINE, self.requests.clone().ready()).await.unwrap()?;
        let (_, mut stream) = self.requests.send_request(request, true)?;
        stream.send_reset(h2::Reason::CANCEL);
        Ok(())
    }

    pub async fn get(&mut self, target: &str) -> Response<RecvStream> {
        self.send("GET", target, &[("accept", "text/event-stream")], None).await.unwrap()
    }

    /// How the connection ended.
    pub async fn ended(self) -> Result<(), h2::Error> {
        timeout(DEADLINE, self.connection).await.unwrap().unwrap()
    }
}

/// All of a body, up to its end or until it has `part`.
pub async fn text(body: &mut RecvStream, part: Option<&str>) -> Result<String, h2::Error> {
    let mut text = String::new();
    while part.is_none_or(|part| !text.contains(part)) {
        let Some(data) = timeout(DEADLINE, body.data()).await.unwrap() else { break };
        let data = data?;
        text.push_str(&String::from_utf8_lossy(&data));
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(text)
}

/// TLS that trusts exactly this certificate.
pub async fn tls(
    addr: SocketAddr,
    certificate: &[u8],
    protocols: &[&[u8]],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.to_vec())).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}
