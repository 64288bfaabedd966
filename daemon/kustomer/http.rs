//! How a request gets to Kustomer and its reply back: once, within the limits on time and size. The only file here that
//! knows reqwest; `client.rs` calls it, and a simulation puts a carrier of its own in its place.
//!
//! No redirect is followed, nothing is repeated. Proxy variables of the environment are not read: what carries the key
//! is decided by settings alone. Through a proxy goes a tunnel (CONNECT), in which the key stays unread.

use super::fault::{KustomerFault, scrub};
use crate::settings::types::{KustomerSettings, ProxySettings};
use hyper::{HeaderMap, Request};
pub(super) use reqwest::Url;
use reqwest::{Certificate, Proxy, redirect, retry};
use std::error::Error;
use std::fmt::Debug;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

/// Longest reply read: 100 notes of 30 kB, or 500 search results, have room.
pub const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A connection that takes longer than this to open will not do better by waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than what load balancers keep idle connections for, so that a request seldom meets one being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A reply, whatever its status.
#[derive(Debug)]
pub struct Carried {
    pub status: u16,
    pub headers: HeaderMap,
    /// Or why it can't be had: too long, too late, cut short.
    pub body: Result<Vec<u8>, KustomerFault>,
}

/// What carries requests.
pub trait Carrier: Debug + Send + Sync {
    /// Sends the request, whose address is whole, once.
    ///
    /// # Errors
    /// Why there is no reply, and whether the request can have had an effect.
    fn carry(
        &self,
        request: Request<Vec<u8>>,
    ) -> Pin<Box<dyn Future<Output = Result<Carried, KustomerFault>> + Send + '_>>;
}

/// Over the network.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    timeout: Duration,
}

impl Http {
    /// Speaks to nobody yet.
    ///
    /// # Errors
    /// `Unsendable` if TLS can't be set up, or a file of it or of the proxy can't be used.
    pub fn new(settings: &KustomerSettings) -> Result<Self, KustomerFault> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tieline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(settings.parallel)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy();
        if let Some(file) = &settings.ca_file {
            builder = builder.tls_certs_only(authorities(file)?);
        }
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(through(proxy)?);
        }
        let client = builder.build();
        let client = client.map_err(|fault| KustomerFault::Unsendable(innermost(&fault)))?;
        let timeout = settings.timeout;
        Ok(Self { client, timeout })
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Carried, KustomerFault> {
        let request = reqwest::Request::try_from(request).map_err(|fault| self.no_reply(&fault))?;
        let reply = self.client.execute(request).await;
        let mut reply = reply.map_err(|fault| self.no_reply(&fault))?;
        Ok(Carried {
            status: reply.status().as_u16(),
            headers: std::mem::take(reply.headers_mut()),
            body: self.body(&mut reply).await,
        })
    }

    async fn body(&self, reply: &mut reqwest::Response) -> Result<Vec<u8>, KustomerFault> {
        let status = reply.status().as_u16();
        let mut body = Vec::new();
        loop {
            match reply.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > REPLY_BYTES_MAX => {
                    let what = format!("larger than {REPLY_BYTES_MAX} bytes");
                    return Err(KustomerFault::Garbled { status, what });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(fault) if fault.is_timeout() => {
                    return Err(KustomerFault::Timeout(self.timeout));
                }
                Err(_) => {
                    return Err(KustomerFault::Garbled {
                        status,
                        what: "cut short".to_owned(),
                    });
                }
            }
        }
    }

    fn no_reply(&self, fault: &reqwest::Error) -> KustomerFault {
        if fault.is_builder() {
            KustomerFault::Unsendable(innermost(fault))
        } else if fault.is_connect() {
            KustomerFault::Unreachable(innermost(fault))
        } else if fault.is_timeout() {
            KustomerFault::Timeout(self.timeout)
        } else {
            KustomerFault::Lost(innermost(fault))
        }
    }
}

impl Carrier for Http {
    fn carry(
        &self,
        request: Request<Vec<u8>>,
    ) -> Pin<Box<dyn Future<Output = Result<Carried, KustomerFault>> + Send + '_>> {
        Box::pin(self.exchange(request))
    }
}

/// The certificates of a file, which alone are trusted then.
fn authorities(file: &Path) -> Result<Vec<Certificate>, KustomerFault> {
    let unusable =
        |what: &str| KustomerFault::Unsendable(format!("ca_file {}: {what}", file.display()));
    let pem = std::fs::read(file).map_err(|error| unusable(&error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(unusable("holds no certificates"));
    }
    Ok(certificates)
}

/// The proxy with its password, which is read here and not again: a reload makes a new one.
fn through(proxy: &ProxySettings) -> Result<Proxy, KustomerFault> {
    let unsendable = |fault: reqwest::Error| KustomerFault::Unsendable(innermost(&fault));
    let through = Proxy::all(&proxy.url).map_err(unsendable)?;
    let Some(login) = &proxy.login else {
        return Ok(through);
    };
    let file = &login.password_file;
    let password = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("the proxy's password file {}: {error}", file.display());
        KustomerFault::Unsendable(what)
    })?;
    // Without the line break that editors add.
    Ok(through.basic_auth(&login.user, password.trim_end_matches(['\n', '\r'])))
}

/// The first cause, which says the most ("Connection refused"); the outer ones may hold the address.
fn innermost(fault: &reqwest::Error) -> String {
    let mut cause: &dyn Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    scrub(&cause.to_string())
}
