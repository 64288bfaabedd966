//! One resource as the sandbox holds it, and how the API shows it (Kustomer: JSON:API format).
//! Made by the creating operations, held by the state.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The kinds of resource; `Company` and `Org` are only pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Customer,
    Conversation,
    Note,
    Message,
    User,
    Team,
    Tag,
    Merge,
    Company,
    Org,
}

impl Kind {
    /// The `type` of the envelope.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::Customer => "customer",
            Kind::Conversation => "conversation",
            Kind::Note => "note",
            Kind::Message => "message",
            Kind::User => "user",
            Kind::Team => "team",
            Kind::Tag => "tag",
            Kind::Merge => "customer_merge",
            Kind::Company => "company",
            Kind::Org => "org",
        }
    }

    /// Where the kind lives under `/v1`.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Customer => "customers",
            Kind::Conversation => "conversations",
            Kind::Note => "notes",
            Kind::Message => "messages",
            Kind::User => "users",
            Kind::Team => "teams",
            Kind::Tag => "tags",
            Kind::Merge => "customers/merges",
            Kind::Company => "companies",
            Kind::Org => "orgs",
        }
    }
}

/// The one organisation of a sandbox.
pub const ORG: &str = "5f8481c6a22ab5b9d5f2dd8a";

/// A resource.
#[derive(Debug, Clone)]
pub struct Record {
    pub kind: Kind,
    pub id: String,
    pub attributes: Map<String, Value>,
    pub related: BTreeMap<&'static str, (Kind, String)>,
    pub deleted: bool,
}

impl Record {
    /// The text of an attribute; empty when absent or not text.
    pub fn text(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// The id at the other end of a relationship.
    pub fn related_id(&self, name: &str) -> Option<&str> {
        self.related.get(name).map(|(_, id)| id.as_str())
    }

    /// Adds to a counting attribute.
    pub fn count_up(&mut self, name: &str, by: i64) {
        let old = self
            .attributes
            .get(name)
            .and_then(Value::as_i64)
            .unwrap_or(0);
        self.set(name, json!(old.saturating_add(by)));
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.attributes.insert(name.to_owned(), value);
    }

    /// Notes that something happened here: `updatedAt`, and `rev` where the kind has one.
    pub fn touch(&mut self, now: &str) {
        self.set("updatedAt", json!(now));
        if self.attributes.contains_key("rev") {
            self.count_up("rev", 1);
        }
    }

    /// Writes the sent attributes over the held ones: null clears, times become UTC, `custom` is merged key by key.
    pub fn write(&mut self, sent: Map<String, Value>) {
        for (name, value) in sent {
            match (name.as_str(), value) {
                (_, Value::Null) => {
                    self.attributes.remove(&name);
                }
                ("custom", Value::Object(changes)) => {
                    let held = self.attributes.entry(name).or_insert_with(|| json!({}));
                    if let Value::Object(held) = held {
                        held.extend(changes);
                        held.retain(|_, value| !value.is_null());
                    }
                }
                (known, Value::String(text)) if known.ends_with("At") => {
                    let utc = text.parse::<jiff::Timestamp>();
                    let text = utc.map_or(text, |at| format!("{at:.3}"));
                    self.attributes.insert(name, Value::String(text));
                }
                (_, value) => {
                    self.attributes.insert(name, value);
                }
            }
        }
    }

    /// The values under which the state finds this record, by index name.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let mut keys: Vec<(&'static str, String)> = Vec::new();
        match self.kind {
            Kind::Customer => {
                for (index, list, field) in CUSTOMER_KEYS {
                    for item in self
                        .attributes
                        .get(*list)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        if let Some(value) = item.get(field).and_then(Value::as_str) {
                            keys.push((index, fold(index, value)));
                        }
                    }
                }
                keys.push(("externalId", self.text("externalId").to_owned()));
            }
            Kind::Conversation | Kind::Note | Kind::Message => {
                keys.push(("externalId", self.text("externalId").to_owned()));
                for parent in ["customer", "conversation"] {
                    if let Some(id) = self.related_id(parent) {
                        keys.push((parent, id.to_owned()));
                    }
                }
            }
            Kind::User => keys.push(("email", fold("email", self.text("email")))),
            Kind::Tag => keys.push(("name", self.text("name").to_owned())),
            Kind::Merge => {
                for side in ["source", "target"] {
                    if let Some(id) = self.related_id(side) {
                        keys.push(("customer", id.to_owned()));
                    }
                }
            }
            Kind::Team | Kind::Company | Kind::Org => {}
        }
        keys.retain(|(_, value)| !value.is_empty());
        keys.sort();
        keys.dedup();
        keys
    }

    /// The resource object of the envelope.
    pub fn json(&self) -> Value {
        let mut relationships = Map::new();
        relationships.insert("org".to_owned(), linkage(Kind::Org, ORG));
        for (name, (kind, id)) in &self.related {
            relationships.insert((*name).to_owned(), linkage(*kind, id));
        }
        let own = format!("/v1/{}/{}", self.kind.path(), self.id);
        if matches!(self.kind, Kind::Customer | Kind::Conversation) {
            let messages = json!({ "links": { "self": format!("{own}/messages") } });
            relationships.insert("messages".to_owned(), messages);
        }
        json!({
            "type": self.kind.type_name(),
            "id": self.id,
            "attributes": self.attributes,
            "relationships": relationships,
            "links": { "self": own },
        })
    }
}

/// The unique values of a customer: index name, attribute, field of its items.
pub const CUSTOMER_KEYS: &[(&str, &str, &str)] = &[
    ("phone", "phones", "phone"),
    ("email", "emails", "email"),
    ("whatsapp", "whatsapps", "phone"),
    ("externalId", "externalIds", "externalId"),
];

/// How a value is written in an index: e-mail addresses without case, everything else as it is.
pub fn fold(index: &str, value: &str) -> String {
    if index == "email" {
        value.to_lowercase()
    } else {
        value.to_owned()
    }
}

fn linkage(kind: Kind, id: &str) -> Value {
    json!({
        "links": { "self": format!("/v1/{}/{id}", kind.path()) },
        "data": { "type": kind.type_name(), "id": id },
    })
}
