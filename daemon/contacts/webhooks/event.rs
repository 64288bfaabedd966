//! Reads an outbound webhook's body. Pure and lenient: what is odd in it costs no more than itself.
//! Source: Kustomer: Event catalog; a recorded event whose linkage had an object in the place of an id.

use crate::terms::ids::CustomerId;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The events that say that a customer is to be looked at. There are none for deletions and merges.
pub const EVENTS: [&str; 2] = ["kustomer.customer.create", "kustomer.customer.update"];

/// Longest id believed to be one; Kustomer's have 24 digits.
const ID_BYTES_MAX: usize = 64;

/// What matters of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Kustomer's id; of one without a usable id, the hash of its body, which a repeat has too.
    pub id: String,
    /// The customer that it says was created or changed.
    pub changed: Option<CustomerId>,
}

/// Reads a body whose signature was found to be right; none if it is no JSON object.
pub fn read(body: &[u8]) -> Option<Event> {
    let Ok(Value::Object(event)) = serde_json::from_slice(body) else {
        return None;
    };
    let hash = || {
        let digits = Sha256::digest(body);
        digits.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let name = event.get("name").and_then(Value::as_str);
    let ours = name.is_some_and(|name| EVENTS.contains(&name));
    let data = event.get("data").filter(|_| ours);
    Some(Event {
        id: event.get("id").and_then(plain_id).unwrap_or_else(hash),
        changed: data.and_then(customer),
    })
}

/// The resource's id, else the end of its own link.
fn customer(data: &Value) -> Option<CustomerId> {
    let link = || {
        let own = data.get("links")?.get("self")?.as_str()?;
        let id = own.strip_prefix("/v1/customers/")?;
        plain(id)
    };
    data.get("id")
        .and_then(plain_id)
        .or_else(link)
        .map(CustomerId)
}

fn plain_id(value: &Value) -> Option<String> {
    plain(value.as_str()?)
}

fn plain(id: &str) -> Option<String> {
    let letters = |id: &str| {
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (!id.is_empty() && id.len() <= ID_BYTES_MAX && letters(id)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(event: &Value) -> Option<String> {
        let read = read(event.to_string().as_bytes()).unwrap();
        read.changed.map(|id| id.0)
    }

    #[test]
    fn only_customers_created_or_changed_matter() {
        for (name, expected) in [
            ("kustomer.customer.create", Some("c1")),
            ("kustomer.customer.update", Some("c1")),
            ("kustomer.conversation.update", None),
            ("kustomer.customer.update.x", None),
        ] {
            let event = json!({"id": "e1", "name": name, "data": {"type": "customer", "id": "c1"}});
            assert_eq!(changed(&event).as_deref(), expected, "{name}");
        }
        assert_eq!(changed(&json!({"id": "e1", "data": {"id": "c1"}})), None);
    }

    #[test]
    fn odd_events_cost_no_more_than_themselves() {
        let name = EVENTS[1];
        let linked = json!({"name": name, "data": {"id": {"id": "x"}, "links": {"self": "/v1/customers/c2"}}});
        assert_eq!(changed(&linked).as_deref(), Some("c2"));
        for data in [
            json!(null),
            json!([]),
            json!({"id": ""}),
            json!({"id": "a/b"}),
            json!({"id": "x".repeat(65)}),
            json!({"id": {}, "links": {"self": "/v1/customers/[object Object]"}}),
        ] {
            assert_eq!(changed(&json!({"name": name, "data": data})), None);
        }
        for body in [&b"[]"[..], b"", b"{", b"\xff", b"7"] {
            assert_eq!(read(body), None);
        }
        // Without an id the same body is the same event, and another body is another.
        let id = |event: &Value| read(event.to_string().as_bytes()).unwrap().id;
        let other = json!({"name": name});
        assert_eq!(id(&linked), id(&linked));
        assert!(id(&linked) != id(&other) && id(&other).len() == 64);
        assert_eq!(id(&json!({"id": "e7"})), "e7");
    }
}
