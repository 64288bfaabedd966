//! The collector of traces.

use std::path::PathBuf;

/// `[daemon.otel]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtelSettings {
    /// Without a slash at its end.
    pub endpoint: String,
    /// The value of the header.
    pub authorization_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}
