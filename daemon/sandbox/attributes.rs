//! The search attributes (Kustomer: Search, the vendor's list by object) and where a record has their values.
//! Used by `search.rs`.

use serde_json::Value;

use super::record::{Kind, Record};
use super::reply::Refusal;
use super::state::State;

/// A documented attribute: of the rows themselves, or of their customer.
#[derive(Debug, Clone)]
pub struct Attribute {
    of: Kind,
    name: String,
}

const CUSTOMER: &[&str] = &[
    "any_text",
    "name",
    "gender",
    "presence",
    "email",
    "shared_email",
    "phone",
    "shared_phone",
    "urls",
    "address",
    "locale",
    "activity_at",
    "last_seen_at",
    "signed_up_at",
    "last_message_sent_at",
    "last_message_out_sent_at",
    "last_message_unresponded_to_sent_at",
    "last_message_at",
    "externalId",
    "shared_externalId",
    "created_at",
    "updated_at",
    "modified_at",
    "created_by",
    "modified_by",
    "satisfaction_avg_score",
    "satisfaction_avg_rating",
    "conversations_count",
    "status",
    "progressive_status",
    "active_users",
    "watchers",
    "tags",
    "sentiment",
    "social_type",
    "social_userid",
    "social_username",
    "default_lang",
    "imported_at",
    "imported",
    "companyId",
];
/// There is no `conversation_external_id`.
const CONVERSATION: &[&str] = &[
    "any_text",
    "name",
    "sentiment",
    "status",
    "sub_status",
    "created_at",
    "updated_at",
    "modified_at",
    "modified_by",
    "message_count",
    "note_count",
    "satisfaction",
    "channels",
    "priority",
    "tags",
    "assigned_users",
    "assigned_teams",
    "last_message_sent_at",
    "last_message_out_sent_at",
    "last_message_unresponded_to_sent_at",
    "last_message_at",
    "first_response_sent_at",
    "first_response_time",
    "first_response_created_by",
    "last_response_created_by",
    "last_message_direction",
    "direction",
    "outbound_message_count",
    "customer_id",
    "campaign_id",
    "first_message_in_sent_at",
    "first_message_in_direction_type",
    "first_message_in_channel",
    "first_message_out_sent_at",
    "first_message_out_direction_type",
    "first_message_out_channel",
    "default_lang",
    "first_done_created_by",
    "last_done_created_at",
    "last_done_created_by",
    "last_done_created_by_teams",
    "reply_channel",
    "queue",
    "external_queue",
    "ended",
    "ended_at",
    "ended_reason",
    "imported_at",
    "imported",
];
const MESSAGE: &[&str] = &[
    "any_text",
    "body",
    "channel",
    "size",
    "direction",
    "sent_at",
    "created_at",
    "updated_at",
    "created_by",
    "modified_by",
    "sentiment",
    "customer_id",
    "status",
    "error_at",
    "error_title",
    "external_id",
    "direction_type",
    "created_by_teams",
    "redacted",
    "redacted_at",
    "imported_at",
    "imported",
    "recipients",
    "sender",
    "shortcuts",
    "subject",
    "source",
    "attachment_count",
    "auto",
    "lang",
];
const NOTE: &[&str] = &[
    "any_text",
    "body",
    "created_at",
    "modified_at",
    "updated_at",
    "created_by",
    "modified_by",
    "deleted",
    "user_mentions",
    "team_mentions",
    "attachment_count",
    "external_id",
    "customer_id",
    "conversation_id",
    "lang",
    "imported_at",
    "imported",
];

/// Reads an attribute's name for rows of `kind`; refuses what is not documented or not defined.
pub fn attribute(state: &State, kind: Kind, full_name: &str) -> Result<Attribute, Refusal> {
    let contexts = [
        (Kind::Customer, CUSTOMER),
        (Kind::Conversation, CONVERSATION),
        (Kind::Message, MESSAGE),
        (Kind::Note, NOTE),
    ];
    for (of, known) in contexts {
        let prefix = format!("{}_", of.type_name());
        let Some(name) = full_name.strip_prefix(&prefix) else {
            continue;
        };
        let defined = |custom: &str| {
            let metadata = state.options.custom.get(of.type_name());
            metadata.is_some_and(|metadata| metadata.get(custom).is_some())
        };
        let valid = known.contains(&name) || name.strip_prefix("custom_").is_some_and(defined);
        if valid && (of == kind || of == Kind::Customer) {
            return Ok(Attribute {
                of,
                name: name.to_owned(),
            });
        }
    }
    Err(Refusal::bad(
        full_name,
        "no such search attribute in this context",
        "/search/attribute",
    ))
}

/// The values a row has under an attribute; none when it is not set.
pub fn values(state: &State, attribute: &Attribute, row: &Record) -> Vec<Value> {
    if attribute.of == row.kind {
        return own_values(attribute, row);
    }
    row.related_id("customer")
        .and_then(|id| state.indexed_one(Kind::Customer, id))
        .map(|customer| own_values(attribute, customer))
        .unwrap_or_default()
}

fn own_values(attribute: &Attribute, row: &Record) -> Vec<Value> {
    let mut found = Vec::new();
    if let Some(custom) = attribute.name.strip_prefix("custom_") {
        collect(
            row.attributes.get("custom").and_then(|all| all.get(custom)),
            &mut found,
        );
        return found;
    }
    let relationship = match attribute.name.as_str() {
        "customer_id" => Some("customer"),
        "conversation_id" => Some("conversation"),
        "created_by" => Some("createdBy"),
        "modified_by" => Some("modifiedBy"),
        "companyId" => Some("company"),
        _ => None,
    };
    if let Some(relationship) = relationship {
        return row
            .related_id(relationship)
            .map(Value::from)
            .into_iter()
            .collect();
    }
    let (list, field) = match (attribute.of, attribute.name.as_str()) {
        (Kind::Customer, "email") => ("emails", "email"),
        (Kind::Customer, "shared_email") => ("sharedEmails", "email"),
        (Kind::Customer, "phone") => ("phones", "phone"),
        (Kind::Customer, "shared_phone") => ("sharedPhones", "phone"),
        (Kind::Customer, "externalId") => ("externalIds", "externalId"),
        (Kind::Customer, "shared_externalId") => ("sharedExternalIds", "externalId"),
        (Kind::Customer, "urls") => ("urls", "url"),
        (Kind::Customer, "address") => ("locations", "address"),
        (Kind::Customer, "social_type") => ("socials", "type"),
        (Kind::Customer, "social_userid") => ("socials", "userid"),
        (Kind::Customer, "social_username") => ("socials", "username"),
        _ => ("", ""),
    };
    if !list.is_empty() {
        let items = row.attributes.get(list).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            collect(item.get(field), &mut found);
        }
        return found;
    }
    match attribute.name.as_str() {
        "any_text" => row
            .attributes
            .values()
            .for_each(|value| collect_deep(value, &mut found)),
        "imported" => found.push(Value::Bool(row.attributes.contains_key("importedAt"))),
        "deleted" => found.push(Value::Bool(row.deleted)),
        "body" if row.kind == Kind::Message => collect(row.attributes.get("preview"), &mut found),
        "activity_at" => collect(row.attributes.get("lastActivityAt"), &mut found),
        "conversations_count" => {
            let counts = row.attributes.get("conversationCounts");
            collect(counts.and_then(|counts| counts.get("all")), &mut found);
        }
        name => collect(row.attributes.get(&camel(name)), &mut found),
    }
    found
}

fn collect(value: Option<&Value>, found: &mut Vec<Value>) {
    match value {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(Value::Array(items)) => items.iter().for_each(|item| collect(Some(item), found)),
        Some(value) => found.push(value.clone()),
    }
}

fn collect_deep(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|field| collect_deep(field, found)),
        Value::Array(items) => items.iter().for_each(|item| collect_deep(item, found)),
        value => collect(Some(value), found),
    }
}

/// `last_message_at` is held as `lastMessageAt`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            camel.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}
