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
