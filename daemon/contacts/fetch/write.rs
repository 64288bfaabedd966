//! What is sent to Kustomer to create a customer, and to change one without touching what isn't ours. Pure.
//!
//! A list is sent whole, so it is the one that was read, changed: what we don't know of stays, in the shape that Kustomer
//! takes. Source: Kustomer: Customers (writable attributes, update semantics).

use super::read::{WORK, is_work, postal};
use crate::contacts::link::Single;
use crate::contacts::plan::{CUSTOMER_VALUES_MAX, Edit, NewCustomer};
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::text;
use crate::kustomer::wire::Record;
use crate::terms::contact::{Address, Email, EmailAddress, Fields, Phone};
use crate::terms::number::NumberPlan;
use serde_json::{Map, Value, json};

const PHONE: &[&str] = &["phone", "type", "verified"];
const EMAIL: &[&str] = &["email", "type", "verified"];
const URL: &[&str] = &["url", "type"];
/// Without the coordinates: they are those of the address before, and a location that isn't ours is sent with them.
const LOCATION: &[&str] = &[
    "type",
    "name",
    "address",
    "address2",
    "address3",
    "countryCode",
    "countryName",
    "regionCode",
    "regionName",
    "cityName",
    "zipCode",
    "areaCode",
];
const COORDINATES: &[&str] = &["latitude", "longitude"];
/// Longest parts of a location, in characters.
const LINE_CHARS_MAX: usize = 256;
const PLACE_CHARS_MAX: usize = 128;
const COUNTRY_CHARS_MAX: usize = 64;
const ZIP_CHARS_MAX: usize = 30;

/// The body that creates a customer.
pub fn create(new: &NewCustomer) -> Value {
    let Fields {
        name,
        phones,
        emails,
        company: _,
        website,
        address,
    } = &new.fields;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("externalId", json!(new.external_id.0));
    if !name.is_empty() {
        put("name", json!(text::name(name)));
    }
    if !phones.is_empty() {
        let phones = phones.iter().take(CUSTOMER_VALUES_MAX);
        put("phones", phones.map(phone).collect());
    }
    if !emails.is_empty() {
        let emails = emails.iter().take(CUSTOMER_VALUES_MAX);
        put("emails", emails.map(email).collect());
    }
    if !website.is_empty() {
        put("urls", json!([url(website)]));
    }
    if !address.is_empty() {
        put("locations", json!([location(Map::new(), address)]));
    }
    Value::Object(body)
}

/// The body that changes a customer from what was read; none if there is nothing to change.
///
/// # Errors
/// `Unsendable` if the customer has a company and its id isn't told: the write would take the company away.
pub fn edit(
    record: &Record,
    edit: &Edit,
    plan: &NumberPlan,
) -> Result<Option<Value>, KustomerFault> {
    let mut body = Map::new();
    if let Some(name) = edit.name.as_ref().map(|name| text::name(name))
        && record.text("name").unwrap_or_default() != name
    {
        let name = Some(name).filter(|name| !name.is_empty());
        body.insert("name".to_owned(), json!(name));
    }
    let places = [LOCATION, COORDINATES].concat();
    let mut put = |list: &str, keys: &[&str], change: &dyn Fn(&mut Vec<Value>)| {
        if let Some(items) = changed(record, list, keys, change) {
            body.insert(list.to_owned(), Value::Array(items));
        }
    };
    put("phones", PHONE, &|items| put_phones(items, edit, plan));
    put("emails", EMAIL, &|items| put_emails(items, edit));
    if let Some(website) = &edit.website {
        put("urls", URL, &|items| put_website(items, website));
    }
    if let Some(address) = &edit.address {
        put("locations", &places, &|items| put_address(items, address));
    }
    if body.is_empty() {
        return Ok(None);
    }
    if let Some(company) = company(record)? {
        body.insert("company".to_owned(), json!(company));
    }
    if let Some(rev) = record.whole("rev") {
        body.insert("rev".to_owned(), json!(rev));
    }
    Ok(Some(Value::Object(body)))
}

/// Whether a single value that the edit changes is neither what it was planned on nor what it is to be.
pub fn is_overtaken(edit: &Edit, seen: &Single, now: &Single) -> bool {
    let text = |wanted: &Option<String>, seen: &String, now: &String| {
        wanted
            .as_ref()
            .is_some_and(|wanted| now != seen && now != wanted)
    };
    let address = edit.address.as_ref();
    text(&edit.name, &seen.name, &now.name)
        || text(&edit.website, &seen.website, &now.website)
        || address.is_some_and(|wanted| now.address != seen.address && now.address != *wanted)
}

fn put_phones(items: &mut Vec<Value>, edit: &Edit, plan: &NumberPlan) {
    let number = |item: &Value| plan.parse(item.get("phone")?.as_str()?).ok();
    items.retain(|item| number(item).is_none_or(|one| !edit.remove_phones.contains(&one)));
    for new in &edit.add_phones {
        if !items
            .iter()
            .any(|item| number(item).as_ref() == Some(&new.number))
        {
            items.push(phone(new));
        }
    }
}

fn put_emails(items: &mut Vec<Value>, edit: &Edit) {
    let address = |item: &Value| EmailAddress::parse(item.get("email")?.as_str()?);
    items.retain(|item| address(item).is_none_or(|one| !edit.remove_emails.contains(&one)));
    for new in &edit.add_emails {
        if !items
            .iter()
            .any(|item| address(item).as_ref() == Some(&new.email))
        {
            items.push(email(new));
        }
    }
}

/// The list as it is to be sent if `change` changes it. It never grows past what a customer holds: what is added last isn't.
fn changed(
    record: &Record,
    name: &str,
    keys: &[&str],
    change: impl FnOnce(&mut Vec<Value>),
) -> Option<Vec<Value>> {
    let held: Vec<Value> = record
        .items(name)
        .map(|item| writable(item, keys))
        .collect();
    let mut items = held.clone();
    change(&mut items);
    items.truncate(CUSTOMER_VALUES_MAX.max(held.len()));
    (items != held).then_some(items)
}

/// An item without what can't be written.
fn writable(item: &Value, keys: &[&str]) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let fields = fields.filter(|(key, value)| keys.contains(&key.as_str()) && !value.is_null());
    Value::Object(
        fields
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

/// The id of the customer's company, which is unlinked by any write that doesn't name it.
fn company(record: &Record) -> Result<Option<String>, KustomerFault> {
    let id = record.related("company");
    let id = id.or_else(|| record.text("company").map(str::to_owned));
    if id.is_none() && record.text("companyName").is_some() {
        return Err(KustomerFault::Unsendable(
            "the customer has a company whose id Kustomer doesn't tell: a write would take it away"
                .to_owned(),
        ));
    }
    Ok(id)
}

fn phone(phone: &Phone) -> Value {
    json!({"type": phone.kind, "phone": phone.number.as_str()})
}

fn email(email: &Email) -> Value {
    json!({"type": email.kind, "email": email.email.as_str()})
}

fn url(website: &str) -> Value {
    json!({"type": "website", "url": whole(website)})
}

/// Kustomer takes whole addresses alone.
fn whole(website: &str) -> String {
    if website.contains("://") {
        website.to_owned()
    } else {
        format!("https://{website}")
    }
}

/// The website is the first of the urls.
fn put_website(items: &mut Vec<Value>, website: &str) {
    let first = items.first_mut();
    let held = first.as_ref().and_then(|item| item.get("url")?.as_str());
    let held = held.unwrap_or_default().trim();
    if website == held || (!website.is_empty() && whole(website) == held) {
        return;
    }
    match first.and_then(Value::as_object_mut) {
        Some(_) if website.is_empty() => drop(items.remove(0)),
        Some(item) => drop(item.insert("url".to_owned(), json!(whole(website)))),
        None => items.insert(0, url(website)),
    }
}

/// The address is the first location of type `work`.
fn put_address(items: &mut Vec<Value>, address: &Address) {
    let at = items.iter().position(is_work);
    match at.and_then(|at| Some((at, items.get(at)?.as_object()?.clone()))) {
        Some((at, _)) if address.is_empty() => drop(items.remove(at)),
        Some((at, held)) => {
            if let Some(item) = items.get_mut(at) {
                *item = location(held, address);
            }
        }
        None if address.is_empty() => {}
        None => items.push(location(Map::new(), address)),
    }
}

/// A location with this address; what it has besides stays.
fn location(held: Map<String, Value>, address: &Address) -> Value {
    let before = postal(&Value::Object(held.clone()));
    if before == *address {
        return Value::Object(held);
    }
    let mut location = held;
    for key in COORDINATES {
        location.remove(*key);
    }
    let mut put = |key: &str, value: &str, chars_max: usize| {
        if value.is_empty() {
            location.remove(key);
        } else {
            let value: String = value.chars().take(chars_max).collect();
            location.insert(key.to_owned(), json!(value));
        }
    };
    put("type", WORK, LINE_CHARS_MAX);
    if before.street != address.street {
        let lines = address.street.lines().map(str::trim);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        put("address", line(0), LINE_CHARS_MAX);
        put("address2", line(1), LINE_CHARS_MAX);
        let rest = lines.get(2..).unwrap_or_default().join("\n");
        put("address3", &rest, LINE_CHARS_MAX);
    }
    if before.city != address.city {
        put("cityName", &address.city, PLACE_CHARS_MAX);
    }
    if before.zip != address.zip {
        put("zipCode", &address.zip, ZIP_CHARS_MAX);
    }
    if before.state != address.state {
        put("regionName", &address.state, PLACE_CHARS_MAX);
        put("regionCode", "", 0);
    }
    if before.country != address.country {
        let is_code = address.country.len() == 2
            && address
                .country
                .bytes()
                .all(|byte| byte.is_ascii_uppercase());
        let (name, code) = if is_code {
            ("", address.country.as_str())
        } else {
            (address.country.as_str(), "")
        };
        put("countryName", name, COUNTRY_CHARS_MAX);
        put("countryCode", code, COUNTRY_CHARS_MAX);
    }
    Value::Object(location)
}
