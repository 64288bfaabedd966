//! How a phone system proves itself: built once from the settings and the secret files, checked on every post in
//! constant time (invariant 9). Called by `routes.rs`.

use crate::settings::types::{Auth, HmacAlgorithm};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
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
            Self::None => Ok(kept),
        }
    }

    /// Checks what needs the body.
    ///
    /// # Errors
    /// `Unproven` if the HMAC isn't that of the body.
    pub fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Unproven> {
        match self {
            Self::Hmac {
                secret,
                header,
                algorithm,
            } => {
                let shown = headers
                    .get(header)
                    .and_then(|value| value.to_str().ok())
                    .ok_or(HMAC)?;
                let secret = secret.expose_secret().as_bytes();
                let right = match algorithm {
                    HmacAlgorithm::Sha256 => verify::<Hmac<Sha256>>(secret, body, shown, "sha256="),
                    HmacAlgorithm::Sha1 => verify::<Hmac<Sha1>>(secret, body, shown, "sha1="),
                };
                if right { Ok(()) } else { Err(HMAC) }
            }
            Self::Basic { .. } | Self::Bearer(_) | Self::Query { .. } | Self::None => Ok(()),
        }
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
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
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
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(name: &str, value: &str) -> HeaderMap {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn basic_and_bearer_take_the_right_secret_alone() {
        let basic = Proof::Basic {
            user: "fs".to_owned(),
            password: "a:b ü".into(),
        };
        let right = format!("bAsIc {}", BASE64.encode("fs:a:b ü"));
        assert_eq!(
            basic.check_head(&headers("authorization", &right), Some("uuid=1")),
            Ok(Some("uuid=1".to_owned()))
        );
        for wrong in [
            "Basic",
            "Basic ???",
            "Bearer x",
            &format!("Basic {}", BASE64.encode("fs:a:b")),
        ] {
            assert_eq!(
                basic.check_head(&headers("authorization", wrong), None),
                Err(BASIC),
                "{wrong}"
            );
        }
        let bearer = Proof::Bearer("t0ken".into());
        assert_eq!(
            bearer.check_head(&headers("authorization", "Bearer t0ken"), None),
            Ok(None)
        );
        for wrong in [
            "Bearer t0ke",
            "Bearer t0kenn",
            "Bearer",
            "t0ken",
            "Basic t0ken",
        ] {
            assert_eq!(
                bearer.check_head(&headers("authorization", wrong), None),
                Err(BEARER),
                "{wrong}"
            );
        }
        assert_eq!(bearer.check_head(&HeaderMap::new(), None), Err(BEARER));
    }

    #[test]
    fn the_query_secret_is_taken_out_and_a_second_question_mark_separates() {
        let query = Proof::Query {
            name: "token".to_owned(),
            token: "a&b?".into(),
        };
        for (given, kept) in [
            ("token=a%26b%3F", None),
            ("token=a%26b%3F?uuid=a_1", Some("uuid=a_1")),
            ("x=1&token=a%26b%3F&y", Some("x=1&y")),
        ] {
            assert_eq!(
                query.check_head(&HeaderMap::new(), Some(given)),
                Ok(kept.map(str::to_owned)),
                "{given}"
            );
        }
        for wrong in [
            "",
            "token",
            "token=",
            "token=a",
            "Token=a%26b%3F",
            "uuid=token=a%26b%3F",
        ] {
            assert_eq!(
                query.check_head(&HeaderMap::new(), Some(wrong)),
                Err(QUERY),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_hmac_is_taken_as_hex_or_base64_with_or_without_its_name() {
        // RFC 4231, test case 2, and RFC 2202, test case 2.
        let body = b"what do ya want for nothing?";
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        for (algorithm, prefix, hex) in [
            (HmacAlgorithm::Sha256, "sha256=", sha256),
            (HmacAlgorithm::Sha1, "sha1=", sha1),
        ] {
            let proof = Proof::Hmac {
                secret: "Jefe".into(),
                header: "x-signature".to_owned(),
                algorithm,
            };
            let base64 = BASE64.encode(from_hex(hex).unwrap());
            for right in [
                hex.to_owned(),
                hex.to_uppercase(),
                format!("{prefix}{hex}"),
                base64,
            ] {
                assert_eq!(
                    proof.check_body(&headers("X-Signature", &right), body),
                    Ok(()),
                    "{right}"
                );
                assert_eq!(
                    proof.check_body(&headers("X-Signature", &right), b"other"),
                    Err(HMAC),
                    "{right}"
                );
            }
            for wrong in ["", "00", hex.get(2..).unwrap(), "sha512=ab"] {
                assert_eq!(
                    proof.check_body(&headers("X-Signature", wrong), body),
                    Err(HMAC),
                    "{wrong}"
                );
            }
            assert_eq!(proof.check_head(&HeaderMap::new(), None), Err(HMAC));
        }
    }

    #[test]
    fn a_secret_file_is_read_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "s3cret\r\n").unwrap();
        assert_eq!(read_secret(&path).unwrap().expose_secret(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(&path), Err(ProofFault::Empty { .. })));
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(
            read_secret(&path),
            Err(ProofFault::TooLarge { .. })
        ));
        assert!(matches!(
            read_secret(&dir.path().join("none")),
            Err(ProofFault::Unreadable { .. })
        ));
    }
}
