//! How a phone system proves itself: built once from the settings and the secret files, checked on every post in
//! constant time (invariant 9). Called by `routes.rs`.

mod jwt;
mod twilio;

use crate::settings::types::{Auth, HmacAlgorithm};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// Longest secret file: a longer one is surely another file.
const SECRET_BYTES_MAX: u64 = 4096;

/// A secret that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProofFault {
    #[error("secret file {path} cannot be read: {why}")]
    Unreadable { path: PathBuf, why: String },
    #[error("secret file {path} is empty; write the secret into it, and nothing else")]
    Empty { path: PathBuf },
    #[error("secret file {path} is larger than {SECRET_BYTES_MAX} bytes; is it the right file?")]
    TooLarge { path: PathBuf },
}

/// What one phone system must show.
#[derive(Debug)]
pub enum Proof {
    Basic {
        user: String,
        password: SecretString,
    },
    Bearer(SecretString),
    Hmac {
        secret: SecretString,
        header: String,
        algorithm: HmacAlgorithm,
    },
    Query {
        name: String,
        token: SecretString,
    },
    Header {
        name: String,
        token: SecretString,
    },
    Body {
        field: String,
        token: SecretString,
    },
    Jwt(SecretString),
    Twilio {
        token: SecretString,
        url: String,
    },
    None,
}

/// The proof is missing or wrong; what it should be, for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    pub detail: &'static str,
    pub challenge: &'static str,
}

impl Proof {
    /// Reads the secret file, without a line end at its end.
    ///
    /// # Errors
    /// A file that cannot be read, is empty or too large.
    pub fn build(auth: &Auth) -> Result<Self, ProofFault> {
        Ok(match auth {
            Auth::Basic {
                user,
                password_file,
            } => Self::Basic {
                user: user.clone(),
                password: read_secret(password_file)?,
            },
            Auth::Bearer { token_file } => Self::Bearer(read_secret(token_file)?),
            Auth::Hmac {
                secret_file,
                header,
                algorithm,
            } => Self::Hmac {
                secret: read_secret(secret_file)?,
                header: header.clone(),
                algorithm: *algorithm,
            },
            Auth::Query { name, token_file } => Self::Query {
                name: name.clone(),
                token: read_secret(token_file)?,
            },
            Auth::Header { name, token_file } => Self::Header {
                name: name.clone(),
                token: read_secret(token_file)?,
            },
            Auth::Body { field, token_file } => Self::Body {
                field: field.clone(),
                token: read_secret(token_file)?,
            },
            Auth::Jwt { secret_file } => Self::Jwt(read_secret(secret_file)?),
            Auth::Twilio { token_file, url } => Self::Twilio {
                token: read_secret(token_file)?,
                url: url.clone(),
            },
            Auth::None => Self::None,
        })
    }

    /// Checks what can be checked before the body is read, and gives the query that may be journaled.
    ///
    /// # Errors
    /// `Unproven` if the proof is missing or wrong. An HMAC is only looked for here; `check_body` verifies it.
    pub fn check_head(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Option<String>, Unproven> {
        let kept = query.map(str::to_owned);
        match self {
            Self::Basic { user, password } => {
                let shown = credentials(headers, "basic").and_then(|text| BASE64.decode(text).ok());
                let expected = format!("{user}:{}", password.expose_secret());
                if shown.is_some_and(|shown| same(&shown, expected.as_bytes())) {
                    Ok(kept)
                } else {
                    Err(BASIC)
                }
            }
            Self::Bearer(token) => {
                let shown = credentials(headers, "bearer");
                let expected = token.expose_secret().as_bytes();
                if shown.is_some_and(|shown| same(shown.as_bytes(), expected)) {
                    Ok(kept)
                } else {
                    Err(BEARER)
                }
            }
            Self::Hmac { header, .. } if headers.contains_key(header) => Ok(kept),
            Self::Hmac { .. } => Err(HMAC),
            Self::Query { name, token } => {
                let (shown, rest) = take_secret(query.unwrap_or_default(), name);
                let expected = token.expose_secret().as_bytes();
                if shown.is_some_and(|shown| same(&shown, expected)) {
                    Ok(rest)
                } else {
                    Err(QUERY)
                }
            }
            Self::Header { name, token } => {
                let shown = headers.get(name).map(HeaderValue::as_bytes);
                let expected = token.expose_secret().as_bytes();
                if shown.is_some_and(|shown| same(shown, expected)) {
                    Ok(kept)
                } else {
                    Err(HEADER)
                }
            }
            Self::Twilio { .. } if headers.contains_key(twilio::HEADER) => Ok(kept),
            Self::Twilio { .. } => Err(TWILIO),
            Self::Body { .. } | Self::Jwt(_) | Self::None => Ok(kept),
        }
    }

    /// Whether a request that may come without the secret, but not with a wrong one, is all right.
    pub fn may_ask(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        match self {
            Self::Header { name, .. } => {
                !headers.contains_key(name) || self.check_head(headers, query).is_ok()
            }
            Self::Basic { .. } | Self::Bearer(_) | Self::Query { .. } | Self::Hmac { .. } => {
                self.check_head(headers, query).is_ok()
            }
            Self::Body { .. } | Self::Jwt(_) | Self::Twilio { .. } | Self::None => true,
        }
    }

    /// Checks what needs the body. `query` is the one that `check_head` gave.
    ///
    /// # Errors
    /// `Unproven` if the signature isn't that of the body, or the body hasn't the secret.
    pub fn check_body(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<(), Unproven> {
        let (right, otherwise) = match self {
            Self::Hmac {
                secret,
                header,
                algorithm,
            } => {
                let shown = shown_text(headers, header).ok_or(HMAC)?;
                let secret = secret.expose_secret().as_bytes();
                let right = match algorithm {
                    HmacAlgorithm::Sha256 => verify::<Hmac<Sha256>>(secret, body, shown, "sha256="),
                    HmacAlgorithm::Sha1 => verify::<Hmac<Sha1>>(secret, body, shown, "sha1="),
                };
                (right, HMAC)
            }
            Self::Body { field, token } => {
                let shown = text_field(body, field);
                let expected = token.expose_secret().as_bytes();
                let right = shown.is_some_and(|shown| same(shown.as_bytes(), expected));
                (right, BODY)
            }
            Self::Jwt(secret) => (jwt::verify(secret.expose_secret(), body), JWT),
            Self::Twilio { token, url } => {
                let shown = shown_text(headers, twilio::HEADER).ok_or(TWILIO)?;
                let post = twilio::Post { url, query, body };
                (twilio::verify(token.expose_secret(), &post, shown), TWILIO)
            }
            Self::Basic { .. }
            | Self::Bearer(_)
            | Self::Query { .. }
            | Self::Header { .. }
            | Self::None => (true, HMAC),
        };
        if right { Ok(()) } else { Err(otherwise) }
    }

    /// The body without the secret that it proved itself with, for a journal holds no secrets: its bytes become stars.
    pub fn without_secret(&self, body: Bytes) -> Bytes {
        let Self::Body { token, .. } = self else {
            return body;
        };
        let token = token.expose_secret().as_bytes();
        let mut clean = body.to_vec();
        let mut at = 0;
        while let Some(rest) = clean.get_mut(at..).filter(|rest| rest.len() >= token.len()) {
            if rest.starts_with(token) {
                rest.iter_mut()
                    .take(token.len())
                    .for_each(|byte| *byte = b'*');
            }
            at += 1;
        }
        Bytes::from(clean)
    }
}

const BASIC: Unproven = Unproven {
    detail: "user or password is missing or wrong; send the ones of this phone system's auth setting",
    challenge: "Basic realm=\"tieline\", charset=\"UTF-8\"",
};
const BEARER: Unproven = Unproven {
    detail: "the token is missing or wrong; send `Authorization: Bearer` with the token of this phone system",
    challenge: "Bearer realm=\"tieline\"",
};
const HMAC: Unproven = Unproven {
    detail: "the signature is missing or wrong; send the HMAC of the raw body, as hex or base64, in the header that \
             this phone system's auth setting names",
    challenge: "HMAC realm=\"tieline\"",
};
const QUERY: Unproven = Unproven {
    detail: "the secret in the query is missing or wrong; send it under the name that this phone system's auth setting \
             gives, percent-encoded",
    challenge: "Query realm=\"tieline\"",
};

const HEADER: Unproven = Unproven {
    detail: "the secret header is missing or wrong; send the token of this phone system in the header that its auth \
             setting names",
    challenge: "Header realm=\"tieline\"",
};
const BODY: Unproven = Unproven {
    detail: "the token in the body is missing or wrong; the token file must hold the one that the phone system gave for \
             this webhook",
    challenge: "Body realm=\"tieline\"",
};
const JWT: Unproven = Unproven {
    detail: "the body is no token signed with HS256 and this phone system's secret; set the same secret for the webhook",
    challenge: "JWT realm=\"tieline\"",
};
const TWILIO: Unproven = Unproven {
    detail: "X-Twilio-Signature is missing or wrong; url in this phone system's auth setting must be the address as Twilio \
             calls it, and the token file must hold the account's auth token",
    challenge: "Twilio realm=\"tieline\"",
};

fn shown_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A text among the JSON object's own fields.
fn text_field(body: &[u8], field: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_slice(body).ok()?;
    object.get(field)?.as_str().map(str::to_owned)
}

/// Reads a secret from its file, without a line end at its end.
///
/// # Errors
/// A file that cannot be read, is empty or too large.
pub fn read_secret(path: &Path) -> Result<SecretString, ProofFault> {
    let unreadable = |error: std::io::Error| ProofFault::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > SECRET_BYTES_MAX {
        return Err(ProofFault::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(ProofFault::Empty {
            path: path.to_owned(),
        });
    }
    Ok(SecretString::from(secret))
}

/// Equal, in a time that depends neither on the contents nor on the expected length.
fn same(shown: &[u8], expected: &[u8]) -> bool {
    Sha256::digest(shown)
        .ct_eq(&Sha256::digest(expected))
        .into()
}

/// What follows the scheme in `Authorization`; schemes are compared without case (RFC 9110).
pub(crate) fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (shown, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    shown.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Takes the secret out of a query. FreeSWITCH's `mod_json_cdr` appends `?uuid=…` to a URL that already has a query, so
/// that a second `?` separates as `&` does.
fn take_secret(query: &str, name: &str) -> (Option<Vec<u8>>, Option<String>) {
    let mut secret = None;
    let mut kept = Vec::new();
    for part in query.split(['&', '?']).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if key == name => {
                secret = Some(percent_encoding::percent_decode_str(value).collect());
            }
            Some(_) | None => kept.push(part),
        }
    }
    (secret, (!kept.is_empty()).then(|| kept.join("&")))
}

fn verify<M: Mac + KeyInit>(secret: &[u8], body: &[u8], shown: &str, prefix: &str) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else {
        return false;
    };
    mac.update(body);
    let shown = shown.trim();
    let shown = shown.strip_prefix(prefix).unwrap_or(shown);
    let bytes = from_hex(shown)
        .filter(|bytes| bytes.len() == M::output_size())
        .or_else(|| BASE64.decode(shown).ok());
    bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests;
