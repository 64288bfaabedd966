//! The proxy on the way to Kustomer.

use std::path::PathBuf;

/// `[kustomer.proxy]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Its origin, `http:` or `https:`, with a port if need be.
    pub url: String,
    pub login: Option<ProxyLogin>,
}

/// What it wants to be told (HTTP Basic).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyLogin {
    pub user: String,
    pub password_file: PathBuf,
}
