//! A body that is a signed token: JSON Web Signature in compact form (RFC 7515) with HS256 and nothing else, for a token that
//! may choose its algorithm may choose none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Whether `body` is a token signed with `secret`. The payload is not looked at.
pub fn verify(secret: &str, body: &[u8]) -> bool {
    check(secret, body).is_some()
}

fn check(secret: &str, body: &[u8]) -> Option<()> {
    let token = std::str::from_utf8(body).ok()?.trim();
    let (signed, shown) = token.rsplit_once('.')?;
    let (head, payload) = signed.split_once('.')?;
    if payload.contains('.') {
        return None;
    }
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    // What a sender marks as critical must be understood (RFC 7515, 4.1.11), and nothing is.
    if head.get("alg").and_then(Value::as_str) != Some("HS256") || head.get("crit").is_some() {
        return None;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    let shown = URL_SAFE_NO_PAD.decode(shown).ok()?;
    mac.verify_slice(&shown).ok()
}
