//! Customers: create, find, update, delete, list (Kustomer: Customers). Called by `routes.rs`, `bulk.rs` and
//! the seeding in mod.rs, with bodies that passed the schema.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::catalog;
use super::customer_schema::CUSTOMER;
use super::options::MergedRead;
use super::paging::{PAGE_SIZE_MAX, Page};
use super::record::{Kind, Record};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::rules;
use super::state::State;

/// Values that no two customers share.
const UNIQUE: &[&str] = &["phone", "email", "whatsapp", "externalId"];

/// Creates a customer for `user`.
pub fn create(
    state: &mut State,
    user: &str,
    body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    let id = state.id_for(Kind::Customer, None)?;
    let mut customer = state.blank(Kind::Customer, id);
    for list in [
        "externalIds",
        "sharedExternalIds",
        "emails",
        "sharedEmails",
        "phones",
        "sharedPhones",
        "socials",
        "sharedSocials",
        "urls",
        "locations",
        "tags",
        "activeUsers",
        "watchers",
    ] {
        customer.set(list, json!([]));
    }
    customer.set("displayColor", json!("green"));
    customer.set("displayIcon", json!("compass"));
    customer.set(
        "conversationCounts",
        json!({ "all": 0, "open": 0, "snoozed": 0, "done": 0 }),
    );
    customer.set("lastConversation", json!({ "tags": [] }));
    customer.set("progressiveStatus", Value::Null);
    customer.set("lastActivityAt", json!(state.clock.stamp()));
    customer.set("verified", json!(false));
    customer.set("rev", json!(1));
    let user = (Kind::User, user.to_owned());
    customer.related.insert("createdBy", user.clone());
    customer.related.insert("modifiedBy", user);
    store(state, customer, body)
}

/// Finds by id, or by `phone=`, `email=`, `externalId=`.
pub fn find(state: &State, selector: &str) -> Result<Arc<Record>, Refusal> {
    let (index, value) = match selector.split_once('=') {
        Some(("phone", value)) => ("phone", value),
        Some(("email", value)) => ("email", value),
        Some(("externalId", value)) => ("externalId", value),
        _ => return by_id(state, selector),
    };
    state
        .find(Kind::Customer, index, value)
        .ok_or_else(|| Refusal::not_found(index))
}

fn by_id(state: &State, id: &str) -> Result<Arc<Record>, Refusal> {
    let here = state.need(Kind::Customer, id, "id");
    let merged_into = state
        .ids_by(Kind::Merge, "customer", id)
        .into_iter()
        .filter_map(|merge| state.get(Kind::Merge, &merge))
        .find(|merge| merge.related_id("source") == Some(id));
    let target = merged_into.and_then(|merge| merge.related_id("target").map(str::to_owned));
    match (here, target, state.options.merged_read) {
        (Err(_), Some(target), MergedRead::Target) => by_id(state, &target),
        (Err(refusal), Some(_), MergedRead::Deleted) => {
            state.deleted(Kind::Customer, id).ok_or(refusal)
        }
        (read, _, _) => read,
    }
}

/// PUT and PATCH: what is sent changes, and a company that is not sent is unlinked. `replace` drops all else.
pub fn update(
    state: &mut State,
    user: &str,
    id: &str,
    mut body: Map<String, Value>,
    replace: bool,
) -> Result<Arc<Record>, Refusal> {
    let mut customer = (*state.need(Kind::Customer, id, "id")?).clone();
    catalog::check_rev(state, &customer, &mut body)?;
    if replace {
        for field in CUSTOMER {
            if !matches!(field.0, "createdAt" | "importedAt" | "lastActivityAt") {
                customer.attributes.remove(field.0);
            }
        }
        customer.set("rev", json!(catalog::rev(state, id)));
    }
    if !state.options.lists_replace {
        add_held(&customer, &mut body);
    }
    customer.related.remove("company");
    customer.attributes.remove("companyName");
    customer.touch(&state.clock.stamp());
    customer.set("modifiedAt", json!(state.clock.stamp()));
    customer
        .related
        .insert("modifiedBy", (Kind::User, user.to_owned()));
    store(state, customer, body)
}

fn store(
    state: &mut State,
    mut customer: Record,
    mut body: Map<String, Value>,
) -> Result<Arc<Record>, Refusal> {
    catalog::check_custom(state, "customer", &body)?;
    body.remove("rev");
    if let Some(Value::String(company)) = body.remove("company") {
        // The sandbox holds no companies: one's name is its id.
        customer.set("companyName", json!(company));
        customer.related.insert("company", (Kind::Company, company));
    }
    let tags = body.remove("tags");
    customer.write(body);
    complete_items(&mut customer);
    state.refuse_taken(&customer, UNIQUE)?;
    if let Some(tags) = tags {
        let ids = catalog::tag_ids(state, &tags);
        customer.set("tags", json!(ids));
    }
    match customer.attributes.get("name").cloned() {
        Some(name) => customer.set("displayName", name),
        None => {
            customer.attributes.remove("displayName");
        }
    }
    let id = customer.id.clone();
    state.put(customer);
    state.need(Kind::Customer, &id, "id")
}

/// Lists of contact points are added to what is held.
fn add_held(customer: &Record, body: &mut Map<String, Value>) {
    for (list, field) in [("phones", "phone"), ("emails", "email")] {
        let held = customer.attributes.get(list).and_then(Value::as_array);
        if let (Some(sent), Some(held)) = (body.get_mut(list).and_then(Value::as_array_mut), held) {
            for item in held {
                if sent.iter().all(|one| one.get(field) != item.get(field)) {
                    sent.push(item.clone());
                }
            }
        }
    }
}

/// Adds what the server adds: the primary externalId to the list, `id` and `verified` to every item.
fn complete_items(customer: &mut Record) {
    let primary = customer.text("externalId").to_owned();
    if !primary.is_empty() {
        let ids = customer
            .attributes
            .entry("externalIds")
            .or_insert_with(|| json!([]));
        if let Some(ids) = ids.as_array_mut()
            && !ids
                .iter()
                .any(|item| item.get("externalId") == Some(&json!(primary)))
        {
            ids.push(json!({ "externalId": primary }));
        }
    }
    for list in [
        "externalIds",
        "sharedExternalIds",
        "emails",
        "sharedEmails",
        "phones",
        "sharedPhones",
        "whatsapps",
        "socials",
        "sharedSocials",
    ] {
        let items = customer
            .attributes
            .get_mut(list)
            .and_then(Value::as_array_mut);
        for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
            item.entry("verified").or_insert(json!(false));
            item.entry("id").or_insert(Value::Null);
        }
    }
}

/// `GET /v1/customers` with `filter[createdAt|updatedAt][gt|gte|lt|lte]` and `sort`.
pub fn list(state: &State, ask: &Ask) -> Result<Reply, Refusal> {
    let page = Page::of(ask, PAGE_SIZE_MAX)?;
    let mut rows: Vec<&Arc<Record>> = state.all(Kind::Customer).collect();
    if state.options.list_filters {
        for (name, value) in &ask.query {
            let Some(filter) = name.strip_prefix("filter[") else {
                continue;
            };
            let (field, operator) = filter
                .trim_end_matches(']')
                .split_once("][")
                .unwrap_or((filter, ""));
            let bound: Timestamp = value
                .parse()
                .map_err(|_| Refusal::bad(name, "not a date-time", "/query"))?;
            if !matches!(field, "createdAt" | "updatedAt")
                || !matches!(operator, "gt" | "gte" | "lt" | "lte")
            {
                return Err(Refusal::bad(name, "unknown filter", "/query"));
            }
            rows.retain(|row| {
                row.text(field)
                    .parse::<Timestamp>()
                    .is_ok_and(|at| match operator {
                        "gt" => at > bound,
                        "gte" => at >= bound,
                        "lt" => at < bound,
                        _ => at <= bound,
                    })
            });
        }
        match ask.query("sort") {
            None => {}
            Some("updatedAt") => rows.sort_by_key(|row| row.text("updatedAt")),
            Some("-updatedAt") => rows.sort_by_key(|row| std::cmp::Reverse(row.text("updatedAt"))),
            Some("createdAt" | "asc") => rows.sort_by_key(|row| row.text("createdAt")),
            Some("-createdAt" | "desc") => {
                rows.sort_by_key(|row| std::cmp::Reverse(row.text("createdAt")));
            }
            Some(_) => return Err(Refusal::bad("sort", "unknown sort", "/query/sort")),
        }
    }
    let total = rows.len();
    let (rows, more) = page.cut(rows.into_iter());
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, Some(total)))
}

/// `GET /v1/customers/{id}/conversations|notes|messages|merges`.
pub fn children(state: &State, ask: &Ask, id: &str, kind: Kind) -> Result<Reply, Refusal> {
    if kind != Kind::Merge {
        state.need(Kind::Customer, id, "id")?;
    }
    let from = match ask.query("fromDate") {
        Some(date) if !rules::is_time(date) => {
            return Err(Refusal::bad(
                "fromDate",
                "not a date-time",
                "/query/fromDate",
            ));
        }
        from => from.and_then(|date| date.parse::<Timestamp>().ok()),
    };
    let page = Page::of(ask, PAGE_SIZE_MAX)?;
    let rows = state
        .ids_by(kind, "customer", id)
        .into_iter()
        .filter_map(|child| state.get(kind, &child))
        .filter(|row| {
            from.is_none_or(|from| {
                row.text("createdAt")
                    .parse::<Timestamp>()
                    .is_ok_and(|at| at >= from)
            })
        });
    let (rows, more) = page.cut(rows);
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, None))
}

/// Keeps a customer's activity and conversation counts when a conversation appears, changes status or leaves.
pub fn count_conversation(state: &mut State, id: &str, before: Option<&str>, after: Option<&str>) {
    let Some(customer) = state.get(Kind::Customer, id) else {
        return;
    };
    let mut customer = (*customer).clone();
    if let Some(counts) = customer
        .attributes
        .get_mut("conversationCounts")
        .and_then(Value::as_object_mut)
    {
        let mut add = |name: &str, by: i64| {
            let old = counts.get(name).and_then(Value::as_i64).unwrap_or(0);
            counts.insert(name.to_owned(), json!(old.saturating_add(by)));
        };
        if let Some(before) = before {
            add(before, -1);
            add("all", -1);
        }
        if let Some(after) = after {
            add(after, 1);
            add("all", 1);
        }
    }
    let now = state.clock.stamp();
    customer.set("lastActivityAt", json!(now));
    customer.touch(&now);
    state.put(customer);
}
