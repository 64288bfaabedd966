//! Bulk creation: taken at once, done later, told per item (Kustomer: Bulk operations).
//! `routes.rs` takes and shows jobs; the server's timer calls `run_due`.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::conversations::{self, take_text};
use super::customer_schema::CUSTOMER;
use super::customers;
use super::entries::{self, MessageTo};
use super::faults::FaultKind;
use super::record::Kind;
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::roles::Caller;
use super::rules;
use super::schemas;
use super::state::State;

/// Items in one request.
const ITEMS_MAX: usize = 100;
/// Jobs kept; the oldest finished ones are forgotten first.
const JOBS_MAX: usize = 10_000;

/// A job: waiting items, then results.
#[derive(Debug, Clone)]
pub struct Bulk {
    kind: Kind,
    caller: Caller,
    items: Vec<Item>,
    created_at: String,
    started_ms: u64,
    due_ms: u64,
    fault: Option<FaultKind>,
    done: Option<Done>,
}

#[derive(Debug, Clone)]
struct Item {
    client_ref: Option<String>,
    body: Map<String, Value>,
}

#[derive(Debug, Clone)]
struct Done {
    at: String,
    object_ids: Vec<String>,
    errors: Vec<Value>,
    results: Vec<Value>,
}

/// `POST /v1/{customers|conversations|notes|messages}/bulk`: checks every item's schema, then answers 201.
pub fn create(state: &mut State, caller: &Caller, kind: Kind, ask: &Ask) -> Result<Reply, Refusal> {
    let Value::Array(sent) = ask.json()? else {
        return Err(Refusal::bad_body("the body must be an array"));
    };
    if sent.is_empty() || sent.len() > ITEMS_MAX {
        return Err(Refusal::bad(
            "body",
            format!("1 to {ITEMS_MAX} items, not {}", sent.len()),
            "/maxItems",
        ));
    }
    let items = read_items(kind, sent)?;
    let later_ms = match &ask.job_fault {
        Some(FaultKind::BulkDelay { ms }) => *ms,
        Some(_) | None => 0,
    };
    let delay_ms = u64::try_from(state.options.bulk_delay.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(later_ms);
    let started_ms = state.clock.elapsed_ms();
    let due_ms = started_ms.saturating_add(delay_ms);
    let id = state.new_id();
    let bulk = Bulk {
        kind,
        caller: caller.clone(),
        items,
        created_at: state.clock.stamp(),
        started_ms,
        due_ms,
        fault: ask.job_fault.clone(),
        done: None,
    };
    if state.bulks.len() >= JOBS_MAX {
        let oldest = state.bulks.iter().find(|(_, bulk)| bulk.done.is_some());
        let oldest = oldest.map(|(id, _)| id.clone()).ok_or_else(Refusal::full)?;
        state.bulks.remove(&oldest);
    }
    let shown = bulk.json(&id, started_ms);
    state.bulks.insert(id, bulk);
    Ok(Reply {
        due_ms: Some(due_ms),
        ..Reply::data(201, shown)
    })
}

/// `GET /v1/bulk/{id}`.
pub fn show(state: &State, id: &str) -> Result<Reply, Refusal> {
    let bulk = find(state, id)?;
    Ok(Reply::data(200, bulk.json(id, state.clock.elapsed_ms())))
}

fn find<'a>(state: &'a State, id: &str) -> Result<&'a Bulk, Refusal> {
    let bulk = state.bulks.get(id);
    bulk.filter(|bulk| !matches!(bulk.fault, Some(FaultKind::BulkVanish)))
        .ok_or_else(|| Refusal::not_found("id"))
}

/// `GET /v1/bulk/{id}/batches`; a job here has one batch.
pub fn batches(state: &State, id: &str) -> Result<Reply, Refusal> {
    let bulk = find(state, id)?;
    let mut attributes = json!({ "status": "queued", "createdAt": bulk.created_at, "objectIds": [], "successCount": 0, "failureCount": 0 });
    if let (Some(done), Some(fields)) = (&bulk.done, attributes.as_object_mut()) {
        fields.insert("status".to_owned(), json!("complete"));
        fields.insert("completedAt".to_owned(), json!(done.at));
        fields.insert("successCount".to_owned(), json!(done.object_ids.len()));
        fields.insert("failureCount".to_owned(), json!(done.errors.len()));
        if !matches!(bulk.fault, Some(FaultKind::BulkSilent)) {
            fields.insert("objectIds".to_owned(), json!(done.object_ids));
            fields.insert("errors".to_owned(), json!(done.errors));
            if bulk.items.iter().any(|item| item.client_ref.is_some()) {
                fields.insert("results".to_owned(), json!(done.results));
            }
        }
    }
    let own = format!("/v1/bulk/{id}/batches");
    let batch = json!({ "type": "bulk_batch", "id": format!("{id}-1"), "attributes": attributes });
    Ok(Reply::whole(
        200,
        json!({
            "meta": { "page": 1, "pageSize": 100 },
            "data": [batch],
            "links": { "self": own, "first": own, "prev": null, "next": null },
        }),
    ))
}

/// Does every job whose time has come.
pub fn run_due(state: &mut State) {
    let now_ms = state.clock.elapsed_ms();
    let due: Vec<String> = state
        .bulks
        .iter()
        .filter(|(_, bulk)| bulk.done.is_none() && bulk.due_ms <= now_ms)
        .map(|(id, _)| id.clone())
        .collect();
    for id in due {
        let Some((kind, caller, items, fault)) = state.bulks.get(&id).map(|bulk| {
            let (caller, items) = (bulk.caller.clone(), bulk.items.clone());
            (bulk.kind, caller, items, bulk.fault.clone())
        }) else {
            continue;
        };
        let done = run(state, kind, &caller, items, fault.as_ref());
        if let Some(bulk) = state.bulks.get_mut(&id) {
            bulk.done = Some(done);
        }
        state.changed.send_replace(());
    }
}

fn run(
    state: &mut State,
    kind: Kind,
    caller: &Caller,
    items: Vec<Item>,
    fault: Option<&FaultKind>,
) -> Done {
    let mut done = Done {
        at: state.clock.stamp(),
        object_ids: Vec::new(),
        errors: Vec::new(),
        results: Vec::new(),
    };
    for (number, item) in items.into_iter().enumerate() {
        let struck = match fault {
            Some(FaultKind::BulkItems { every, commit })
                if number.checked_rem(*every) == Some(0) =>
            {
                Some(*commit)
            }
            Some(_) | None => None,
        };
        let created = match struck {
            Some(false) => Err("internal error".to_owned()),
            Some(true) => item
                .create(state, kind, caller)
                .and(Err("internal error".to_owned())),
            None => item.create(state, kind, caller),
        };
        match created {
            Ok(id) => {
                done.results.push(
                    json!({ "_clientRef": item.client_ref, "objectId": id, "status": "created" }),
                );
                done.object_ids.push(id);
            }
            Err(why) => {
                done.results.push(
                    json!({ "_clientRef": item.client_ref, "status": "error", "error": why }),
                );
                done.errors.push(json!(why));
            }
        }
    }
    done
}

impl Item {
    /// Creates what it asks for; the new record's id, or Kustomer's words for why not.
    fn create(&self, state: &mut State, kind: Kind, caller: &Caller) -> Result<String, String> {
        let mut body = self.body.clone();
        let created = match kind {
            Kind::Customer => customers::create(state, &caller.user, body),
            Kind::Conversation => {
                let customer = take_text(&mut body, "customer").unwrap_or_default();
                conversations::create(state, &caller.user, &customer, body)
            }
            Kind::Note => entries::create_note(state, caller, None, body),
            Kind::Message => entries::create_message(state, caller, MessageTo::Body, body),
            Kind::User | Kind::Team | Kind::Tag | Kind::Merge | Kind::Company | Kind::Org => {
                Err(Refusal::not_found("path"))
            }
        };
        created
            .map(|record| record.id.clone())
            .map_err(|refusal| refusal.title().to_owned())
    }
}

fn read_items(kind: Kind, sent: Vec<Value>) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for value in sent {
        let Value::Object(mut body) = value else {
            return Err(Refusal::bad_body("every item must be an object"));
        };
        let bad_ref = || {
            Refusal::bad(
                "_clientRef",
                "must be 1 to 255 characters and unique",
                "/items/_clientRef",
            )
        };
        let client_ref = match body.remove("_clientRef") {
            None => None,
            Some(Value::String(text))
                if (1..=255).contains(&text.chars().count()) && seen.insert(text.clone()) =>
            {
                Some(text)
            }
            Some(_) => return Err(bad_ref()),
        };
        check_item(kind, &body)?;
        items.push(Item { client_ref, body });
    }
    if !seen.is_empty() && seen.len() != items.len() {
        return Err(Refusal::bad(
            "_clientRef",
            "on all items or on none",
            "/items/_clientRef",
        ));
    }
    Ok(items)
}

fn check_item(kind: Kind, body: &Map<String, Value>) -> Result<(), Refusal> {
    match kind {
        Kind::Customer => rules::check(&[CUSTOMER], body),
        Kind::Conversation => rules::check(
            &[schemas::CONVERSATION, schemas::CONVERSATION_CUSTOMER],
            body,
        ),
        Kind::Note => rules::check(
            &[schemas::NOTE, &[schemas::NOTE_CONVERSATION]].concat(),
            body,
        ),
        Kind::Message => rules::check(&[schemas::MESSAGE, &[schemas::MESSAGE_ROOT]].concat(), body),
        Kind::User | Kind::Team | Kind::Tag | Kind::Merge | Kind::Company | Kind::Org => {
            Err(Refusal::not_found("path"))
        }
    }
}

impl Bulk {
    /// Queued for the first half of its time, then running, then complete.
    fn json(&self, id: &str, now_ms: u64) -> Value {
        let half_ms = self.started_ms.saturating_add(self.due_ms) / 2;
        let status = match &self.done {
            Some(_) => "complete",
            None if now_ms >= half_ms && now_ms > self.started_ms => "running",
            None => "queued",
        };
        let (ids, updated_at) = match &self.done {
            Some(done) => (done.object_ids.clone(), &done.at),
            None => (Vec::new(), &self.created_at),
        };
        json!({
            "type": "bulk",
            "id": id,
            "attributes": {
                "status": status,
                "context": format!("api.sobjects.{}.bulk-create", self.kind.path()),
                "ids": ids,
                "payload": {},
                "createdAt": self.created_at,
                "updatedAt": updated_at,
                "completed": self.done.is_some(),
                "batches": { "complete": u8::from(self.done.is_some()), "total": 1 },
            },
            "links": { "self": format!("/v1/bulk/{id}") },
        })
    }
}
