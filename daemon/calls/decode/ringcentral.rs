//! RingCentral: notifications of telephony sessions and of instant messages (SMS), each a JSON object with the event's
//! address and a `body`.
//!
//! A session is a call; its parties are legs, told of as they change. Who called whom is what the session's first event
//! says, for a transfer brings parties of other directions. A party with an extension of ours that is Answered is a person,
//! unless `extensions` is set and doesn't list it: queues and menus are extensions too.

use super::facts::{Glimpse, LegFacts, Line, Role, TransferFact};
use super::report::report;
use super::values::{self, Values, call_key, contact, is_whatsapp, login, object};
use super::{NotUnderstood, PhoneEvent, RawEvent, Site, vendor_id};
use crate::terms::call::{Direction, Reason, TransferKind};
use crate::terms::ids::Kind;
use crate::terms::party::Contact;
use crate::terms::text::Text;
use jiff::Timestamp;

/// Events of the same subscriptions that tell of no call: changes of the store, presence, the subscription's own.
const OTHER_EVENTS: [&str; 3] = ["/message-store", "/presence", "/subscription"];

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let object = object(raw, "RingCentral")?;
    let post = Values(&object);
    let event = post.text("event").ok_or(NotUnderstood::Missing("event"))?;
    let at = post.time("timestamp", site).unwrap_or(raw.received);
    if event.contains("/telephony/sessions") {
        let legs = session(post, at, site)?;
        let event = |leg| PhoneEvent::Leg(Box::new(leg));
        return Ok(legs.into_iter().map(event).collect());
    }
    if event.contains("/message-store/instant") {
        let text = text(post, at, site)?;
        return Ok(text.into_iter().map(PhoneEvent::Text).collect());
    }
    if OTHER_EVENTS.iter().any(|other| event.contains(other)) {
        return Ok(Vec::new());
    }
    Err(NotUnderstood::UnknownKind("RingCentral"))
}

fn session(post: Values<'_>, at: Timestamp, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = post.first(&["body.telephonySessionId", "body.sessionId"]);
    let root = id.as_deref().and_then(|id| values::root(id, site));
    let mut root = root.ok_or(NotUnderstood::Missing("body.telephonySessionId"))?;
    let at = post.time("body.eventTime", site).unwrap_or(at);
    root.born = Some(at);
    let mut legs = Vec::new();
    for (place, values) in post.list("body.parties").into_iter().enumerate() {
        // Without an id, its place in the list has to do.
        let id = values.text("id").unwrap_or_else(|| place.to_string());
        let Some(id) = vendor_id(&format!("{}/{id}", root.leg)) else {
            continue;
        };
        let party = Party::of(values);
        let mut leg = LegFacts::new(root.key.clone(), id);
        leg.role = Some(Role::Branch);
        party.whole_call(&mut root, at, site);
        party.state(&mut leg, at, site);
        legs.push(leg);
    }
    legs.push(root);
    Ok(legs)
}

/// One party of a session; `from` and `to` are the same in all of them, `direction` says at which end this one is.
struct Party<'a> {
    values: Values<'a>,
    calls: bool,
    /// The ends that are ours.
    from: Option<Contact>,
    to: Option<Contact>,
}

impl<'a> Party<'a> {
    fn of(values: Values<'a>) -> Self {
        let calls = values.word("direction") == "outbound";
        let own = |side: &str, here: bool| {
            let at = |name: &str| format!("{side}.{name}");
            let id = values.text(&at("extensionId"));
            let id = id.or_else(|| values.text("extensionId").filter(|_| here))?;
            let number = values.text(&at("extensionNumber")).unwrap_or(id);
            Some(login(&number, values.text(&at("name")).as_deref()))
        };
        Self {
            values,
            calls,
            from: own("from", calls),
            to: own("to", !calls),
        }
    }

    /// What it tells of the call.
    fn whole_call(&self, root: &mut LegFacts, at: Timestamp, site: &Site) {
        let outside = |side| self.end(side, site);
        let called = outside("to").filter(|to| to.number().is_some());
        let dialled = match self.from {
            // Between our own phones the extension counts, not the number that it has.
            Some(_) => self.to.clone().or(called),
            None => called.or_else(|| self.to.clone()),
        };
        let caller = self.from.clone().or_else(|| outside("from"));
        let first = |seen: &Option<Glimpse>| seen.is_none();
        if first(&root.caller_seen) {
            root.caller_seen = caller.map(|contact| Glimpse { at, contact });
        }
        if first(&root.dialled_seen) {
            root.dialled_seen = dialled.map(|contact| Glimpse { at, contact });
        }
        if self.from.is_some() && self.to.is_none() {
            let shown = outside("from").filter(|from| from.number().is_some());
            root.shown = shown.or(root.shown.take());
        }
        let names = ["contentUri", "uri", "id"];
        let recordings = self.values.texts("recordings", &names);
        root.recording_announced |= !recordings.is_empty();
        root.rare.recording = recordings.into_iter().next().or(root.rare.recording.take());
    }

    /// One end by its number.
    fn end(&self, side: &str, site: &Site) -> Option<Contact> {
        let at = |name: &str| format!("{side}.{name}");
        let number = self.values.text(&at("phoneNumber"));
        let name = self.values.text(&at("name"));
        if number.is_none() && name.is_none() {
            return None;
        }
        Some(contact(&number.unwrap_or_default(), name.as_deref(), site))
    }

    fn state(&self, leg: &mut LegFacts, at: Timestamp, site: &Site) {
        let own = if self.calls { &self.from } else { &self.to };
        let listed =
            |own: &Contact| site.extensions.0.is_empty() || site.extensions.contains(&own.raw);
        leg.line = Some(match own {
            Some(own) if listed(own) => Line::Phone,
            Some(_) => Line::Machine,
            None => Line::Trunk,
        });
        let side = if self.calls { "from" } else { "to" };
        leg.party = own.clone().or_else(|| self.end(side, site));
        leg.live = true;
        leg.started = Some(at);
        match self.values.word("status.code").as_str() {
            "answered" => {
                leg.answered = Some(at);
                if leg.line == Some(Line::Phone) {
                    leg.bridged.insert((at, None));
                }
            }
            "voicemail" | "voicemailscreening" => leg.voicemail = true,
            "disconnected" | "gone" => self.ended(leg, own.as_ref(), at),
            _ => {}
        }
    }

    fn ended(&self, leg: &mut LegFacts, own: Option<&Contact>, at: Timestamp) {
        leg.ended = Some(at);
        let reason = self.values.word("status.reason");
        leg.cause = self.values.first(&["status.reason", "status.code"]);
        leg.reason = match reason.as_str() {
            "noanswer" => Some(Reason::NoAnswer),
            "targetbusy" => Some(Reason::Busy),
            "rejected" => Some(Reason::Declined),
            "invalidnumber" | "nosuchuser" => Some(Reason::NoSuchNumber),
            "internalerror" | "internationaldisabled" | "destinationblocked" | "notenoughfunds" => {
                Some(Reason::Failed)
            }
            // Of a phone that rang, it may be that another took the call.
            "cancelled" if self.calls => Some(Reason::CallerGaveUp),
            _ => None,
        };
        let kind = match reason.as_str() {
            "blindtransfer" | "rcctransfer" => TransferKind::Blind,
            "attendedtransfer" => TransferKind::Attended,
            _ => return,
        };
        leg.rare.transfers.extend(own.map(|own| TransferFact {
            at,
            kind,
            from: Some(own.raw.clone()),
            // Whoever talks next.
            to: String::new(),
        }));
    }
}

/// A message; none for what is no SMS, such as a message between colleagues.
fn text(post: Values<'_>, at: Timestamp, site: &Site) -> Result<Option<Text>, NotUnderstood> {
    let id = post.text("body.id").and_then(|id| vendor_id(&id));
    let id = id.ok_or(NotUnderstood::Missing("body.id"))?;
    let kind = post.word("body.type");
    if kind == "whatsapp" {
        return Err(NotUnderstood::WhatsApp);
    }
    if !matches!(kind.as_str(), "" | "sms" | "mms") {
        return Ok(None);
    }
    let from = post.text("body.from.phoneNumber").unwrap_or_default();
    // A message to several is one message; the first stands for all.
    let to = post.texts("body.to", &["phoneNumber"]).into_iter().next();
    let to = to.unwrap_or_default();
    if is_whatsapp(&from) || is_whatsapp(&to) {
        return Err(NotUnderstood::WhatsApp);
    }
    let is_file = |file: &Values<'_>| !file.word("contentType").starts_with("text/");
    let files = post.list("body.attachments").into_iter().filter(is_file);
    let media: Vec<String> = files.filter_map(|file| file.text("uri")).collect();
    let body = post.whole("body.subject");
    let body = body.filter(|body| !body.trim().is_empty());
    let report = report(&post.word("body.messageStatus"), None);
    if body.is_none() && media.is_empty() && report.is_none() {
        return if post.has("body.messageStatus") {
            Ok(None)
        } else {
            Err(NotUnderstood::Missing("body.subject"))
        };
    }
    let out = post.word("body.direction") == "outbound";
    let name = post.text("body.from.name");
    Ok(Some(Text {
        key: call_key(Kind::Text, id, site),
        direction: if out { Direction::Out } else { Direction::In },
        from: contact(&from, name.as_deref(), site),
        to: contact(&to, None, site),
        at: post.time("body.creationTime", site).unwrap_or(at),
        body: body.unwrap_or_default(),
        media,
        report,
    }))
}
