//! Manager events (AMI): `Key: Value` lines and an empty one, as they come from TCP 5038 with `timestampevents=yes`.
//!
//! The channel that an event is about has plain keys, the one that it calls has `Dest…`, a transfer's have names of their
//! own. Names and values of variables are escaped as C does. `<unknown>` is no number.

use super::cdr;
use super::channel::{self, Channel, said, unescaped};
use super::status;
use crate::calls::decode::facts::{Glimpse, LegFacts, Line, Outcome, Role, TransferFact};
use crate::calls::decode::fields::{Fields, RECORDS_MAX};
use crate::calls::decode::{NotUnderstood, Site, vendor_id};
use crate::terms::call::{Direction, TransferKind};
use jiff::Timestamp;
use std::borrow::Cow;

/// Variables of a channel that say something of its call.
const VARIABLES: &[&str] = &[
    "DIALSTATUS",
    "QUEUESTATUS",
    "VMSTATUS",
    "MIXMONITOR_FILENAME",
    "FROM_DID",
];

/// Applications of the dial plan that say something of the call. Not VoiceMail: that a message was left is told by
/// `MessageWaiting` and by VMSTATUS, that none was by the latter alone, which a filter may hold back.
const APPLICATIONS: &[&str] = &["Queue", "MixMonitor", "Monitor"];

/// Most lines of one event that are read; the longest, an attended transfer, has about eighty.
const LINES_MAX: usize = 500;

/// Whether a body is a manager event.
pub fn is_event(text: &str) -> bool {
    text.starts_with("Event:")
}

/// The events of a body: usually one; a listener may put those of one moment together.
pub fn read(text: &str) -> Result<Vec<Fields>, NotUnderstood> {
    let mut events = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if !is_event(first) {
            // The rest of what isn't one goes with its first line.
            if !is_blank(first) {
                while lines.next_if(|line| !is_blank(line)).is_some() {}
            }
            continue;
        }
        let rest = std::iter::from_fn(|| lines.next_if(|line| !is_blank(line)));
        events.push(keys(std::iter::once(first).chain(rest)));
        if events.len() > RECORDS_MAX {
            return Err(NotUnderstood::TooManyRecords);
        }
    }
    Ok(events)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// An event's keys, in lower case; all its lines are taken, but not all are kept.
fn keys<'a>(lines: impl Iterator<Item = &'a str>) -> Fields {
    let kept = |(index, line)| (index < LINES_MAX).then(|| pair(line)).flatten();
    lines.enumerate().filter_map(kept).collect()
}

fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    Some((key, value.strip_prefix(' ').unwrap_or(value)))
}

/// Whether an event may state anything of a call: a listener leaves the others out, which are most.
pub fn tells(event: &Fields) -> bool {
    match event.text("event") {
        "Newstate" => event.text("channelstate") == "6",
        "VarSet" => {
            let name = event.text("variable").trim_start_matches('_');
            VARIABLES.contains(&name) && event.get("value").is_some()
        }
        "Newexten" => APPLICATIONS.contains(&event.text("application")),
        "MessageWaiting" => event.number("new").is_some_and(|new| new > 0),
        // A record that doesn't say of which call it is would make one of its own, however late it comes.
        "Cdr" => event.get("linkedid").is_some(),
        "Newchannel" | "DialBegin" | "DialEnd" | "BridgeEnter" | "BridgeLeave"
        | "HangupRequest" | "Hangup" | "QueueCallerJoin" | "AgentConnect"
        | "QueueCallerAbandon" | "MixMonitorStart" | "BlindTransfer" | "AttendedTransfer"
        | "Pickup" | "UnParkedCall" | "OriginateResponse" | "CoreShowChannel" | GONE => true,
        _ => false,
    }
}

/// Our own event: a channel whose end was missed.
pub const GONE: &str = "TielineGone";

/// Our own line in an event that came without a time: when it came.
pub const RECEIVED: &str = "TielineReceived";

/// Our own line in [`GONE`]: until when the channel was there at least.
pub const SINCE: &str = "TielineSince";

/// What an event states; nothing for the many that say nothing of who talked.
pub fn decode(
    event: &Fields,
    received: Timestamp,
    site: &Site,
) -> Result<Vec<LegFacts>, NotUnderstood> {
    let at = event.first(&["timestamp", "tielinereceived"]);
    let at = at.and_then(channel::epoch);
    let event = Event {
        fields: event,
        at: at.unwrap_or(received),
        site,
    };
    let legs = match event.fields.text("event") {
        "Cdr" if !tells(event.fields) => Vec::new(),
        "Cdr" => return cdr::decode(&cdr::of_ami(event.fields), site),
        "Newchannel" => event.created(),
        "Newstate" => event.about(|leg, event| {
            let up = event.fields.text("channelstate") == "6";
            leg.answered = up.then_some(event.at);
            up
        }),
        "DialBegin" => event.dial(),
        "DialEnd" => event.dial_end(),
        "BridgeEnter" => event.about(|leg, event| event.stay(leg, true)),
        "BridgeLeave" => event.about(|leg, event| event.stay(leg, false)),
        "HangupRequest" => event.about(|leg, event| {
            leg.hung_up = Some(event.at);
            true
        }),
        "Hangup" => event.about(|leg, event| {
            leg.ended = Some(event.at);
            let (code, text) = (event.fields.text("cause"), event.fields.text("cause-txt"));
            status::cause(leg, code, text);
            true
        }),
        "QueueCallerJoin" | "AgentConnect" => event.about(|leg, event| event.queue(leg)),
        "QueueCallerAbandon" => event.about(|leg, event| {
            // Sent after a time-out too: whether the caller hung up before decides.
            leg.outcomes.insert((event.at, Outcome::LeftQueue));
            event.queue(leg)
        }),
        "MixMonitorStart" => event.about(|leg, _| {
            leg.recording_announced = true;
            true
        }),
        "MessageWaiting" => event.about(|leg, event| {
            leg.voicemail = event.fields.number("new").is_some_and(|new| new > 0);
            leg.voicemail
        }),
        "VarSet" => event.about(|leg, event| event.variable(leg)),
        "Newexten" => event.about(|leg, event| event.application(leg)),
        "BlindTransfer" => event.blind_transfer(),
        "AttendedTransfer" => event.attended_transfer(),
        "Pickup" => event.taken("target", "linkedid"),
        "UnParkedCall" => event.taken("parkee", "retrieverlinkedid"),
        "OriginateResponse" => event.originated(),
        "CoreShowChannel" => event.about(|leg, event| event.there(leg)),
        GONE => event.about(|leg, event| {
            leg.rare.lost = event.fields.get("tielinesince").and_then(channel::epoch);
            leg.rare.lost.is_some()
        }),
        _ => Vec::new(),
    };
    Ok(legs)
}

struct Event<'a> {
    fields: &'a Fields,
    at: Timestamp,
    site: &'a Site,
}

impl<'a> Event<'a> {
    /// The channel whose keys begin with `prefix`, and its leg. None without ids, and for messages.
    fn leg(&self, prefix: &str) -> Option<(Names<'a>, LegFacts)> {
        let names = Names::of(self.fields, prefix);
        let leg = names.channel().leg(self.site)?;
        Some((names, leg))
    }

    /// Facts of the event's own channel, if `state` says that it states any.
    fn about(&self, state: impl Fn(&mut LegFacts, &Self) -> bool) -> Vec<LegFacts> {
        let leg = self.leg("").and_then(|(names, mut leg)| {
            names.channel().glimpsed(&mut leg, self.at, self.site);
            state(&mut leg, self).then_some(leg)
        });
        leg.into_iter().collect()
    }

    fn created(&self) -> Vec<LegFacts> {
        let names = Names::of(self.fields, "");
        // 0 is Down: Asterisk made it to call somebody. 4 is Ring: somebody calls.
        let called = match self.fields.text("channelstate") {
            "0" => Some(true),
            "" => None,
            _ => Some(false),
        };
        let leg = names.channel().created(self.at, called, self.site);
        leg.into_iter().collect()
    }

    fn stay(&self, leg: &mut LegFacts, came: bool) -> bool {
        let bridge = self.fields.text("bridgeuniqueid");
        let technology = self.fields.text("bridgetechnology");
        channel::stay(leg, self.at, bridge, technology, came);
        true
    }

    /// A channel of a list, asked for when the events before were missed: whom it is joined with now.
    fn there(&self, leg: &mut LegFacts) -> bool {
        // A parking place joins nobody; the list doesn't say of what technology a bridge is.
        if !self.fields.text("application").starts_with("Park") {
            channel::stay(leg, self.at, self.fields.text("bridgeid"), "", true);
        }
        true
    }

    fn queue(&self, leg: &mut LegFacts) -> bool {
        leg.rare.queue = self.fields.get("queue").map(str::to_owned);
        true
    }

    fn application(&self, leg: &mut LegFacts) -> bool {
        let name = self.fields.text("application");
        let data = self.fields.text("appdata");
        let told = APPLICATIONS.contains(&name);
        if told {
            status::application(leg, name, data);
            status::queue_limit(leg, name, data, self.at);
        }
        told
    }

    fn variable(&self, leg: &mut LegFacts) -> bool {
        let name = self.fields.text("variable").trim_start_matches('_');
        let value = unescaped(self.fields.text("value"));
        if name == "FROM_DID" && leg.role == Some(Role::Root) {
            let contact = channel::dialled(&value, self.site);
            let at = self.at;
            leg.dialled_seen = contact.map(|contact| Glimpse { at, contact });
            return leg.dialled_seen.is_some();
        }
        let told = VARIABLES.contains(&name) && name != "FROM_DID" && !value.is_empty();
        if told {
            status::variable(leg, self.at, name, &value);
        }
        told
    }

    /// One channel calls another; or Asterisk itself calls one, for a program.
    fn dial(&self) -> Vec<LegFacts> {
        let source = self.leg("");
        let Some((_, mut called)) = self.leg("dest") else {
            return Vec::new();
        };
        let mut legs = Vec::new();
        if called.line != Some(Line::Trunk) && source.is_some() {
            // That a phone of ours is called is told by its channel; a queue calls so often that it would add up.
            return legs;
        }
        if called.line == Some(Line::Trunk) {
            let number = channel::of_dial_string(self.fields.text("dialstring"));
            let number = number.or(said(self.fields.text("destcalleridnum")));
            let party = channel::contact(number.unwrap_or_default(), "", self.site);
            if source.is_none() && called.role == Some(Role::Root) {
                called.direction = Some(Direction::Out);
                called.dialled = Some(party.clone());
            }
            called.party = Some(party);
        }
        if let Some((names, mut leg)) = source {
            names.channel().glimpsed(&mut leg, self.at, self.site);
            if called.line == Some(Line::Trunk) {
                let shown = channel::contact(&names.number, "", self.site);
                called.shown = Some(shown).filter(|shown| shown.number().is_some());
            }
            legs.push(leg);
        }
        legs.push(called);
        legs
    }

    fn dial_end(&self) -> Vec<LegFacts> {
        let outcome = status::of_dial(self.fields.text("dialstatus"));
        let called = self.leg("dest").zip(outcome);
        let legs = called.map(|((_, mut leg), outcome)| {
            leg.outcomes.insert((self.at, outcome));
            leg
        });
        legs.into_iter().collect()
    }

    fn blind_transfer(&self) -> Vec<LegFacts> {
        let Some((names, mut leg)) = self.leg("transferer").filter(|_| self.succeeded()) else {
            return Vec::new();
        };
        leg.rare.transfers.insert(TransferFact {
            at: self.at,
            kind: TransferKind::Blind,
            from: names.extension(self.site),
            to: self.fields.text("extension").to_owned(),
        });
        vec![leg]
    }

    fn attended_transfer(&self) -> Vec<LegFacts> {
        let Some((names, mut leg)) = self.leg("origtransferer").filter(|_| self.succeeded()) else {
            return Vec::new();
        };
        let target = self.fields.first(&[
            "transfertargetcalleridnum",
            "secondtransfererconnectedlinenum",
        ]);
        leg.rare.transfers.insert(TransferFact {
            at: self.at,
            kind: TransferKind::Attended,
            from: names.extension(self.site),
            to: target.and_then(said).unwrap_or_default().to_owned(),
        });
        let second = self.family(&leg, "secondtransfererlinkedid");
        second.into_iter().chain([leg]).collect()
    }

    /// Somebody takes a call that rings elsewhere or is parked: what that phone dialled for it is part of the call.
    fn taken(&self, whose: &str, by: &str) -> Vec<LegFacts> {
        let Some((_, leg)) = self.leg(whose) else {
            return Vec::new();
        };
        let taker = self.family(&leg, by);
        taker.into_iter().chain([leg]).collect()
    }

    /// Says that another call, of this id, is part of the leg's.
    fn family(&self, leg: &LegFacts, name: &str) -> Option<LegFacts> {
        let id = vendor_id(self.fields.text(name)).filter(|id| *id != leg.key.id)?;
        // As Asterisk itself, which goes on under the older id.
        if channel::age(&id) < channel::age(&leg.key.id) {
            let key = channel::key(&id, self.site);
            return Some(LegFacts::new(key, leg.key.id.clone()));
        }
        Some(LegFacts::new(leg.key.clone(), id))
    }

    fn succeeded(&self) -> bool {
        matches!(self.fields.text("result"), "Success" | "")
    }

    /// A program had a phone called, and says what it wanted dialled then. Has no linked id: the channel began the call.
    fn originated(&self) -> Vec<LegFacts> {
        let mut names = Names::of(self.fields, "");
        names.linked = names.id;
        let leg = names.channel().leg(self.site).map(|mut leg| {
            names.channel().glimpsed(&mut leg, self.at, self.site);
            leg
        });
        leg.into_iter().collect()
    }
}

/// A channel's keys, unescaped.
struct Names<'a> {
    id: &'a str,
    linked: &'a str,
    name: &'a str,
    number: Cow<'a, str>,
    caller_name: Cow<'a, str>,
    context: &'a str,
    exten: &'a str,
}

impl<'a> Names<'a> {
    fn of(fields: &'a Fields, prefix: &str) -> Self {
        let text = |key: &str| fields.get_joined(prefix, key).unwrap_or_default();
        Self {
            id: text("uniqueid"),
            linked: text("linkedid"),
            name: text("channel"),
            number: unescaped(text("calleridnum")),
            caller_name: unescaped(text("calleridname")),
            context: text("context"),
            exten: text("exten"),
        }
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            id: self.id,
            linked: self.linked,
            name: self.name,
            number: &self.number,
            caller_name: &self.caller_name,
            context: self.context,
            exten: self.exten,
            live: true,
        }
    }

    /// Who is on it: the phone's extension, else the number.
    fn extension(&self, site: &Site) -> Option<String> {
        let phone = channel::phone(self.name, site);
        let ours = channel::extension(&phone).map(|extension| extension.0.clone());
        ours.or_else(|| said(&self.number).map(str::to_owned))
    }
}
