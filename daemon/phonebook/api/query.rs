//! What the head of a contacts request says: its target, its query, its conditions (RFC 9110, section 13). Pure. Used by
//! `api/`.

use super::clients::TOKEN;
use crate::calls::intake::problem::Problem;
use crate::phonebook::directory::limits::is_id;
use crate::phonebook::directory::{Condition, Versions};
use crate::terms::contact::ContactId;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;

/// Contacts in one answer, unless `limit` says otherwise: some 50 KB.
const LIMIT_DEFAULT: usize = 100;
/// Most of them, if each is as large as it may be some 10 MB.
const LIMIT_MAX: usize = 1000;

/// What a path below `/v1/contacts` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    All,
    Changes,
    One(ContactId),
    /// No contact can have this id.
    Nothing,
}

impl Target {
    /// None for a path of somebody else's.
    pub fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/contacts")?;
        if rest.is_empty() {
            return Some(Self::All);
        }
        let id = rest.strip_prefix('/')?;
        if id == "changes" {
            return Some(Self::Changes);
        }
        let id = percent_decode_str(id).decode_utf8().ok();
        let id = id.filter(|id| is_id(id));
        Some(id.map_or(Self::Nothing, |id| Self::One(ContactId(id.into_owned()))))
    }
}

/// The parameters of a query, each decoded.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// # Errors
    /// 400 names the first one that isn't `allowed`.
    pub fn read(query: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let mut params = Vec::new();
        let parts = query.unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if name == TOKEN {
                continue;
            }
            if !allowed.contains(&name) {
                let allowed = if allowed.is_empty() {
                    "none".to_owned()
                } else {
                    allowed.join(", ")
                };
                return Err(wrong(format!(
                    "there is no parameter {name:?} here; allowed: {allowed}"
                )));
            }
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
            params.push((name.to_owned(), value));
        }
        Ok(Self(params))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let mut params = self.0.iter();
        let found = params.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// 400 if `limit` is no number in its bounds.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else {
            return Ok(LIMIT_DEFAULT);
        };
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| wrong(format!("limit is {text:?}; allowed: 1 to {LIMIT_MAX}")))
    }
}

/// 400.
pub fn wrong(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "query", detail)
}

/// The conditions of a request.
pub fn condition(headers: &HeaderMap) -> Condition {
    Condition {
        is: versions(headers, &IF_MATCH, false),
        is_not: versions(headers, &IF_NONE_MATCH, true),
    }
}

/// Weak tags are the same version to whoever asks whether something is new, but never to whoever writes over it.
fn versions(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Option<Versions> {
    let shown = headers.get_all(name);
    let texts: Vec<&str> = shown.iter().filter_map(text).collect();
    shown.iter().next()?;
    let tags = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    if tags.clone().any(|tag| tag == "*") {
        return Some(Versions::Any);
    }
    let revisions = tags.filter_map(|tag| {
        let tag = match tag.strip_prefix("W/") {
            Some(tag) if weak => tag,
            Some(_) => return None,
            None => tag,
        };
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    });
    Some(Versions::These(revisions.collect()))
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}
