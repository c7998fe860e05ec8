//! TLS: the certificate, which may be replaced while connections go on, and how many handshakes are worked
//! on at once, so that one core is left to the streams.

use std::{
    fmt,
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::Poll,
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::spawn_blocking,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::turns::turns;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// TLS with a certificate and its key out of two PEM files.
pub struct Tls {
    files: Files,
    held: Arc<Held>,
    acceptor: TlsAcceptor,
    /// For as long as one is worked on, not while its client is waited for: else a few hundred clients that
    /// stop half-way would keep everybody out.
    turns: Semaphore,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The certificate that handshakes get now, and the files' bytes that were last looked at.
#[derive(Debug)]
struct Held {
    now: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<[Vec<u8>; 2]>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// They do not belong together.
    #[error(
        "the key in {} is not that of the certificate in {}, which must come first there", .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Held {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// With the chain in one PEM file, the server's own certificate first, and the key in another.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        let bytes = files.read()?;
        let now = RwLock::new(Arc::new(files.parse(&bytes)?));
        let held = Arc::new(Held { now, seen: Mutex::new(bytes) });
        let acceptor = TlsAcceptor::from(Arc::new(config(held.clone())));
        Ok(Self { files, held, acceptor, turns: turns() })
    }

    /// Takes over the files' certificate if they have changed; answers whether. Connections that are
    /// open go on.
    ///
    /// # Errors
    /// If the new ones cannot be used: then the old ones stay. The same files are not complained of twice.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let bytes = self.files.read()?;
        let mut seen = self.held.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == bytes {
            return Ok(false);
        }
        let parsed = self.files.parse(&bytes);
        *seen = bytes;
        *self.held.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parsed?);
        Ok(true)
    }

    /// Looks at the files every few seconds, for ever: its owner ends it.
    pub async fn watch(self: Arc<Self>) {
        let mut missing = false;
        loop {
            sleep(LOOK).await;
            let tls = self.clone();
            let outcome = match spawn_blocking(move || tls.reload()).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    tracing::error!(%error, "looking at the certificate's files failed");
                    continue;
                }
            };
            // Files are often replaced one after the other: in between they do not fit.
            match &outcome {
                Ok(true) => tracing::info!("the certificate was replaced"),
                Err(error) if !missing => {
                    tracing::warn!(%error, "the certificate stays as it is");
                }
                Ok(false) | Err(_) => {}
            }
            missing = matches!(outcome, Err(TlsError::File { .. }));
        }
    }

    /// A handshake, when it is its turn.
    pub(super) async fn accept<IO>(&self, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = self.acceptor.accept(io);
        tokio::pin!(handshake);
        loop {
            let turn = self.turns.acquire().await.map_err(io::Error::other)?;
            let polled = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(done) = polled {
                return done;
            }
            woken().await;
        }
    }
}

impl Files {
    fn read(&self) -> Result<[Vec<u8>; 2], TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| TlsError::File { path: path.clone(), error })
        };
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn parse(&self, [certificate, key]: &[Vec<u8>; 2]) -> Result<CertifiedKey, TlsError> {
        let wrong = |path: &PathBuf, what: String| TlsError::Content { path: path.clone(), what };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| wrong(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            let what = "there is no certificate in it: it must be a PEM file with the chain, the server's own first";
            return Err(wrong(&self.certificate, what.into()));
        }
        let der = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            let encrypted = key.windows(9).any(|part| part == b"ENCRYPTED");
            let what = if encrypted {
                "the key is encrypted: take its passphrase away, with `openssl pkey -in FILE`"
                    .into()
            } else {
                format!("there is no key in it that can be read: it must be a PEM file ({error})")
            };
            wrong(&self.key, what)
        })?;
        let provider = aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, der, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(why) => {
                let what = format!("the certificate cannot be used ({why:?}): it must be of version 3, with a subjectAltName");
                wrong(&self.certificate, what)
            }
            error => wrong(&self.key, error.to_string()),
        })
    }
}

/// Resolves when this task is woken, by whatever was polled before.
async fn woken() {
    let mut waited = false;
    poll_fn(|_| {
        let outcome = if waited { Poll::Ready(()) } else { Poll::Pending };
        waited = true;
        outcome
    })
    .await;
}

fn config(held: Arc<Held>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = rustls::DEFAULT_VERSIONS;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has the default versions");
    let mut config = builder.with_no_client_auth().with_cert_resolver(held);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
