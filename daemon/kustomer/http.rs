//! How a request gets to Kustomer and its reply back: once, within the limits on time and size. The only file here that
//! knows reqwest; `client.rs` calls it, and a simulation puts a carrier of its own in its place.
//!
//! No redirect is followed, nothing is repeated. Proxy variables of the environment are not read: what carries the key
//! is decided by settings alone.

use super::fault::{KustomerFault, scrub};
use crate::settings::types::KustomerSettings;
use hyper::{HeaderMap, Request};
pub(super) use reqwest::Url;
use reqwest::{redirect, retry};
use std::error::Error;
use std::fmt::Debug;
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
    /// `Unsendable` if TLS can't be set up.
    pub fn new(settings: &KustomerSettings) -> Result<Self, KustomerFault> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("tieline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(settings.parallel)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|fault| KustomerFault::Unsendable(innermost(&fault)))?;
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

/// The first cause, which says the most ("Connection refused"); the outer ones may hold the address.
fn innermost(fault: &reqwest::Error) -> String {
    let mut cause: &dyn Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    scrub(&cause.to_string())
}
