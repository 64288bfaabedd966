//! `POST /v1/customers/merges` (Kustomer: Merge customers). Called by `routes.rs`, with a body that passed the schema.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::conversations;
use super::record::{CUSTOMER_KEYS, Kind, Record};
use super::reply::Refusal;
use super::state::State;

/// Lists of which the target gets the union.
const UNITED: &[&str] = &[
    "sharedPhones",
    "sharedEmails",
    "sharedExternalIds",
    "socials",
    "locations",
    "urls",
    "watchers",
    "tags",
];

/// The source's values and children go to the target, which wins where both have one; the source is gone.
pub fn merge(
    state: &mut State,
    user: &str,
    body: &Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    let side = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (source_id, target_id) = (side("source"), side("target"));
    if source_id == target_id {
        return Err(Refusal::bad(
            "source",
            "source and target are the same",
            "/properties/source",
        ));
    }
    let source = state.need(Kind::Customer, &source_id, "source")?;
    let mut target = (*state.need(Kind::Customer, &target_id, "target")?).clone();
    state.delete(&source);
    unite(&source, &mut target);
    let now = state.clock.stamp();
    target.touch(&now);
    target.set("modifiedAt", json!(now));
    state.put(target);
    for kind in [Kind::Conversation, Kind::Note, Kind::Message] {
        for id in state.ids_by(kind, "customer", &source_id) {
            if let Some(child) = state.get(kind, &id) {
                conversations::move_to(state, &child, &target_id);
            }
        }
    }
    let mut merge = state.blank(Kind::Merge, None);
    merge.set("status", json!("success"));
    merge.related.insert("source", (Kind::Customer, source_id));
    merge.related.insert("target", (Kind::Customer, target_id));
    merge
        .related
        .insert("createdBy", (Kind::User, user.to_owned()));
    let id = merge.id.clone();
    state.put(merge);
    state.need(Kind::Merge, &id, "id")
}

fn unite(source: &Record, target: &mut Record) {
    let lists = CUSTOMER_KEYS.iter().map(|key| key.1);
    for list in lists.chain(UNITED.iter().copied()) {
        let held = target.attributes.entry(list).or_insert_with(|| json!([]));
        let extra = source.attributes.get(list).and_then(Value::as_array);
        if let (Some(held), Some(extra)) = (held.as_array_mut(), extra) {
            for item in extra {
                if !held.contains(item) {
                    held.push(item.clone());
                }
            }
        }
    }
    let custom = |record: &Record| {
        let custom = record.attributes.get("custom").and_then(Value::as_object);
        custom.cloned().unwrap_or_default()
    };
    let mut united = custom(source);
    united.extend(custom(target));
    if !united.is_empty() {
        target.set("custom", Value::Object(united));
    }
}
