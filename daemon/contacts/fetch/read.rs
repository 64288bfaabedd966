//! A customer as the contact sync sees it, from a record as Kustomer sent it. Pure.
//! Source: Kustomer: Customers (attributes, masking).

use super::{Row, Stamp};
use crate::contacts::world::Customer;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::wire::Record;
use crate::terms::contact::{Address, Email, EmailAddress, Fields, Phone};
use crate::terms::ids::CustomerId;
use crate::terms::number::{E164, NumberPlan};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;

/// What stands in the place of what a key without the permission may not read. The format isn't documented.
const MASKS: [char; 2] = ['*', '•'];
/// The location that a contact has the address of.
pub const WORK: &str = "work";

/// Why a record says nothing about the customer. It doesn't say that anything is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The key may not see it all.
    #[error("numbers and e-mails come masked: a role is missing to read sensitive values")]
    Masked,
    #[error("a customer in another shape than documented")]
    Shape,
}

impl From<Unreadable> for KustomerFault {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Masked => Self::Unauthorized {
                status: 403,
                detail: why.to_string(),
            },
            Unreadable::Shape => Self::Garbled {
                status: 200,
                what: why.to_string(),
            },
        }
    }
}

/// What a record says of its customer.
pub fn row(record: &Record, plan: &NumberPlan) -> Result<Row, Unreadable> {
    let id = CustomerId(record.id.clone());
    if record.flag("deleted") {
        return Ok(Row::Gone { id, into: None });
    }
    let updated_at = record.time("updatedAt").ok_or(Unreadable::Shape)?;
    let rev = record.whole("rev").unwrap_or_default();
    let name = record.text("name").map(str::trim).unwrap_or_default();
    if !name.is_empty()
        && name
            .chars()
            .all(|letter| MASKS.contains(&letter) || letter == ' ')
    {
        return Err(Unreadable::Masked);
    }
    let (phones, invalid) = phones(record, plan)?;
    let fields = Fields {
        name: name.to_owned(),
        phones,
        emails: emails(record)?,
        company: trimmed(record.text("companyName")),
        website: website(record)?,
        address: address(record)?,
    };
    let mut whatsapps = numbers(record, "whatsapps", plan)?;
    whatsapps.extend(numbers(record, "sharedWhatsapps", plan)?);
    let shared_emails = values(record, "sharedEmails", "email")?;
    let customer = Customer {
        id,
        external_id: record.text("externalId").map(str::to_owned),
        fields,
        invalid,
        shared_numbers: numbers(record, "sharedPhones", plan)?,
        shared_emails: shared_emails
            .iter()
            .filter_map(|(text, _)| EmailAddress::parse(text))
            .collect(),
        whatsapps,
        modified_at: record.time("modifiedAt").unwrap_or(updated_at),
    };
    Ok(Row::Here {
        customer: Box::new(customer),
        stamp: Stamp { updated_at, rev },
    })
}

/// The valid numbers, each once, and what is none.
fn phones(record: &Record, plan: &NumberPlan) -> Result<(Vec<Phone>, Vec<String>), Unreadable> {
    let (mut phones, mut invalid): (Vec<Phone>, Vec<String>) = (Vec::new(), Vec::new());
    for (text, item) in values(record, "phones", "phone")? {
        match plan.parse(text) {
            Ok(number) if phones.iter().any(|phone| phone.number == number) => {}
            Ok(number) => phones.push(Phone {
                number,
                kind: kind(item),
            }),
            Err(_) if invalid.iter().any(|known| known == text) => {}
            Err(_) => invalid.push(text.to_owned()),
        }
    }
    Ok((phones, invalid))
}

fn emails(record: &Record) -> Result<Vec<Email>, Unreadable> {
    let mut emails: Vec<Email> = Vec::new();
    for (text, item) in values(record, "emails", "email")? {
        let email = EmailAddress::parse(text).map(|email| Email {
            email,
            kind: kind(item),
        });
        let is_new = |email: &Email| emails.iter().all(|known| known.email != email.email);
        emails.extend(email.filter(is_new));
    }
    Ok(emails)
}

fn numbers(record: &Record, list: &str, plan: &NumberPlan) -> Result<BTreeSet<E164>, Unreadable> {
    let texts = values(record, list, "phone")?;
    Ok(texts
        .iter()
        .filter_map(|(text, _)| plan.parse(text).ok())
        .collect())
}

/// The texts of a list of contact points, each with its item: all of them, or nothing is known.
fn values<'a>(
    record: &'a Record,
    list: &str,
    key: &str,
) -> Result<Vec<(&'a str, &'a Value)>, Unreadable> {
    let read = |item: &'a Value| {
        let text = item.get(key).and_then(Value::as_str);
        let text = text.ok_or(Unreadable::Shape)?;
        if text.contains(MASKS) {
            return Err(Unreadable::Masked);
        }
        Ok((text, item))
    };
    let items = record.list(list).ok_or(Unreadable::Shape)?;
    items.iter().map(read).collect()
}

fn website(record: &Record) -> Result<String, Unreadable> {
    let urls = record.list("urls").ok_or(Unreadable::Shape)?;
    let first = urls.first().and_then(|url| url.get("url")?.as_str());
    Ok(trimmed(first))
}

fn address(record: &Record) -> Result<Address, Unreadable> {
    let locations = record.list("locations").ok_or(Unreadable::Shape)?;
    let work = locations.iter().find(|location| is_work(location));
    Ok(work.map(postal).unwrap_or_default())
}

/// Whether a location is where the customer works.
pub fn is_work(location: &Value) -> bool {
    location.get("type").and_then(Value::as_str) == Some(WORK)
}

/// A location as a contact has it. Names go before codes.
pub fn postal(location: &Value) -> Address {
    let part = |key: &str| trimmed(location.get(key).and_then(Value::as_str));
    let either = |name: &str, code: &str| {
        Some(part(name))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| part(code))
    };
    let lines = ["address", "address2", "address3"].map(part);
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    Address {
        street: lines.collect::<Vec<_>>().join("\n"),
        city: part("cityName"),
        zip: part("zipCode"),
        state: either("regionName", "regionCode"),
        country: either("countryName", "countryCode"),
    }
}

fn trimmed(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_owned()
}

/// What kind of number or e-mail an item says it is; another one where it doesn't.
fn kind<T: DeserializeOwned + Default>(item: &Value) -> T {
    let kind = item.get("type").cloned();
    kind.and_then(|kind| serde_json::from_value(kind).ok())
        .unwrap_or_default()
}
