//! Reads Kustomer's JSON: envelopes with one record or a list, and errors in the shapes seen. Pure and lenient: only
//! `id` is required, unknown and mistyped attributes are as good as absent. Called by the other files of this folder.
//! Source: Kustomer: JSON API format; Errors.

use super::fault::scrub;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// One record as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: String,
    attributes: Map<String, Value>,
    relationships: Map<String, Value>,
}

/// A usable reply: its records, and the link to the next page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub records: Vec<Record>,
    pub next: Option<String>,
    /// How many records there are on all pages, where that is told.
    pub total: Option<u64>,
}

/// What an error reply said, made fit for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// It has the `errors` that every recorded error of Kustomer has; a gateway in between may also speak JSON.
    pub kustomers: bool,
    pub code: String,
    pub detail: String,
}

impl Record {
    /// A text attribute; none if absent, null, empty or no text.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes
            .get(attribute)?
            .as_str()
            .filter(|text| !text.is_empty())
    }

    pub fn time(&self, attribute: &str) -> Option<Timestamp> {
        self.text(attribute)?.parse().ok()
    }

    /// True only when it says so.
    pub fn flag(&self, attribute: &str) -> bool {
        self.attributes
            .get(attribute)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// True only when it says that it isn't so.
    pub fn denies(&self, attribute: &str) -> bool {
        self.attributes.get(attribute).and_then(Value::as_bool) == Some(false)
    }

    /// The texts under `key` of a list attribute's items (`phones[].phone`).
    pub fn texts(&self, attribute: &str, key: &str) -> Vec<String> {
        self.items(attribute)
            .filter_map(|item| item.get(key)?.as_str())
            .map(str::to_owned)
            .collect()
    }

    /// The items of a list attribute; none if it is no list.
    pub fn items(&self, attribute: &str) -> impl Iterator<Item = &Value> {
        let list = self.attributes.get(attribute).and_then(Value::as_array);
        list.into_iter().flatten()
    }

    /// The items of a list attribute that has to be understood: nothing if it isn't set (absent, null or `{}`), none if it
    /// is something else than a list.
    pub fn list(&self, attribute: &str) -> Option<&[Value]> {
        match self.attributes.get(attribute) {
            None | Some(Value::Null) => Some(&[]),
            Some(Value::Array(items)) => Some(items),
            Some(Value::Object(fields)) if fields.is_empty() => Some(&[]),
            Some(_) => None,
        }
    }

    /// A whole number that isn't negative.
    pub fn whole(&self, attribute: &str) -> Option<u64> {
        self.attributes.get(attribute)?.as_u64()
    }

    /// An object attribute (`properties` of metadata).
    pub fn object(&self, attribute: &str) -> Option<&Map<String, Value>> {
        self.attributes.get(attribute)?.as_object()
    }

    /// The id of the one record this one is related to.
    pub fn related(&self, name: &str) -> Option<String> {
        let id = self
            .relationships
            .get(name)?
            .get("data")?
            .get("id")?
            .as_str()?;
        Some(id.to_owned()).filter(|id| !id.is_empty())
    }
}

/// Reads a success body.
///
/// # Errors
/// In words: what makes it unusable.
pub fn read(body: &[u8]) -> Result<Reply, &'static str> {
    let value: Value = serde_json::from_slice(body).map_err(|_| "no JSON, or cut short")?;
    let Value::Object(mut envelope) = value else {
        return Err("no envelope");
    };
    let records = match envelope.remove("data") {
        Some(Value::Array(items)) => items.into_iter().map(record).collect::<Option<Vec<_>>>(),
        Some(Value::Null) => Some(Vec::new()),
        Some(item) => record(item).map(|record| vec![record]),
        None => return Err("no data in the envelope"),
    };
    let next = envelope
        .get("links")
        .and_then(|links| links.get("next"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let total = envelope
        .get("meta")
        .and_then(|meta| meta.get("total"))
        .and_then(Value::as_u64);
    Ok(Reply {
        records: records.ok_or("a record without id")?,
        next,
        total,
    })
}

fn record(value: Value) -> Option<Record> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let Some(Value::String(id)) = fields.remove("id").filter(|id| *id != "") else {
        return None;
    };
    let mut object = |name: &str| match fields.remove(name) {
        Some(Value::Object(object)) => object,
        Some(_) | None => Map::new(),
    };
    Some(Record {
        id,
        attributes: object("attributes"),
        relationships: object("relationships"),
    })
}

/// Reads an error body; empty if it is no JSON object.
pub fn read_refusal(body: &[u8]) -> Refusal {
    let Ok(envelope) = serde_json::from_slice::<Value>(body) else {
        return Refusal::default();
    };
    let errors = envelope.get("errors");
    let first = match errors {
        Some(Value::Array(errors)) => errors.first(),
        Some(error) => Some(error),
        None => Some(&envelope),
    };
    let first = first.unwrap_or(&Value::Null);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let source = first.get("source");
    let named = |key: &str| match source.and_then(|source| source.get(key)) {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        Some(_) | None => String::new(),
    };
    let parts = [
        named("parameter"),
        named("parameters"),
        named("pointer"),
        text(first.get("title")),
        text(first.get("message")),
        text(first.get("detail")),
    ];
    let detail = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ");
    let (code, detail) = (scrub(&text(first.get("code"))), scrub(&detail));
    Refusal {
        kustomers: errors.is_some(),
        code,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_a_list_and_none_are_read() {
        let one =
            read(br#"{"data":{"type":"customer","id":"a","attributes":{"name":"Ada","x":1}}}"#)
                .unwrap();
        assert_eq!(one.records[0].text("name"), Some("Ada"));
        assert_eq!((one.records[0].text("x"), one.next), (None, None));
        let list = read(br#"{"data":[{"id":"a"},{"id":"b","attributes":null}],"links":{"next":"/v1/x?page=2"}}"#).unwrap();
        assert_eq!(
            (list.records.len(), list.next.as_deref()),
            (2, Some("/v1/x?page=2"))
        );
        assert_eq!(
            read(br#"{"data":[],"links":{"next":null}}"#)
                .unwrap()
                .records,
            []
        );
        assert_eq!(read(br#"{"data":null}"#).unwrap().records, []);
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for (body, why) in [
            (&b"<html></html>"[..], "no JSON, or cut short"),
            (br#"{"data":{"id":"a""#, "no JSON, or cut short"),
            (b"", "no JSON, or cut short"),
            (b"[]", "no envelope"),
            (b"{}", "no data in the envelope"),
            (br#"{"data":{"type":"note"}}"#, "a record without id"),
            (br#"{"data":[{"id":"a"},{"id":""}]}"#, "a record without id"),
        ] {
            assert_eq!(read(body), Err(why));
        }
    }

    #[test]
    fn odd_shapes_are_as_good_as_absent() {
        let body = br#"{"data":{"id":"a","attributes":{"phones":[{"phone":"+1"},{"phone":7},"x"],"emails":{},"deleted":"no",
            "updatedAt":"2026-10-21T14:05:40.118Z","createdAt":"soon"},
            "relationships":{"customer":{"data":[{"id":"b"}]},"company":{"data":{"id":"c"}},"klass":{"link":"x"}}}}"#;
        let reply = read(body).unwrap();
        let record = &reply.records[0];
        assert_eq!(record.texts("phones", "phone"), ["+1"]);
        assert!(record.texts("emails", "email").is_empty() && !record.flag("deleted"));
        assert!(record.time("updatedAt").is_some() && record.time("createdAt").is_none());
        assert_eq!(record.related("company").as_deref(), Some("c"));
        assert_eq!(
            (record.related("customer"), record.related("klass")),
            (None, None)
        );
    }

    #[test]
    fn errors_are_read_in_all_shapes() {
        let recorded = r#"{"errors":[{"status":400,"source":{"parameter":"x"},"code":"badparam",
            "title":"Additional properties not allowed","detail":"/properties/custom"}]}"#;
        let documented = r#"{"errors":[{"code":"bad_request","message":"Invalid.","meta":{}}]}"#;
        let plural =
            r#"{"errors":[{"status":"409","source":{"parameters":["a","b"]},"code":"conflict"}]}"#;
        let region = r#"{"message":"Auth token associated with pod prod2"}"#;
        for (body, kustomers, code, detail) in [
            (
                recorded,
                true,
                "badparam",
                "x: Additional properties not allowed: /properties/custom",
            ),
            (documented, true, "bad_request", "Invalid."),
            (plural, true, "conflict", "a, b"),
            (r#"{"errors":{"code":"one"}}"#, true, "one", ""),
            (r#"{"errors":[]}"#, true, "", ""),
            (region, false, "", "Auth token associated with pod prod2"),
            ("<html>", false, "", ""),
            ("[]", false, "", ""),
        ] {
            let (code, detail) = (code.to_owned(), detail.to_owned());
            assert_eq!(
                read_refusal(body.as_bytes()),
                Refusal {
                    kustomers,
                    code,
                    detail
                },
                "{body}"
            );
        }
    }
}
