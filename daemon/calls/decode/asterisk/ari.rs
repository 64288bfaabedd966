//! ARI's events: one JSON object a message of the websocket.
//!
//! ARI names no linked id, so a call is found by who called whom and who was in one bridge: an event of a channel is filed
//! under the channel's own id, and a dial or a bridge says that the younger channels' calls are part of the oldest's. The
//! second end of a link is filed under the link's name, and its first end says that the link is part of its call.

use super::channel::{self, Channel, said};
use super::hook::{self, Message};
use super::status;
use crate::calls::decode::facts::{LegFacts, Line, Role, TransferFact};
use crate::calls::decode::fields::scalar;
use crate::calls::decode::{NotUnderstood, PhoneEvent, RawEvent, Site, hashed, vendor_id};
use crate::terms::call::TransferKind;
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::Value;

/// Most channels of one bridge that are read.
const CHANNELS_MAX: usize = 200;

/// Whether a JSON object is a message of ARI.
pub fn is_event(object: &Value) -> bool {
    object.get("type").is_some_and(Value::is_string)
        && (object.get("timestamp").is_some() || object.get("asterisk_id").is_some())
}

/// What a message states.
pub fn decode(
    object: &Value,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let event = Event {
        object,
        at: time(object.get("timestamp")).unwrap_or(raw.received),
        site,
    };
    let kind = event.text("type");
    if kind == "TextMessageReceived" {
        return Ok(vec![PhoneEvent::Text(event.message()?)]);
    }
    let legs = match kind.as_str() {
        "ChannelCreated" => event.created(),
        "ChannelStateChange" => event.about(|leg, shown| {
            let up = shown.text("state") == "Up";
            leg.answered = up.then_some(event.at);
            up
        }),
        "Dial" => event.dial(),
        "ChannelEnteredBridge" => event.stay(true),
        "ChannelLeftBridge" => event.stay(false),
        "ChannelHangupRequest" => event.about(|leg, _| {
            // Soft: the phone system asks the channel to end.
            let asked = object.get("soft").and_then(Value::as_bool) == Some(true);
            leg.hung_up = (!asked).then_some(event.at);
            !asked
        }),
        "ChannelDestroyed" => event.about(|leg, _| {
            leg.ended = Some(event.at);
            status::cause(leg, &event.text("cause"), &event.text("cause_txt"));
            true
        }),
        "ChannelVarset" => event.about(|leg, _| {
            let (name, value) = (event.text("variable"), event.text("value"));
            let before = leg.clone();
            status::variable(leg, event.at, name.trim_start_matches('_'), &value);
            *leg != before
        }),
        "ChannelDialplan" => event.about(|leg, _| {
            let before = leg.clone();
            let (name, data) = (event.text("dialplan_app"), event.text("dialplan_app_data"));
            status::application(leg, &name, &data);
            *leg != before
        }),
        "BridgeBlindTransfer" => event.transfer("channel", TransferKind::Blind),
        "BridgeAttendedTransfer" => event.transfer("transferer_first_leg", TransferKind::Attended),
        _ => Vec::new(),
    };
    Ok(legs
        .into_iter()
        .map(|leg| PhoneEvent::Leg(Box::new(leg)))
        .collect())
}

/// RFC 3339, but with an offset without a colon: `2026-11-20T13:07:23.692+0100`.
fn time(value: Option<&Value>) -> Option<Timestamp> {
    let text = value.and_then(Value::as_str)?;
    let known = text.parse().ok();
    known.or_else(|| {
        let broken = strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
        broken.to_timestamp().ok()
    })
}

/// A channel as a message shows it.
struct Shown {
    id: String,
    name: String,
    number: String,
    caller_name: String,
    context: String,
    exten: String,
    state: String,
}

impl Shown {
    fn of(value: &Value) -> Option<Self> {
        let text = |pointer: &str| {
            let found = value.pointer(pointer).and_then(scalar);
            found.unwrap_or_default()
        };
        Some(Self {
            id: said(&text("/id"))?.to_owned(),
            name: text("/name"),
            number: text("/caller/number"),
            caller_name: text("/caller/name"),
            context: text("/dialplan/context"),
            exten: text("/dialplan/exten"),
            state: text("/state"),
        })
    }

    fn text(&self, field: &str) -> &str {
        match field {
            "state" => &self.state,
            _ => &self.name,
        }
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            id: &self.id,
            linked: &self.id,
            name: &self.name,
            number: &self.number,
            caller_name: &self.caller_name,
            context: &self.context,
            exten: &self.exten,
            live: true,
        }
    }

    /// The link whose end this is, and whether it is the first.
    fn link(&self) -> Option<(&str, bool)> {
        let (link, end) = self.name.rsplit_once(';')?;
        Some((link, end == "1"))
    }

    /// Files the leg; the extra facts say what else is part of its call.
    fn filed(&self, mut leg: LegFacts, site: &Site) -> Vec<LegFacts> {
        let link = self
            .link()
            .and_then(|(link, first)| Some((vendor_id(link)?, first)));
        match link {
            Some((link, true)) => vec![LegFacts::new(leg.key.clone(), link), leg],
            Some((link, false)) => {
                leg.key = channel::key(&link, site).into();
                leg.role = Some(Role::Branch);
                vec![leg]
            }
            None => vec![leg],
        }
    }
}

struct Event<'a> {
    object: &'a Value,
    at: Timestamp,
    site: &'a Site,
}

impl Event<'_> {
    fn text(&self, field: &str) -> String {
        self.object.get(field).and_then(scalar).unwrap_or_default()
    }

    fn shown(&self, field: &str) -> Option<Shown> {
        self.object.get(field).and_then(Shown::of)
    }

    fn about(&self, state: impl Fn(&mut LegFacts, &Shown) -> bool) -> Vec<LegFacts> {
        let Some(shown) = self.shown("channel") else {
            return Vec::new();
        };
        let Some(mut leg) = shown.channel().leg(self.site) else {
            return Vec::new();
        };
        shown.channel().glimpsed(&mut leg, self.at, self.site);
        if state(&mut leg, &shown) {
            shown.filed(leg, self.site)
        } else {
            Vec::new()
        }
    }

    fn created(&self) -> Vec<LegFacts> {
        let Some(shown) = self.shown("channel") else {
            return Vec::new();
        };
        let made = self.object.pointer("/channel/creationtime");
        let at = time(made).unwrap_or(self.at);
        let called = Some(shown.state == "Down");
        let leg = shown.channel().created(at, called, self.site);
        leg.map_or_else(Vec::new, |leg| shown.filed(leg, self.site))
    }

    /// Who calls whom: the called channel's call is part of the caller's.
    fn dial(&self) -> Vec<LegFacts> {
        let Some(peer) = self.shown("peer") else {
            return Vec::new();
        };
        let Some(mut called) = peer.channel().leg(self.site) else {
            return Vec::new();
        };
        called.outcomes = status::of_dial(&self.text("dialstatus"))
            .map(|outcome| (self.at, outcome))
            .into_iter()
            .collect();
        let dialled = self.text("dialstring");
        if called.line == Some(Line::Trunk)
            && let Some(number) = channel::of_dial_string(&dialled)
        {
            called.party = Some(channel::contact(number, "", self.site));
        }
        let source = self.shown("caller");
        let Some((caller, mut leg)) = source
            .and_then(|caller| Some((caller.channel().leg(self.site)?, caller)))
            .map(|(leg, caller)| (caller, leg))
        else {
            return peer.filed(called, self.site);
        };
        caller.channel().glimpsed(&mut leg, self.at, self.site);
        if called.line == Some(Line::Trunk) {
            let shown = channel::contact(&caller.number, "", self.site);
            called.shown = Some(shown).filter(|shown| shown.number().is_some());
        }
        called.role = Some(Role::Branch);
        let mut legs = caller.filed(leg, self.site);
        if let Some(key) = legs.last().map(|leg| leg.key.clone()) {
            called.key = key;
        }
        legs.push(called);
        legs
    }

    /// A channel came into a bridge or left it: those who are in it are of one call, the oldest's.
    fn stay(&self, came: bool) -> Vec<LegFacts> {
        let Some(shown) = self.shown("channel") else {
            return Vec::new();
        };
        let Some(mut leg) = shown.channel().leg(self.site) else {
            return Vec::new();
        };
        let bridge = |field: &str| {
            let found = self.object.pointer(&format!("/bridge/{field}"));
            found.and_then(scalar).unwrap_or_default()
        };
        let technology = bridge("technology");
        channel::stay(&mut leg, self.at, &bridge("id"), &technology, came);
        let mut legs = shown.filed(leg, self.site);
        if technology != channel::HOLDING && came {
            legs.extend(self.family());
        }
        legs
    }

    fn family(&self) -> Vec<LegFacts> {
        let list = self.object.pointer("/bridge/channels");
        let ids = list.and_then(Value::as_array).into_iter().flatten();
        let ids = ids.take(CHANNELS_MAX).filter_map(Value::as_str);
        let mut ids: Vec<String> = ids.filter_map(vendor_id).collect();
        ids.sort_by(|a, b| channel::age(a).cmp(&channel::age(b)));
        let mut ids = ids.into_iter();
        let Some(oldest) = ids.next() else {
            return Vec::new();
        };
        let key = channel::key(&oldest, self.site);
        ids.map(|id| LegFacts::new(key.clone(), id)).collect()
    }

    fn transfer(&self, giver: &str, kind: TransferKind) -> Vec<LegFacts> {
        let succeeded = self.text("result").eq_ignore_ascii_case("success");
        let Some(shown) = self.shown(giver).filter(|_| succeeded) else {
            return Vec::new();
        };
        let Some(mut leg) = shown.channel().leg(self.site) else {
            return Vec::new();
        };
        let target = self.object.pointer("/transfer_target/caller/number");
        let to = match kind {
            TransferKind::Blind => self.text("exten"),
            TransferKind::Attended | TransferKind::Unknown => {
                target.and_then(scalar).unwrap_or_default()
            }
        };
        let from = leg.party.as_ref().map(|party| party.raw.clone());
        let at = self.at;
        leg.rare
            .transfers
            .insert(TransferFact { at, kind, from, to });
        let second = self.shown("transferer_second_leg");
        let second = second.and_then(|second| vendor_id(&second.id));
        let second = second.filter(|id| *id != leg.leg);
        let joined = second.map(|id| LegFacts::new(leg.key.clone(), id));
        let mut legs = shown.filed(leg, self.site);
        legs.extend(joined);
        legs
    }

    fn message(&self) -> Result<crate::terms::text::Text, NotUnderstood> {
        let field = |name: &str| {
            let found = self.object.pointer(&format!("/message/{name}"));
            found.and_then(scalar).unwrap_or_default()
        };
        let (from, to, body) = (field("from"), field("to"), field("body"));
        if body.trim().is_empty() {
            return Err(NotUnderstood::Missing("message.body"));
        }
        let made = || hashed(&format!("{from}\n{to}\n{}\n{body}", self.text("timestamp")));
        let id = vendor_id(&self.call_id()).unwrap_or_else(made);
        let message = Message {
            id,
            from: &from,
            to: &to,
            at: self.at,
            body,
        };
        Ok(hook::message(message, self.site))
    }

    /// The SIP Call-ID among the message's variables: an object, or a list of keys and values in older versions.
    fn call_id(&self) -> String {
        let variables = self.object.pointer("/message/variables");
        let object = variables.and_then(|object| object.get("Call-ID"));
        let listed = || {
            let list = variables.and_then(Value::as_array)?;
            let named = |item: &&Value| item.get("key").and_then(Value::as_str) == Some("Call-ID");
            list.iter().find(named)?.get("value")
        };
        object.or_else(listed).and_then(scalar).unwrap_or_default()
    }
}
