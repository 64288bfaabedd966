//! The API key: read from its file, put into the header that carries it. Called by `client`.

use super::fault::KustomerFault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
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

/// When a key expires: Kustomer's keys have the form of a JSON Web Token, whose payload says so as `exp` (RFC 7519,
/// 4.1.4). None where it doesn't, or the key has another form. What it says is not proven by anything.
pub fn expires(key: &SecretString) -> Option<Timestamp> {
    let payload = key.expose_secret().split('.').nth(1)?;
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Timestamp::from_second(payload.get("exp")?.as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(payload: &str) -> SecretString {
        format!("e30.{}.c2lnbmVk", URL_SAFE_NO_PAD.encode(payload)).into()
    }

    #[test]
    fn a_key_may_say_when_it_expires() {
        let until = expires(&key(r#"{"id": "x", "exp": 1795867200}"#));
        assert_eq!(until, "2026-11-28T12:00:00Z".parse().ok());
        for silent in [r#"{"id": "x"}"#, r#"{"exp": "soon"}"#, "[]", "no JSON"] {
            assert_eq!(expires(&key(silent)), None, "{silent}");
        }
        for other in ["sandbox-key", "a.b", "a.%.c"] {
            assert_eq!(expires(&other.to_owned().into()), None, "{other}");
        }
    }
}
