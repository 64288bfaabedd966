//! One connection: TCP or TLS, read by lines and blocks within limits.

use super::fault::LinkFault;
use crate::clock;
use crate::settings::types::LinkSettings;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Name look-up, connection and TLS together; a phone system is near.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// A line of ours must be taken within this; phone systems always read.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest line. Asterisk's longest value is a channel variable of a few KB; of a longer line nothing is kept.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Read at once: some thirty events.
const READ_BYTES: usize = 16 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection and what was read of it and not taken yet.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    /// So much of the buffer has no line end.
    scanned: usize,
    /// In the middle of a line that is too long.
    skipping: bool,
    /// When the last whole line or block came.
    pub heard: Instant,
}

/// What a look for a line found.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// With its line end.
    Whole(Bytes),
    /// There was one longer than [`LINE_BYTES_MAX`].
    Oversized,
    /// None yet: read more.
    Open,
}

impl Wire {
    /// Opens the connection.
    ///
    /// # Errors
    /// `Unreachable` or `Tls`.
    pub async fn open(link: &LinkSettings) -> Result<Self, LinkFault> {
        let place = format!("{}:{}", link.host, link.port);
        let unreachable = |why: String| LinkFault::Unreachable {
            place: place.clone(),
            why,
        };
        let opened = async {
            let stream = TcpStream::connect((link.host.as_str(), link.port)).await;
            let stream = stream.map_err(|error| unreachable(error.to_string()))?;
            // Actions are small, and an answer is waited for.
            stream
                .set_nodelay(true)
                .map_err(|error| unreachable(error.to_string()))?;
            if !link.tls {
                return Ok(Self::over(stream));
            }
            secure(link, stream).await.map_err(|why| LinkFault::Tls {
                place: place.clone(),
                why,
            })
        };
        match timeout(CONNECT_TIME_MAX, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(unreachable(format!(
                "no connection within {CONNECT_TIME_MAX:?}"
            ))),
        }
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: BytesMut::new(),
            scanned: 0,
            skipping: false,
            heard: clock::monotonic(),
        }
    }

    /// Reads what has come, at least a byte. May be dropped at any time without losing any.
    ///
    /// # Errors
    /// `Closed` at the end, `Broken`.
    pub async fn read(&mut self) -> Result<(), LinkFault> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(LinkFault::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(LinkFault::Broken(error.to_string())),
        }
    }

    /// Takes the next line out of what was read.
    pub fn line(&mut self) -> Line {
        let new = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            if self.scanned > LINE_BYTES_MAX {
                self.buffer.clear();
                self.scanned = 0;
                self.skipping = true;
            }
            return Line::Open;
        };
        let line = self.buffer.split_to(self.scanned + end + 1).freeze();
        self.scanned = 0;
        self.heard = clock::monotonic();
        if std::mem::take(&mut self.skipping) || line.len() > LINE_BYTES_MAX {
            return Line::Oversized;
        }
        Line::Whole(line)
    }

    /// Takes a block of that many bytes, once it is there.
    pub fn block(&mut self, bytes: usize) -> Option<Bytes> {
        if self.buffer.len() < bytes {
            return None;
        }
        self.scanned = 0;
        self.heard = clock::monotonic();
        Some(self.buffer.split_to(bytes).freeze())
    }

    /// Throws away up to that many bytes of what was read; says how many.
    pub fn discard(&mut self, bytes: usize) -> usize {
        let there = bytes.min(self.buffer.len());
        drop(self.buffer.split_to(there));
        self.scanned = 0;
        there
    }

    /// # Errors
    /// `Broken`, also where the other side doesn't read.
    pub async fn send(&mut self, text: &str) -> Result<(), LinkFault> {
        let sent = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        match timeout(SEND_TIME_MAX, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LinkFault::Broken(error.to_string())),
            Err(_) => Err(LinkFault::Broken(format!(
                "it took nothing from us for {SEND_TIME_MAX:?}"
            ))),
        }
    }
}

/// TLS over `stream`; the certificate must be for the host, signed by `ca_file` or by whom this machine trusts.
async fn secure(link: &LinkSettings, stream: TcpStream) -> Result<Wire, String> {
    let name = ServerName::try_from(link.host.clone()).map_err(|error| error.to_string())?;
    let config = match &link.ca_file {
        None => {
            use rustls_platform_verifier::ConfigVerifierExt as _;
            ClientConfig::with_platform_verifier().map_err(|error| error.to_string())?
        }
        Some(file) => {
            let pem = tokio::fs::read(file).await;
            let pem = pem.map_err(|error| format!("{}: {error}", file.display()))?;
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate =
                    certificate.map_err(|error| format!("{}: {error}", file.display()))?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            if roots.is_empty() {
                return Err(format!("{}: no certificate in it", file.display()));
            }
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth()
        }
    };
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    connected.map(Wire::over).map_err(|error| error.to_string())
}
