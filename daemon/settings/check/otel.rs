//! `[daemon.otel]`: only where the program can do it.

use super::super::file::OtelFile;
use super::super::read;
use super::super::types::OtelSettings;
use super::fields::Fields;

const TABLE: &str = "daemon.otel";

/// The collector, if one is set.
pub fn otel(file: &OtelFile, fields: &mut Fields<'_>) -> Option<OtelSettings> {
    if file.endpoint.is_none() && file.authorization_file.is_none() && file.ca_file.is_none() {
        return None;
    }
    if !cfg!(feature = "otel") {
        let what = "this tieline sends no traces: it was built without the feature otel";
        let allowed =
            "no [daemon.otel]; or a tieline of `cargo build --release --locked --features otel`";
        fields.origins.fault(TABLE, what, allowed);
        return None;
    }
    let written = fields.need(TABLE, "endpoint", file.endpoint.as_ref());
    let key = format!("{TABLE}.endpoint");
    let endpoint = written.and_then(|written| {
        fields.url(&key, read::url(written))?;
        if written.contains(['?', '#']) {
            let what = "/v1/traces is added to it, so it can't have a query";
            fields.origins.fault(&key, what, "");
        }
        Some(written.trim().trim_end_matches('/').to_owned())
    });
    let authorization = file.authorization_file.as_deref();
    let authorization_file =
        authorization.and_then(|file| fields.secret(TABLE, "authorization_file", Some(file)));
    let ca_file = fields.certificates(&format!("{TABLE}.ca_file"), file.ca_file.as_deref());
    Some(OtelSettings {
        endpoint: endpoint?,
        authorization_file,
        ca_file,
    })
}
