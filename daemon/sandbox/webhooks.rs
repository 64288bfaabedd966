//! Outbound webhooks: registered, listed, removed, and told of every customer that is created or changed (Kustomer:
//! Outbound webhooks; Event catalog). `routes.rs` asks, the state tells, `deliveries.rs` posts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::record::{Kind, ORG, Record};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::rules;
use super::schemas::Presence::{Optional, Required};
use super::schemas::Shape::{List, Object, Text};
use super::schemas::{ANY, Field};
use super::state::State;

/// Webhooks that an organisation may create (Kustomer: Application limits).
const WEBHOOKS_MAX: usize = 5;
/// Events of one webhook.
const EVENTS_MAX: usize = 12;
/// Deliveries waiting for the poster; more are lost, as they would be at Kustomer after an hour.
const DELIVERIES_MAX: usize = 10_000;
/// What happens to these; each is created and updated.
const RESOURCES: [&str; 6] = ["customer", "conversation", "message", "user", "team", "tag"];

const WEBHOOK: &[Field] = &[
    Field("name", Text(1, 255), Required),
    Field("url", Text(1, 255), Required),
    Field("events", List(&Text(1, ANY), EVENTS_MAX), Required),
    Field(
        "headers",
        List(
            &Object(&[
                Field("name", Text(1, 255), Required),
                Field("value", Text(0, 4096), Required),
            ]),
            20,
        ),
        Optional,
    ),
];

/// How deliveries behave; where Kustomer's behaviour isn't documented there is a switch.
#[derive(Debug, Clone, Copy)]
pub struct WebhookOptions {
    /// How long a minute of the schedule of retries lasts.
    pub minute: Duration,
    /// Whether `http://` is taken for loopback addresses; Kustomer takes https alone.
    pub plain_on_loopback: bool,
    /// Whether everything is delivered twice.
    pub duplicate: bool,
    /// Whether of two events that come together the later one is delivered first.
    pub reorder: bool,
    /// Failed tries in a row after which a webhook is turned off.
    pub failures_max: u32,
}

impl Default for WebhookOptions {
    fn default() -> WebhookOptions {
        WebhookOptions {
            minute: Duration::from_secs(60),
            plain_on_loopback: true,
            duplicate: false,
            reorder: false,
            failures_max: 24,
        }
    }
}

/// One event on its way to one webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub hook: String,
    pub event: String,
    pub body: Bytes,
}

/// What was posted, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    pub event: String,
    pub body: Bytes,
    /// None: no answer.
    pub status: Option<u16>,
}

/// A registered webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    attributes: Map<String, Value>,
    pub token: String,
    pub enabled: bool,
    failures: u32,
}

impl Hook {
    pub fn text(&self, name: &str) -> &str {
        let text = self.attributes.get(name).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    /// The configured headers.
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.attributes.get("headers").and_then(Value::as_array);
        let text = |header: &Value, name: &str| Some(header.get(name)?.as_str()?.to_owned());
        let headers = headers.into_iter().flatten();
        headers
            .filter_map(|header| Some((text(header, "name")?, text(header, "value")?)))
            .collect()
    }

    fn wants(&self, event: &str) -> bool {
        let events = self.attributes.get("events").and_then(Value::as_array);
        self.enabled && events.is_some_and(|events| events.iter().any(|one| one == event))
    }

    /// The token is shown on creation and by id.
    fn json(&self, id: &str, with_token: bool) -> Value {
        let mut attributes = self.attributes.clone();
        attributes.insert("enabled".to_owned(), json!(self.enabled));
        if with_token {
            attributes.insert("token".to_owned(), json!(self.token));
        }
        json!({
            "type": "outbound_webhook",
            "id": id,
            "attributes": attributes,
            "links": { "self": format!("/v1/outbound-webhooks/{id}") },
        })
    }
}

/// All webhooks, and where their deliveries go.
#[derive(Debug)]
pub struct Hooks {
    registered: BTreeMap<String, Hook>,
    outbox: mpsc::Sender<Delivery>,
    inbox: Option<mpsc::Receiver<Delivery>>,
    pub posted: Vec<Posted>,
}

impl Hooks {
    pub fn new() -> Hooks {
        let (outbox, inbox) = mpsc::channel(DELIVERIES_MAX);
        Hooks {
            registered: BTreeMap::new(),
            outbox,
            inbox: Some(inbox),
            posted: Vec::new(),
        }
    }

    /// The deliveries, for whoever posts them; once.
    pub fn take_inbox(&mut self) -> Option<mpsc::Receiver<Delivery>> {
        self.inbox.take()
    }

    /// A webhook that is on.
    pub fn enabled(&self, id: &str) -> Option<&Hook> {
        self.registered.get(id).filter(|hook| hook.enabled)
    }

    /// Notes how a try ended; too many failures in a row turn the webhook off.
    pub fn tried(&mut self, id: &str, good: bool, failures_max: u32) {
        if let Some(hook) = self.registered.get_mut(id) {
            hook.failures = if good {
                0
            } else {
                hook.failures.saturating_add(1)
            };
            hook.enabled &= hook.failures < failures_max;
        }
    }

    /// Turns all on or off, as a person would.
    pub fn switch(&mut self, on: bool) {
        for hook in self.registered.values_mut() {
            hook.enabled = on;
            hook.failures = 0;
        }
    }

    /// All of them, with their tokens.
    pub fn dump(&self) -> Vec<Value> {
        let hooks = self.registered.iter();
        hooks.map(|(id, hook)| hook.json(id, true)).collect()
    }
}

/// `POST /v1/outbound-webhooks`.
pub fn create(state: &mut State, ask: &Ask) -> Result<Reply, Refusal> {
    let body = ask.object()?;
    rules::check(&[WEBHOOK], &body)?;
    let known = event_names();
    let events = body.get("events").and_then(Value::as_array);
    let events: Vec<&str> = events
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if events.is_empty() || events.iter().any(|event| !known.iter().any(|k| k == event)) {
        let title = "events must be of those that can be had";
        return Err(Refusal::bad("events", title, "/properties/events"));
    }
    let url = body.get("url").and_then(Value::as_str).unwrap_or_default();
    if !is_taken(url, state.options.webhooks.plain_on_loopback) {
        let title = "url must be an https address";
        return Err(Refusal::bad("url", title, "/properties/url/format"));
    }
    if state.hooks.registered.len() >= WEBHOOKS_MAX {
        let title = format!("no more than {WEBHOOKS_MAX} webhooks");
        return Err(Refusal::bad("webhooks", title, "/maxItems"));
    }
    let (id, token) = (state.new_id(), [state.new_id(), state.new_id()].concat());
    let hook = Hook {
        attributes: body,
        token,
        enabled: true,
        failures: 0,
    };
    let reply = Reply::data(201, hook.json(&id, true));
    state.hooks.registered.insert(id, hook);
    Ok(reply)
}

/// `GET /v1/outbound-webhooks`, without tokens.
pub fn list(state: &State) -> Reply {
    let hooks = state.hooks.registered.iter();
    let data: Vec<Value> = hooks.map(|(id, hook)| hook.json(id, false)).collect();
    Reply::data(200, Value::Array(data))
}

/// `GET /v1/outbound-webhooks/events`.
pub fn events() -> Reply {
    Reply::whole(200, json!({ "events": event_names() }))
}

/// `GET /v1/outbound-webhooks/{id}`.
pub fn show(state: &State, id: &str) -> Result<Reply, Refusal> {
    let hook = state.hooks.registered.get(id);
    hook.map(|hook| Reply::data(200, hook.json(id, true)))
        .ok_or_else(|| Refusal::not_found("id"))
}

/// `DELETE /v1/outbound-webhooks/{id}`.
pub fn delete(state: &mut State, id: &str) -> Result<Reply, Refusal> {
    let gone = state.hooks.registered.remove(id);
    gone.map(|_| Reply::empty())
        .ok_or_else(|| Refusal::not_found("id"))
}

/// Tells every webhook that wants it of a customer that was created (`before` is none) or changed.
pub fn announce(state: &mut State, before: Option<&Record>, after: &Record) {
    if after.kind != Kind::Customer || after.deleted {
        return;
    }
    let event = match before {
        None => "kustomer.customer.create",
        Some(_) => "kustomer.customer.update",
    };
    let hooks = state.hooks.registered.iter();
    let wanted: Vec<String> = hooks
        .filter(|(_, hook)| hook.wants(event))
        .map(|(id, _)| id.clone())
        .collect();
    if wanted.is_empty() {
        return;
    }
    let envelope = json!({
        "id": state.new_id(),
        "name": event,
        "org": ORG,
        "orgName": "sandbox",
        "partition": ORG,
        "createdAt": state.clock.stamp(),
        "persist": true,
        "client": "api",
        "data": after.json(),
        "changes": before.map(|before| changes(before, after)),
    });
    let body = Bytes::from(envelope.to_string());
    for hook in wanted {
        let delivery = Delivery {
            hook,
            event: event.to_owned(),
            body: body.clone(),
        };
        // Full, or nobody posts: lost, as the limit says.
        let _ = state.hooks.outbox.try_send(delivery);
    }
}

/// What is otherwise, attribute by attribute.
fn changes(before: &Record, after: &Record) -> Value {
    let mut changed = Map::new();
    for (name, new) in &after.attributes {
        match before.attributes.get(name) {
            Some(old) if old == new => {}
            Some(old) => {
                let change = json!({ "op": "replace", "before": old, "after": new });
                changed.insert(name.clone(), change);
            }
            None => drop(changed.insert(name.clone(), json!({ "op": "add", "after": new }))),
        }
    }
    for (name, old) in &before.attributes {
        if !after.attributes.contains_key(name) {
            let change = json!({ "op": "remove", "before": old, "after": null });
            changed.insert(name.clone(), change);
        }
    }
    json!({ "attributes": changed, "relationships": {} })
}

fn event_names() -> Vec<String> {
    let both =
        |resource: &&str| ["create", "update"].map(|what| format!("kustomer.{resource}.{what}"));
    RESOURCES.iter().flat_map(both).collect()
}

fn is_taken(url: &str, plain_on_loopback: bool) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let loopback = || {
        let address = uri.host().and_then(|host| host.parse::<IpAddr>().ok());
        address.is_some_and(|address| address.is_loopback())
    };
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => plain_on_loopback && loopback(),
        _ => false,
    }
}
