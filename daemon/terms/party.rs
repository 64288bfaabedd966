//! Who is on a line: an outside number, one of our extensions, a short or emergency number, or nobody we can name.

use super::number::{E164, NumberPlan};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One of our own phones, as the phone system names it (`101`, `sales-desk`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(pub String);

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a number as sent turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A real number, in E.164.
    Number(E164),
    /// One of our own phones.
    Extension(Extension),
    /// Emergency, service and feature codes (112, 116117, *97): never E.164, never matched to a customer.
    Short(String),
    /// The caller hid the number (anonymous, private, restricted, unavailable, or nothing sent).
    Anonymous,
    /// Something was sent that is no number (`raw` of the [`Contact`] has it).
    Invalid,
}

/// A party with what was sent for it. One pointer: the facts of a leg have six places for one and share what they hold.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Contact(Arc<Sent>);

/// What a [`Contact`] says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    pub party: Party,
    /// As sent, for people; empty if nothing was.
    pub raw: String,
    pub name: Option<String>,
}

impl Deref for Contact {
    type Target = Sent;

    fn deref(&self) -> &Sent {
        &self.0
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Contact {
    /// A party, and the number and name that were sent for it.
    pub fn new(party: Party, raw: &str, name: Option<&str>) -> Self {
        Self(Arc::new(Sent {
            party,
            raw: raw.to_owned(),
            name: name.map(str::to_owned),
        }))
    }

    /// The same words for another party.
    pub fn with(&self, party: Party) -> Self {
        Self::new(party, &self.raw, self.name.as_deref())
    }

    /// The number, if the party has one.
    pub fn number(&self) -> Option<&E164> {
        match &self.party {
            Party::Number(number) => Some(number),
            Party::Extension(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
        }
    }
}

/// Which digit strings are extensions: single ones and ranges, as `extensions` of a `[[pbx]]` lists them.
/// Without a list, two to five digits that are no emergency or service number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(pub Vec<ExtensionRange>);

/// `first..=last`; equal for a single one. Compared as numbers when both are digits of one length, else as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionRange {
    pub first: String,
    pub last: String,
}

/// Emergency and harmonised service numbers that look like extensions or local numbers.
/// ITU-T E.129 (national numbering plans), EU decisions 91/396/EEC (112) and 2007/116/EC (116xxx).
const SHORT_NUMBERS: &[&str] = &[
    "000", "08", "100", "101", "102", "103", "104", "108", "110", "111", "112", "113", "114",
    "115", "117", "118", "119", "120", "122", "133", "144", "190", "191", "192", "193", "911",
    "988", "995", "999",
];

/// Emergency on every network (3GPP TS 22.101, 10.1.1): a phone of ours only if it is listed by itself, not by a range around it.
const EMERGENCY: [&str; 2] = ["112", "911"];

/// What phone systems write for a hidden caller; compared without case.
const ANONYMOUS: &[&str] = &[
    "",
    "anonymous",
    "unknown",
    "restricted",
    "private",
    "unavailable",
    "asserted",
    "withheld",
    "blocked",
    "no caller id",
    "hidden",
    "-",
];

impl Extensions {
    /// Whether `raw` is one of our phones. A listed extension wins over a short number of the same digits.
    pub fn contains(&self, raw: &str) -> bool {
        if self.0.is_empty() {
            let digits = raw.bytes().all(|b| b.is_ascii_digit());
            return digits
                && (2..=5).contains(&raw.len())
                && !is_emergency(raw)
                && !raw.starts_with("116");
        }
        self.0.iter().any(|range| range.contains(raw))
    }
}

impl ExtensionRange {
    fn contains(&self, raw: &str) -> bool {
        if self.first == self.last {
            return raw == self.first;
        }
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(raw)
            && !EMERGENCY.contains(&raw)
            && raw.len() == self.first.len()
            && raw >= self.first.as_str()
            && raw <= self.last.as_str()
    }
}

/// The emergency numbers of so many digits that no range of extensions means, in rising order.
pub fn emergencies(digits: usize) -> impl Iterator<Item = u128> {
    let all = EMERGENCY.iter().filter(move |raw| raw.len() == digits);
    all.filter_map(|raw| raw.parse().ok())
}

/// With no list of extensions, only numbers that are an emergency call in most countries are taken as such; 101..104
/// are police and fire in some and the commonest extensions everywhere, so those need the list to be told apart.
pub fn is_emergency(raw: &str) -> bool {
    matches!(raw, "000" | "110" | "112" | "911" | "999" | "988" | "08")
}

/// Reads what a phone system sent for one party. `name` is kept when it says more than the number does.
pub fn read(raw: &str, name: Option<&str>, plan: &NumberPlan, extensions: &Extensions) -> Contact {
    let raw = raw.trim();
    let party = classify(raw, plan, extensions);
    let name = name
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != raw);
    Contact::new(party, raw, name)
}

fn classify(raw: &str, plan: &NumberPlan, extensions: &Extensions) -> Party {
    let bare = raw
        .strip_prefix("sips:")
        .or_else(|| raw.strip_prefix("sip:"))
        .unwrap_or(raw);
    let bare = bare.split(['@', ';']).next().unwrap_or(bare);
    let hidden = ANONYMOUS.iter().any(|word| bare.eq_ignore_ascii_case(word));
    let asserted = bare
        .get(..8)
        .is_some_and(|head| head.eq_ignore_ascii_case("asserted"));
    if hidden || asserted {
        return Party::Anonymous;
    }
    if extensions.contains(bare) {
        return Party::Extension(Extension(bare.to_owned()));
    }
    if is_short(bare) {
        return Party::Short(bare.to_owned());
    }
    // Letters first: Google's library reads vanity letters as digits, but no phone system sends those; a name is no number.
    let tel = bare.strip_prefix("tel:").unwrap_or(bare);
    if tel.chars().any(char::is_alphabetic) {
        return Party::Invalid;
    }
    match plan.parse_signalled(bare) {
        Ok(number) => Party::Number(number),
        Err(_) => Party::Invalid,
    }
}

fn is_short(bare: &str) -> bool {
    SHORT_NUMBERS.contains(&bare)
        || bare.starts_with(['*', '#'])
        || (bare.len() == 6 && bare.starts_with("116") && bare.bytes().all(|b| b.is_ascii_digit()))
}
