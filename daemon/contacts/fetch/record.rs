//! What Kustomer's record says of a customer. Pure. Source: Kustomer: Customers.

use super::{Row, Stamp};
use crate::contacts::world::Customer;
use crate::kustomer::wire::Record;
use crate::terms::contact::{Address, Email, EmailAddress, EmailKind, Fields, Phone, PhoneKind};
use crate::terms::ids::CustomerId;
use crate::terms::number::{E164, NumberPlan};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

/// Whether the record is of somebody who is gone.
pub fn is_gone(record: &Record) -> bool {
    record.flag("deleted")
}

/// The customer; none if the key may not read its numbers, of which then nothing follows.
pub fn row(record: &Record, plan: &NumberPlan) -> Option<Row> {
    let lists = ["phones", "sharedPhones", "whatsapps", "sharedWhatsapps"];
    let masked = |list: &&str| {
        record
            .texts(list, "phone")
            .iter()
            .any(|text| is_masked(text))
    };
    if lists.iter().any(|list| masked(list)) {
        return None;
    }
    let updated_at = record.time("updatedAt").unwrap_or(Timestamp::UNIX_EPOCH);
    let (phones, invalid) = phones(record, plan);
    let customer = Customer {
        id: CustomerId(record.id.clone()),
        external_id: record.text("externalId").map(str::to_owned),
        fields: Fields {
            name: said(record, "name"),
            phones,
            emails: emails(record),
            company: said(record, "companyName"),
            website: website(record).unwrap_or_default(),
            address: address(record).unwrap_or_default(),
        },
        invalid,
        shared_numbers: numbers(record, "sharedPhones", plan),
        shared_emails: addresses(record, "sharedEmails"),
        whatsapps: ["whatsapps", "sharedWhatsapps"]
            .into_iter()
            .flat_map(|list| numbers(record, list, plan))
            .collect(),
        modified_at: record.time("modifiedAt").unwrap_or(updated_at),
    };
    let stamp = Stamp {
        updated_at,
        rev: record.number("rev").unwrap_or_default(),
    };
    Some(Row::Here {
        customer: Box::new(customer),
        stamp,
    })
}

/// What a key without the permission for sensitive attributes gets instead of a number.
fn is_masked(text: &str) -> bool {
    text.contains(['*', '•', 'x', 'X', '#'])
}

/// The number that an item of a list has, if it is one.
pub fn number(text: &str, plan: &NumberPlan) -> Option<E164> {
    // Kustomer's own sample writes numbers without the plus.
    let international = text
        .starts_with('+')
        .then(|| plan.parse(text).ok())
        .flatten();
    international.or_else(|| plan.parse(text).ok())
}

fn phones(record: &Record, plan: &NumberPlan) -> (Vec<Phone>, Vec<String>) {
    let (mut phones, mut invalid): (Vec<Phone>, Vec<String>) = (Vec::new(), Vec::new());
    for item in record.items("phones") {
        let Some(text) = item.get("phone").and_then(Value::as_str) else {
            continue;
        };
        match number(text, plan) {
            Some(number) if phones.iter().all(|known| known.number != number) => {
                phones.push(Phone {
                    number,
                    kind: phone_kind(item),
                });
            }
            Some(_) => {}
            None => invalid.push(text.to_owned()),
        }
    }
    (phones, invalid)
}

fn phone_kind(item: &Value) -> PhoneKind {
    match item.get("type").and_then(Value::as_str) {
        Some("mobile") => PhoneKind::Mobile,
        Some("home") => PhoneKind::Home,
        Some("work") => PhoneKind::Work,
        Some("fax") => PhoneKind::Fax,
        Some(_) | None => PhoneKind::Other,
    }
}

fn emails(record: &Record) -> Vec<Email> {
    let mut emails: Vec<Email> = Vec::new();
    for item in record.items("emails") {
        let text = item.get("email").and_then(Value::as_str);
        let Some(email) = text.and_then(EmailAddress::parse) else {
            continue;
        };
        let kind = match item.get("type").and_then(Value::as_str) {
            Some("home") => EmailKind::Home,
            Some("work") => EmailKind::Work,
            Some(_) | None => EmailKind::Other,
        };
        if emails.iter().all(|known| known.email != email) {
            emails.push(Email { email, kind });
        }
    }
    emails
}

fn numbers(record: &Record, list: &str, plan: &NumberPlan) -> BTreeSet<E164> {
    let texts = record.texts(list, "phone");
    texts.iter().filter_map(|text| number(text, plan)).collect()
}

fn addresses(record: &Record, list: &str) -> BTreeSet<EmailAddress> {
    let texts = record.texts(list, "email");
    texts
        .iter()
        .filter_map(|text| EmailAddress::parse(text))
        .collect()
}

fn said(record: &Record, attribute: &str) -> String {
    let text = record.text(attribute).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn website(record: &Record) -> Option<String> {
    Some(
        record
            .texts("urls", "url")
            .into_iter()
            .next()?
            .trim()
            .to_owned(),
    )
}

fn address(record: &Record) -> Option<Address> {
    let is_work = |item: &&Value| item.get("type").and_then(Value::as_str) == Some("work");
    let item = record.items("locations").find(is_work)?;
    let part = |key: &str| {
        let text = item.get(key).and_then(Value::as_str);
        text.unwrap_or_default().trim().to_owned()
    };
    let either = |name: &str, code: &str| {
        let name = part(name);
        if name.is_empty() { part(code) } else { name }
    };
    let street = [part("address"), part("address2"), part("address3")];
    let lines: Vec<String> = street.into_iter().filter(|line| !line.is_empty()).collect();
    Some(Address {
        street: lines.join("\n"),
        city: part("cityName"),
        zip: part("zipCode"),
        state: either("regionName", "regionCode"),
        country: either("countryName", "countryCode"),
    })
}
