//! The lines of an example, as a person reads them.
//!
//! ```text
//! setting: skip_shared = "customer"
//! Kustomer: ada gets name "Ada Example", phones +4915112345678 mobile, +4921155500100 work
//! phone: ada gets name "Ada E."        people change one side
//! Kustomer: ada is merged into ben
//! phone: ada is removed
//! phone: ada is parted                 `tieline contacts unmerge`
//! sync                                 `tieline sync now`, and a second run plans nothing
//! sync waits: WHY                      the guard stopped it
//! approve
//! phone: ada has name "Ada Example"    what must be there; what isn't named isn't looked at
//! phone: ada is not there
//! phone: ada and ben are one
//! left out: +4921155500100 shared
//! conflict: name
//! ```

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Kustomer,
    Phone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Name,
    Phones,
    SharedPhones,
    Whatsapps,
    Emails,
    SharedEmails,
    Company,
    Website,
    City,
    ExternalId,
    Tags,
}

const KEYS: [(&str, Key); 11] = [
    ("name", Key::Name),
    ("phones", Key::Phones),
    ("sharedPhones", Key::SharedPhones),
    ("whatsapps", Key::Whatsapps),
    ("emails", Key::Emails),
    ("sharedEmails", Key::SharedEmails),
    ("company", Key::Company),
    ("website", Key::Website),
    ("city", Key::City),
    ("externalId", Key::ExternalId),
    ("tags", Key::Tags),
];

/// A field and its values, as written: a number may have its type behind it.
#[derive(Debug)]
pub struct Item {
    pub key: Key,
    values: Vec<String>,
}

#[derive(Debug)]
pub enum Line {
    Nothing,
    Settings(String),
    Gets(Side, String, Vec<Item>),
    Removed(Side, String),
    Merged(String, String),
    Parted(String),
    Sync,
    Waits(String),
    Approved,
    Has(Side, String, Vec<Item>),
    Missing(Side, String),
    One(String, String),
    LeftOut(String, String),
    Conflict(String),
}

pub fn parse(line: &str) -> Line {
    let line = line.split(" #").next().unwrap().trim();
    let own = |text: &str| text.trim().to_owned();
    if line.is_empty() || line.starts_with('#') {
        return Line::Nothing;
    }
    let Some((head, rest)) = line.split_once(':') else {
        return match line {
            "sync" => Line::Sync,
            "approve" => Line::Approved,
            _ => panic!("{line}: is no line of an example"),
        };
    };
    let rest = rest.trim();
    match head {
        "setting" => Line::Settings(rest.to_owned()),
        "sync waits" => Line::Waits(rest.to_owned()),
        "conflict" => Line::Conflict(rest.to_owned()),
        "left out" => {
            let (value, why) = rest.rsplit_once(' ').unwrap();
            Line::LeftOut(own(value), own(why))
        }
        "Kustomer" => told(Side::Kustomer, rest),
        "phone" => told(Side::Phone, rest),
        _ => panic!("{line}: is no line of an example"),
    }
}

fn told(side: Side, rest: &str) -> Line {
    let (who, what) = rest.split_once(' ').unwrap();
    let who = who.to_owned();
    let (verb, more) = what.split_once(' ').unwrap();
    match (verb, more) {
        ("gets", items) => Line::Gets(side, who, read_items(items)),
        ("has", items) => Line::Has(side, who, read_items(items)),
        ("is", "removed") => Line::Removed(side, who),
        ("is", "parted") => Line::Parted(who),
        ("is", "there") => Line::Has(side, who, Vec::new()),
        ("is", "not there") => Line::Missing(side, who),
        ("is", more) => {
            let winner = more.strip_prefix("merged into ");
            Line::Merged(who, winner.unwrap_or_else(|| panic!("{rest}")).to_owned())
        }
        ("and", more) => {
            let other = more.strip_suffix(" are one");
            Line::One(who, other.unwrap_or_else(|| panic!("{rest}")).to_owned())
        }
        _ => panic!("{rest}: neither gets, has nor is"),
    }
}

/// `name "Ada Example", phones +49…, +49… work`: a part that begins with no key goes on with the one before.
fn read_items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for part in text.split(", ") {
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        let key = KEYS.iter().find(|(word, _)| *word == first);
        let value = match key {
            Some((_, key)) => {
                items.push(Item {
                    key: *key,
                    values: Vec::new(),
                });
                rest
            }
            None => part,
        };
        let value = value.trim().trim_matches('"');
        if value != "none" {
            let last = items.last_mut().unwrap_or_else(|| panic!("{text}: no key"));
            last.values.push(value.to_owned());
        }
    }
    items
}

/// A value and the type behind it.
fn typed(value: &str) -> (&str, Option<&str>) {
    match value.split_once(' ') {
        Some((value, kind)) => (value, Some(kind)),
        None => (value, None),
    }
}

impl Key {
    /// Its values have no order.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::Phones | Self::Emails)
    }
}

impl Item {
    fn one(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    fn list(&self, field: &str, other: &str) -> Value {
        let one = |value: &String| {
            let (value, kind) = typed(value);
            json!({field: value, "type": kind.unwrap_or(other)})
        };
        self.values.iter().map(one).collect()
    }

    /// As Kustomer takes it.
    pub fn of_customer(&self) -> (String, Value) {
        let (key, value) = match self.key {
            Key::Name => ("name", json!(self.one())),
            Key::Phones => ("phones", self.list("phone", "mobile")),
            Key::SharedPhones => ("sharedPhones", self.list("phone", "work")),
            Key::Whatsapps => ("whatsapps", self.list("phone", "mobile")),
            Key::Emails => ("emails", self.list("email", "work")),
            Key::SharedEmails => ("sharedEmails", self.list("email", "work")),
            Key::Company => ("company", json!(self.one())),
            Key::Website => ("urls", json!([{"url": self.one(), "type": "website"}])),
            Key::City => (
                "locations",
                json!([{"type": "work", "cityName": self.one()}]),
            ),
            Key::ExternalId => ("externalId", json!(self.one())),
            Key::Tags => panic!("Kustomer's tags aren't ours"),
        };
        (key.to_owned(), value)
    }

    /// As the contacts API takes it.
    pub fn of_contact(&self) -> (String, Value) {
        let (key, value) = match self.key {
            Key::Name => ("name", json!(self.one())),
            Key::Phones => ("phones", self.list("number", "mobile")),
            Key::Emails => ("emails", self.list("email", "work")),
            Key::Company => ("company", json!(self.one())),
            Key::Website => ("website", json!(self.one())),
            Key::City => ("address", json!({"city": self.one()})),
            Key::Tags => ("tags", json!(self.values)),
            Key::SharedPhones | Key::Whatsapps | Key::SharedEmails | Key::ExternalId => {
                panic!("a contact has no {:?}", self.key)
            }
        };
        (key.to_owned(), value)
    }

    /// What an answer has of it; types where the example names them.
    pub fn read(&self, side: Side, found: &Value) -> Vec<String> {
        let text = |value: &Value| vec![value.as_str().unwrap_or_default().to_owned()];
        let with_types = self.values.iter().any(|value| typed(value).1.is_some());
        let list = |name: &str, field: &str| {
            let items = found[name].as_array().into_iter().flatten();
            let one = |item: &Value| {
                let value = item[field].as_str().unwrap();
                match item["type"].as_str().filter(|_| with_types) {
                    Some(kind) => format!("{value} {kind}"),
                    None => value.to_owned(),
                }
            };
            items.map(one).collect()
        };
        match (self.key, side) {
            (Key::Name, _) => text(&found["name"]),
            (Key::Phones, Side::Kustomer) => list("phones", "phone"),
            (Key::Phones, Side::Phone) => list("phones", "number"),
            (Key::Emails, _) => list("emails", "email"),
            (Key::SharedPhones, _) => list("sharedPhones", "phone"),
            (Key::Whatsapps, _) => list("whatsapps", "phone"),
            (Key::SharedEmails, _) => list("sharedEmails", "email"),
            (Key::Company, Side::Kustomer) => text(&found["companyName"]),
            (Key::Company, Side::Phone) => text(&found["company"]),
            (Key::Website, Side::Kustomer) => text(&found["urls"][0]["url"]),
            (Key::Website, Side::Phone) => text(&found["website"]),
            (Key::City, Side::Kustomer) => text(&found["locations"][0]["cityName"]),
            (Key::City, Side::Phone) => text(&found["address"]["city"]),
            (Key::ExternalId, _) => text(&found["externalId"]),
            (Key::Tags, _) => {
                let tags = found["tags"].as_array().into_iter().flatten();
                tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
            }
        }
    }

    /// What the example has of it, in the same form.
    pub fn written(&self) -> Vec<String> {
        match self.key {
            Key::Name | Key::Company | Key::Website | Key::City | Key::ExternalId => {
                vec![self.one().to_owned()]
            }
            Key::Phones
            | Key::SharedPhones
            | Key::Whatsapps
            | Key::Emails
            | Key::SharedEmails
            | Key::Tags => self.values.clone(),
        }
    }
}
