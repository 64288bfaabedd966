//! Which custom attributes conversations have. Source: Kustomer: Get custom attribute metadata.

use super::client::{Client, one};
use super::fault::KustomerFault;
use serde_json::Value;
use std::collections::BTreeMap;

/// What an organisation says of one of its custom attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    /// `string`, `number`, `boolean`, as sent.
    pub kind: Option<String>,
    /// The values of a list; empty: any value.
    pub options: Vec<Value>,
    /// It holds several values at once.
    pub multi: bool,
}

/// By name.
pub type Attributes = BTreeMap<String, Attribute>;

impl Client {
    /// The custom attributes of conversations.
    ///
    /// # Errors
    /// `Garbled` also when the reply names no properties: that isn't the same as having none.
    pub async fn conversation_attributes(&self) -> Result<Attributes, KustomerFault> {
        let path = "/v1/metadata/conversation".to_owned();
        let reply = self.get("GET /v1/metadata/conversation", path).await?;
        let record = one(reply)?;
        let properties = record.object("properties");
        let properties = properties.ok_or_else(|| KustomerFault::Garbled {
            status: 200,
            what: "metadata without properties".to_owned(),
        })?;
        let alive = properties
            .iter()
            .filter(|(_, about)| !flag(about, "deleted"));
        Ok(alive
            .map(|(name, about)| (name.clone(), attribute(about)))
            .collect())
    }
}

fn attribute(about: &Value) -> Attribute {
    let kind = about.get("type").and_then(Value::as_str);
    let options = about.get("enumeration").and_then(Value::as_array);
    Attribute {
        kind: kind.map(str::to_owned),
        options: options.cloned().unwrap_or_default(),
        multi: flag(about, "multi"),
    }
}

fn flag(about: &Value, name: &str) -> bool {
    about.get(name).and_then(Value::as_bool).unwrap_or(false)
}
