//! How the phone book lies in the store: keys, and the records behind them. Used by `directory.rs` and its other files,
//! which alone write the tree.
//!
//! ```text
//! r id        Stored      the contact with its revision
//! n number    Caller      whose number it is: at most one contact's
//! e e-mail    Owner       the same for e-mails
//! c revision  Owner       contacts by their last change: one entry for each
//! x revision  Tombstone   removed ones, by their removal
//! d id        Removed     where a removed one's tombstone is
//! m           Meta        the last revision, counts, and up to where tombstones were forgotten
//! ```

use crate::store::{Record, StoreFault, readable, unknown_kind};
use crate::terms::contact::{Address, Contact, ContactId, Email, Fields, Phone, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The tree's name, for imports. Not `directory`: that is `calls/directory.rs`, which customer a number belongs to.
pub const TREE: &str = "contacts";

/// One contact. What is empty isn't written: a million of them are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub revision: u64,
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<Phone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<Email>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub company: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub website: String,
    #[serde(default, skip_serializing_if = "Address::is_empty")]
    pub address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Which of the tags the sync put there, to take it away again when the setting changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_tag: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    pub updated_at: Timestamp,
}

impl Record for Stored {
    const VERSION: u16 = 1;
}

impl Stored {
    /// A contact that has nothing yet.
    pub fn empty() -> Self {
        Self {
            revision: 0,
            name: String::new(),
            phones: Vec::new(),
            emails: Vec::new(),
            company: String::new(),
            website: String::new(),
            address: Address::default(),
            link: None,
            tags: Vec::new(),
            sync_tag: None,
            sources: Vec::new(),
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Takes all fields; of a number or e-mail that is there twice, the first.
    pub fn put_fields(&mut self, fields: Fields) {
        let Fields {
            name,
            phones,
            emails,
            company,
            website,
            address,
        } = fields;
        self.phones.clear();
        for phone in phones {
            if self.phones.iter().all(|old| old.number != phone.number) {
                self.phones.push(phone);
            }
        }
        self.emails.clear();
        for email in emails {
            if self.emails.iter().all(|old| old.email != email.email) {
                self.emails.push(email);
            }
        }
        self.name = name;
        self.company = company;
        self.website = website;
        self.address = address;
    }

    /// Whether both say the same, whenever it was written.
    pub fn says_as(&self, other: &Self) -> bool {
        let other = Self {
            revision: self.revision,
            updated_at: self.updated_at,
            ..other.clone()
        };
        *self == other
    }

    pub fn into_contact(self, id: ContactId) -> Contact {
        Contact {
            id,
            fields: Fields {
                name: self.name,
                phones: self.phones,
                emails: self.emails,
                company: self.company,
                website: self.website,
                address: self.address,
            },
            unread: Vec::new(),
            link: self.link,
            tags: self.tags,
            sources: self.sources,
            updated_at: self.updated_at,
        }
    }

    /// The index rows that lead to this contact.
    pub fn index(&self) -> Vec<(Vec<u8>, Claim)> {
        let numbers = self.phones.iter().map(|phone| {
            let number = phone.number.as_str();
            (
                key(b'n', number.as_bytes()),
                Claim::Number(number.to_owned()),
            )
        });
        let emails = self.emails.iter().map(|email| {
            let address = email.email.as_str();
            (
                key(b'e', address.as_bytes()),
                Claim::Email(address.to_owned()),
            )
        });
        numbers.chain(emails).collect()
    }
}

/// What one contact alone may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Number(String),
    Email(String),
}

/// Whose number it is, with the name that phones show: a lookup reads this alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Caller {
    pub id: ContactId,
    /// Empty if it was written before names stood here; a contact's own never is.
    pub name: String,
}

impl Record for Caller {
    const VERSION: u16 = 2;

    /// Version 1 was the id alone.
    fn upgrade(_version: u16, old: serde_json::Value) -> Result<Self, String> {
        let id = serde_json::from_value(old).map_err(|error| error.to_string())?;
        let name = String::new();
        Ok(Self { id, name })
    }
}

/// A contact's id as a value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Owner(pub ContactId);

impl Record for Owner {
    const VERSION: u16 = 1;
}

/// A contact that was removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub id: ContactId,
    pub at: Timestamp,
}

impl Record for Tombstone {
    const VERSION: u16 = 1;
}

/// The revision of a removal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Removed(pub u64);

impl Record for Removed {
    const VERSION: u16 = 1;
}

/// Counts of the whole phone book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Of the last change.
    pub revision: u64,
    /// Removals up to this revision may be forgotten.
    pub floor: u64,
    pub contacts: u64,
    pub tombstones: u64,
}

impl Record for Meta {
    const VERSION: u16 = 1;
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    match key.first() {
        Some(b'r') => readable::<Stored>(TREE, value),
        Some(b'n') => readable::<Caller>(TREE, value),
        Some(b'e' | b'c') => readable::<Owner>(TREE, value),
        Some(b'x') => readable::<Tombstone>(TREE, value),
        Some(b'd') => readable::<Removed>(TREE, value),
        Some(b'm') => readable::<Meta>(TREE, value),
        kind => Err(unknown_kind(TREE, kind.copied())),
    }
}

pub(super) const META: &[u8] = b"m";

pub(super) fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len() + 1);
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

pub(super) fn revision_key(kind: u8, revision: u64) -> Vec<u8> {
    key(kind, &revision.to_be_bytes())
}

/// The revision in a key that `revision_key` made.
pub(super) fn revision_of(key: &[u8]) -> Option<u64> {
    let bytes = key.get(1..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*bytes))
}
