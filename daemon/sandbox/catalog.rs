//! What records refer to: users, tags, custom attributes, revisions (Kustomer: People, Custom attributes).
//! Called by `routes.rs` and by the operations that write.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::paging::{PAGE_SIZE_MAX, PAGE_SIZE_MAX_LONG, Page};
use super::record::{Kind, ORG, Record, fold};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::rules;
use super::state::State;

/// One id gives an object, a list of ids an array of those that exist.
pub fn by_ids(state: &State, kind: Kind, ids: &str) -> Result<Reply, Refusal> {
    if !ids.contains(',') {
        return Ok(Reply::data(200, state.need(kind, ids, "id")?.json()));
    }
    let rows = ids.split(',').filter_map(|id| state.get(kind, id));
    Ok(Reply::data(200, rows.map(|row| row.json()).collect()))
}

/// A plain list, `sort=desc` by id descending.
pub fn list(state: &State, ask: &Ask, kind: Kind) -> Result<Reply, Refusal> {
    let page = Page::of(ask, PAGE_SIZE_MAX)?;
    let (rows, more) = match ask.query("sort") {
        None | Some("asc") => page.cut(state.all(kind)),
        Some("desc") => page.cut(state.all(kind).rev()),
        Some(_) => return Err(Refusal::bad("sort", "unknown sort", "/query/sort")),
    };
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, None))
}

/// `GET /v1/users`, one filter at a time: `email`, `userType`, `deleted`, `pending`.
pub fn users(state: &State, ask: &Ask) -> Result<Reply, Refusal> {
    let page = Page::of(ask, PAGE_SIZE_MAX_LONG)?;
    let filters = ["email", "userType", "deleted", "pending"];
    let given: Vec<(&str, &str)> = filters
        .into_iter()
        .filter_map(|name| ask.query(name).map(|value| (name, value)))
        .collect();
    if given.len() > 1 {
        return Err(Refusal::bad("filter", "one filter at a time", "/query"));
    }
    let keeps = |user: &Record| match given.first() {
        None => true,
        Some(("email", value)) => fold("email", user.text("email")) == fold("email", value),
        Some(("userType", value)) => user.text("userType") == *value,
        Some((_, value)) => *value == "false",
    };
    let (rows, more) = page.cut(state.all(Kind::User).filter(|user| keeps(user)));
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, None))
}

/// `GET /v1/teams`.
pub fn teams(state: &State, ask: &Ask) -> Result<Reply, Refusal> {
    let page = Page::of(ask, PAGE_SIZE_MAX_LONG)?;
    let (rows, more) = page.cut(state.all(Kind::Team));
    let data = rows.into_iter().map(|row| row.json()).collect();
    Ok(page.reply(ask, data, more, None))
}

/// A team from outside the API (seeding): name, members.
pub fn add_team(state: &mut State, body: Map<String, Value>) -> String {
    let mut team = state.blank(Kind::Team, None);
    team.set("members", json!([]));
    team.set("deleted", json!(false));
    team.write(body);
    let id = team.id.clone();
    state.put(team);
    id
}

/// A user from outside the API (seeding): name, email, userType.
pub fn add_user(state: &mut State, body: Map<String, Value>) -> Arc<Record> {
    let mut user = state.blank(Kind::User, None);
    user.set("userType", json!("user"));
    user.write(body);
    let name = user.attributes.get("name").cloned().unwrap_or_default();
    user.set("displayName", name);
    let id = user.id.clone();
    state.put(user.clone());
    state.get(Kind::User, &id).unwrap_or_else(|| Arc::new(user))
}

/// The ids of tags given by name or id; unknown names become tags.
pub fn tag_ids(state: &mut State, tags: &Value) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for name in tags
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let known = match state.get(Kind::Tag, name) {
            Some(tag) => Some(tag),
            None => state.find(Kind::Tag, "name", name),
        };
        let id = known.map(|tag| tag.id.clone()).unwrap_or_else(|| {
            let mut tag = state.blank(Kind::Tag, None);
            tag.set("name", json!(name));
            tag.set("deleted", json!(false));
            let id = tag.id.clone();
            state.put(tag);
            id
        });
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// Refuses assigned users and teams that do not exist.
pub fn check_assigned(state: &State, body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, kind) in [("assignedUsers", Kind::User), ("assignedTeams", Kind::Team)] {
        let ids = body.get(name).and_then(Value::as_array);
        for id in ids.into_iter().flatten().filter_map(Value::as_str) {
            if state.get(kind, id).is_none() {
                let rule = format!("/properties/{name}");
                return Err(Refusal::bad(name, "no such record", rule));
            }
        }
    }
    Ok(())
}

/// `GET /v1/metadata/{resource}`.
pub fn metadata(state: &State, resource: &str) -> Result<Reply, Refusal> {
    if !matches!(
        resource,
        "customer" | "conversation" | "message" | "company"
    ) {
        return Err(Refusal::not_found("resource"));
    }
    let properties = state
        .options
        .custom
        .get(resource)
        .cloned()
        .unwrap_or_else(|| json!({}));
    Ok(Reply::data(
        200,
        json!({
            "type": "metadata",
            "id": resource,
            "attributes": { "properties": properties },
            "relationships": { "org": { "links": { "self": format!("/v1/orgs/{ORG}") }, "data": { "type": "org", "id": ORG } } },
            "links": { "self": format!("/v1/metadata/{resource}") },
        }),
    ))
}

/// Refuses custom attributes that are not defined, of another type, or outside their enumeration.
pub fn check_custom(
    state: &State,
    resource: &str,
    body: &Map<String, Value>,
) -> Result<(), Refusal> {
    let sent = body.get("custom").and_then(Value::as_object);
    for (name, value) in sent.into_iter().flatten() {
        let defined = state
            .options
            .custom
            .get(resource)
            .and_then(|known| known.get(name));
        let Some(definition) = defined else {
            return Err(Refusal::bad(
                name,
                "Additional properties not allowed",
                "/properties/custom/additionalProperties",
            ));
        };
        let broken = |rule: &str| {
            Refusal::bad(
                name,
                "Invalid value",
                format!("/properties/custom/properties/{name}/{rule}"),
            )
        };
        if !value.is_null() && !fits_suffix(name, value) {
            return Err(broken("type"));
        }
        let allowed = definition.get("enumeration").and_then(Value::as_array);
        if allowed.is_some_and(|allowed| !value.is_null() && !allowed.contains(value)) {
            return Err(broken("enum"));
        }
    }
    Ok(())
}

/// The suffix of a custom attribute's name fixes its type.
fn fits_suffix(name: &str, value: &Value) -> bool {
    if name.ends_with("Num") {
        value.is_number()
    } else if name.ends_with("Bool") {
        value.is_boolean()
    } else if name.ends_with("At") {
        value.as_str().is_some_and(rules::is_time)
    } else if name.ends_with("Str") || name.ends_with("Txt") {
        value
            .as_str()
            .is_some_and(|text| text.chars().count() <= 1024)
    } else if name.ends_with("Url") {
        value.as_str().is_some_and(|text| text.contains(':'))
    } else {
        true
    }
}

/// The current revision of a customer.
pub fn rev(state: &State, customer: &str) -> i64 {
    state
        .get(Kind::Customer, customer)
        .and_then(|record| record.attributes.get("rev").and_then(Value::as_i64))
        .unwrap_or(0)
}

/// Takes `rev` out of an update; refuses one that is not current, where the option says so.
pub fn check_rev(
    state: &State,
    record: &Record,
    body: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let Some(sent) = body.remove("rev") else {
        return Ok(());
    };
    let current = record.attributes.get("rev").and_then(Value::as_f64);
    if state.options.check_rev && sent.as_f64() != current {
        return Err(Refusal::stale());
    }
    Ok(())
}
