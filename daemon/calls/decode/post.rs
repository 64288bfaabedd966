//! One post of named values (a form, a query, a flat JSON object) as the systems with plain HTTP send them, read value by
//! value. Used by the dialects; knows none of them.

use super::body::{self, Payload};
use super::facts::{LegFacts, Role};
use super::fields::{self, Fields};
use super::{Malformed, NotUnderstood, RawEvent, Site, hashed};
use crate::terms::call::Direction;
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, Party};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

/// Whole seconds since 1970 have so many digits from 2001 to 2286; milliseconds and microseconds have three and six more.
const EPOCH_DIGITS: usize = 10;

/// Two times of one event, cut to seconds, may seem to be in the wrong order by one.
const CUT: SignedDuration = SignedDuration::from_secs(1);

/// Longest duration, in seconds, that a record is believed: a year.
const DURATION_MAX: i64 = 366 * 24 * 3600;

/// Whether a body is whole: JSON, a form, or XML.
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match body::sniff(raw.body)? {
        Payload::Json(json) => body::check_json(&json),
        Payload::Form(form) => body::check_percent(form),
        Payload::Xml(xml) => body::check_xml(&xml),
    }
}

/// Named values with what is needed to read them.
pub struct Post<'a> {
    pub fields: Fields,
    pub received: Timestamp,
    pub site: &'a Site,
}

impl<'a> Post<'a> {
    /// The objects of a body; `foreign` is what to say of a body that has none.
    pub fn all(
        raw: &RawEvent<'_>,
        site: &'a Site,
        foreign: NotUnderstood,
    ) -> Result<Vec<Self>, NotUnderstood> {
        let payload = body::sniff(raw.body)?;
        let posts = fields::read(&payload, foreign)?;
        let post = |fields| Self {
            fields,
            received: raw.received,
            site,
        };
        Ok(posts.into_iter().map(post).collect())
    }

    /// The first of `names` that says anything.
    pub fn get(&self, names: &[&str]) -> Option<&str> {
        self.fields.first(names)
    }

    /// The call's or text's id.
    pub fn id(&self, names: &[&'static str]) -> Result<String, NotUnderstood> {
        let missing = NotUnderstood::Missing(names.first().copied().unwrap_or("id"));
        self.get(names).and_then(super::vendor_id).ok_or(missing)
    }

    /// The leg that stands for a whole call, where the system tells of no others.
    pub fn root(&self, id: String) -> LegFacts {
        let mut root = LegFacts::new(self.key(Kind::Call, id.clone()), id);
        root.role = Some(Role::Root);
        root
    }

    pub fn key(&self, kind: Kind, id: String) -> CallKey {
        CallKey {
            kind,
            pbx: self.site.pbx.clone(),
            id,
        }
    }

    /// A party, with the name beside it or in it (`"Max" <sip:+49…@host>`).
    pub fn contact(&self, names: &[&str], name: &[&str]) -> Option<Contact> {
        let sent = self.get(names)?;
        let name = self.get(name);
        let inside = sent
            .strip_suffix('>')
            .and_then(|sent| sent.rsplit_once('<'));
        Some(match inside {
            Some((before, address)) => {
                let before = before.trim().trim_matches('"');
                self.read(address, name.or(Some(before)))
            }
            None => self.read(sent, name),
        })
    }

    pub fn read(&self, raw: &str, name: Option<&str>) -> Contact {
        party::read(raw, name, &self.site.plan, &self.site.extensions)
    }

    /// One of our phones, if the first of `names` that says anything is one.
    pub fn extension(&self, names: &[&str]) -> Option<Extension> {
        match &self.read(self.get(names)?, None).party {
            Party::Extension(extension) => Some(extension.clone()),
            Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
        }
    }

    pub fn direction(&self, names: &[&str]) -> Option<Direction> {
        match self.get(names)?.to_ascii_lowercase().as_str() {
            "in" | "inbound" | "incoming" => Some(Direction::In),
            "out" | "outbound" | "outgoing" => Some(Direction::Out),
            "internal" => Some(Direction::Internal),
            _ => None,
        }
    }

    /// A time; see [`when`].
    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>, NotUnderstood> {
        self.time_after(name, None)
    }

    /// A time that can't be before another one.
    pub fn time_after(
        &self,
        name: &'static str,
        not_before: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, NotUnderstood> {
        let Some(sent) = self.fields.get(name) else {
            return Ok(None);
        };
        // How databases and templates write that there is none.
        if sent == "0" || sent.starts_with("0000-") || sent.starts_with("0001-") {
            return Ok(None);
        }
        when(sent, not_before, self.site)
            .map(Some)
            .ok_or(NotUnderstood::BadTime(name))
    }

    /// Seconds, written as such or as `hh:mm:ss`.
    pub fn duration(&self, name: &str) -> Option<SignedDuration> {
        let mut seconds = 0_i64;
        for part in self.fields.get(name)?.split(':') {
            let part: i64 = part.split('.').next()?.parse().ok()?;
            if !(0..=DURATION_MAX).contains(&part) {
                return None;
            }
            seconds = seconds.checked_mul(60)?.checked_add(part)?;
        }
        Some(SignedDuration::from_secs(seconds.min(DURATION_MAX)))
    }
}

/// A key made up of what tells one call from another, where the system has none. It holds no number: keys are logged.
pub fn weak_id(
    start: Timestamp,
    extension: Option<&Extension>,
    other: &str,
    direction: &str,
) -> String {
    let extension = extension.map_or("", |extension| extension.0.as_str());
    let stamp = start.strftime("%Y%m%dT%H%M%SZ");
    let parts = format!("{stamp}\n{extension}\n{other}\n{direction}");
    format!("{stamp}-{}", hashed(&parts))
}

/// A time: RFC 3339, seconds since 1970 (with places), milliseconds or microseconds, or local time of the site
/// (`2026-11-20 13:07:23`, with slashes too). When clocks go back an hour comes twice: it is the first that isn't before
/// `not_before`.
pub fn when(text: &str, not_before: Option<Timestamp>, site: &Site) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(epoch) = epoch(text) {
        return Some(epoch);
    }
    if let Ok(with_offset) = text.parse() {
        return Some(with_offset);
    }
    let civil: DateTime = text.replace('/', "-").parse().ok()?;
    let local = site.time_zone.to_ambiguous_timestamp(civil);
    let first = local.compatible().ok()?;
    let floor = not_before.and_then(|at| at.checked_sub(CUT).ok());
    if floor.is_some_and(|floor| first < floor) {
        local.later().ok()
    } else {
        Some(first)
    }
}

fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(places) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len().checked_sub(EPOCH_DIGITS)? {
        0 => {
            let nanoseconds = format!("{places:0<9}").get(..9)?.parse().ok()?;
            Timestamp::new(number, nanoseconds).ok()
        }
        3 => Timestamp::from_millisecond(number).ok(),
        6 => Timestamp::from_microsecond(number).ok(),
        _ => None,
    }
}
