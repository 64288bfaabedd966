//! Notes and messages: create, update, delete (Kustomer: Notes, Messages). Called by `routes.rs` and `bulk.rs`, with
//! bodies that passed the schema.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalog;
use super::conversations::{self, refuse_taken, take_creation, take_text};
use super::record::{Kind, Record};
use super::reply::Refusal;
use super::roles::{BACKDATE, Caller};
use super::state::State;

/// Properties that need `org.admin`.
const BACKDATED: &[&str] = &["createdAt", "createdBy", "modifiedAt", "modifiedBy"];

/// Creates a note in a conversation; `path` names it, or the body does.
pub fn create_note(
    state: &mut State,
    caller: &Caller,
    path: Option<&str>,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    refuse_backdating(caller, &body)?;
    let named = take_text(&mut body, "conversation");
    if let (Some(path), Some(named)) = (path, &named)
        && path != named
    {
        return Err(Refusal::bad(
            "conversation",
            "not the conversation of the path",
            "/properties/conversation",
        ));
    }
    let conversation_id = path.map(str::to_owned).or(named).unwrap_or_default();
    let conversation = state.need(Kind::Conversation, &conversation_id, "conversation")?;
    let customer = conversation.related_id("customer").unwrap_or("").to_owned();
    let id = take_text(&mut body, "id");
    let id = state.id_for(Kind::Note, id)?;
    let mut note = state.blank(Kind::Note, id);
    note.related
        .insert("customer", (Kind::Customer, customer.clone()));
    note.related.insert(
        "conversation",
        (Kind::Conversation, conversation_id.clone()),
    );
    write(&mut note, caller, body, true);
    refuse_taken(state, &note)?;
    take_creation(state, Kind::Note, &caller.user, &customer)?;
    let id = note.id.clone();
    state.put(note);
    conversations::noted(state, &conversation_id);
    state.need(Kind::Note, &id, "id")
}

/// Where a new message goes.
#[derive(Debug, Clone, Copy)]
pub enum MessageTo<'a> {
    /// The body says.
    Body,
    Conversation(&'a str),
    Customer(&'a str),
}

/// Creates a message; without a conversation it gets one of its own.
pub fn create_message(
    state: &mut State,
    caller: &Caller,
    to: MessageTo<'_>,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    refuse_backdating(caller, &body)?;
    catalog::check_custom(state, "message", &body)?;
    let named = take_text(&mut body, "conversation");
    let customer = take_text(&mut body, "customer");
    let (conversation, customer) = match to {
        MessageTo::Body => (named, customer),
        MessageTo::Conversation(id) => (Some(id.to_owned()), customer),
        MessageTo::Customer(id) => (named, Some(id.to_owned())),
    };
    let id = take_text(&mut body, "id");
    let id = state.id_for(Kind::Message, id)?;
    let held = match &conversation {
        Some(id) => Some(state.need(Kind::Conversation, id, "conversation")?),
        None => None,
    };
    let owner = held
        .as_ref()
        .and_then(|held| held.related_id("customer"))
        .map(str::to_owned);
    let customer = match (owner, customer) {
        (Some(owner), Some(named)) if owner != named => {
            return Err(Refusal::bad(
                "customer",
                "not the conversation's customer",
                "/properties/customer",
            ));
        }
        (Some(customer), _) | (None, Some(customer)) => customer,
        (None, None) => {
            return Err(Refusal::bad(
                "conversation",
                "Missing required property: conversation or customer",
                "/required",
            ));
        }
    };
    state.need(Kind::Customer, &customer, "customer")?;
    let mut message = state.blank(Kind::Message, id);
    message.set("rev", json!(1));
    message.set("status", json!("sent"));
    let sent_at = message.text("createdAt").to_owned();
    message.set("sentAt", json!(sent_at));
    let imported = body.contains_key("importedAt");
    write(&mut message, caller, body, true);
    refuse_taken(state, &message)?;
    if !imported {
        take_creation(state, Kind::Message, &caller.user, &customer)?;
    }
    let conversation = match conversation {
        Some(id) => id,
        None => conversations::create(state, &caller.user, &customer, Map::new())?
            .id
            .clone(),
    };
    message
        .related
        .insert("customer", (Kind::Customer, customer));
    message
        .related
        .insert("conversation", (Kind::Conversation, conversation.clone()));
    state.put(message.clone());
    conversations::messaged(state, &conversation, &message);
    state.need(Kind::Message, &message.id, "id")
}

/// PUT and PATCH of a note or message.
pub fn update(
    state: &mut State,
    caller: &Caller,
    kind: Kind,
    id: &str,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    let mut entry = (*state.need(kind, id, "id")?).clone();
    refuse_backdating(caller, &body)?;
    catalog::check_custom(state, "message", &body)?;
    if let Some(conversation) = take_text(&mut body, "conversation") {
        let target = state.need(Kind::Conversation, &conversation, "conversation")?;
        if let Some(customer) = target.related.get("customer") {
            entry.related.insert("customer", customer.clone());
        }
        entry
            .related
            .insert("conversation", (Kind::Conversation, conversation));
    }
    if body.get("deleted") == Some(&json!(true)) {
        delete(state, kind, id)?;
        return Ok(Arc::new(entry));
    }
    let now = state.clock.stamp();
    entry.touch(&now);
    entry.set("modifiedAt", json!(now));
    write(&mut entry, caller, body, false);
    refuse_taken(state, &entry)?;
    state.put(entry);
    state.need(kind, id, "id")
}

/// Deletes; a conversation counts its notes without it.
pub fn delete(state: &mut State, kind: Kind, id: &str) -> Result<(), Refusal> {
    let entry = state.need(kind, id, "id")?;
    state.delete(&entry);
    let conversation = entry
        .related_id("conversation")
        .and_then(|id| state.get(Kind::Conversation, id));
    if let Some(conversation) = conversation {
        let mut conversation = (*conversation).clone();
        let count = if kind == Kind::Note {
            "noteCount"
        } else {
            "messageCount"
        };
        conversation.count_up(count, -1);
        conversation.touch(&state.clock.stamp());
        state.put(conversation);
    }
    Ok(())
}

/// `GET /v1/messages/{id}` or `externalid=`.
pub fn find_message(state: &State, selector: &str) -> Result<Arc<Record>, Refusal> {
    match selector.split_once('=') {
        Some(("externalid", value)) => state
            .find(Kind::Message, "externalId", value)
            .ok_or_else(|| Refusal::not_found("externalid")),
        _ => state.need(Kind::Message, selector, "id"),
    }
}

fn refuse_backdating(caller: &Caller, body: &Map<String, Value>) -> Result<(), Refusal> {
    if BACKDATED.iter().any(|name| body.contains_key(*name)) {
        caller.needs(BACKDATE)?;
    }
    Ok(())
}

fn write(entry: &mut Record, caller: &Caller, mut body: Map<String, Value>, new: bool) {
    let by = take_text(&mut body, "createdBy");
    if new || by.is_some() {
        let by = by.unwrap_or_else(|| caller.user.clone());
        entry.related.insert("createdBy", (Kind::User, by));
    }
    let by = take_text(&mut body, "modifiedBy").unwrap_or_else(|| caller.user.clone());
    entry.related.insert("modifiedBy", (Kind::User, by));
    entry.write(body);
}
