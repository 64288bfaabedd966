//! What a live listener of the event socket says itself, in an event's form: that a leg's end was missed.

use crate::calls::decode::facts::LegFacts;
use crate::calls::decode::{Site, vendor_id};
use crate::terms::ids::{CallKey, Kind};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Our own event: a leg whose end was missed.
const GONE: &str = "TIELINE_GONE";

/// The event that says so: the leg was there at `since`, and isn't any more.
pub fn gone(leg: &LegFacts, since: Timestamp, now: Timestamp) -> String {
    json!({
        "Event-Name": GONE,
        "Event-Date-Timestamp": now.as_microsecond().to_string(),
        "Unique-ID": leg.leg,
        "Tieline-Call": leg.key.id,
        "Tieline-Since": since.as_microsecond().to_string(),
    })
    .to_string()
}

/// The leg, if a body is that event.
pub fn read(body: &[u8], site: &Site) -> Option<LegFacts> {
    // Every body passes here, and a call record is long: the parser is for our own events alone.
    let head = body.get(..body.len().min(HEAD_BYTES))?;
    if !head.windows(GONE.len()).any(|part| part == GONE.as_bytes()) {
        return None;
    }
    let event: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    if text("Event-Name") != Some(GONE) {
        return None;
    }
    let key = CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: text("Tieline-Call").and_then(vendor_id)?,
    };
    let mut leg = LegFacts::new(key, text("Unique-ID").and_then(vendor_id)?);
    let since = text("Tieline-Since")?.parse().ok()?;
    leg.rare.lost = Some(Timestamp::from_microsecond(since).ok()?);
    Some(leg)
}

/// Our own event is shorter.
const HEAD_BYTES: usize = 1024;
