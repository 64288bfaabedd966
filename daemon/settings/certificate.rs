//! The listener's certificate and key: read from their files, checked, made into what a TLS handshake needs. `check.rs`
//! asks what is wrong with them, `app/listeners.rs` serves with them.

use super::types::TlsSettings;
use jiff::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

/// Largest file: a chain of five certificates has some 10 KB.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The listener speaks nothing else: who wants HTTP/2 alone is told so in the handshake (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";
/// Whoever renews by machine does it 30 days before (Let's Encrypt): with less left, that doesn't work.
const EXPIRES_SOON_DAYS: i64 = 21;
/// When every certificate has expired: the year 9999, the last that one can name (RFC 5280).
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// What the listener shows.
#[derive(Debug)]
pub struct Certificate {
    pub config: Arc<ServerConfig>,
    /// None: it names no time that we understand.
    pub expires: Option<Timestamp>,
}

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    #[error("the file {path} can't be read: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the file {path} is over {FILE_BYTES_MAX} bytes: is it the right one?")]
    TooLarge { path: PathBuf },
    #[error("the file {path} is no PEM: {why}")]
    NotPem { path: PathBuf, why: String },
    #[error("the file {path} holds no certificate: it must begin with -----BEGIN CERTIFICATE-----")]
    NoCertificate { path: PathBuf },
    #[error(
        "the file {path} holds no private key without a passphrase: it must begin with -----BEGIN PRIVATE KEY-----"
    )]
    NoKey { path: PathBuf },
    #[error(
        "the key in {key} isn't that of the first certificate in {certificate}, which must be the listener's own; those of who signed it follow"
    )]
    OtherKey { certificate: PathBuf, key: PathBuf },
    #[error("the certificate in {path} can't be used: {why}")]
    Unusable { path: PathBuf, why: String },
    #[error("the key in {path} can't be used: {why}")]
    UnusableKey { path: PathBuf, why: String },
}

impl CertificateFault {
    /// Whether it is the key file that has to be put right.
    pub fn is_of_key(&self, settings: &TlsSettings) -> bool {
        match self {
            Self::OtherKey { .. } => true,
            Self::Unreadable { path, .. }
            | Self::TooLarge { path }
            | Self::NotPem { path, .. }
            | Self::NoCertificate { path }
            | Self::NoKey { path }
            | Self::Unusable { path, .. }
            | Self::UnusableKey { path, .. } => *path == settings.key_file,
        }
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(settings: &TlsSettings) -> Result<Self, CertificateFault> {
        let chain = chain(&settings.certificate_file)?;
        let key = key(&settings.key_file)?;
        let expires = chain.first().and_then(expiry);
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(|error| refused(settings, &error))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            expires,
        })
    }

    /// What somebody should look at: it has expired, or will before long.
    pub fn doubt(&self, now: Timestamp) -> Option<String> {
        let left = self.expires?.duration_since(now);
        let days = left.as_hours() / 24;
        if left.is_negative() {
            let what = "phone systems that look at it don't post any more";
            return Some(format!(
                "the certificate expired {} days ago: {what}",
                -days
            ));
        }
        (days < EXPIRES_SOON_DAYS).then(|| format!("the certificate expires in {days} days"))
    }
}

/// The certificates of a file, the listener's own first.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| not_pem(path, &error))?;
    if chain.is_empty() {
        return Err(CertificateFault::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateFault::NoKey {
            path: path.to_owned(),
        },
        error => not_pem(path, &error),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateFault> {
    let unreadable = |source| CertificateFault::Unreadable {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(CertificateFault::TooLarge {
            path: path.to_owned(),
        });
    }
    fs::read(path).map_err(unreadable)
}

fn not_pem(path: &Path, error: &pem::Error) -> CertificateFault {
    CertificateFault::NotPem {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

fn refused(settings: &TlsSettings, error: &Error) -> CertificateFault {
    let (certificate, key) = (settings.certificate_file.clone(), settings.key_file.clone());
    match error {
        Error::InconsistentKeys(_) => CertificateFault::OtherKey { certificate, key },
        Error::InvalidCertificate(_) => CertificateFault::Unusable {
            path: certificate,
            why: error.to_string(),
        },
        error => CertificateFault::UnusableKey {
            path: key,
            why: error.to_string(),
        },
    }
}

/// When it expires: rustls says so of a certificate that is shown after that time, before it asks who signed it.
fn expiry(certificate: &CertificateDer<'static>) -> Option<Timestamp> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
        .build()
        .ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    let end = UnixTime::since_unix_epoch(END_OF_TIME);
    match verifier.verify_server_cert(certificate, &[], &name, &[], end) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let seconds = i64::try_from(not_after.as_secs()).ok()?;
            Timestamp::from_second(seconds).ok()
        }
        Ok(_) | Err(_) => None,
    }
}
