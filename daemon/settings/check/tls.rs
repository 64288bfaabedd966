//! `[daemon.tls]`: two files, or none.

use super::super::certificate::Certificate;
use super::super::file::TlsFile;
use super::super::secrets;
use super::super::types::TlsSettings;
use super::fields::Fields;
use std::path::PathBuf;

const TABLE: &str = "daemon.tls";
const ALLOWED: &str = "the path of a PEM file";

/// What the listener shows, if anything of it is set; the files are read where secret files are.
pub fn tls(file: &TlsFile, fields: &mut Fields<'_>) -> Option<TlsSettings> {
    if file.certificate_file.is_none() && file.key_file.is_none() {
        return None;
    }
    let certificate_file = path("certificate_file", file.certificate_file.as_deref(), fields);
    let key_file = path("key_file", file.key_file.as_deref(), fields);
    let settings = TlsSettings {
        certificate_file: certificate_file?,
        key_file: key_file?,
    };
    if fields.places.secrets {
        read(&settings, fields);
    }
    Some(settings)
}

fn read(settings: &TlsSettings, fields: &mut Fields<'_>) {
    let at = |key: &str| format!("{TABLE}.{key}");
    if let Err(fault) = Certificate::read(settings) {
        let key = if fault.is_of_key(settings) {
            "key_file"
        } else {
            "certificate_file"
        };
        fields.origins.fault(&at(key), fault.to_string(), "");
    }
    if let Some(what) = secrets::open_to_all(&settings.key_file) {
        let key = at("key_file");
        fields.origins.notes.push(format!("{key}: {what}"));
    }
}

fn path(key: &str, written: Option<&str>, fields: &mut Fields<'_>) -> Option<PathBuf> {
    let path = format!("{TABLE}.{key}");
    let Some(written) = written else {
        let what = format!("{key} is missing");
        fields.origins.missing(&path, &what, ALLOWED);
        return None;
    };
    // A PEM text in place of its file is not repeated.
    if written.is_empty() || secrets::looks_like_secret(written) {
        fields.origins.fault(&path, "this is no path", ALLOWED);
        return None;
    }
    let places = fields.places;
    Some(secrets::locate(
        written,
        fields.origins.dir(&path),
        &places.etc,
        places.credentials.as_deref(),
    ))
}
