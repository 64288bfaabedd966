//! Which path does what: role, schema, operation. `phone=` inside a path segment is beyond a common router, so paths
//! are matched as slices. Called by `server.rs` under the state's lock.

use serde_json::{Map, Value};

use super::bulk;
use super::catalog;
use super::conversations;
use super::customer_schema::CUSTOMER;
use super::customers;
use super::entries::{self, MessageTo};
use super::merges;
use super::record::{Kind, Record};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::roles::{self, Caller, Roles};
use super::rules;
use super::schemas::{self, Field};
use super::search::{self, Age};
use super::state::State;
use super::webhooks;

/// Answers one request of the API.
pub fn answer(state: &mut State, ask: &Ask) -> Result<Reply, Refusal> {
    let caller = ask.bearer.as_deref().and_then(|key| state.caller(key));
    let caller = caller.cloned().ok_or_else(Refusal::unauthorized)?;
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    let route = Route {
        state,
        ask,
        caller: &caller,
    };
    match segments.as_slice() {
        ["v1", "customers", rest @ ..] => route.customers(rest),
        ["v1", "conversations", rest @ ..] => route.conversations(rest),
        ["v1", "notes", rest @ ..] => route.notes(rest),
        ["v1", "messages", rest @ ..] => route.messages(rest),
        ["v1", "outbound-webhooks", rest @ ..] => route.webhooks(rest),
        ["v1", rest @ ..] => route.others(rest),
        _ => Err(Refusal::not_found("path")),
    }
}

struct Route<'a> {
    state: &'a mut State,
    ask: &'a Ask,
    caller: &'a Caller,
}

impl Route<'_> {
    fn others(self, rest: &[&str]) -> Result<Reply, Refusal> {
        match (self.ask.method.as_str(), rest) {
            ("GET", ["users", "current"]) => {
                catalog::by_ids(self.state, Kind::User, &self.caller.user)
            }
            ("GET", ["users"]) => self
                .may(roles::USER_READ)
                .and_then(|()| catalog::users(self.state, self.ask)),
            ("GET", ["users", ids]) => self.by_ids(roles::USER_READ, Kind::User, ids),
            ("GET", ["teams"]) => self
                .may(roles::TEAM_READ)
                .and_then(|()| catalog::teams(self.state, self.ask)),
            ("GET", ["teams", ids]) => self.by_ids(roles::TEAM_READ, Kind::Team, ids),
            ("GET", ["tags"]) => self.list(roles::TAG_READ, Kind::Tag),
            ("GET", ["tags", ids]) => self.by_ids(roles::TAG_READ, Kind::Tag, ids),
            ("GET", ["metadata", resource]) => {
                self.may(roles::METADATA_READ)?;
                catalog::metadata(self.state, resource)
            }
            ("GET", ["bulk", id]) => self
                .may(roles::BULK_READ)
                .and_then(|()| bulk::show(self.state, id)),
            ("GET", ["bulk", id, "batches"]) => self
                .may(roles::BULK_READ)
                .and_then(|()| bulk::batches(self.state, id)),
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn customers(self, rest: &[&str]) -> Result<Reply, Refusal> {
        let user = &self.caller.user;
        match (self.ask.method.as_str(), rest) {
            ("GET", []) => self
                .may(roles::CUSTOMER_READ)
                .and_then(|()| customers::list(self.state, self.ask)),
            ("POST", []) => {
                let body = self.body(roles::CUSTOMER_CREATE, &[CUSTOMER])?;
                created(customers::create(self.state, user, body))
            }
            ("POST", ["bulk"]) => self.bulk(roles::CUSTOMER_CREATE, Kind::Customer),
            ("POST", ["search"]) => self.search(Age::Live),
            ("POST", ["archive", "search"]) if self.state.options.archive => {
                self.search(Age::Archived)
            }
            ("POST", ["merges"]) => {
                let body = self.body(roles::MERGE_CREATE, &[schemas::MERGE])?;
                created(merges::merge(self.state, user, &body))
            }
            ("GET", ["merges", id]) => self.by_ids(roles::MERGE_READ, Kind::Merge, id),
            ("GET", [selector]) => {
                self.may(roles::CUSTOMER_READ)?;
                ok(customers::find(self.state, selector))
            }
            ("PUT" | "PATCH", [id]) => {
                let body = self.body(roles::CUSTOMER_UPDATE, &[CUSTOMER])?;
                let replace = self.ask.method == "PUT" && self.ask.query("replace") == Some("true");
                ok(customers::update(self.state, user, id, body, replace))
            }
            ("DELETE", [id]) => {
                self.may(roles::CUSTOMER_DELETE)?;
                let customer = self.state.need(Kind::Customer, id, "id")?;
                self.state.delete(&customer);
                Ok(Reply::empty())
            }
            ("POST", [id, "conversations"]) => {
                let tables = &[schemas::CONVERSATION, schemas::CONVERSATION_CAMPAIGN];
                let body = self.body(roles::CONVERSATION_CREATE, tables)?;
                created(conversations::create(self.state, user, id, body))
            }
            ("POST", [id, "messages"]) => {
                let body = self.body(
                    roles::MESSAGE_CREATE,
                    &[schemas::MESSAGE, &[schemas::MESSAGE_OF_CUSTOMER]].concat(),
                )?;
                created(entries::create_message(
                    self.state,
                    self.caller,
                    MessageTo::Customer(id),
                    body,
                ))
            }
            ("GET", [id, "conversations"]) => {
                self.of_customer(roles::CONVERSATION_READ, id, Kind::Conversation)
            }
            ("GET", [id, "notes"]) => self.of_customer(roles::NOTE_READ, id, Kind::Note),
            ("GET", [id, "messages"]) => self.of_customer(roles::MESSAGE_READ, id, Kind::Message),
            ("GET", [id, "merges"]) => self.of_customer(roles::MERGE_READ, id, Kind::Merge),
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn conversations(self, rest: &[&str]) -> Result<Reply, Refusal> {
        let user = &self.caller.user;
        match (self.ask.method.as_str(), rest) {
            ("GET", []) => self.list(roles::CONVERSATION_READ, Kind::Conversation),
            ("POST", []) => {
                let tables = &[schemas::CONVERSATION, schemas::CONVERSATION_CUSTOMER];
                let mut body = self.body(roles::CONVERSATION_CREATE, tables)?;
                let customer = conversations::take_text(&mut body, "customer").unwrap_or_default();
                created(conversations::create(self.state, user, &customer, body))
            }
            ("POST", ["bulk"]) => self.bulk(roles::CONVERSATION_CREATE, Kind::Conversation),
            ("GET", [selector]) => {
                self.may(roles::CONVERSATION_READ)?;
                conversations::find(self.state, selector)
            }
            ("PUT" | "PATCH", [id]) => {
                self.may(roles::CONVERSATION_UPDATE)?;
                let body = self.ask.object()?;
                if body.contains_key("customer") {
                    rules::check(&[schemas::CONVERSATION_CUSTOMER], &body)?;
                } else {
                    rules::check(&[schemas::CONVERSATION_UPDATE], &body)?;
                }
                ok(conversations::update(self.state, user, id, body))
            }
            ("DELETE", [id]) => {
                self.may(roles::CONVERSATION_DELETE)?;
                conversations::delete(self.state, id).map(|()| Reply::empty())
            }
            (method @ ("POST" | "DELETE"), [id, "tags"]) => {
                let add = method == "POST";
                self.may(if add {
                    roles::CONVERSATION_UPDATE
                } else {
                    roles::CONVERSATION_UNTAG
                })?;
                let tags = self.ask.json()?;
                rules::check_value(&schemas::TAG_LIST, "tags", &tags)?;
                ok(conversations::tag(self.state, user, id, &tags, add))
            }
            ("GET", [id, "notes"]) => self.in_conversation(roles::NOTE_READ, id, Kind::Note),
            ("GET", [id, "messages"]) => {
                self.in_conversation(roles::MESSAGE_READ, id, Kind::Message)
            }
            ("POST", [id, "notes"]) => {
                let tables = [schemas::NOTE, &[schemas::NOTE_CONVERSATION_AGAIN]].concat();
                let body = self.body(roles::NOTE_CREATE, &tables)?;
                created(entries::create_note(
                    self.state,
                    self.caller,
                    Some(id),
                    body,
                ))
            }
            ("POST", [id, "messages"]) => {
                let tables = [schemas::MESSAGE, &[schemas::MESSAGE_IN_CONVERSATION]].concat();
                let body = self.body(roles::MESSAGE_CREATE, &tables)?;
                created(entries::create_message(
                    self.state,
                    self.caller,
                    MessageTo::Conversation(id),
                    body,
                ))
            }
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn notes(self, rest: &[&str]) -> Result<Reply, Refusal> {
        match (self.ask.method.as_str(), rest) {
            ("GET", []) => self.list(roles::NOTE_READ, Kind::Note),
            ("POST", []) => {
                let tables = [schemas::NOTE, &[schemas::NOTE_CONVERSATION]].concat();
                let body = self.body(roles::NOTE_CREATE, &tables)?;
                created(entries::create_note(self.state, self.caller, None, body))
            }
            ("POST", ["bulk"]) => self.bulk(roles::NOTE_CREATE, Kind::Note),
            ("GET", [id]) => self
                .may(roles::NOTE_READ)
                .and_then(|()| ok(self.state.need(Kind::Note, id, "id"))),
            ("PUT" | "PATCH", [id]) => {
                let body = self.body(roles::NOTE_UPDATE, schemas::NOTE_UPDATE)?;
                ok(entries::update(
                    self.state,
                    self.caller,
                    Kind::Note,
                    id,
                    body,
                ))
            }
            ("DELETE", [id]) => {
                self.may(roles::NOTE_DELETE)?;
                entries::delete(self.state, Kind::Note, id).map(|()| Reply::empty())
            }
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn messages(self, rest: &[&str]) -> Result<Reply, Refusal> {
        match (self.ask.method.as_str(), rest) {
            ("GET", []) => self.list(roles::MESSAGE_READ, Kind::Message),
            ("POST", []) => {
                let tables = [schemas::MESSAGE, &[schemas::MESSAGE_ROOT]].concat();
                let body = self.body(roles::MESSAGE_CREATE, &tables)?;
                created(entries::create_message(
                    self.state,
                    self.caller,
                    MessageTo::Body,
                    body,
                ))
            }
            ("POST", ["bulk"]) => self.bulk(roles::MESSAGE_CREATE, Kind::Message),
            ("GET", [selector]) => {
                self.may(roles::MESSAGE_READ)?;
                ok(entries::find_message(self.state, selector))
            }
            ("PUT" | "PATCH", [id]) => {
                let body = self.body(roles::MESSAGE_UPDATE, schemas::MESSAGE_UPDATE)?;
                ok(entries::update(
                    self.state,
                    self.caller,
                    Kind::Message,
                    id,
                    body,
                ))
            }
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn webhooks(self, rest: &[&str]) -> Result<Reply, Refusal> {
        match (self.ask.method.as_str(), rest) {
            ("GET", []) => {
                self.may(roles::WEBHOOK_READ)?;
                Ok(webhooks::list(self.state))
            }
            ("GET", ["events"]) => {
                self.may(roles::WEBHOOK_READ)?;
                Ok(webhooks::events())
            }
            ("GET", [id]) => {
                self.may(roles::WEBHOOK_READ)?;
                webhooks::show(self.state, id)
            }
            ("POST", []) => {
                self.may(roles::WEBHOOK_CREATE)?;
                webhooks::create(self.state, self.ask)
            }
            ("DELETE", [id]) => {
                self.may(roles::WEBHOOK_DELETE)?;
                webhooks::delete(self.state, id)
            }
            _ => Err(Refusal::not_found("path")),
        }
    }

    fn search(self, age: Age) -> Result<Reply, Refusal> {
        self.may(roles::SEARCH)?;
        let now_ms = self.state.clock.elapsed_ms();
        self.state
            .limits
            .take_search(now_ms)
            .map_err(Refusal::too_many)?;
        search::search(self.state, self.ask, age)
    }

    fn may(&self, needed: Roles) -> Result<(), Refusal> {
        self.caller.needs(needed)
    }

    fn body(&self, needed: Roles, tables: &[&[Field]]) -> Result<Map<String, Value>, Refusal> {
        self.may(needed)?;
        let body = self.ask.object()?;
        rules::check(tables, &body)?;
        Ok(body)
    }

    fn bulk(self, needed: Roles, kind: Kind) -> Result<Reply, Refusal> {
        self.may(needed)?;
        bulk::create(self.state, self.caller, kind, self.ask)
    }

    fn list(self, needed: Roles, kind: Kind) -> Result<Reply, Refusal> {
        self.may(needed)?;
        catalog::list(self.state, self.ask, kind)
    }

    fn by_ids(self, needed: Roles, kind: Kind, ids: &str) -> Result<Reply, Refusal> {
        self.may(needed)?;
        catalog::by_ids(self.state, kind, ids)
    }

    fn of_customer(self, needed: Roles, id: &str, kind: Kind) -> Result<Reply, Refusal> {
        self.may(needed)?;
        customers::children(self.state, self.ask, id, kind)
    }

    fn in_conversation(self, needed: Roles, id: &str, kind: Kind) -> Result<Reply, Refusal> {
        self.may(needed)?;
        conversations::children(self.state, self.ask, id, kind)
    }
}

fn ok(found: Result<std::sync::Arc<Record>, Refusal>) -> Result<Reply, Refusal> {
    found.map(|record| Reply::data(200, record.json()))
}

fn created(record: Result<std::sync::Arc<Record>, Refusal>) -> Result<Reply, Refusal> {
    record.map(|record| Reply::data(201, record.json()))
}
