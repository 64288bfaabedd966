//! Phone contacts: what a phone book holds of a person, and the fields that the contact sync compares (docs/contacts.md).

use super::ids::CustomerId;
use super::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Longest e-mail address, in bytes: RFC 5321, section 4.5.3.1.3, less the angle brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

/// Longest contact id, in bytes: it becomes Kustomer's externalId, whose entries in `externalIds` hold 255 characters.
pub const CONTACT_ID_BYTES_MAX: usize = 255;

/// Names one contact in its phone book. Built-in ones are made by us; a contact server's are its UIDs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContactId(pub String);

/// What the ids of contacts begin with that are made for a customer.
const FOR_CUSTOMER: &str = "kustomer-";

impl ContactId {
    /// The id of a contact that is made for a customer: the same at each try, so that it is found again. Pluses follow
    /// where somebody has it already.
    pub fn made_for(CustomerId(customer): &CustomerId) -> Self {
        Self(format!("{FOR_CUSTOMER}{customer}"))
    }

    /// The customer that a contact with this id was made for, if it was for one.
    pub fn customer(&self) -> Option<CustomerId> {
        let customer = self.0.strip_prefix(FOR_CUSTOMER)?;
        Some(CustomerId(customer.trim_end_matches('+').to_owned()))
    }
}

impl fmt::Display for ContactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of line a number is, as vCards and Kustomer both have it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PhoneKind {
    Mobile,
    Home,
    Work,
    Fax,
    #[default]
    Other,
}

/// Where an e-mail is read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum EmailKind {
    Home,
    Work,
    #[default]
    Other,
}

/// An e-mail address in lower case: what two people call the same address is compared so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Something, one `@`, something with a dot or not; no spaces, no control characters, at most [`EMAIL_BYTES_MAX`].
    pub fn parse(raw: &str) -> Option<Self> {
        let text = raw.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',' | ';');
        let whole = !local.is_empty() && !domain.is_empty() && !local.contains('@');
        (whole && text.len() <= EMAIL_BYTES_MAX && text.chars().all(plain))
            .then(|| Self(text.to_lowercase()))
    }

    /// The address, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = &'static str;

    fn try_from(stored: String) -> Result<Self, Self::Error> {
        Self::parse(&stored).ok_or("this is no e-mail address")
    }
}

impl From<EmailAddress> for String {
    fn from(email: EmailAddress) -> Self {
        email.0
    }
}

/// A number and what kind of line it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Phone {
    pub number: E164,
    #[serde(rename = "type", default)]
    pub kind: PhoneKind,
}

/// An e-mail and where it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Email {
    pub email: EmailAddress,
    #[serde(rename = "type", default)]
    pub kind: EmailKind,
}

/// A postal address; parts that aren't known are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    pub street: String,
    pub city: String,
    pub zip: String,
    pub state: String,
    pub country: String,
}

impl Address {
    /// Whether no part is known.
    pub fn is_empty(&self) -> bool {
        let Self {
            street,
            city,
            zip,
            state,
            country,
        } = self;
        [street, city, zip, state, country]
            .iter()
            .all(|part| part.is_empty())
    }
}

/// What both sides have of a person, and what the sync compares. Phones and e-mails are in the order they were found;
/// each number and each address is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Fields {
    pub name: String,
    pub phones: Vec<Phone>,
    pub emails: Vec<Email>,
    pub company: String,
    pub website: String,
    pub address: Address,
}

impl Fields {
    /// The numbers alone: kinds are labels and never make a difference.
    pub fn numbers(&self) -> BTreeSet<&E164> {
        self.phones.iter().map(|phone| &phone.number).collect()
    }

    /// The addresses alone.
    pub fn addresses(&self) -> BTreeSet<&EmailAddress> {
        self.emails.iter().map(|email| &email.email).collect()
    }
}

/// One entry of a phone book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub id: ContactId,
    pub fields: Fields,
    /// Numbers that are none, as written: shown, never dialled or exported, and never lost.
    pub unread: Vec<String>,
    /// The customer's page in Kustomer.
    pub link: Option<String>,
    pub tags: Vec<String>,
    /// The customers it is linked with.
    pub sources: Vec<Source>,
    pub updated_at: Timestamp,
}

/// A customer that a contact is linked with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Name of the `[[kustomer]]`.
    pub kustomer: String,
    /// Id of the customer.
    pub customer: String,
}
