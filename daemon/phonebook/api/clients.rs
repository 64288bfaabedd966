//! Who may use the contacts API: each `[[client]]` with the digest of its token and its rights. Checked on every request,
//! in constant time (invariant 9). Used by `api/`.

use crate::calls::intake::problem::{Extra, Problem};
use crate::calls::intake::proof::{ProofFault, credentials, read_secret};
use crate::settings::types::{ClientSettings, Right};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The `token` of a query, for phone systems that can send nothing but an address.
pub const TOKEN: &str = "token";

/// Every `[[client]]`.
#[derive(Debug)]
pub struct Clients(Vec<Client>);

struct Client {
    name: String,
    /// SHA-256 of the token: compared instead of the token, in a time that depends on neither.
    digest: [u8; 32],
    may: Vec<Right>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Clients {
    /// Reads the token files.
    ///
    /// # Errors
    /// The first one that can't be read, is empty or too large.
    pub fn build(settings: &[ClientSettings]) -> Result<Self, ProofFault> {
        let clients = settings.iter().map(|client| {
            let token = read_secret(&client.token_file)?;
            Ok(Client {
                name: client.name.clone(),
                digest: Sha256::digest(token.expose_secret().as_bytes()).into(),
                may: client.may.clone(),
            })
        });
        clients.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the request may do that. Its token comes as bearer token, as the password of basic auth with the
    /// client's name as user, or in the query.
    ///
    /// # Errors
    /// 403 without any client, 401 without the token of one, 403 without the right.
    pub fn check(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        right: Right,
    ) -> Result<(), Problem> {
        if self.0.is_empty() {
            let detail = "no client may use the contacts API; add a [[client]] with name, token_file and may to tieline.toml";
            return Err(Problem::new(StatusCode::FORBIDDEN, "no-client", detail));
        }
        let proved = self.proved(headers, query);
        // Two clients may have one token: what either may, its holder may.
        if proved.iter().any(|client| client.may.contains(&right)) {
            return Ok(());
        }
        if proved.is_empty() {
            let detail = "the token is missing or wrong; send `Authorization: Bearer` with the token of a [[client]], or basic \
                          auth with its name and token, or `?token=` where nothing else can be set";
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong-proof", detail);
            let challenge = Extra::Challenge(
                "Bearer realm=\"tieline\", Basic realm=\"tieline\", charset=\"UTF-8\"",
            );
            return Err(problem.with(challenge));
        }
        let word = right.word();
        let detail = format!("this client may not; add \"{word}\" to its may in tieline.toml");
        Err(Problem::new(StatusCode::FORBIDDEN, "no-right", detail))
    }

    /// The clients whose token was shown.
    fn proved(&self, headers: &HeaderMap, query: Option<&str>) -> Vec<&Client> {
        if let Some(token) = credentials(headers, "bearer") {
            return self.with_token(token.as_bytes(), None);
        }
        if let Some(basic) = credentials(headers, "basic") {
            let shown = BASE64.decode(basic).unwrap_or_default();
            let at = shown.iter().position(|byte| *byte == b':');
            let (user, password) = shown.split_at(at.unwrap_or(shown.len()));
            return self.with_token(password.get(1..).unwrap_or_default(), Some(user));
        }
        match query.and_then(token_in) {
            Some(token) => self.with_token(&token, None),
            None => Vec::new(),
        }
    }

    fn with_token(&self, token: &[u8], name: Option<&[u8]>) -> Vec<&Client> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let clients = self.0.iter().filter(|client| {
            let named = name.is_none_or(|name| name == client.name.as_bytes());
            bool::from(client.digest.ct_eq(&digest)) && named
        });
        clients.collect()
    }
}

fn token_in(query: &str) -> Option<Vec<u8>> {
    let mut parts = query.split(['&', '?']);
    let token = parts.find_map(|part| part.strip_prefix(TOKEN)?.strip_prefix('='))?;
    Some(percent_encoding::percent_decode_str(token).collect())
}
