//! A collector of traces as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A collector that what is done for each call is told to (OpenTelemetry); only in a tieline that was built with the feature otel.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtelFile {
    /// Its address: "https://HOST:4318", or http on this machine; /v1/traces is added.
    pub endpoint: Option<String>,
    /// File with the value of the Authorization header, if it wants one: "Bearer" and a token, or "Basic" and a login in base64.
    pub authorization_file: Option<String>,
    /// Certificates (PEM) of whoever signed its own; default: those that this machine trusts.
    pub ca_file: Option<String>,
}
