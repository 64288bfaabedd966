//! Who was erased, without saying who: a pseudonym of each number, e-mail address and customer, and when. A restore
//! removes them again from a backup that is older than their erasure. A value and how it is written, pure;
//! `erasures/files.rs` has it on disk, `tree.rs` in the store.
//!
//! ```text
//! {"tieline_erasures":1}
//! {"key":"<base64>"}                                 what follows is made with it
//! {"who":"<base64>","at":"2026-11-28T02:15:00Z"}     HMAC-SHA-256 of `number:+49…`, `email:…` or `customer:…`
//! {"erased":1,"sha256":"<of all lines before>"}
//! ```
//! A pseudonym is no secret before somebody who has the key, which stands beside it: there are few enough numbers to try
//! all. It only keeps a number from being read, or found by a search.

mod files;
mod tree;

pub use files::{LedgerFault, add, note, read};
pub use tree::{Done, TREE};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// Raised when the lines change in a way that an older tieline can't read.
const FORMAT: u64 = 1;
/// Numbers, e-mail addresses and customers together: ten a day for 27 years, some 11 MB.
pub const ERASURES_MAX: usize = 100_000;
/// Keys in one ledger. A second one comes from a machine that began without the ledger of the one before it.
pub const KEYS_MAX: usize = 16;
/// Bytes of a ledger with both at their limit, and room.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// As long as a block of SHA-256.
pub type Key = [u8; 64];
type Pseudonym = [u8; 32];

const NO_LINE: &str = "a line isn't one of a ledger";

/// What a person is found by. Its text is the normalised one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier<'a> {
    Number(&'a str),
    Email(&'a str),
    Customer(&'a str),
}

/// The ledger: which identifiers were erased, and until when what is of them is to go.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Erasures {
    by_key: BTreeMap<Key, BTreeMap<Pseudonym, Timestamp>>,
}

/// Why a ledger can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErasuresFault {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error(
        "it has format {0}, this tieline knows formats up to {FORMAT}: use the one that wrote it"
    )]
    Newer(u64),
    #[error(
        "it would have more than {ERASURES_MAX} numbers, e-mail addresses and customers, or {KEYS_MAX} keys"
    )]
    Full,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Header { tieline_erasures: u64 },
    Key { key: String },
    Erased { who: String, at: Timestamp },
    Trailer { erased: usize, sha256: String },
}

impl Erasures {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many identifiers it has.
    pub fn len(&self) -> usize {
        self.by_key.values().map(BTreeMap::len).sum()
    }

    /// Notes that this was erased `at` that time. `fresh` is a key of chance, used if there is none yet.
    ///
    /// # Errors
    /// `Full`.
    pub fn note(
        &mut self,
        who: Identifier<'_>,
        at: Timestamp,
        fresh: &Key,
    ) -> Result<(), ErasuresFault> {
        let key = *self.by_key.keys().next().unwrap_or(fresh);
        let noted = self.by_key.entry(key).or_default();
        keep_latest(noted, pseudonym(&key, who), at);
        self.fits()
    }

    /// Until when what is of somebody is to go; none: they were never erased.
    pub fn until(&self, who: Identifier<'_>) -> Option<Timestamp> {
        let found = |(key, noted): (&Key, &BTreeMap<Pseudonym, Timestamp>)| {
            noted.get(&pseudonym(key, who)).copied()
        };
        self.by_key.iter().filter_map(found).max()
    }

    /// What either has.
    ///
    /// # Errors
    /// `Full`.
    pub fn and(mut self, other: &Self) -> Result<Self, ErasuresFault> {
        for (key, noted) in &other.by_key {
            let ours = self.by_key.entry(*key).or_default();
            for (who, at) in noted {
                keep_latest(ours, *who, *at);
            }
        }
        self.fits()?;
        Ok(self)
    }

    /// What the other one hasn't, or has as of an earlier time.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for (key, noted) in &mut left.by_key {
            let theirs = other.by_key.get(key);
            noted.retain(|who, at| theirs.and_then(|theirs| theirs.get(who)) < Some(at));
        }
        left.by_key.retain(|_, noted| !noted.is_empty());
        left
    }

    fn fits(&self) -> Result<(), ErasuresFault> {
        if self.len() > ERASURES_MAX || self.by_key.len() > KEYS_MAX {
            return Err(ErasuresFault::Full);
        }
        Ok(())
    }

    /// The lines above.
    pub fn to_text(&self) -> String {
        let mut lines = vec![Line::Header {
            tieline_erasures: FORMAT,
        }];
        for (key, noted) in &self.by_key {
            lines.push(Line::Key {
                key: BASE64.encode(key),
            });
            lines.extend(noted.iter().map(|(who, at)| Line::Erased {
                who: BASE64.encode(who),
                at: *at,
            }));
        }
        let mut text = String::new();
        for line in &lines {
            put(&mut text, line);
        }
        let trailer = Line::Trailer {
            erased: self.len(),
            sha256: sum(&text),
        };
        put(&mut text, &trailer);
        text
    }

    /// Reads what [`Erasures::to_text`] wrote.
    ///
    /// # Errors
    /// See [`ErasuresFault`].
    pub fn parse(text: &str) -> Result<Self, ErasuresFault> {
        let damaged = ErasuresFault::Damaged;
        if text.len() > TEXT_BYTES_MAX {
            return Err(ErasuresFault::Full);
        }
        let mut erasures = Self::default();
        let (mut key, mut begun, mut read) = (None, false, 0);
        for text_of in text.split_inclusive('\n') {
            let end = read;
            read += text_of.len();
            if !begun {
                begun = true;
                has_known_format(text_of)?;
                continue;
            }
            let line = serde_json::from_str(text_of);
            match line.map_err(|_| damaged(NO_LINE))? {
                Line::Header { .. } => return Err(damaged("it begins twice")),
                Line::Key { key: text } => key = Some(decoded(&text)?),
                Line::Erased { who, at } => {
                    let key = key.ok_or(damaged("a line has no key before it"))?;
                    let noted = erasures.by_key.entry(key).or_default();
                    keep_latest(noted, decoded(&who)?, at);
                }
                Line::Trailer { erased, sha256 } => {
                    let before = text.get(..end).unwrap_or_default();
                    if erased != erasures.len() || sha256 != sum(before) {
                        return Err(damaged("the checksum does not match"));
                    }
                    if read != text.len() || !text.ends_with('\n') {
                        return Err(damaged("it doesn't end with its last line"));
                    }
                    erasures.fits()?;
                    return Ok(erasures);
                }
            }
        }
        Err(damaged("its last line is missing"))
    }
}

/// Names nobody, nor the keys.
impl fmt::Debug for Erasures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Erasures({})", self.len())
    }
}

/// A later format may have more in its first line.
fn has_known_format(line: &str) -> Result<(), ErasuresFault> {
    let header: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let format = header.get("tieline_erasures");
    match format.and_then(serde_json::Value::as_u64) {
        Some(1..=FORMAT) => Ok(()),
        Some(format) if format > FORMAT => Err(ErasuresFault::Newer(format)),
        Some(_) | None => Err(ErasuresFault::Damaged(
            "its first line isn't that of a ledger of erasures",
        )),
    }
}

fn keep_latest(noted: &mut BTreeMap<Pseudonym, Timestamp>, who: Pseudonym, at: Timestamp) {
    let known = noted.entry(who).or_insert(at);
    *known = at.max(*known);
}

fn pseudonym(key: &Key, who: Identifier<'_>) -> Pseudonym {
    let (kind, text) = match who {
        Identifier::Number(text) => ("number:", text),
        Identifier::Email(text) => ("email:", text),
        Identifier::Customer(text) => ("customer:", text),
    };
    let mut mac = Hmac::<Sha256>::new(&(*key).into());
    mac.update(kind.as_bytes());
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn put(text: &mut String, line: &Line) {
    // Texts, numbers and times can always be written.
    text.push_str(&serde_json::to_string(line).unwrap_or_default());
    text.push('\n');
}

fn decoded<const N: usize>(text: &str) -> Result<[u8; N], ErasuresFault> {
    let bytes = BASE64.decode(text).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(ErasuresFault::Damaged(NO_LINE))
}

fn sum(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Identifier<'_> = Identifier::Number("+491711234567");
    const ADA: Identifier<'_> = Identifier::Email("ada@example.org");

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn one(who: Identifier<'_>, day: i64, key: u8) -> Erasures {
        let mut erasures = Erasures::default();
        erasures.note(who, at(day), &[key; 64]).unwrap();
        erasures
    }

    #[test]
    fn of_two_ledgers_each_counts_and_the_later_time_whatever_their_keys() {
        let both = one(GRACE, 1, 1).and(&one(ADA, 2, 2)).unwrap();
        assert_eq!(
            (both.until(GRACE), both.until(ADA)),
            (Some(at(1)), Some(at(2)))
        );
        let again = both.clone().and(&one(GRACE, 3, 2)).unwrap();
        assert_eq!((again.until(GRACE), again.len()), (Some(at(3)), 3));
        let same_word = Identifier::Customer("+491711234567");
        assert_eq!(both.until(same_word), None);
        assert!(both.without(&both).is_empty());
        assert!(both.without(&again).is_empty());
        assert_eq!(again.without(&both), one(GRACE, 3, 2));
        assert_eq!(one(GRACE, 2, 1).without(&one(GRACE, 1, 1)).len(), 1);
    }

    #[test]
    fn a_ledger_comes_back_as_it_was_and_names_nobody() {
        let erasures = one(GRACE, 1, 1).and(&one(ADA, 2, 2)).unwrap();
        let text = erasures.to_text();
        assert_eq!(Erasures::parse(&text), Ok(erasures));
        assert!(!text.contains("1234567") && !text.contains("ada"), "{text}");
        let none = Erasures::default();
        assert_eq!(Erasures::parse(&none.to_text()), Ok(none));
    }

    #[test]
    fn whatever_is_cut_changed_or_newer_is_no_ledger() {
        let text = one(GRACE, 1, 1).and(&one(ADA, 2, 2)).unwrap().to_text();
        for end in 0..text.len() {
            let cut = text.get(..end).unwrap();
            assert!(Erasures::parse(cut).is_err(), "cut at {end}");
        }
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(
                Erasures::parse(&changed).is_err(),
                "changed at {place}: {changed}"
            );
        }
        assert!(Erasures::parse(&format!("{text}{{}}\n")).is_err());
        let newer = text.replacen(":1}", ":2,\"more\":1}", 1);
        assert_eq!(Erasures::parse(&newer), Err(ErasuresFault::Newer(2)));
    }

    #[test]
    fn a_ledger_has_an_end() {
        let mut erasures = Erasures::default();
        let names: Vec<String> = (0..=ERASURES_MAX).map(|name| name.to_string()).collect();
        for name in names.iter().take(ERASURES_MAX) {
            erasures
                .note(Identifier::Customer(name), at(1), &[1; 64])
                .unwrap();
        }
        assert!(erasures.to_text().len() < TEXT_BYTES_MAX);
        let last = Identifier::Customer(&names[ERASURES_MAX]);
        assert_eq!(
            erasures.note(last, at(1), &[1; 64]),
            Err(ErasuresFault::Full)
        );
        let keys = u8::try_from(KEYS_MAX).unwrap();
        let each = (0..keys).try_fold(Erasures::default(), |all, key| all.and(&one(ADA, 1, key)));
        assert_eq!(
            each.unwrap().and(&one(ADA, 1, keys)),
            Err(ErasuresFault::Full)
        );
    }
}
