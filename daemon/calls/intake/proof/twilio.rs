//! `X-Twilio-Signature`: base64 of the HMAC-SHA1, under the account's auth token, of the address as Twilio calls it and of the
//! form's parameters. Of another body the address carries the hash (`bodySHA256`), and only the address is signed.
//! Source: Twilio's documentation, "Webhooks security".

use super::from_hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq;

pub const HEADER: &str = "x-twilio-signature";

/// Where the body's hash stands in the query.
const BODY_HASH: &str = "bodySHA256";

/// Most parameters of a form: Twilio sends some fifty.
const PARAMETERS_MAX: usize = 1_000;

/// What was posted, and to where.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// As set, without a query.
    pub url: &'a str,
    pub query: Option<&'a str>,
    pub body: &'a [u8],
}

/// Whether `shown` is the signature of `post`.
pub fn verify(token: &str, post: &Post<'_>, shown: &str) -> bool {
    let Ok(shown) = BASE64.decode(shown.trim()) else {
        return false;
    };
    let Some(parameters) = parameters(post) else {
        return false;
    };
    let right = |url: &str| {
        let Ok(mut mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(token.as_bytes()) else {
            return false;
        };
        mac.update(url.as_bytes());
        for part in post.query.into_iter().flat_map(|query| ["?", query]) {
            mac.update(part.as_bytes());
        }
        for (name, value) in &parameters {
            mac.update(name);
            mac.update(value);
        }
        mac.verify_slice(&shown).is_ok()
    };
    // Twilio signs with the port in some products and without it in others, whatever the address says.
    right(post.url) || other_port(post.url).is_some_and(|url| right(&url))
}

/// The form's parameters in the order in which they are signed: by name, each pair once. Those of another body are none,
/// if its hash is right.
fn parameters(post: &Post<'_>) -> Option<BTreeSet<(Vec<u8>, Vec<u8>)>> {
    if let Some(hash) = body_hash(post.query) {
        let right = from_hex(hash)?.ct_eq(&Sha256::digest(post.body)).into();
        return if right { Some(BTreeSet::new()) } else { None };
    }
    let pairs = post.body.split(|byte| *byte == b'&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    let plain = |text: &[u8]| -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?.replace('+', " ");
        Some(percent_decode_str(&text).collect())
    };
    let mut parameters = BTreeSet::new();
    for pair in pairs {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = plain(parts.next().unwrap_or_default())?;
        let value = plain(parts.next().unwrap_or_default())?;
        parameters.insert((name, value));
        if parameters.len() > PARAMETERS_MAX {
            return None;
        }
    }
    Some(parameters)
}

fn body_hash(query: Option<&str>) -> Option<&str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, _)| *name == BODY_HASH)
        .map(|(_, hash)| hash)
}

/// The same address with its scheme's own port written out, or without the port that it has.
fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    let ported = host
        .rsplit_once(':')
        .filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some((bare, _)) = ported {
        return Some(format!("{scheme}://{bare}{path}"));
    }
    let port = if scheme == "https" { 443 } else { 80 };
    Some(format!("{scheme}://{host}:{port}{path}"))
}
