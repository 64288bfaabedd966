//! Our own dialect: one JSON object a post, for scripts and for phone systems whose events somebody can shape.
//! The fields are in config/dialect-tieline.schema.json and docs/phone-systems.md; further fields are ignored.
//!
//! A `call.ended` that says when the call `started` tells it whole and is final. The live events tell the same call as it goes; they may come in any
//! order and may all be missing.

use super::body::{self, Payload};
use super::facts::{LegFacts, Role, TransferFact};
use super::report::report;
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::{Direction, Reason, TransferKind};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, Party};
use crate::terms::text::Text;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Map, Value};

/// Most tags or media addresses taken from one event; more is a mistake in the sender.
const LIST_MAX: usize = 100;

/// Whole numbers from here on are milliseconds: as seconds they would be the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match body::sniff(raw.body)? {
        Payload::Json(json) => body::check_json(&json),
        Payload::Xml(xml) => body::check_xml(&xml),
        Payload::Form(form) => body::check_percent(form),
    }
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let Payload::Json(json) = body::sniff(raw.body)? else {
        return Err(NotUnderstood::NotAnObject);
    };
    let Value::Object(object) =
        serde_json::from_str(&json).map_err(|fault| body::json_fault(&fault))?
    else {
        return Err(NotUnderstood::NotAnObject);
    };
    let post = Post {
        object,
        site,
        received: raw.received,
    };
    let event = post.text("event")?.ok_or(NotUnderstood::Missing("event"))?;
    let id = post
        .text("id")?
        .and_then(|id| vendor_id(&id))
        .ok_or(NotUnderstood::Missing("id"))?;
    match event.as_str() {
        "text" | "text.status" => {
            let text = text(&post, &event, id)?;
            Ok(text.into_iter().map(PhoneEvent::Text).collect())
        }
        "call.started" | "call.ringing" | "call.answered" | "call.held" | "call.resumed"
        | "call.transferred" | "call.ended" => {
            let legs = call(&post, &event, id)?;
            Ok(legs
                .into_iter()
                .map(|leg| PhoneEvent::Leg(Box::new(leg)))
                .collect())
        }
        _ => Err(NotUnderstood::UnknownEvent),
    }
}

fn call(post: &Post<'_>, event: &str, id: String) -> Result<Vec<LegFacts>, NotUnderstood> {
    let key = CallKey {
        kind: Kind::Call,
        pbx: post.site.pbx.clone(),
        id: id.clone(),
    };
    let at = post.time("at")?.unwrap_or(post.received);
    let extension = post.text("extension")?.map(Extension);
    let mut root = LegFacts::new(key, id);
    whole_call(&mut root, post)?;
    let phone = |extension: &Extension| {
        let mut leg = LegFacts::new(root.key.clone(), format!("{}/{}", root.leg, extension.0));
        leg.role = Some(Role::Branch);
        leg.party = Some(post.contact(&extension.0, None));
        leg
    };
    let mut legs = Vec::new();
    match event {
        "call.started" => root.started = root.started.or(Some(at)),
        "call.ringing" => {
            if let Some(mut leg) = extension.as_ref().map(phone) {
                leg.started = Some(at);
                legs.push(leg);
            }
        }
        "call.answered" => {
            let answered = post.time_in_call("answered")?.unwrap_or(at);
            root.answered = Some(answered);
            if let Some(mut leg) = extension.as_ref().map(phone) {
                leg.answered = Some(answered);
                leg.bridged.insert((answered, None));
                legs.push(leg);
            } else {
                root.bridged.insert((answered, None));
            }
        }
        "call.transferred" => root
            .rare
            .transfers
            .extend(transfer(post, &post.object, at)?),
        "call.ended" => {
            root.over = true;
            // One that doesn't say when the call began leans on live events, which may come after it.
            root.last = root.started.is_some();
            root.ended = post
                .time_in_call("ended")?
                .or(post.time("at")?)
                .or(Some(post.received));
            root.agent = extension;
            root.answered = post.time_in_call("answered")?;
            root.bridged
                .extend(root.answered.map(|answered| (answered, None)));
        }
        // Held and resumed change neither wait nor talk: both stay in one call.
        _ => {}
    }
    legs.push(root);
    Ok(legs)
}

/// The fields that speak of the whole call; any event may carry them.
fn whole_call(root: &mut LegFacts, post: &Post<'_>) -> Result<(), NotUnderstood> {
    root.role = Some(Role::Root);
    root.direction = post.direction()?;
    root.caller = post.party("from", "from_name")?;
    root.dialled = post.party("to", "to_name")?;
    root.shown = post.party("shown", "shown_name")?;
    if root.shown.is_none() && root.direction == Some(Direction::Out) {
        root.shown = root
            .caller
            .clone()
            .filter(|caller| caller.number().is_some());
    }
    root.party = root.caller.clone();
    root.started = post.time("started")?;
    root.reason = post.reason()?;
    root.rare.queue = post.text("queue")?;
    for transfer_of in post.objects("transfers")? {
        let at = post
            .time_of(transfer_of.get("at"), "transfers.at", root.started)?
            .unwrap_or(post.received);
        root.rare.transfers.extend(transfer(post, transfer_of, at)?);
    }
    (root.recording_announced, root.rare.recording) = post.link("recording")?;
    (root.voicemail, root.rare.voicemail_link) = post.link("voicemail")?;
    root.rare.tags = post.texts("tags")?.into_iter().collect();
    root.rare.note = post.text("note")?;
    root.rare.mailbox = post.text("mailbox")?.map(Extension);
    root.rare.transcript = post.text_as_sent("transcript")?;
    root.rare.summary = post.text_as_sent("summary")?;
    Ok(())
}

fn transfer(
    post: &Post<'_>,
    object: &Map<String, Value>,
    at: Timestamp,
) -> Result<Option<TransferFact>, NotUnderstood> {
    let kind = match post.text_of(object.get("kind"), "kind")?.as_deref() {
        None | Some("blind") => TransferKind::Blind,
        Some("attended") => TransferKind::Attended,
        Some(_) => {
            return Err(NotUnderstood::WrongType {
                field: "kind",
                must: "blind or attended",
            });
        }
    };
    // On a live event `from` and `to` are the call's parties; the hand-over is from `by` to `target`.
    let names = if object.contains_key("event") {
        ("by", "target")
    } else {
        ("from", "to")
    };
    let from = post.text_of(object.get(names.0), names.0)?;
    let to = post.text_of(object.get(names.1), names.1)?;
    Ok(to.map(|to| TransferFact { at, kind, from, to }))
}

/// A text, with what became of it if that is known; a `text.status` has that alone. None for one on its way.
fn text(post: &Post<'_>, event: &str, id: String) -> Result<Option<Text>, NotUnderstood> {
    let (from, to) = (
        post.text("from")?.unwrap_or_default(),
        post.text("to")?.unwrap_or_default(),
    );
    let whatsapp = |address: &str| address.trim().to_ascii_lowercase().starts_with("whatsapp:");
    if whatsapp(&from) || whatsapp(&to) {
        return Err(NotUnderstood::WhatsApp);
    }
    let media = post.texts("media")?;
    let body = post.text_as_sent("body")?;
    let status = post.text("status")?.unwrap_or_default();
    let report = report(&status, post.text("error")?);
    let reports = event == "text.status";
    match &report {
        None if reports && status.is_empty() => return Err(NotUnderstood::Missing("status")),
        None if reports => return Ok(None),
        Some(_) if reports => {}
        Some(_) | None if body.is_none() && media.is_empty() => {
            return Err(NotUnderstood::Missing("body"));
        }
        Some(_) | None => {}
    }
    let from = post.contact(&from, post.text("from_name")?.as_deref());
    let to = post.contact(&to, post.text("to_name")?.as_deref());
    let ours = matches!(from.party, Party::Extension(Extension(_)));
    let out = ours || reports;
    let direction = post
        .direction()?
        .unwrap_or(if out { Direction::Out } else { Direction::In });
    Ok(Some(Text {
        key: CallKey {
            kind: Kind::Text,
            pbx: post.site.pbx.clone(),
            id,
        },
        direction,
        from,
        to,
        at: post.time("at")?.unwrap_or(post.received),
        body: body.unwrap_or_default(),
        media,
        report,
    }))
}

/// One posted object, read field by field.
struct Post<'a> {
    object: Map<String, Value>,
    site: &'a Site,
    received: Timestamp,
}

impl Post<'_> {
    fn text(&self, field: &'static str) -> Result<Option<String>, NotUnderstood> {
        self.text_of(self.object.get(field), field)
    }

    /// Text that says something. Ids and numbers are often sent as JSON numbers.
    fn text_of(
        &self,
        value: Option<&Value>,
        field: &'static str,
    ) -> Result<Option<String>, NotUnderstood> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
            }
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(NotUnderstood::WrongType {
                    field,
                    must: "a text",
                })
            }
        }
    }

    /// A message's own blanks and lines are kept.
    fn text_as_sent(&self, field: &'static str) -> Result<Option<String>, NotUnderstood> {
        match self.object.get(field) {
            Some(Value::String(text)) => {
                Ok(Some(text.clone()).filter(|text| !text.trim().is_empty()))
            }
            other => self.text_of(other, field),
        }
    }

    fn texts(&self, field: &'static str) -> Result<Vec<String>, NotUnderstood> {
        let must = "a list of texts";
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let text = |item| match self.text_of(Some(item), field) {
                    Ok(text) => text.map(Ok),
                    Err(_) => Some(Err(NotUnderstood::WrongType { field, must })),
                };
                items.iter().take(LIST_MAX).filter_map(text).collect()
            }
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                Err(NotUnderstood::WrongType { field, must })
            }
        }
    }

    fn objects(&self, field: &'static str) -> Result<Vec<&Map<String, Value>>, NotUnderstood> {
        let wrong = NotUnderstood::WrongType {
            field,
            must: "a list of objects",
        };
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .take(LIST_MAX)
                .map(|item| item.as_object().ok_or(wrong))
                .collect(),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Err(wrong)
            }
        }
    }

    /// Whether there is one (`true` or an address), and the address.
    fn link(&self, field: &'static str) -> Result<(bool, Option<String>), NotUnderstood> {
        if let Some(Value::Bool(there)) = self.object.get(field) {
            return Ok((*there, None));
        }
        let link = self.text(field)?;
        Ok((link.is_some(), link))
    }

    fn direction(&self) -> Result<Option<Direction>, NotUnderstood> {
        match self.text("direction")?.as_deref() {
            None => Ok(None),
            Some("in") => Ok(Some(Direction::In)),
            Some("out") => Ok(Some(Direction::Out)),
            Some("internal") => Ok(Some(Direction::Internal)),
            Some(_) => Err(NotUnderstood::WrongType {
                field: "direction",
                must: "in, out or internal",
            }),
        }
    }

    fn reason(&self) -> Result<Option<Reason>, NotUnderstood> {
        let Some(word) = self.text("reason")? else {
            return Ok(None);
        };
        let word = word.replace('_', " ");
        let known = Reason::ALL
            .into_iter()
            .find(|reason| reason.words() == word);
        let must =
            "no answer, caller gave up, busy, declined, queue timeout, no such number or failed";
        known.map(Some).ok_or(NotUnderstood::WrongType {
            field: "reason",
            must,
        })
    }

    fn party(
        &self,
        field: &'static str,
        name: &'static str,
    ) -> Result<Option<Contact>, NotUnderstood> {
        let name = self.text(name)?;
        Ok(self
            .text(field)?
            .map(|raw| self.contact(&raw, name.as_deref())))
    }

    fn contact(&self, raw: &str, name: Option<&str>) -> Contact {
        party::read(raw, name, &self.site.plan, &self.site.extensions)
    }

    fn time(&self, field: &'static str) -> Result<Option<Timestamp>, NotUnderstood> {
        self.time_of(self.object.get(field), field, None)
    }

    /// A time that can't be before the call's start.
    fn time_in_call(&self, field: &'static str) -> Result<Option<Timestamp>, NotUnderstood> {
        let started = self.time("started")?;
        self.time_of(self.object.get(field), field, started)
    }

    /// RFC 3339; without a zone, the phone system's local time; a whole number is seconds or milliseconds since 1970.
    fn time_of(
        &self,
        value: Option<&Value>,
        field: &'static str,
        not_before: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, NotUnderstood> {
        let bad = NotUnderstood::BadTime(field);
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => {
                let number = number.as_i64().ok_or(bad)?;
                let time = if number < MILLISECONDS_FROM {
                    Timestamp::from_second(number)
                } else {
                    Timestamp::from_millisecond(number)
                };
                time.map(Some).map_err(|_| bad)
            }
            Some(Value::String(text)) => {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(None);
                }
                if let Ok(time) = text.parse::<Timestamp>() {
                    return Ok(Some(time));
                }
                let local: DateTime = text.parse().map_err(|_| bad)?;
                let local = self.site.time_zone.to_ambiguous_timestamp(local);
                let (first, second) = (
                    local.compatible().map_err(|_| bad)?,
                    local.later().map_err(|_| bad)?,
                );
                // When clocks go back, an hour comes twice; a call doesn't end before it began.
                Ok(Some(if not_before.is_some_and(|floor| first < floor) {
                    second
                } else {
                    first
                }))
            }
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(bad),
        }
    }
}
