//! Every setting as it is in force, with where it was written: what `config show` prints. No secret is in it: the settings
//! name files of secrets, and these are not opened.

use super::check::Places;
use super::file::File;
use super::origin::{Origins, Whence};
use super::secrets;
use super::shape::is_secret_file;
use serde_json::{Value, json};
use std::path::PathBuf;

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `kustomer.support.calls.min_talk`
    pub key: String,
    /// As it would be written; null: unset.
    pub value: Value,
    pub whence: Whence,
    /// Where a secret is: what the value leads to.
    pub secret: Option<Secret>,
}

/// A file with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub file: PathBuf,
    /// systemd gave it to this service.
    pub credential: bool,
}

impl Setting {
    /// For programs.
    pub fn json(&self) -> Value {
        let (file, line, variable) = match &self.whence {
            Whence::Default => (None, None, None),
            Whence::File(file, line) => (Some(file), Some(line), None),
            Whence::Variable(name) => (None, None, Some(name)),
        };
        let from = match self.whence {
            Whence::Default => "default",
            Whence::File(..) => "file",
            Whence::Variable(_) => "environment",
        };
        json!({
            "key": self.key,
            "value": self.value,
            "from": from,
            "file": file,
            "line": line,
            "variable": variable,
            "secret": self.secret.as_ref().map(|secret| json!({
                "file": secret.file,
                "credential": secret.credential,
            })),
        })
    }
}

/// All of them, in the order of their keys.
pub fn settings(file: &File, places: &Places, origins: &Origins) -> Vec<Setting> {
    let mut leaves = Vec::new();
    flatten(
        String::new(),
        serde_json::to_value(file).unwrap_or_default(),
        &mut leaves,
    );
    let setting = |(key, value): (String, Value)| Setting {
        whence: origins.whence(&key),
        secret: secret(&key, &value, places, origins),
        key,
        value,
    };
    let mut settings: Vec<Setting> = leaves.into_iter().map(setting).collect();
    settings.sort_by(|one, other| one.key.cmp(&other.key));
    settings
}

/// Tables become dotted keys; lists stay whole, as they are replaced whole.
fn flatten(path: String, value: Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) if path.is_empty() || !table.is_empty() => {
            for (key, value) in table {
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                flatten(path, value, leaves);
            }
        }
        value => leaves.push((path, value)),
    }
}

fn secret(key: &str, value: &Value, places: &Places, origins: &Origins) -> Option<Secret> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let written = value.as_str().filter(|_| is_secret_file(name))?;
    let credentials = places.credentials.as_deref();
    let file = secrets::locate(written, origins.dir(key), &places.etc, credentials);
    let credential = credentials.is_some_and(|folder| file.starts_with(folder));
    Some(Secret { file, credential })
}
