//! One post as a phone system would send it, before it is signed.

use super::scenario::Call;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

const FORM: &str = "application/x-www-form-urlencoded";

/// What stands in forms and queries as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A request to `/v1/pbx/<name>/events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// A GET, whose query is the event.
    pub get: bool,
    /// Without `?`.
    pub query: Option<String>,
    pub content_type: Option<String>,
    /// Further ones: the proof.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When the phone system would send it.
    pub at: Timestamp,
    /// Sent when the call is logged already.
    pub late: bool,
}

/// The posts of one call or text.
#[derive(Clone, Debug)]
pub struct Told {
    /// The id under which tieline knows it, where it isn't made of the post's contents.
    pub key: Option<String>,
    pub posts: Vec<Post>,
}

impl Post {
    pub fn new(content_type: &str, body: Vec<u8>, at: Timestamp) -> Self {
        Self {
            get: false,
            query: None,
            content_type: Some(content_type.to_owned()),
            headers: Vec::new(),
            body,
            at,
            late: false,
        }
    }

    pub fn json(value: &Value, at: Timestamp) -> Self {
        Self::new("application/json", value.to_string().into_bytes(), at)
    }

    pub fn form(pairs: &[(&str, &str)], at: Timestamp) -> Self {
        Self::new(FORM, form(pairs).into_bytes(), at)
    }

    /// A GET with the fields as its query.
    pub fn get(pairs: &[(&str, &str)], at: Timestamp) -> Self {
        Self {
            get: true,
            query: Some(form(pairs)),
            content_type: None,
            ..Self::new(FORM, Vec::new(), at)
        }
    }

    pub fn late(self) -> Self {
        Self { late: true, ..self }
    }
}

impl Told {
    pub fn new(key: impl Into<String>, posts: Vec<Post>) -> Self {
        Self {
            key: Some(key.into()),
            posts,
        }
    }

    /// One that tieline gives a name of its own.
    pub fn nameless(posts: Vec<Post>) -> Self {
        Self { key: None, posts }
    }
}

/// `a=1&b=two%20words`
pub fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escaped(name), escaped(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The sender and the recipient of a text.
pub fn ends(call: &Call) -> (&str, &str) {
    let (customer, ours) = (call.parties.customer.as_str(), call.parties.ours.as_str());
    match call.tale.way {
        super::scenario::Way::In => (customer, ours),
        super::scenario::Way::Out | super::scenario::Way::Internal => (ours, customer),
    }
}
