//! Posts of a hangup handler or a message context: the dial plan's own `CURL()` with the channel's variables as form fields or
//! a JSON object (docs/phone-systems.md has the handler).
//!
//! A handler that runs more than one application sees a fresh, empty record in `CDR(...)`: `dst` s, disposition NO ANSWER,
//! durations 0, start the time of hanging up. So nothing here rests on those alone: the start is the second in the id, the
//! end is `epoch`, whether somebody answered is in `dialstatus` and `answeredtime`, and `direction` is derived.

use super::channel::{self, Channel, extension, said};
use super::status;
use crate::calls::decode::facts::{Glimpse, LegFacts, Line, Outcome, Role};
use crate::calls::decode::fields::Fields;
use crate::calls::decode::report::report;
use crate::calls::decode::values::is_whatsapp;
use crate::calls::decode::{NotUnderstood, RawEvent, Site, hashed, vendor_id};
use crate::terms::call::Direction;
use crate::terms::ids::{CallKey, Kind};
use crate::terms::text::Text;
use jiff::{SignedDuration, Timestamp};

/// Longest talk, in seconds, that a post is believed: a day.
const TALK_MAX: i64 = 24 * 3600;

/// Whether named values are a hangup handler's.
pub fn is_hangup(fields: &Fields) -> bool {
    fields.has("uniqueid") || fields.has("linkedid")
}

/// Whether named values are a text's.
pub fn is_message(fields: &Fields) -> bool {
    fields.get("event") == Some("message")
        || (fields.has("body") && fields.has("from") && !is_hangup(fields))
}

/// What a hangup handler's post states.
pub fn decode(
    post: &Fields,
    raw: &RawEvent<'_>,
    site: &Site,
) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = post.first(&["uniqueid", "linkedid"]);
    let id = id.ok_or(NotUnderstood::Missing("uniqueid"))?;
    // Our own phones' contexts are no outside ones, whatever the dial plan calls the direction.
    let context = post.first(&["context", "dcontext", "direction"]);
    let channel = Channel {
        id,
        linked: post.get("linkedid").unwrap_or(id),
        name: post.text("channel"),
        number: post.text("src"),
        context: context.unwrap_or_default(),
        ..Channel::default()
    };
    let Some(mut leg) = channel.leg(site) else {
        return Ok(Vec::new());
    };
    channel.by_caller_id(&mut leg, site);
    let until = until(post, leg.born, raw, site);
    // The post came within the same second: its fraction is the better end.
    let received = Some(raw.received).filter(|at| at.as_second() == until.as_second());
    leg.ended = Some(received.unwrap_or(until));
    leg.born = leg.born.or_else(|| {
        let start = channel::local(post.text("start"), None, site);
        start.filter(|start| *start <= until)
    });
    status::cause(&mut leg, post.text("hangupcause"), "");
    if leg.role != Some(Role::Root) {
        return Ok(vec![leg]);
    }
    parties(&mut leg, &channel, post, until, site);
    for name in ["DIALSTATUS", "QUEUESTATUS", "VMSTATUS"] {
        let value = post.text(&name.to_ascii_lowercase()).to_owned();
        status::variable(&mut leg, until, name, &value);
    }
    if left_queue(post) {
        leg.outcomes.insert((until, Outcome::Cancelled));
    }
    leg.rare.queue = post.first(&["queue", "queuename"]).map(str::to_owned);
    let file = post.first(&["recording", "recordingfile", "mixmonitor_filename"]);
    status::recorded(&mut leg, file.unwrap_or_default());
    let phone = talk(&mut leg, post, until, site);
    Ok(phone.into_iter().chain([leg]).collect())
}

/// When the handler ran.
fn until(post: &Fields, born: Option<Timestamp>, raw: &RawEvent<'_>, site: &Site) -> Timestamp {
    let stated = post.get("epoch").and_then(channel::epoch);
    let local = || {
        post.get("end")
            .and_then(|end| channel::local(end, born, site))
    };
    let counted = || {
        let duration = post.number("duration").filter(|seconds| *seconds > 0)?;
        born?
            .checked_add(SignedDuration::from_secs(duration.min(TALK_MAX)))
            .ok()
    };
    stated
        .or_else(local)
        .or_else(counted)
        .unwrap_or(raw.received)
}

fn parties(leg: &mut LegFacts, channel: &Channel<'_>, post: &Fields, at: Timestamp, site: &Site) {
    let glimpse = |contact| Glimpse { at, contact };
    let (clid_number, clid_name) = channel::caller_id(post.text("clid"));
    let number = post.first(&["callerid_num", "src", "clid_num", "cnum"]);
    let number = number.map_or(clid_number, str::to_owned);
    let name = post.first(&["callerid_name", "cnam"]);
    let name = name.map_or(clid_name, str::to_owned);
    let wanted = post.first(&["dialed", "dialled", "dst", "exten"]);
    let shown = Some(channel::contact(&number, "", site)).filter(|shown| shown.number().is_some());
    let dialled = wanted.and_then(|exten| channel::dialled(exten, site));
    match leg.line {
        Some(Line::Phone) => {
            leg.caller_seen = leg.party.clone().map(glimpse);
            leg.dialled_seen = dialled.map(glimpse);
            leg.shown = shown;
        }
        Some(Line::Trunk) | None => {
            // A caller who was handed on to the outside shows our number from then on, and what was dialled for that.
            let direction = post.text("direction").to_ascii_lowercase();
            let sent_out = direction.starts_with("out");
            let number = if sent_out { "" } else { &number };
            leg.caller_seen = Some(glimpse(channel::contact(number, &name, site)));
            let did = post.first(&["did", "from_did", "dnid"]);
            let did = did.map(|did| channel::contact(did, "", site));
            let handed_on = sent_out || channel::is_inside(channel.context);
            let numbered = dialled.filter(|dialled| dialled.number().is_some() && !handed_on);
            leg.dialled_seen = did.or(numbered).map(glimpse);
        }
        Some(Line::Machine) => {
            leg.caller_seen = channel.link_phone(site).map(glimpse);
            leg.dialled_seen = wanted
                .and_then(|exten| channel.wanted(exten, site))
                .map(glimpse);
            leg.shown = shown;
        }
    }
}

/// Whether the caller hung up in a queue: a queue that is left in another way says how. It counts the time of its calls as
/// Dial does, but has no status of its own for them.
fn left_queue(post: &Fields) -> bool {
    let unset = |name: &str| post.has(name) && post.get(name).is_none();
    let nobody = post.number("answeredtime") == Some(0);
    nobody && post.get("dialedtime").is_some() && unset("queuestatus") && unset("dialstatus")
}

/// When a person talked, and the phone's leg if the post names it.
fn talk(leg: &mut LegFacts, post: &Fields, until: Timestamp, site: &Site) -> Option<LegFacts> {
    let counted = post.number("answeredtime").filter(|seconds| *seconds > 0);
    if counted.is_none() && post.get("dialstatus") != Some("ANSWER") {
        return None;
    }
    let seconds = counted.or(post.number("billsec")).unwrap_or(0);
    let seconds = SignedDuration::from_secs(seconds.min(TALK_MAX));
    let from = until.checked_sub(seconds).unwrap_or(until);
    let from = leg.born.map_or(from, |born| from.max(born));
    let peer = post.first(&[
        "dialedpeer",
        "dialedpeernumber",
        "member",
        "memberinterface",
    ]);
    let peer = peer
        .and_then(channel::of_dial_string)
        .map(|peer| channel::contact(peer, "", site));
    let phone = peer.as_ref().and_then(extension).cloned();
    let Some(extension) = phone else {
        leg.bridged.insert((from, Some(until)));
        return None;
    };
    let id = vendor_id(&format!("{}/{}", leg.leg, extension.0))?;
    let mut phone = LegFacts::new(leg.key.clone(), id);
    phone.role = Some(Role::Branch);
    phone.party = peer;
    phone.bridged.insert((from, Some(until)));
    Some(phone)
}

/// What a message context's post states: a SIP MESSAGE.
pub fn text(post: &Fields, raw: &RawEvent<'_>, site: &Site) -> Result<Text, NotUnderstood> {
    let body = post.whole("body").filter(|body| !body.trim().is_empty());
    let body = body.ok_or(NotUnderstood::Missing("body"))?.to_owned();
    let from = post.get("from").ok_or(NotUnderstood::Missing("from"))?;
    let to = post
        .first(&["exten", "to"])
        .ok_or(NotUnderstood::Missing("to"))?;
    if is_whatsapp(from) || is_whatsapp(to) {
        return Err(NotUnderstood::WhatsApp);
    }
    let at = post.get("epoch").and_then(channel::epoch);
    let id = post.first(&["callid", "call_id", "id"]).and_then(vendor_id);
    // Without an id, what was said by whom and when is one.
    let made = || hashed(&format!("{from}\n{to}\n{}\n{body}", post.text("epoch")));
    // MessageSend() leaves in it whether its text could be handed on.
    let status = post.text("message_send_status");
    let why = Some(status.to_ascii_lowercase().replace('_', " "));
    let sent = message(
        Message {
            id: id.unwrap_or_else(made),
            from,
            to,
            at: at.unwrap_or(raw.received),
            body,
        },
        site,
    );
    Ok(Text {
        report: report(status, why),
        ..sent
    })
}

/// A SIP MESSAGE, as hooks and ARI tell of one.
pub struct Message<'a> {
    pub id: String,
    /// `"Max Muster" <sip:+491711234567@127.0.0.2>`
    pub from: &'a str,
    /// `pjsip:+4921155500100@127.0.0.1`, or the extension alone.
    pub to: &'a str,
    pub at: Timestamp,
    pub body: String,
}

/// A text from a SIP MESSAGE; sent by one of our phones, it goes out.
pub fn message(message: Message<'_>, site: &Site) -> Text {
    let (from, name) = channel::caller_id(message.from);
    let (to, _) = channel::caller_id(message.to);
    let user = |uri: &str| channel::of_dial_string(uri).unwrap_or_default().to_owned();
    let from = channel::contact(&user(&from), &name, site);
    let to = channel::contact(&user(&to), "", site);
    let ours = said(&from.raw).is_some() && channel::is_extension(&from);
    Text {
        key: CallKey {
            kind: Kind::Text,
            pbx: site.pbx.clone(),
            id: message.id,
        },
        direction: if ours { Direction::Out } else { Direction::In },
        from,
        to,
        at: message.at,
        body: message.body,
        media: Vec::new(),
        report: None,
    }
}
