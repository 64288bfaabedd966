//! Conversations: create, find, update, tag, delete, and what notes and messages do to them (Kustomer: Conversations).
//! Called by `routes.rs`, `bulk.rs`, `entries.rs` and a customer's merge, with bodies that passed the schema.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalog;
use super::customers;
use super::paging::{PAGE_SIZE_MAX, Page};
use super::record::{Kind, Record};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::state::State;

/// Creates a conversation of `customer` for `user`.
pub fn create(
    state: &mut State,
    user: &str,
    customer: &str,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    state.need(Kind::Customer, customer, "customer")?;
    catalog::check_custom(state, "conversation", &body)?;
    catalog::check_assigned(state, &body)?;
    let id = take_text(&mut body, "id");
    let id = state.id_for(Kind::Conversation, id)?;
    let mut conversation = state.blank(Kind::Conversation, id);
    for list in [
        "channels",
        "tags",
        "suggestedTags",
        "assignedUsers",
        "assignedTeams",
    ] {
        conversation.set(list, json!([]));
    }
    for count in [
        "messageCount",
        "noteCount",
        "inboundMessageCount",
        "outboundMessageCount",
        "reopenCount",
        "doneCount",
        "satisfaction",
    ] {
        conversation.set(count, json!(0));
    }
    for object in ["sentiment", "lastMessageIn", "firstResponse"] {
        conversation.set(object, json!({}));
    }
    conversation.set("status", json!("open"));
    conversation.set("rev", json!(1));
    let by = (Kind::User, user.to_owned());
    conversation
        .related
        .insert("customer", (Kind::Customer, customer.to_owned()));
    conversation.related.insert("createdBy", by.clone());
    conversation.related.insert("modifiedBy", by);
    let tags = body.remove("tags");
    body.remove("customer");
    let imported = body.contains_key("importedAt");
    conversation.write(body);
    refuse_taken(state, &conversation)?;
    if !imported {
        take_creation(state, Kind::Conversation, user, customer)?;
    }
    if let Some(tags) = tags {
        let ids = catalog::tag_ids(state, &tags);
        conversation.set("tags", json!(ids));
    }
    if conversation.text("status") == "done" {
        conversation.set("doneCount", json!(1));
    }
    let status = conversation.text("status").to_owned();
    let id = conversation.id.clone();
    state.put(conversation);
    customers::count_conversation(state, customer, None, Some(&status));
    state.need(Kind::Conversation, &id, "id")
}

/// `GET /v1/conversations/{id}`, `{id},{id}` or `externalId=`.
pub fn find(state: &State, selector: &str) -> Result<Reply, Refusal> {
    match selector.split_once('=') {
        Some(("externalId", value)) => {
            let found = state.find(Kind::Conversation, "externalId", value);
            let found = found.ok_or_else(|| Refusal::not_found("externalId"))?;
            Ok(Reply::data(200, found.json()))
        }
        _ => catalog::by_ids(state, Kind::Conversation, selector),
    }
}

/// PUT and PATCH: attributes, or `customer` alone, which moves the conversation.
pub fn update(
    state: &mut State,
    user: &str,
    id: &str,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    let before = state.need(Kind::Conversation, id, "id")?;
    if let Some(customer) = take_text(&mut body, "customer") {
        state.need(Kind::Customer, &customer, "customer")?;
        for kind in [Kind::Note, Kind::Message] {
            for child in state.ids_by(kind, "conversation", id) {
                if let Some(child) = state.get(kind, &child) {
                    move_to(state, &child, &customer);
                }
            }
        }
        move_to(state, &before, &customer);
        return state.need(Kind::Conversation, id, "id");
    }
    let mut conversation = (*before).clone();
    catalog::check_rev(state, &conversation, &mut body)?;
    catalog::check_custom(state, "conversation", &body)?;
    catalog::check_assigned(state, &body)?;
    if body.get("deleted") == Some(&json!(true)) {
        delete(state, id)?;
        return Ok(before);
    }
    let tags = body.remove("tags");
    conversation.write(body);
    refuse_taken(state, &conversation)?;
    if let Some(tags) = tags {
        let ids = catalog::tag_ids(state, &tags);
        conversation.set("tags", json!(ids));
    }
    edited(state, &mut conversation, user);
    set_status(state, conversation, before.text("status"));
    state.need(Kind::Conversation, id, "id")
}

/// Adds (`add`) or removes tags.
pub fn tag(
    state: &mut State,
    user: &str,
    id: &str,
    tags: &Value,
    add: bool,
) -> Result<Arc<Record>, Refusal> {
    let mut conversation = (*state.need(Kind::Conversation, id, "id")?).clone();
    let named = if add {
        catalog::tag_ids(state, tags)
    } else {
        let names = tags
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        names
            .map(|name| {
                state
                    .find(Kind::Tag, "name", name)
                    .map_or_else(|| name.to_owned(), |tag| tag.id.clone())
            })
            .collect()
    };
    let held = conversation
        .attributes
        .get("tags")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut ids: Vec<Value> = held
        .into_iter()
        .filter(|held| !named.iter().any(|id| held == id))
        .collect();
    if add {
        ids.extend(named.into_iter().map(Value::from));
    }
    conversation.set("tags", json!(ids));
    edited(state, &mut conversation, user);
    state.put(conversation);
    state.need(Kind::Conversation, id, "id")
}

/// Deletes; later reads are 404.
pub fn delete(state: &mut State, id: &str) -> Result<(), Refusal> {
    let conversation = state.need(Kind::Conversation, id, "id")?;
    state.delete(&conversation);
    if let Some(customer) = conversation.related_id("customer") {
        customers::count_conversation(state, customer, Some(conversation.text("status")), None);
    }
    Ok(())
}

/// `GET /v1/conversations/{id}/notes|messages`.
pub fn children(state: &State, ask: &Ask, id: &str, kind: Kind) -> Result<Reply, Refusal> {
    state.need(Kind::Conversation, id, "id")?;
    let page = Page::of(ask, PAGE_SIZE_MAX)?;
    let ids = state.ids_by(kind, "conversation", id);
    let (rows, more) = page.cut(ids.into_iter().filter_map(|child| state.get(kind, &child)));
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, None))
}

/// Gives a conversation, note or message to another customer.
pub fn move_to(state: &mut State, record: &Record, customer: &str) {
    let before = record.related_id("customer").map(str::to_owned);
    let mut moved = record.clone();
    moved
        .related
        .insert("customer", (Kind::Customer, customer.to_owned()));
    moved.touch(&state.clock.stamp());
    state.put(moved);
    if record.kind == Kind::Conversation {
        let status = record.text("status");
        if let Some(before) = before {
            customers::count_conversation(state, &before, Some(status), None);
        }
        customers::count_conversation(state, customer, None, Some(status));
    }
}

/// A note was added.
pub fn noted(state: &mut State, id: &str) {
    let Some(conversation) = state.get(Kind::Conversation, id) else {
        return;
    };
    let mut conversation = (*conversation).clone();
    conversation.count_up("noteCount", 1);
    let status = conversation.text("status").to_owned();
    conversation.touch(&state.clock.stamp());
    set_status(state, conversation, &status);
}

/// A message was added: channel, counts, and a done conversation may open again.
pub fn messaged(state: &mut State, id: &str, message: &Record) {
    let Some(before) = state.get(Kind::Conversation, id) else {
        return;
    };
    let mut conversation = (*before).clone();
    conversation.count_up("messageCount", 1);
    let channel = json!(message.text("channel"));
    if let Some(channels) = conversation
        .attributes
        .get_mut("channels")
        .and_then(Value::as_array_mut)
        && !channels.contains(&channel)
    {
        channels.push(channel.clone());
    }
    let direction = message.text("direction");
    let (count, snapshot) = if direction == "out" {
        ("outboundMessageCount", "lastMessageOut")
    } else {
        ("inboundMessageCount", "lastMessageIn")
    };
    conversation.count_up(count, 1);
    let sent_at = message.text("sentAt");
    conversation.set(
        snapshot,
        json!({ "id": message.id, "sentAt": sent_at, "channel": channel }),
    );
    conversation.set("lastMessageAt", json!(sent_at));
    conversation.set("lastMessageDirection", json!(direction));
    conversation
        .attributes
        .entry("direction")
        .or_insert_with(|| json!(direction));
    if state.options.reopen_on_inbound && direction == "in" && conversation.text("status") == "done"
    {
        conversation.set("status", json!("open"));
        conversation.count_up("reopenCount", 1);
    }
    conversation.touch(&state.clock.stamp());
    set_status(state, conversation, before.text("status"));
}

/// Takes a text property out of a body.
pub fn take_text(body: &mut Map<String, Value>, name: &str) -> Option<String> {
    match body.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// One more record of `kind` for this customer within the limit.
pub fn take_creation(
    state: &mut State,
    kind: Kind,
    user: &str,
    customer: &str,
) -> Result<(), Refusal> {
    let now_ms = state.clock.elapsed_ms();
    let taken = state.limits.take_creation(now_ms, kind, user, customer);
    taken.map(|_| ()).map_err(Refusal::too_many)
}

/// Refuses an externalId in use, where the option makes it unique.
pub fn refuse_taken(state: &State, record: &Record) -> Result<(), Refusal> {
    if state.options.unique_external_ids {
        state.refuse_taken(record, &["externalId"])?;
    }
    Ok(())
}

fn edited(state: &State, conversation: &mut Record, user: &str) {
    let now = state.clock.stamp();
    conversation.touch(&now);
    conversation.set("modifiedAt", json!(now));
    conversation
        .related
        .insert("modifiedBy", (Kind::User, user.to_owned()));
}

/// Stores a changed conversation and lets its customer follow.
fn set_status(state: &mut State, mut conversation: Record, before: &str) {
    let after = conversation.text("status").to_owned();
    if after == "done" && before != "done" {
        conversation.count_up("doneCount", 1);
    }
    let customer = conversation.related_id("customer").map(str::to_owned);
    state.put(conversation);
    if let Some(customer) = customer {
        customers::count_conversation(state, &customer, Some(before), Some(&after));
    }
}
