//! How what the sync knows lies in the store: keys, and the records behind them. Used by `memory.rs` and its other files,
//! which alone write the tree.
//!
//! ```text
//! integration 0 c customer             CustomerRow   a customer as Kustomer last had it, or that it is gone
//! integration 0 p contact              ContactRow    a contact as the phone book last had it, or that it is gone
//! integration 0 l contact              Link          what joins a contact with its customers
//! integration 0 s shelf                Shelf         who has which values (`index.rs`)
//! integration 0 i value 0 role id      Mark          who has a value, those whom a shelf doesn't take
//! integration 0 d node                 Mark          to be looked at
//! integration 0 o node                 Mark          something of it is left out, in conflict or refused: for who asks
//! integration 0 f contact              Refusal       a write that was refused
//! integration 0 m                      Meta          where reading goes on, and counts
//! ```

use super::super::fetch::{Cursor, Stamp};
use super::super::link::Link;
use super::super::merge::name_key;
use super::super::world::{Customer, CustomerState};
use super::index::Shelf;
use crate::phonebook::{Entry, Token};
use crate::store::{Record, StoreFault, readable, unknown_kind};
use crate::terms::contact::{ContactId, EmailAddress};
use crate::terms::ids::CustomerId;
use crate::terms::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The tree's name.
pub const TREE: &str = "contact-sync";

/// Somebody of either side. A link has the name of its contact and is looked at with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    Customer(CustomerId),
    Contact(ContactId),
}

impl Node {
    /// Whether both are of one side.
    pub const fn is_like(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Customer(_), Self::Customer(_)) | (Self::Contact(_), Self::Contact(_))
        )
    }

    pub(super) fn key(&self) -> Vec<u8> {
        let (kind, id) = match self {
            Self::Customer(id) => (b'c', &id.0),
            Self::Contact(id) => (b'p', &id.0),
        };
        [&[kind], id.as_bytes()].concat()
    }

    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let (kind, id) = key.split_first()?;
        let id = std::str::from_utf8(id).ok()?.to_owned();
        match kind {
            b'c' => Some(Self::Customer(CustomerId(id))),
            b'p' => Some(Self::Contact(ContactId(id))),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRow {
    /// None: it is gone.
    pub customer: Option<Box<Customer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<CustomerId>,
    /// Of the last version that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
}

impl CustomerRow {
    pub fn state(self) -> CustomerState {
        match self.customer {
            Some(customer) => CustomerState::Here(customer),
            None => CustomerState::Gone { into: self.into },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactRow {
    /// None: it is gone.
    pub entry: Option<Entry>,
    /// The listing that it was last in.
    #[serde(default)]
    pub listing: u64,
}

/// A write that the other side refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Of the write: another one is tried.
    pub hash: u64,
    pub why: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub cursor: Cursor,
    pub token: Option<Token>,
    /// Kustomer was read to the end.
    pub customers_known: bool,
    /// The phone book was read to the end.
    pub contacts_known: bool,
    /// The number of the last complete listing of the phone book, and whether it is still being read.
    pub listing: u64,
    pub listing_open: bool,
    /// Customers were created by the export, or that was approved.
    pub exported_before: bool,
    /// Names the rules that everybody was last looked at with; 0: none yet.
    pub rules: u64,
    pub customers: u64,
    pub contacts: u64,
    pub linked: u64,
}

impl Record for CustomerRow {
    const VERSION: u16 = 1;
}
impl Record for ContactRow {
    const VERSION: u16 = 1;
}
impl Record for Link {
    const VERSION: u16 = 1;
}
impl Record for Refusal {
    const VERSION: u16 = 1;
}
impl Record for Mark {
    const VERSION: u16 = 1;
}
impl Record for Meta {
    const VERSION: u16 = 1;
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    // The integration's name has no zero in it.
    let mut parts = key.splitn(2, |byte| *byte == 0);
    let kind = parts.nth(1).and_then(<[u8]>::first);
    match kind {
        Some(b'c') => readable::<CustomerRow>(TREE, value),
        Some(b'p') => readable::<ContactRow>(TREE, value),
        Some(b'l') => readable::<Link>(TREE, value),
        Some(b's') => readable::<Shelf>(TREE, value),
        Some(b'i' | b'd' | b'o') => readable::<Mark>(TREE, value),
        Some(b'f') => readable::<Refusal>(TREE, value),
        Some(b'm') => readable::<Meta>(TREE, value),
        kind => Err(unknown_kind(TREE, kind.copied())),
    }
}

/// Something that people are found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Number(E164),
    Email(EmailAddress),
    Name(String),
    /// The links that a customer is in.
    LinkOf(CustomerId),
    /// The customers that were merged into it.
    MergedInto(CustomerId),
    /// The customers with a contact's id as externalId.
    External(String),
}

/// As what somebody has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Customer,
    /// A customer that says it is nobody's own.
    Shared,
    Whatsapp,
    Contact,
}

impl Role {
    const fn byte(self) -> u8 {
        match self {
            Self::Customer => b'o',
            Self::Shared => b's',
            Self::Whatsapp => b'w',
            Self::Contact => b'p',
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'o' => Some(Self::Customer),
            b's' => Some(Self::Shared),
            b'w' => Some(Self::Whatsapp),
            b'p' => Some(Self::Contact),
            _ => None,
        }
    }

    /// Whether who has a value so makes it nobody's.
    pub const fn is_nobodys(self) -> bool {
        matches!(self, Self::Shared | Self::Whatsapp)
    }
}

/// One row of the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    pub value: Value,
    pub role: Role,
    pub node: Node,
}

impl Value {
    pub(super) fn key(&self) -> String {
        let (kind, text) = match self {
            Self::Number(number) => ('n', number.as_str()),
            Self::Email(email) => ('e', email.as_str()),
            Self::Name(name) => ('m', name.as_str()),
            Self::LinkOf(customer) => ('k', customer.0.as_str()),
            Self::MergedInto(customer) => ('g', customer.0.as_str()),
            Self::External(id) => ('x', id.as_str()),
        };
        // The 0 ends it; two values that differ in one only are looked at together, which does no harm.
        format!("{kind}{}\0", text.replace('\0', " "))
    }
}

impl Holding {
    pub(super) fn key(&self) -> String {
        let mut key = self.value.key();
        key.push(char::from(self.role.byte()));
        key.push_str(match &self.node {
            Node::Customer(id) => &id.0,
            Node::Contact(id) => &id.0,
        });
        key
    }

    /// Of what follows the value in a key.
    pub(super) fn parse(value: &Value, rest: &[u8]) -> Option<Self> {
        let (role, id) = rest.split_first()?;
        let (role, id) = (Role::of(*role)?, std::str::from_utf8(id).ok()?.to_owned());
        let node = match role {
            Role::Contact => Node::Contact(ContactId(id)),
            Role::Customer | Role::Shared | Role::Whatsapp => Node::Customer(CustomerId(id)),
        };
        let value = value.clone();
        Some(Self { value, role, node })
    }
}

/// What the index has of a customer.
pub fn of_customer(id: &CustomerId, row: Option<&CustomerRow>) -> BTreeSet<Holding> {
    let mut all = BTreeSet::new();
    let mut put = |value, role| {
        let node = Node::Customer(id.clone());
        all.insert(Holding { value, role, node });
    };
    if let Some(into) = row.and_then(|row| row.into.as_ref()) {
        put(Value::MergedInto(into.clone()), Role::Customer);
    }
    let Some(customer) = row.and_then(|row| row.customer.as_ref()) else {
        return all;
    };
    for number in customer.fields.numbers() {
        put(Value::Number(number.clone()), Role::Customer);
    }
    for email in customer.fields.addresses() {
        put(Value::Email(email.clone()), Role::Customer);
    }
    for number in &customer.shared_numbers {
        put(Value::Number(number.clone()), Role::Shared);
    }
    for email in &customer.shared_emails {
        put(Value::Email(email.clone()), Role::Shared);
    }
    for number in &customer.whatsapps {
        put(Value::Number(number.clone()), Role::Whatsapp);
    }
    if let Some(name) = name_key(&customer.fields.name) {
        put(Value::Name(name), Role::Customer);
    }
    if let Some(external) = &customer.external_id {
        put(Value::External(external.clone()), Role::Customer);
    }
    all
}

/// What the index has of a contact and its link.
pub fn of_contact(
    id: &ContactId,
    row: Option<&ContactRow>,
    link: Option<&Link>,
) -> BTreeSet<Holding> {
    let mut all = BTreeSet::new();
    let mut put = |value| {
        all.insert(Holding {
            value,
            role: Role::Contact,
            node: Node::Contact(id.clone()),
        });
    };
    if let Some(entry) = row.and_then(|row| row.entry.as_ref()) {
        for number in entry.contact.fields.numbers() {
            put(Value::Number(number.clone()));
        }
        for email in entry.contact.fields.addresses() {
            put(Value::Email(email.clone()));
        }
    }
    for part in link.into_iter().flat_map(|link| &link.parts) {
        for customer in part.aliases.iter().chain([&part.customer]) {
            put(Value::LinkOf(customer.clone()));
        }
    }
    all
}
