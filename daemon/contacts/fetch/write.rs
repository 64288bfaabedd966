//! What is written to Kustomer: a new customer, and an edit put onto what Kustomer has. Pure.
//!
//! Lists are sent whole, so that each item that stays is rebuilt of the keys that may be written; a company is always sent
//! again, for Kustomer unlinks one that isn't. Source: Kustomer: Customers.

use super::record::number;
use crate::contacts::plan::{CUSTOMER_VALUES_MAX, Edit, NewCustomer};
use crate::kustomer::text;
use crate::kustomer::wire::Record;
use crate::terms::contact::{Address, Email, EmailAddress, Phone};
use crate::terms::number::NumberPlan;
use serde_json::{Map, Value, json};

/// The keys of an item that may be written.
const PHONE_KEYS: [&str; 3] = ["phone", "type", "verified"];
const EMAIL_KEYS: [&str; 3] = ["email", "type", "verified"];
const URL_KEYS: [&str; 2] = ["url", "type"];
const LOCATION_KEYS: [&str; 14] = [
    "type",
    "name",
    "address",
    "address2",
    "address3",
    "latitude",
    "longitude",
    "countryCode",
    "countryName",
    "regionCode",
    "regionName",
    "cityName",
    "zipCode",
    "areaCode",
];

/// The body of a create.
pub fn new(new: &NewCustomer) -> Value {
    let fields = &new.fields;
    let mut body = Map::new();
    body.insert("externalId".to_owned(), json!(new.external_id.0));
    if !fields.name.is_empty() {
        body.insert("name".to_owned(), json!(text::name(&fields.name)));
    }
    body.insert(
        "phones".to_owned(),
        fields.phones.iter().map(phone).collect(),
    );
    if !fields.emails.is_empty() {
        body.insert(
            "emails".to_owned(),
            fields.emails.iter().map(email).collect(),
        );
    }
    if !fields.website.is_empty() {
        body.insert("urls".to_owned(), json!([website(&fields.website)]));
    }
    if !fields.address.is_empty() {
        let location = located(Map::new(), &fields.address);
        body.insert("locations".to_owned(), json!([location]));
    }
    Value::Object(body)
}

/// The body of an update; none if the customer is so already.
pub fn edited(record: &Record, edit: &Edit, plan: &NumberPlan) -> Option<Value> {
    let mut body = Map::new();
    if let Some(name) = &edit.name
        && record.text("name") != Some(name)
    {
        body.insert("name".to_owned(), json!(text::name(name)));
    }
    let mut put = |list: &str, before: Vec<Value>, after: Vec<Value>| {
        if before != after {
            body.insert(list.to_owned(), Value::Array(after));
        }
    };
    let before = items(record, "phones", &PHONE_KEYS);
    put("phones", before.clone(), phones(before, edit, plan));
    let before = items(record, "emails", &EMAIL_KEYS);
    put("emails", before.clone(), emails(before, edit));
    if let Some(url) = &edit.website {
        let before = items(record, "urls", &URL_KEYS);
        put("urls", before.clone(), urls(before, url));
    }
    if let Some(address) = &edit.address {
        let before = items(record, "locations", &LOCATION_KEYS);
        put("locations", before.clone(), locations(before, address));
    }
    if body.is_empty() {
        return None;
    }
    if let Some(company) = record.related("company") {
        body.insert("company".to_owned(), json!(company));
    }
    if let Some(rev) = record.number("rev") {
        body.insert("rev".to_owned(), json!(rev));
    }
    Some(Value::Object(body))
}

fn items(record: &Record, list: &str, keys: &[&str]) -> Vec<Value> {
    let rebuilt = |item: &Value| {
        let kept = item.as_object().into_iter().flatten();
        let kept = kept.filter(|(key, value)| keys.contains(&key.as_str()) && !value.is_null());
        Value::Object(
            kept.map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        )
    };
    record.items(list).map(rebuilt).collect()
}

fn said<'a>(item: &'a Value, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn phones(mut all: Vec<Value>, edit: &Edit, plan: &NumberPlan) -> Vec<Value> {
    let of = |item: &Value| number(said(item, "phone"), plan);
    all.retain(|item| of(item).is_none_or(|number| !edit.remove_phones.contains(&number)));
    for new in &edit.add_phones {
        let there = all
            .iter()
            .any(|item| of(item).as_ref() == Some(&new.number));
        if !there && all.len() < CUSTOMER_VALUES_MAX {
            all.push(phone(new));
        }
    }
    all
}

fn emails(mut all: Vec<Value>, edit: &Edit) -> Vec<Value> {
    let of = |item: &Value| EmailAddress::parse(said(item, "email"));
    all.retain(|item| of(item).is_none_or(|email| !edit.remove_emails.contains(&email)));
    for new in &edit.add_emails {
        let there = all.iter().any(|item| of(item).as_ref() == Some(&new.email));
        if !there && all.len() < CUSTOMER_VALUES_MAX {
            all.push(email(new));
        }
    }
    all
}

/// The first one is the contact's.
fn urls(mut all: Vec<Value>, url: &str) -> Vec<Value> {
    if !all.is_empty() {
        all.remove(0);
    }
    if !url.is_empty() {
        all.insert(0, website(url));
    }
    all
}

/// The first one of type work is the contact's; what else it holds stays.
fn locations(mut all: Vec<Value>, address: &Address) -> Vec<Value> {
    let at = all.iter().position(|item| said(item, "type") == "work");
    let before = at.map(|at| all.remove(at));
    if !address.is_empty() {
        let kept = before.and_then(|item| item.as_object().cloned());
        all.insert(at.unwrap_or(0), located(kept.unwrap_or_default(), address));
    }
    all
}

fn located(mut location: Map<String, Value>, address: &Address) -> Value {
    // Codes and coordinates would speak of the old place.
    for stale in [
        "address2",
        "address3",
        "latitude",
        "longitude",
        "countryCode",
        "regionCode",
        "areaCode",
    ] {
        location.remove(stale);
    }
    location.insert("type".to_owned(), json!("work"));
    for (key, part) in [
        ("address", address.street.replace('\n', ", ")),
        ("cityName", address.city.clone()),
        ("zipCode", address.zip.clone()),
        ("regionName", address.state.clone()),
        ("countryName", address.country.clone()),
    ] {
        if part.is_empty() {
            location.remove(key);
        } else {
            location.insert(key.to_owned(), json!(part));
        }
    }
    Value::Object(location)
}

fn phone(phone: &Phone) -> Value {
    json!({"phone": phone.number.as_str(), "type": phone.kind})
}

fn email(email: &Email) -> Value {
    json!({"email": email.email.as_str(), "type": email.kind})
}

fn website(url: &str) -> Value {
    json!({"url": url, "type": "website"})
}
