//! How a phone system proves itself, from its side: headers, signatures and tokens as the vendors' documents say. What checks
//! them is `daemon/calls/intake/proof.rs`, which this must not know.

use super::post::{Post, escaped};
use crate::settings::types::HmacAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What is shown with each post.
#[derive(Clone, Debug)]
pub enum Proof {
    Basic {
        user: String,
        password: SecretString,
    },
    Bearer(SecretString),
    /// As hex, over the raw body.
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
    /// In a field of the JSON body.
    Body {
        field: String,
        token: SecretString,
    },
    /// The body becomes a token signed with HS256 (RFC 7515).
    Jwt(SecretString),
    /// Twilio's signature (its documentation, "Webhooks security").
    Twilio {
        token: SecretString,
        url: String,
    },
    None,
}

/// A post that this proof doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    #[error("a GET has no body that could be signed; its phone system needs another `auth`")]
    NoBody,
    #[error("the body is no JSON object, so the token can't be put into it")]
    NoObject,
    #[error("this secret can't be a key")]
    BadKey,
}

impl Proof {
    /// The post with the proof in it; an older one in its place goes.
    ///
    /// # Errors
    /// A post that can't carry it.
    pub fn sign(&self, mut post: Post) -> Result<Post, Unsignable> {
        let header = match self {
            Self::None => None,
            Self::Basic { user, password } => {
                let credentials = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                Some(("authorization", format!("Basic {credentials}")))
            }
            Self::Bearer(token) => {
                Some(("authorization", format!("Bearer {}", token.expose_secret())))
            }
            Self::Header { name, token } => Some((name.as_str(), token.expose_secret().to_owned())),
            Self::Hmac { .. } if post.get => return Err(Unsignable::NoBody),
            Self::Hmac {
                secret,
                header,
                algorithm,
            } => {
                let secret = secret.expose_secret();
                let digest = match algorithm {
                    HmacAlgorithm::Sha256 => digest::<Hmac<Sha256>>(secret, &[&post.body])?,
                    HmacAlgorithm::Sha1 => digest::<Hmac<Sha1>>(secret, &[&post.body])?,
                };
                Some((header.as_str(), hex(&digest)))
            }
            Self::Query { name, token } => {
                post.query = Some(with_secret(
                    post.query.as_deref(),
                    name,
                    token.expose_secret(),
                ));
                None
            }
            Self::Body { field, token } => {
                post.body = with_field(&post.body, field, token.expose_secret())?;
                None
            }
            Self::Jwt(secret) => {
                post.body = token(
                    claims(&post.body).as_deref().unwrap_or(&post.body),
                    secret.expose_secret(),
                )?;
                None
            }
            Self::Twilio { token, url } => {
                let signature = twilio(&post, token.expose_secret(), url)?;
                Some(("x-twilio-signature", signature))
            }
        };
        if let Some((name, value)) = header {
            post.headers.push((name.to_owned(), value));
        }
        Ok(post)
    }
}

fn digest<M: Mac + KeyInit>(secret: &str, parts: &[&[u8]]) -> Result<Vec<u8>, Unsignable> {
    let mut mac =
        <M as KeyInit>::new_from_slice(secret.as_bytes()).map_err(|_| Unsignable::BadKey)?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a text can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn with_secret(query: Option<&str>, name: &str, secret: &str) -> String {
    let others = query.unwrap_or_default().split('&').filter(|pair| {
        let before = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && before != name
    });
    let ours = format!("{name}={}", escaped(secret));
    let mut pairs: Vec<&str> = others.collect();
    pairs.push(&ours);
    pairs.join("&")
}

fn with_field(body: &[u8], field: &str, secret: &str) -> Result<Vec<u8>, Unsignable> {
    let mut object: Value = serde_json::from_slice(body).map_err(|_| Unsignable::NoObject)?;
    let fields = object.as_object_mut().ok_or(Unsignable::NoObject)?;
    fields.insert(field.to_owned(), json!(secret));
    Ok(object.to_string().into_bytes())
}

/// What a token carries; none if the body is no token.
pub fn claims(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let mut parts = text.split('.');
    let (head, claims) = (parts.next()?, parts.next()?);
    // `{"` in base64.
    let token = head.starts_with("eyJ") && parts.count() == 1;
    URL_SAFE_NO_PAD.decode(claims).ok().filter(|_| token)
}

fn token(claims: &[u8], secret: &str) -> Result<Vec<u8>, Unsignable> {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = digest::<Hmac<Sha256>>(secret, &[signed.as_bytes()])?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes())
}

/// Over the address with its query, and the form's parameters by name, each pair once.
fn twilio(post: &Post, secret: &str, url: &str) -> Result<String, Unsignable> {
    let plain = |text: &str| -> Vec<u8> {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).collect()
    };
    let body = String::from_utf8_lossy(&post.body);
    let pairs = body.split('&').filter(|pair| !pair.is_empty());
    let parameters: BTreeSet<(Vec<u8>, Vec<u8>)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        })
        .collect();
    let query = post
        .query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut parts = vec![url.as_bytes(), query.as_bytes()];
    for (name, value) in &parameters {
        parts.push(name);
        parts.push(value);
    }
    Ok(STANDARD.encode(digest::<Hmac<Sha1>>(secret, &parts)?))
}
