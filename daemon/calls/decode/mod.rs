//! Raw payloads -> phone events. One file per phone system; pure. A new phone system is one file here, its fixtures,
//! and one line in each `match` below. Called by intake (`admit`), by the line and by `tieline decode` (`decode`).

mod aircall;
pub mod asterisk;
mod body;
mod cloudtalk;
mod dialpad;
pub mod facts;
mod few;
mod fields;
pub mod freeswitch;
mod gammu;
mod grandstream;
mod jasmin;
mod kamailio;
mod kannel;
mod playsms;
mod post;
mod report;
mod ringcentral;
mod sms;
mod threecx;
mod tieline;
mod twilio;
mod values;
mod yeastar;
mod zammad;

pub use facts::LegFacts;

use crate::settings::types::Dialect;
use crate::terms::ids::VENDOR_ID_BYTES_MAX;
use crate::terms::number::NumberPlan;
use crate::terms::party::Extensions;
use crate::terms::text::Text;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Deepest nesting of a JSON or XML body. Phone systems need eight; a parser's stack must not be anybody's to fill.
pub const NESTING_MAX: usize = 64;

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
    Leg(Box<LegFacts>),
    Text(Text),
}

/// The body isn't whole, or isn't of a kind that any phone system sends: refused, never journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
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
    #[error("the body is not whole CSV: a quote in it isn't closed")]
    Csv,
    #[error("the body nests deeper than {NESTING_MAX} levels")]
    TooDeep,
    #[error("the body is neither JSON, XML nor a form")]
    Unknown,
}

/// Whole, but nothing this version can read: journaled and dead, to be replayed by a version that can.
/// The texts hold no numbers and no names, for they are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotUnderstood {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(
        "the values are percent-encoded inside a percent-encoded form, which no receiver can undo; \
         in json_cdr.conf.xml set encode=false, or encode-values=false with encode=true"
    )]
    EncodedTwice,
    #[error(
        "not a call record of FreeSWITCH: no variables in it; post mod_json_cdr, mod_xml_cdr or mod_format_cdr here"
    )]
    NotACdr,
    #[error(
        "not an event of Asterisk: post a hangup handler's form, a call detail record, a line of CEL, a manager event or a \
         message of ARI (docs/phone-systems.md)"
    )]
    NotAsterisk,
    #[error(
        "the dial plan's JSON is none: its commas came as \\, and quotes in names end the text early; \
         post a form with URIENCODE instead (docs/phone-systems.md)"
    )]
    GluedJson,
    #[error("not an event of {0}; docs/phone-systems.md says what to send here")]
    NotOf(&'static str),
    #[error(
        "a kind of event of {0} that this version doesn't know; docs/phone-systems.md lists those it knows"
    )]
    UnknownKind(&'static str),
    #[error("these columns are unknown; put a line with the columns' names before the records")]
    CsvColumns,
    #[error("more than 1000 records in one body; post them in parts")]
    TooManyRecords,
    #[error("the body must be one JSON object with `event` and `id`")]
    NotAnObject,
    #[error("field `{0}` is missing; it must be sent")]
    Missing(&'static str),
    #[error("field `{field}` must be {must}")]
    WrongType {
        field: &'static str,
        must: &'static str,
    },
    #[error("field `{0}` is no time; send RFC 3339 such as 2026-11-20T12:24:29Z")]
    BadTime(&'static str),
    #[error(
        "unknown kind of event; this version knows call.started, call.ringing, call.answered, call.held, call.resumed, \
         call.transferred, call.ended and text"
    )]
    UnknownEvent,
    #[error("not an event of {0}: post what docs/phone-systems.md has for it")]
    Foreign(&'static str),
    #[error("a WhatsApp message is not a text; it is not logged")]
    WhatsApp,
}

/// How a dialect's posts are taken and answered, where that isn't a POST and our own JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Events may come as the query of a GET.
    pub get: bool,
    /// The body of a 200 that says yes; none: 202 and our own JSON.
    pub answer: Option<&'static str>,
}

/// See [`Manners`].
pub const fn manners(dialect: Dialect) -> Manners {
    match dialect {
        Dialect::Jasmin => jasmin::MANNERS,
        Dialect::Kannel => kannel::MANNERS,
        Dialect::PlaySms => playsms::MANNERS,
        Dialect::Tieline
        | Dialect::Freeswitch
        | Dialect::Asterisk
        | Dialect::Aircall
        | Dialect::Cloudtalk
        | Dialect::Dialpad
        | Dialect::Ringcentral
        | Dialect::Twilio
        | Dialect::Yeastar
        | Dialect::ThreeCx
        | Dialect::Gammu
        | Dialect::Grandstream
        | Dialect::Kamailio
        | Dialect::Zammad => Manners {
            get: false,
            answer: None,
        },
    }
}

/// Whether a body may be accepted: whole and of a kind that this phone system sends. Builds nothing for JSON.
pub fn admit(dialect: Dialect, raw: &RawEvent<'_>) -> Result<(), Malformed> {
    body::check_content_type(raw.content_type)?;
    match dialect {
        Dialect::Tieline => tieline::admit(raw),
        Dialect::Freeswitch => freeswitch::admit(raw),
        Dialect::Asterisk => asterisk::admit(raw),
        Dialect::Dialpad => dialpad::admit(raw),
        Dialect::Aircall
        | Dialect::Cloudtalk
        | Dialect::Ringcentral
        | Dialect::Twilio
        | Dialect::Yeastar => values::admit(raw),
        Dialect::Grandstream => grandstream::admit(raw),
        Dialect::Kamailio => kamailio::admit(raw),
        Dialect::ThreeCx
        | Dialect::Gammu
        | Dialect::Jasmin
        | Dialect::Kannel
        | Dialect::PlaySms
        | Dialect::Zammad => post::admit(raw),
    }
}

/// What an accepted event says. The same bytes always give the same facts: they are decoded anew when needed.
pub fn decode(
    dialect: Dialect,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    match dialect {
        Dialect::Tieline => tieline::decode(raw, site),
        Dialect::Freeswitch => freeswitch::decode(raw, site),
        Dialect::Asterisk => asterisk::decode(raw, site),
        Dialect::Aircall => aircall::decode(raw, site),
        Dialect::Cloudtalk => cloudtalk::decode(raw, site),
        Dialect::Dialpad => dialpad::decode(raw, site),
        Dialect::Ringcentral => ringcentral::decode(raw, site),
        Dialect::Twilio => twilio::decode(raw, site),
        Dialect::Yeastar => yeastar::decode(raw, site),
        Dialect::ThreeCx => threecx::decode(raw, site),
        Dialect::Gammu => gammu::decode(raw, site),
        Dialect::Grandstream => grandstream::decode(raw, site),
        Dialect::Jasmin => jasmin::decode(raw, site),
        Dialect::Kamailio => kamailio::decode(raw, site),
        Dialect::Kannel => kannel::decode(raw, site),
        Dialect::PlaySms => playsms::decode(raw, site),
        Dialect::Zammad => zammad::decode(raw, site),
    }
}

/// The key of a call whose id was used by an earlier call (`assemble::is_reuse`): the id, `~`, and the start in UTC.
/// Cut so that it stays within [`VENDOR_ID_BYTES_MAX`].
pub fn reused(id: &str, start: Timestamp) -> String {
    let stamp = start.strftime("%Y%m%dT%H%M%SZ").to_string();
    let room = VENDOR_ID_BYTES_MAX.saturating_sub(stamp.len() + 1);
    let id = if id.len() > room {
        hashed(id)
    } else {
        id.to_owned()
    };
    format!("{id}~{stamp}")
}

/// A vendor's id as we keep it: trimmed, and hashed if it is too long or holds what a key must not. None if empty.
fn vendor_id(raw: &str) -> Option<String> {
    let id = raw.trim();
    if id.is_empty() {
        return None;
    }
    if id.len() > VENDOR_ID_BYTES_MAX || id.contains(char::is_control) {
        return Some(hashed(id));
    }
    Some(id.to_owned())
}

fn hashed(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256-{hex}")
}
