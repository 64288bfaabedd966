//! A contact as JSON, both ways: what the HTTP API and the admin interface send, and what they take. Reading says which
//! field is wrong. Used by `api/` and the admin interface.

use super::Entry;
use super::directory::Content;
use crate::terms::contact::{
    Address, ContactId, Email, EmailAddress, EmailKind, Fields, Phone, PhoneKind,
};
use crate::terms::number::NumberPlan;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

/// `{"id","name","phones":[{"number","type"}],…}`, as docs/contacts.md has it.
pub fn to_json(entry: &Entry) -> Value {
    let contact = &entry.contact;
    let mut json = content_json(&contact.fields, contact.link.as_deref(), &contact.tags);
    let sources = contact.sources.iter();
    let sources: Vec<Value> = sources
        .map(|source| json!({"kustomer": source.kustomer, "customer": source.customer}))
        .collect();
    if let Value::Object(members) = &mut json {
        members.insert("id".to_owned(), json!(contact.id.0));
        members.insert("sources".to_owned(), Value::Array(sources));
        let at = contact.updated_at.to_string();
        members.insert("updated_at".to_owned(), json!(at));
    }
    json
}

/// What people may write of it.
fn content_json(fields: &Fields, link: Option<&str>, tags: &[String]) -> Value {
    json!({
        "name": fields.name,
        "phones": fields.phones,
        "emails": fields.emails,
        "company": fields.company,
        "website": fields.website,
        "address": fields.address,
        "link": link,
        "tags": tags,
    })
}

/// What is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireFault(pub String);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ContactBody {
    id: Option<String>,
    name: String,
    phones: Vec<PhoneBody>,
    emails: Vec<EmailBody>,
    company: String,
    website: String,
    address: AddressBody,
    link: Option<String>,
    tags: Vec<String>,
    // Ours: taken, so that what was read can be sent back, and not looked at.
    #[serde(rename = "sources")]
    _sources: IgnoredAny,
    #[serde(rename = "updated_at")]
    _updated_at: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneBody {
    number: String,
    #[serde(rename = "type", default)]
    kind: PhoneKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailBody {
    email: String,
    #[serde(rename = "type", default)]
    kind: EmailKind,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AddressBody {
    street: String,
    city: String,
    zip: String,
    state: String,
    country: String,
}

/// Reads a contact. `id` is the one in the path: a body that has another is refused.
///
/// # Errors
/// The first field that is wrong.
pub fn from_json(
    body: Value,
    id: Option<&ContactId>,
    plan: &NumberPlan,
) -> Result<Content, WireFault> {
    if !body.is_object() {
        return Err(WireFault("the body is no JSON object".to_owned()));
    }
    let body: ContactBody =
        serde_json::from_value(body).map_err(|error| WireFault(error.to_string()))?;
    if body.id.is_some() && body.id.as_ref() != id.map(|ContactId(id)| id) {
        let what =
            "id: it isn't the one in the path; PUT /v1/contacts/{id} chooses an id, POST gets one";
        return Err(WireFault(what.to_owned()));
    }
    let mut phones = Vec::new();
    for (index, phone) in body.phones.into_iter().enumerate() {
        let number = plan.parse_signalled(&phone.number).map_err(|fault| {
            WireFault(format!(
                "phones[{index}].number: {:?}: {fault}",
                phone.number
            ))
        })?;
        phones.push(Phone {
            number,
            kind: phone.kind,
        });
    }
    let mut emails = Vec::new();
    for (index, email) in body.emails.into_iter().enumerate() {
        let address = EmailAddress::parse(&email.email).ok_or_else(|| {
            WireFault(format!(
                "emails[{index}].email: {:?} is no e-mail address",
                email.email
            ))
        })?;
        emails.push(Email {
            email: address,
            kind: email.kind,
        });
    }
    let AddressBody {
        street,
        city,
        zip,
        state,
        country,
    } = body.address;
    Ok(Content {
        fields: Fields {
            name: body.name,
            phones,
            emails,
            company: body.company,
            website: body.website,
            address: Address {
                street,
                city,
                zip,
                state,
                country,
            },
        },
        link: body.link,
        tags: body.tags,
    })
}

/// The content with a JSON merge patch (RFC 7396) put on it.
///
/// # Errors
/// The first field of the outcome that is wrong.
pub fn patched(
    content: &Content,
    patch: &Value,
    id: &ContactId,
    plan: &NumberPlan,
) -> Result<Content, WireFault> {
    if !patch.is_object() {
        return Err(WireFault("the patch is no JSON object".to_owned()));
    }
    let mut target = content_json(&content.fields, content.link.as_deref(), &content.tags);
    merge(&mut target, patch);
    from_json(target, Some(id), plan)
}

/// RFC 7396, section 2. As deep as the patch, which serde_json bounds at 128.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_does_what_the_rfc_shows() {
        // RFC 7396, appendix A.
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"foo"}"#, r#"null"#, r#"null"#),
            (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            (
                r#"{}"#,
                r#"{"a":{"bb":{"ccc":null}}}"#,
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            let mut target: Value = serde_json::from_str(original).unwrap();
            merge(&mut target, &serde_json::from_str(patch).unwrap());
            assert_eq!(target, serde_json::from_str::<Value>(result).unwrap());
        }
    }
}
