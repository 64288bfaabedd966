//! Asterisk and FreePBX: manager events (AMI), call detail records, channel event logging, ARI and posts of the dial plan,
//! one body each, told apart by what they look like.
//!
//! A record is about a channel or a pair of them. The call is the family of channels with one linked id. Each source states
//! what it knows and leaves the rest empty; assembly takes the most exact (docs/assembly.md).

mod ami;
mod ari;
mod cdr;
mod cel;
mod channel;
pub(super) mod csv;
mod hook;
pub mod live;
mod status;

use super::body::{self, Payload};
use super::facts::LegFacts;
use super::fields::{self, Fields};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site};
use serde_json::Value;
use std::borrow::Cow;

/// A body by what it looks like.
enum Source<'a> {
    Ami(Cow<'a, str>),
    Cel(Cow<'a, str>),
    Cdr(Cow<'a, str>),
    Named(Payload<'a>),
}

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match sniff(raw.body)? {
        Source::Ami(_) => Ok(()),
        Source::Cel(text) | Source::Cdr(text) => csv::check(&text),
        // A dial plan never learns that its post was refused: what it glued together is taken, so that somebody sees why
        // it can't be read.
        Source::Named(Payload::Json(json)) => match body::check_json(&json) {
            Err(Malformed::Json { .. }) if fields::glued(&json) => Ok(()),
            verdict => verdict,
        },
        Source::Named(Payload::Form(form)) => fields::check_form(form),
        Source::Named(Payload::Xml(xml)) => body::check_xml(&xml),
    }
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    match sniff(raw.body)? {
        Source::Ami(text) => each(&ami::read(start(&text))?, |event| {
            ami::decode(event, raw.received, site)
        })
        .map(legs),
        Source::Cel(text) => {
            csv::check(&text)?;
            each(&cel::read(start(&text))?, |line| cel::decode(line, site)).map(legs)
        }
        Source::Cdr(text) => {
            csv::check(&text)?;
            each(&cdr::read(start(&text))?, |row| cdr::decode(row, site)).map(legs)
        }
        Source::Named(payload) => named(&payload, raw, site),
    }
}

/// Forms and JSON: a row, a hook's post, a text, or a message of ARI.
fn named(
    payload: &Payload<'_>,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    if let Payload::Json(json) = payload
        && let Ok(object) = serde_json::from_str::<Value>(json)
        && ari::is_event(&object)
    {
        return ari::decode(&object, raw, site);
    }
    let mut events = Vec::new();
    for post in fields::read(payload, NotUnderstood::NotAsterisk)? {
        if hook::is_message(&post) {
            events.push(PhoneEvent::Text(hook::text(&post, raw, site)?));
        } else if cel::is_named(&post) {
            events.extend(legs(cel::decode(&post, site)?));
        } else if cdr::is_row(&post) {
            events.extend(legs(cdr::decode(&post, site)?));
        } else if hook::is_hangup(&post) {
            events.extend(legs(hook::decode(&post, raw, site)?));
        } else {
            return Err(NotUnderstood::NotAsterisk);
        }
    }
    Ok(events)
}

fn each(
    records: &[Fields],
    decode: impl Fn(&Fields) -> Result<Vec<LegFacts>, NotUnderstood>,
) -> Result<Vec<LegFacts>, NotUnderstood> {
    let mut all = Vec::new();
    for record in records {
        all.extend(decode(record)?);
    }
    Ok(all)
}

fn legs(legs: Vec<LegFacts>) -> Vec<PhoneEvent> {
    legs.into_iter()
        .map(|leg| PhoneEvent::Leg(Box::new(leg)))
        .collect()
}

/// The text without what editors and scripts put in front.
fn start(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// What a body is. Names come as the callers' phones wrote them, and Asterisk passes their bytes on: in events and
/// records, those that are no UTF-8 become U+FFFD, for a name must not cost a call.
fn sniff(body: &[u8]) -> Result<Source<'_>, Malformed> {
    let lossy = String::from_utf8_lossy(body);
    let text = start(&lossy);
    if ami::is_event(text) {
        return Ok(Source::Ami(lossy));
    }
    if !text.starts_with(['{', '[', '<'])
        && let Some(first) = csv::first(text)
    {
        if cel::is_head(&first) || cel::is_record(&first) {
            return Ok(Source::Cel(lossy));
        }
        // Quotes and commas, but no columns that anybody knows: said when it is decoded.
        let unknown = first.len() > 2 && text.starts_with('"');
        if cdr::is_head(&first) || cdr::is_record(&first) || unknown {
            return Ok(Source::Cdr(lossy));
        }
    }
    body::sniff(body).map(Source::Named)
}
