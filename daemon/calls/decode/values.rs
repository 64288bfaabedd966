//! Values in what cloud phone systems post, read without trust: JSON objects by dotted paths, forms as objects. A value of
//! another type than expected says nothing, for one odd field must not cost a call. Used by the dialects of cloud systems
//! and appliances; knows none of them.

use super::body::{self, Payload};
use super::facts::{LegFacts, Line, Role};
use super::{Malformed, NotUnderstood, RawEvent, Site, vendor_id};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, Party};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Most entries taken from one list; more is a mistake in the sender.
const LIST_MAX: usize = 100;

/// Whole numbers from here on are milliseconds: as seconds they would be the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Longest stretch, in seconds, that an event is believed: a day.
const STRETCH_MAX: i64 = 24 * 3600;

/// What each of these dialects takes: whole JSON, or a whole form.
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match body::sniff(raw.body)? {
        Payload::Json(json) => body::check_json(&json),
        Payload::Xml(xml) => body::check_xml(&xml),
        Payload::Form(form) => body::check_percent(form),
    }
}

/// The one object of a body; a form's values are texts.
pub fn object(raw: &RawEvent<'_>, system: &'static str) -> Result<Value, NotUnderstood> {
    let value = match body::sniff(raw.body)? {
        Payload::Json(json) => {
            body::check_json(&json)?;
            serde_json::from_str(&json).map_err(|fault| body::json_fault(&fault))?
        }
        Payload::Form(form) => of_form(form),
        Payload::Xml(_) => Value::Null,
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(NotUnderstood::NotOf(system))
    }
}

/// `name=value&…`: a plus is a blank.
fn of_form(form: &str) -> Value {
    let plain = |text: &str| body::percent_decoded(&text.replace('+', " "));
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (plain(name), Value::String(plain(value)))
    };
    Value::Object(pairs.map(pair).collect())
}

/// One object, read field by field. Paths are names with dots between.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a>(pub &'a Value);

impl<'a> Values<'a> {
    pub fn at(self, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(self.0, |value, name| value.get(name))
            .filter(|value| !value.is_null())
    }

    pub fn has(self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// As sent, blanks and lines included.
    pub fn whole(self, path: &str) -> Option<String> {
        scalar(self.at(path)?)
    }

    /// Text that says something. Ids and numbers are often sent as JSON numbers.
    pub fn text(self, path: &str) -> Option<String> {
        let text = self.whole(path)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The first of `paths` that says something.
    pub fn first(self, paths: &[&str]) -> Option<String> {
        paths.iter().find_map(|path| self.text(path))
    }

    /// In lower case: vendors' words differ in it between versions.
    pub fn word(self, path: &str) -> String {
        self.text(path).unwrap_or_default().to_ascii_lowercase()
    }

    /// A whole number, cut.
    pub fn integer(self, path: &str) -> Option<i64> {
        self.text(path)?.split('.').next()?.parse().ok()
    }

    /// A length of time in seconds, within [`STRETCH_MAX`]; longer or negative ones say nothing.
    pub fn seconds(self, path: &str) -> Option<SignedDuration> {
        self.integer(path)
            .filter(|seconds| (0..=STRETCH_MAX).contains(seconds))
            .map(SignedDuration::from_secs)
    }

    pub fn time(self, path: &str, site: &Site) -> Option<Timestamp> {
        time(&self.text(path)?, None, site)
    }

    /// True, "true", 1 or "1".
    pub fn flag(self, path: &str) -> bool {
        matches!(self.word(path).as_str(), "true" | "1" | "yes")
    }

    /// The entries of a list; a single value is a list of one.
    pub fn list(self, path: &str) -> Vec<Values<'a>> {
        match self.at(path) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().take(LIST_MAX).map(Values).collect(),
            Some(one) => vec![Values(one)],
        }
    }

    /// The texts of a list, each itself or under the first of `names` that it has.
    pub fn texts(self, path: &str, names: &[&str]) -> Vec<String> {
        let text = |item: Values<'_>| match scalar(item.0) {
            Some(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            None => item.first(names),
        };
        self.list(path).into_iter().filter_map(text).collect()
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 3339, RFC 2822, seconds or milliseconds since 1970, or the site's local time: of an hour that comes twice when
/// clocks go back, the one that isn't before `not_before`.
pub fn time(text: &str, not_before: Option<Timestamp>, site: &Site) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return if number < MILLISECONDS_FROM {
            // Zero is how systems write that something never happened.
            Timestamp::from_second(number).ok().filter(|_| number > 0)
        } else {
            Timestamp::from_millisecond(number).ok()
        };
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    let local: DateTime = text.parse().ok()?;
    let local = site.time_zone.to_ambiguous_timestamp(local);
    let first = local.compatible().ok()?;
    if not_before.is_some_and(|floor| first < floor) {
        return local.later().ok();
    }
    Some(first)
}

pub fn call_key(kind: Kind, id: String, site: &Site) -> CallKey {
    CallKey {
        kind,
        pbx: site.pbx.clone(),
        id,
    }
}

/// The leg that the call `id` began with; none if the id is empty.
pub fn root(id: &str, site: &Site) -> Option<LegFacts> {
    let id = vendor_id(id)?;
    let mut root = LegFacts::new(call_key(Kind::Call, id.clone(), site), id);
    root.role = Some(Role::Root);
    Some(root)
}

/// A leg of the same call to `party`, known by the party's name alone.
pub fn branch(root: &LegFacts, line: Line, party: Contact) -> LegFacts {
    let id = format!("{}/{}", root.leg, party.raw);
    let id = vendor_id(&id).unwrap_or_else(|| root.leg.clone());
    let mut leg = LegFacts::new(root.key.clone(), id);
    leg.role = Some(Role::Branch);
    leg.line = Some(line);
    leg.party = Some(party);
    leg
}

pub fn contact(raw: &str, name: Option<&str>, site: &Site) -> Contact {
    party::read(raw, name, &site.plan, &site.extensions)
}

/// One of ours, by login, e-mail or id: what the system calls its people needs no list.
pub fn login(raw: &str, name: Option<&str>) -> Contact {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    Contact::new(Party::Extension(Extension(raw.to_owned())), raw, name)
}

pub fn extension(contact: &Contact) -> Option<&Extension> {
    match &contact.party {
        Party::Extension(extension) => Some(extension),
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
    }
}

/// Whether the address is of WhatsApp.
pub fn is_whatsapp(address: &str) -> bool {
    address.trim().to_ascii_lowercase().starts_with("whatsapp:")
}
