//! The API key: read from its file, put into the header that carries it. Called by `client`.

use super::fault::KustomerFault;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use std::io::Read;
use std::path::Path;

/// A key has some hundred bytes; anything much longer is not a key file.
const KEY_BYTES_MAX: u64 = 16 * 1024;

/// The header's value, marked so that no log prints it.
pub fn bearer(key: &SecretString) -> Result<HeaderValue, KustomerFault> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
        .map_err(|_| KustomerFault::Key("holds characters that no key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The file's key, without the line break that editors add.
pub fn read_key(file: &Path) -> Result<SecretString, KustomerFault> {
    let fault = |what: &str| KustomerFault::Key(format!("{}: {what}", file.display()));
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(KEY_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| fault(&error.to_string()))?;
    let key = SecretString::from(text);
    if key.expose_secret().len() > usize::try_from(KEY_BYTES_MAX).unwrap_or(usize::MAX) {
        return Err(fault("too long for a key"));
    }
    let trimmed = key.expose_secret().trim();
    if trimmed.is_empty() || !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fault("must hold the key alone, on one line"));
    }
    Ok(SecretString::from(trimmed))
}
