//! The contact syncs over the admin interface: the plan, links, conflicts, what is wished of them, and what `status` shows.

mod status;

use super::Admin;
use super::answer::{Answer, broken, not_found};
use crate::calls::intake::problem::Problem;
use crate::clock;
use crate::contacts::closure::Closure;
use crate::contacts::guard::{MaxChanges, guard};
use crate::contacts::link::{Link, LinkState};
use crate::contacts::memory::{Memory, Node};
use crate::contacts::plan::{Action, Conflict, Edit, LeftOut, Plan, Rules, Step, Whose, Wish};
use crate::contacts::rounds::{PlanId, Scope, survey};
use crate::contacts::schedule::{Nudge, SyncStatus, Task, sizes};
use crate::offload::off_the_runtime;
use crate::store::StoreFault;
use crate::terms::contact::{ContactId, Fields};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(super) use status::{families, status_json};

/// Rows of each kind in an answer: more than a person reads.
const ROWS_MAX: usize = 1000;

/// A run that goes on when somebody asks is waited for so long; an import may take hours.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How others speak to a sync, and what they see of it.
#[derive(Clone)]
pub struct SyncDesk {
    pub memory: Memory,
    pub nudge: mpsc::Sender<Nudge>,
    pub status: Arc<Mutex<SyncStatus>>,
    pub rules: Rules,
    pub max: MaxChanges,
}

impl SyncDesk {
    pub(super) fn status(&self) -> SyncStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }

    /// Passes a wish on and waits for its end.
    async fn ask<T>(
        &self,
        nudge: impl FnOnce(oneshot::Sender<T>) -> Nudge + Send,
    ) -> Result<T, Problem> {
        let (done, told) = oneshot::channel();
        let asked = async {
            self.nudge.send(nudge(done)).await.ok()?;
            told.await.ok()
        };
        match tokio::time::timeout(WAIT_MAX, asked).await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(busy(
                "the daemon is about to stop, or the run ended with a fault",
            )),
            Err(_) => {
                let work = self.status().work.map_or_else(String::new, |work| {
                    let total = work
                        .total
                        .map_or_else(String::new, |all| format!(" of {all}"));
                    let what = match work.task {
                        Task::Import => "customers are imported",
                        Task::Write => "writes are done",
                    };
                    format!(": {}{total} {what}", work.done)
                });
                Err(busy(&format!(
                    "the sync is at work{work}; it goes on, ask again later"
                )))
            }
        }
    }
}

fn busy(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", why.to_owned())
}

fn desks(admin: &Admin) -> impl Iterator<Item = &SyncDesk> {
    admin
        .integrations
        .iter()
        .filter_map(|part| part.sync.as_ref())
}

fn some(admin: &Admin) -> Result<(), Problem> {
    if desks(admin).next().is_none() {
        let detail = "no [[kustomer]] has a [kustomer.contacts]: nothing is synced";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-sync", detail));
    }
    Ok(())
}

/// What would be done now; both sides are read for it, nothing is written to them.
pub(super) async fn plan(State(admin): State<Arc<Admin>>) -> Answer {
    some(&admin)?;
    let mut plans = Vec::new();
    for desk in desks(&admin) {
        let told = desk.ask(|done| Nudge::Read { done }).await?;
        told.map_err(|why| Problem::new(StatusCode::BAD_GATEWAY, "sync", why))?;
        plans.push(planned(desk).await?);
    }
    Ok(Json(json!({"plans": plans})).into_response())
}

/// The fields that wait for somebody.
pub(super) async fn conflicts(State(admin): State<Arc<Admin>>) -> Answer {
    some(&admin)?;
    let mut all = Vec::new();
    for desk in desks(&admin) {
        let plan = planned(desk).await?;
        all.push(json!({"kustomer": plan.get("kustomer"), "conflicts": plan.get("conflicts")}));
    }
    Ok(Json(json!({"conflicts": all})).into_response())
}

async fn planned(desk: &SyncDesk) -> Result<Value, Problem> {
    let desk = desk.clone();
    let look = off_the_runtime(move || look_at_all(&desk)).await;
    let looked = look.map_err(|error| busy(&error.to_string()))?;
    looked.map_err(broken)
}

fn look_at_all(desk: &SyncDesk) -> Result<Value, StoreFault> {
    let (mut steps, mut left_out, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    let mut fault = None;
    let see = |plan: &Plan| {
        for step in plan.steps.iter().take(ROWS_MAX.saturating_sub(steps.len())) {
            match step_json(&desk.memory, step) {
                Ok(row) => steps.push(row),
                Err(why) => fault = Some(why),
            }
        }
        let room = ROWS_MAX.saturating_sub(left_out.len());
        left_out.extend(plan.left_out.iter().take(room).map(left_out_json));
        let room = ROWS_MAX.saturating_sub(conflicts.len());
        conflicts.extend(plan.conflicts.iter().take(room).map(conflict_json));
    };
    let survey = survey(&desk.memory, &desk.rules, clock::now(), Scope::All, see)?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    let verdict = guard(survey.changes, sizes(&desk.memory.meta()?), desk.max);
    let refused = desk.memory.refusals(ROWS_MAX)?;
    let refused = refused.into_iter();
    let refused: Vec<Value> = refused
        .map(|(link, one)| json!({"contact": link, "why": one.why, "at": one.at.to_string()}))
        .collect();
    Ok(json!({
        "kustomer": desk.rules.kustomer,
        "plan": survey.id.to_string(),
        "counts": survey.counts,
        "writes": survey.counts.writes(),
        "stopped": verdict.err().map(|stop| stop.to_string()),
        "steps": steps,
        "left_out": left_out,
        "conflicts": conflicts,
        "refused": refused,
    }))
}

fn step_json(memory: &Memory, step: &Step) -> Result<Value, StoreFault> {
    let known = memory.contact(&step.link)?.and_then(|row| row.entry);
    let name = known
        .as_ref()
        .map(|entry| entry.contact.fields.name.clone());
    let (action, name, what) = match &step.action {
        Action::Agree => ("agree", name, "nothing is written".to_owned()),
        Action::CreateContact(wish) => {
            let name = wish.fields.name.clone();
            (
                "create contact",
                Some(name),
                added(&Fields::default(), &wish.fields),
            )
        }
        Action::UpdateContact(wish) => {
            let before = known.map(|entry| entry.contact.fields).unwrap_or_default();
            ("change contact", name, change(&before, wish))
        }
        Action::RemoveContact => ("remove contact", name, String::new()),
        Action::CreateCustomer(new) => {
            let name = new.fields.name.clone();
            (
                "create customer",
                Some(name),
                added(&Fields::default(), &new.fields),
            )
        }
        Action::UpdateCustomer(id, edit) => {
            let what = format!("{}: {}", id.0, edited(edit));
            ("change customer", name, what)
        }
    };
    Ok(json!({"contact": step.link, "name": name, "action": action, "what": what}))
}

fn added(before: &Fields, after: &Fields) -> String {
    let (numbers, emails) = (before.numbers(), before.addresses());
    let new = after
        .numbers()
        .into_iter()
        .filter(|one| !numbers.contains(one));
    let mut parts: Vec<String> = new.map(|one| format!("{one} comes")).collect();
    let new = after
        .addresses()
        .into_iter()
        .filter(|one| !emails.contains(one));
    parts.extend(new.map(|one| format!("{one} comes")));
    parts.join(", ")
}

fn change(before: &Fields, wish: &Wish) -> String {
    let after = &wish.fields;
    let mut parts = Vec::new();
    if before.name != after.name {
        parts.push(format!("name is {}", after.name));
    }
    for (what, differs) in [
        ("company", before.company != after.company),
        ("website", before.website != after.website),
        ("address", before.address != after.address),
    ] {
        if differs {
            parts.push(format!("another {what}"));
        }
    }
    parts.push(added(before, after));
    parts.push(added(after, before).replace(" comes", " goes"));
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return "who it is linked with".to_owned();
    }
    parts.join(", ")
}

fn edited(edit: &Edit) -> String {
    let mut parts = Vec::new();
    if let Some(name) = &edit.name {
        parts.push(format!("name is {name}"));
    }
    parts.extend(edit.website.iter().map(|_| "another website".to_owned()));
    parts.extend(edit.address.iter().map(|_| "another address".to_owned()));
    parts.extend(
        edit.add_phones
            .iter()
            .map(|one| format!("{} comes", one.number)),
    );
    parts.extend(
        edit.add_emails
            .iter()
            .map(|one| format!("{} comes", one.email)),
    );
    parts.extend(edit.remove_phones.iter().map(|one| format!("{one} goes")));
    parts.extend(edit.remove_emails.iter().map(|one| format!("{one} goes")));
    parts.join(", ")
}

fn left_out_json(one: &LeftOut) -> Value {
    let (side, id) = match &one.of {
        Whose::Customer(id) => ("customer", &id.0),
        Whose::Contact(id) => ("contact", &id.0),
    };
    json!({"side": side, "id": id, "value": one.value, "why": one.why.key()})
}

fn conflict_json(one: &Conflict) -> Value {
    json!({"contact": one.link, "field": one.field.key(), "kustomer": one.kustomer, "phone": one.phone})
}

/// What isn't copied of a contact and its customers, for `contacts show`.
pub(super) fn left_out(admin: &Admin, contact: &ContactId) -> Result<Vec<Value>, StoreFault> {
    let mut all = Vec::new();
    for desk in desks(admin) {
        let node = Node::Contact(contact.clone());
        let closure = Closure::around(&desk.memory, &node, desk.rules.merge_by_name)?;
        let link = desk.memory.link(contact)?;
        let plan = closure.plan(&desk.rules, clock::now());
        let its = |one: &&LeftOut| match &one.of {
            Whose::Customer(id) => link.as_ref().is_some_and(|link| link.has(id)),
            Whose::Contact(id) => id == contact,
        };
        all.extend(plan.left_out.iter().filter(its).map(left_out_json));
    }
    Ok(all)
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    approve: Option<String>,
}

/// A run at once, with a plan approved if one is named.
pub(super) async fn now(State(admin): State<Arc<Admin>>, Json(wanted): Json<Wanted>) -> Answer {
    some(&admin)?;
    let approve = match wanted.approve {
        None => None,
        Some(text) => Some(PlanId::parse(&text).ok_or_else(|| {
            let detail = "a plan is named by the 16 digits that `tieline plan` shows";
            Problem::new(StatusCode::BAD_REQUEST, "plan", detail)
        })?),
    };
    for desk in desks(&admin) {
        desk.ask(|done| Nudge::Now { approve, done }).await?;
    }
    let syncs: Vec<Value> = desks(&admin).map(status_json).collect();
    Ok(Json(json!({"syncs": syncs})).into_response())
}

#[derive(Deserialize)]
pub(super) struct Which {
    contact: String,
}

/// Parts a contact that several customers were merged into.
pub(super) async fn unmerge(State(admin): State<Arc<Admin>>, Json(which): Json<Which>) -> Answer {
    let contact = ContactId(which.contact);
    for desk in desks(&admin) {
        if desk.memory.link(&contact).map_err(broken)?.is_none() {
            continue;
        }
        let contact = contact.clone();
        let contacts = desk.ask(|done| Nudge::Unmerge { contact, done }).await?;
        return Ok(Json(json!({"contacts": contacts})).into_response());
    }
    Err(not_found(&contact.0, "linked contact"))
}

#[derive(Deserialize)]
pub(super) struct Page {
    kustomer: Option<String>,
    cursor: Option<String>,
}

/// Links of one integration, a page; without a name of the first one.
pub(super) async fn links(State(admin): State<Arc<Admin>>, Query(asked): Query<Page>) -> Answer {
    some(&admin)?;
    let named = |desk: &&SyncDesk| {
        let name = asked.kustomer.as_ref();
        name.is_none_or(|name| *name == desk.rules.kustomer)
    };
    let desk = desks(&admin).find(named).ok_or_else(|| {
        not_found(
            asked.kustomer.as_deref().unwrap_or_default(),
            "contact sync",
        )
    })?;
    let after = asked.cursor.map(ContactId);
    let links = desk
        .memory
        .links(after.as_ref(), ROWS_MAX)
        .map_err(broken)?;
    let whole = links.len() < ROWS_MAX;
    let next = links
        .last()
        .filter(|_| !whole)
        .map(|link| link.contact.0.clone());
    let links: Vec<Value> = links.iter().map(link_json).collect();
    Ok(
        Json(json!({"kustomer": desk.rules.kustomer, "links": links, "next": next}))
            .into_response(),
    )
}

fn link_json(link: &Link) -> Value {
    let customers: Vec<&str> = link
        .parts
        .iter()
        .map(|part| part.customer.0.as_str())
        .collect();
    let state = match link.state {
        LinkState::ContactDue => "the contact is to be created",
        LinkState::CustomerDue => "the customer is to be created",
        LinkState::Linked => "linked",
        LinkState::Withdrawn => "no number is left",
        LinkState::Removed { .. } => "removed",
    };
    json!({"contact": link.contact, "name": link.agreed.name, "customers": customers, "state": state})
}
