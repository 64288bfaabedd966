//! `/_sandbox/…`: faults, counters, dump and seeding for tests in other programs and for administrators. No key, no
//! budget, not counted. Called by `server.rs`; the table of paths is in mod.rs.

use serde_json::{Value, json};

use super::catalog;
use super::customer_schema::CUSTOMER;
use super::customers;
use super::faults::Fault;
use super::record::Kind;
use super::reply::{Refusal, Reply};
use super::requests::{Ask, Requests};
use super::rules;
use super::state::State;

/// Answers one administrator's request.
pub fn answer(state: &mut State, ask: &Ask) -> Result<Reply, Refusal> {
    super::bulk::run_due(state);
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).skip(1).collect();
    match (ask.method.as_str(), segments.as_slice()) {
        ("GET", ["faults"]) => Ok(Reply::whole(200, state.faults.list())),
        ("POST", ["faults"]) => {
            for fault in one_or_many(ask.json()?) {
                let fault: Fault = serde_json::from_value(fault)
                    .map_err(|error| Refusal::bad_body(format!("not a fault: {error}")))?;
                if !state.faults.add(fault) {
                    return Err(Refusal::full());
                }
            }
            Ok(Reply::whole(201, state.faults.list()))
        }
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            Ok(Reply::empty())
        }
        ("GET", ["requests"]) => {
            let requests = serde_json::to_value(&state.requests).unwrap_or_default();
            Ok(Reply::whole(200, requests))
        }
        ("DELETE", ["requests"]) => {
            state.requests = Requests::default();
            Ok(Reply::empty())
        }
        ("GET", ["counts"]) => {
            let counts = serde_json::to_value(state.counts()).unwrap_or_default();
            Ok(Reply::whole(200, counts))
        }
        ("GET", ["dump"]) => Ok(Reply::whole(200, dump(state))),
        ("POST", ["seed"]) => {
            let mut body = ask.object()?;
            let users = one_or_many(body.remove("users").unwrap_or_else(|| json!([])));
            let customers = one_or_many(body.remove("customers").unwrap_or_else(|| json!([])));
            let users = users
                .into_iter()
                .map(|user| seed_user(state, user))
                .collect::<Result<Vec<_>, _>>()?;
            let customers = customers
                .into_iter()
                .map(|one| seed_customer(state, one))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Reply::whole(
                201,
                json!({ "users": users, "customers": customers }),
            ))
        }
        _ => Err(Refusal::not_found("path")),
    }
}

/// All that is held, by kind.
fn dump(state: &State) -> Value {
    json!({
        "customers": state.dump(Kind::Customer),
        "conversations": state.dump(Kind::Conversation),
        "notes": state.dump(Kind::Note),
        "messages": state.dump(Kind::Message),
        "users": state.dump(Kind::User),
        "teams": state.dump(Kind::Team),
        "tags": state.dump(Kind::Tag),
    })
}

/// Adds a customer as a create body does, with `updatedAt` allowed besides; the id is the answer.
pub fn seed_customer(state: &mut State, body: Value) -> Result<String, Refusal> {
    let Value::Object(mut body) = body else {
        return Err(Refusal::bad_body("a customer is an object"));
    };
    let updated_at = body.remove("updatedAt");
    rules::check(&[CUSTOMER], &body)?;
    let user = state
        .all(Kind::User)
        .next()
        .map(|user| user.id.clone())
        .unwrap_or_default();
    let customer = customers::create(state, &user, body)?;
    if let Some(updated_at) = updated_at {
        let mut dated = (*customer).clone();
        dated.set("updatedAt", updated_at);
        state.put(dated);
    }
    Ok(customer.id.clone())
}

/// Adds a team {name}; the id is the answer.
pub fn seed_team(state: &mut State, body: Value) -> Result<String, Refusal> {
    let Value::Object(body) = body else {
        return Err(Refusal::bad_body("a team is an object"));
    };
    Ok(catalog::add_team(state, body))
}

/// Adds a user {name, email, userType}; the id is the answer.
pub fn seed_user(state: &mut State, body: Value) -> Result<String, Refusal> {
    let Value::Object(body) = body else {
        return Err(Refusal::bad_body("a user is an object"));
    };
    Ok(catalog::add_user(state, body).id.clone())
}

fn one_or_many(value: Value) -> Vec<Value> {
    match value {
        Value::Array(many) => many,
        one => vec![one],
    }
}
