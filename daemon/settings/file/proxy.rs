//! A proxy as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An HTTP proxy on the way to Kustomer. The variables of the environment that others read (HTTPS_PROXY) are not.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyFile {
    /// Its address: "http://HOST:PORT", or https if it speaks TLS itself; without user and password.
    pub url: Option<String>,
    /// The user's name, if it wants one (HTTP Basic).
    pub user: Option<String>,
    /// File with the password alone.
    pub password_file: Option<String>,
}
