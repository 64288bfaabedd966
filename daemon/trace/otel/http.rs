//! HTTP to one collector. The only file here that knows reqwest; `otel.rs` calls it.
//!
//! Each request is sent once, no redirect is followed, proxy variables of the environment are not read: where spans go is
//! decided by settings alone.

use crate::settings::types::OtelSettings;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Response, redirect, retry};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A request; a collector that takes longer hangs, and what comes meanwhile fits the queue.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const REPLY_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub struct Collector {
    client: reqwest::Client,
    /// Where traces go: the endpoint's `/v1/traces` (OTLP over HTTP, its request).
    url: String,
    authorization: Option<HeaderValue>,
}

impl Collector {
    /// Reads the files that the settings name; speaks to nobody yet.
    ///
    /// # Errors
    /// What can't be used, in words.
    pub fn new(settings: &OtelSettings) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tieline/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy();
        if let Some(file) = &settings.ca_file {
            builder = builder.tls_certs_only(authorities(file)?);
        }
        let authorization = settings.authorization_file.as_deref();
        Ok(Self {
            client: builder.build().map_err(|fault| innermost(&fault))?,
            url: format!("{}/v1/traces", settings.endpoint),
            authorization: authorization.map(secret).transpose()?,
        })
    }

    /// Sends a request of OTLP; answers how many of its spans the collector didn't want.
    ///
    /// # Errors
    /// Why it didn't take it, without its address.
    pub async fn post(&self, body: Vec<u8>) -> Result<u64, String> {
        let request = self.client.post(&self.url).body(body);
        let mut request = request.header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let reply = request.send().await.map_err(|fault| innermost(&fault))?;
        let status = reply.status();
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        Ok(rejected(reply).await.unwrap_or_default())
    }
}

/// What a collector that takes a part says of the rest (OTLP: partial success).
async fn rejected(mut reply: Response) -> Option<u64> {
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > REPLY_BYTES_MAX {
            return None;
        }
    }
    let reply = ExportTraceServiceResponse::decode(body.as_slice()).ok()?;
    u64::try_from(reply.partial_success?.rejected_spans).ok()
}

/// The certificates of a file, which alone are trusted then.
fn authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let unusable = |what: &str| format!("{}: {what}", file.display());
    let pem = fs::read(file).map_err(|error| unusable(&error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(unusable("holds no certificates")),
    }
}

/// The value of the header, which no log shows.
fn secret(file: &Path) -> Result<HeaderValue, String> {
    let unusable = |what: &str| format!("{}: {what}", file.display());
    let text = fs::read_to_string(file).map_err(|error| unusable(&error.to_string()))?;
    // Without the line break that editors add.
    let value = HeaderValue::from_str(text.trim_end_matches(['\n', '\r']));
    let mut value = value.map_err(|_| unusable("is no value of a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The first cause, which says the most ("Connection refused"); the outer ones hold the address.
fn innermost(fault: &reqwest::Error) -> String {
    if fault.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
