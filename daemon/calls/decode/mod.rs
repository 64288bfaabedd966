//! Raw payloads -> phone events. One file per phone system; pure. A new phone system is one file here, its fixtures,
//! and one line in each `match` below.

use crate::terms::ids::CallKey;
use crate::terms::number::NumberPlan;
use crate::terms::party::Extensions;
use crate::terms::text::Text;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What was posted, as journaled.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// As sent; phone systems often send a wrong one, so decoders look at the body.
    pub content_type: Option<&'a str>,
    /// The query string without `?` and without our own secret.
    pub query: Option<&'a str>,
    pub body: &'a [u8],
    pub received: Timestamp,
}

/// What a decoder needs to know of the phone system.
#[derive(Clone, Debug)]
pub struct Site {
    pub pbx: String,
    pub plan: NumberPlan,
    pub extensions: Extensions,
    pub time_zone: TimeZone,
}

/// One fact about a call or text.
#[derive(Clone, Debug, PartialEq)]
pub enum PhoneEvent {
    Leg(LegFacts),
    Text(Text),
}

/// What one record or live event says of one leg.
#[derive(Clone, Debug, PartialEq)]
pub struct LegFacts {
    pub key: CallKey,
}

/// Deepest nesting of a body.
const NESTING_MAX: usize = 64;

/// Why a body is refused before it is journaled: the phone system is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the content type is not one of an event; send JSON, XML or a form")]
    ContentType,
    #[error("the body is empty; send one event in it")]
    Empty,
    #[error(
        "the body is not UTF-8 from byte {at} on; set the phone system's character set to UTF-8"
    )]
    NotUtf8 { at: usize },
    #[error("the body is not whole JSON (line {line}, column {column}); was it cut short?")]
    Json { line: usize, column: usize },
    #[error("the body is not whole XML (byte {at}); was it cut short? A DOCTYPE is not taken")]
    Xml { at: usize },
    #[error("the body is not a whole form: a broken %XX or base64 text in it")]
    Form,
    #[error("the body nests deeper than {NESTING_MAX} levels")]
    TooDeep,
    #[error("the body is neither JSON, XML nor a form")]
    Unknown,
}

/// Whether a body may be accepted: whole and of a kind that this phone system sends.
pub fn admit(
    _dialect: crate::settings::types::Dialect,
    raw: &RawEvent<'_>,
) -> Result<(), Malformed> {
    if raw
        .content_type
        .is_some_and(|kind| kind.starts_with("image/"))
    {
        return Err(Malformed::ContentType);
    }
    let text = std::str::from_utf8(raw.body).map_err(|error| Malformed::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    if text.contains(&"[".repeat(NESTING_MAX)) {
        return Err(Malformed::TooDeep);
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| Malformed::Json {
            line: error.line(),
            column: error.column(),
        })
}
