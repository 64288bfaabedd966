//! Channels: what their names, ids and numbers say. Every source of Asterisk (AMI, CEL, ARI, CDR, hooks) speaks of channels
//! in the same words; this room turns them into facts of a leg.

use crate::calls::decode::facts::{Glimpse, LegFacts, Line, Role, Stay};
use crate::calls::decode::{Site, vendor_id};
use crate::terms::ids::{CallKey, Kind};
use crate::terms::party::{self, Contact, Extension, ExtensionRange, Party};
use jiff::{SignedDuration, Timestamp};
use std::borrow::Cow;

/// Technologies of channels that lead nowhere outside: links and tools of Asterisk itself.
const MACHINES: &[&str] = &[
    "Local",
    "Announcer",
    "Bridge",
    "CBAnn",
    "CBRec",
    "ConfBridgeAnnounce",
    "ConfBridgeRecorder",
    "MulticastRTP",
    "Recorder",
    "Snoop",
    "Surrogate",
    "UnicastRTP",
    "AudioSocket",
];

/// Words in the names of dial plan contexts for calls from outside; FreePBX's and Asterisk's samples have them.
const OUTSIDE_CONTEXTS: &[&str] = &["trunk", "pstn", "incoming", "inbound", "external"];

/// Words in the names of contexts for our own phones, where somebody may have been handed on to.
const INSIDE_CONTEXTS: &[&str] = &["internal", "phone", "users", "local", "xfer"];

/// What Asterisk writes where it knows no number or name.
const UNKNOWN: &[&str] = &["<unknown>", "<null>"];

/// A bridge of this technology only holds its channels, each on its own: parking places, waiting rooms.
pub const HOLDING: &str = "holding_bridge";

/// An id that says so in seconds after 1970 lies between 2001 and 2286; what is outside is a number of another kind.
const BORN_MIN: i64 = 1_000_000_000;
/// See [`BORN_MIN`].
const BORN_MAX: i64 = 9_999_999_999;

/// One channel as an event shows it; empty where it doesn't.
#[derive(Clone, Copy, Debug, Default)]
pub struct Channel<'a> {
    pub id: &'a str,
    /// The id of the channel that the call began with.
    pub linked: &'a str,
    pub name: &'a str,
    pub number: &'a str,
    pub caller_name: &'a str,
    pub context: &'a str,
    pub exten: &'a str,
    /// The source tells of the channel as it goes.
    pub live: bool,
}

impl Channel<'_> {
    /// Facts of this leg: whose it is and what is at its end. None for channels that carry no call (messages), and
    /// without an id.
    pub fn leg(&self, site: &Site) -> Option<LegFacts> {
        let (id, linked) = (vendor_id(self.id)?, vendor_id(self.linked)?);
        if technology(self.name) == Some("Message") {
            return None;
        }
        let role = if id == linked {
            Role::Root
        } else {
            Role::Branch
        };
        let mut leg = LegFacts::new(key(&linked, site), id);
        leg.role = Some(role);
        leg.live = self.live;
        leg.born = born(self.id);
        leg.line = line(self.name, site);
        leg.channel = said(self.name).map(|_| plain_name(self.name).to_owned());
        if leg.line == Some(Line::Phone) {
            leg.party = Some(phone(self.name, site));
        }
        Some(leg)
    }

    /// As [`Channel::leg`] when the channel was made: what stands in it then is the truth about who calls whom.
    /// `called`: Asterisk made the channel to call somebody; none where the source doesn't say.
    pub fn created(&self, at: Timestamp, called: Option<bool>, site: &Site) -> Option<LegFacts> {
        let mut leg = self.leg(site)?;
        leg.started = Some(at);
        self.by_caller_id(&mut leg, site);
        if leg.role != Some(Role::Root) {
            return Some(leg);
        }
        let dialled = dialled(self.exten, site).filter(|_| called != Some(true));
        match leg.line {
            Some(Line::Phone) => {
                leg.caller = leg.party.clone();
                leg.dialled = dialled;
            }
            Some(Line::Trunk) if called != Some(true) => {
                let caller = contact(self.number, self.caller_name, site);
                leg.party = Some(caller.clone());
                leg.caller = Some(caller);
                leg.dialled = dialled;
            }
            Some(Line::Trunk | Line::Machine) | None => {}
        }
        Some(leg)
    }

    /// A phone whose login says nothing (`PJSIP/alice`) has its extension as caller id, in a context for our own.
    pub fn by_caller_id(&self, leg: &mut LegFacts, site: &Site) {
        let context = self.context.to_ascii_lowercase();
        let outside = OUTSIDE_CONTEXTS.iter().any(|word| context.contains(word));
        let ours = contact(self.number, "", site);
        if leg.line == Some(Line::Trunk) && !(outside || context.is_empty()) && is_extension(&ours)
        {
            leg.line = Some(Line::Phone);
            leg.party = Some(ours);
        }
    }

    /// What the channel shows in passing, for the case that its beginning was missed, and for a phone that a program
    /// had called: what it dials then is only seen later.
    pub fn glimpsed(&self, leg: &mut LegFacts, at: Timestamp, site: &Site) {
        if leg.role != Some(Role::Root) {
            return;
        }
        let glimpse = |contact| Glimpse { at, contact };
        let dialled = dialled(self.exten, site);
        match leg.line {
            Some(Line::Phone) => {
                leg.caller_seen = leg.party.clone().map(glimpse);
                leg.dialled_seen = dialled.map(glimpse);
            }
            Some(Line::Trunk) => {
                let caller = contact(self.number, self.caller_name, site);
                leg.caller_seen = Some(glimpse(caller));
                leg.dialled_seen = dialled
                    .filter(|dialled| dialled.number().is_some())
                    .map(glimpse);
            }
            Some(Line::Machine) => leg.dialled_seen = self.wanted(self.exten, site).map(glimpse),
            None => {}
        }
    }

    /// What a program wanted dialled that began the call with a link (`Local/101@…;1`): where the link was sent to. It
    /// begins where its name says, at the phone that is called first.
    pub fn wanted(&self, exten: &str, site: &Site) -> Option<Contact> {
        dialled(exten, site).filter(|_| endpoint(self.name) != said(exten))
    }

    /// The phone that such a link calls first; it places the call.
    pub fn link_phone(&self, site: &Site) -> Option<Contact> {
        let linked = technology(self.name) == Some("Local");
        Some(phone(self.name, site)).filter(|phone| linked && is_extension(phone))
    }
}

/// Whether a context is one for our own phones, by its name.
pub fn is_inside(context: &str) -> bool {
    let context = context.to_ascii_lowercase();
    INSIDE_CONTEXTS.iter().any(|word| context.contains(word))
}

/// A bridge that the leg came into or left; nothing for bridges that only hold.
pub fn stay(leg: &mut LegFacts, at: Timestamp, bridge: &str, technology: &str, came: bool) {
    if let Some(bridge) = vendor_id(bridge)
        && technology != HOLDING
    {
        leg.stays.insert(Stay { at, bridge, came });
    }
}

/// The call's key.
pub fn key(linked: &str, site: &Site) -> CallKey {
    CallKey {
        kind: Kind::Call,
        pbx: site.pbx.clone(),
        id: linked.to_owned(),
    }
}

/// The second of its making in an id (`pbx-1795176443.0`, `1795176443.0`).
pub fn born(id: &str) -> Option<Timestamp> {
    let (head, counter) = id.trim().rsplit_once('.')?;
    if counter.is_empty() || !counter.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let second = head.rsplit('-').next()?.parse().ok()?;
    if !(BORN_MIN..=BORN_MAX).contains(&second) {
        return None;
    }
    Timestamp::from_second(second).ok()
}

/// Orders ids as Asterisk does to find the oldest: by second, then by counter.
pub fn age(id: &str) -> (Option<Timestamp>, u64, &str) {
    let counter = id.rsplit('.').next().and_then(|digits| digits.parse().ok());
    (born(id), counter.unwrap_or(u64::MAX), id)
}

/// Seconds since 1970 with up to nine places: `1795176443.775000`.
pub fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// Local time without a zone (`2026-11-20 13:07:23`). When clocks go back an hour comes twice: it is the first that isn't
/// before `not_before`, the second in which the leg was made.
pub fn local(text: &str, not_before: Option<Timestamp>, site: &Site) -> Option<Timestamp> {
    if let Ok(with_offset) = text.trim().parse() {
        return Some(with_offset);
    }
    let civil: jiff::civil::DateTime = text.trim().parse().ok()?;
    let ambiguous = site.time_zone.to_ambiguous_timestamp(civil);
    let first = ambiguous.compatible().ok()?;
    // The id is cut to seconds, and so is the text: they may differ by one.
    let floor = not_before.and_then(|at| at.checked_sub(SignedDuration::from_secs(1)).ok());
    if floor.is_some_and(|floor| first < floor) {
        ambiguous.later().ok()
    } else {
        Some(first)
    }
}

/// `PJSIP` of `PJSIP/101-00000001`.
pub fn technology(name: &str) -> Option<&str> {
    plain_name(name).split_once('/').map(|(head, _)| head)
}

/// The name without what a masquerade put around it.
fn plain_name(name: &str) -> &str {
    let name = name.trim();
    let name = name.split('<').next().unwrap_or(name);
    ["AsyncGoto/", "Bridge/", "Transfered/", "Parked/"]
        .iter()
        .find_map(|around| name.strip_prefix(around).filter(|rest| rest.contains('/')))
        .unwrap_or(name)
}

/// `101` of `PJSIP/101-00000001`, `trunk-telco` of `PJSIP/trunk-telco-00000000`.
pub fn endpoint(name: &str) -> Option<&str> {
    let (_, rest) = plain_name(name).split_once('/')?;
    let rest = rest.split('@').next().unwrap_or(rest);
    let named = rest.rsplit_once('-').map_or(rest, |(head, _)| head);
    said(named)
}

/// What is at the end of a channel of this name.
pub fn line(name: &str, site: &Site) -> Option<Line> {
    let technology = technology(name)?;
    if MACHINES.contains(&technology) {
        return Some(Line::Machine);
    }
    let phone = endpoint(name).is_some_and(|endpoint| site.extensions.contains(endpoint));
    Some(if phone { Line::Phone } else { Line::Trunk })
}

/// The extension of a phone's channel.
pub fn phone(name: &str, site: &Site) -> Contact {
    contact(endpoint(name).unwrap_or_default(), "", site)
}

/// A number with a name, as Asterisk shows it.
pub fn contact(number: &str, name: &str, site: &Site) -> Contact {
    let number = said(number).unwrap_or_default();
    party::read(number, said(name), &site.plan, &site.extensions)
}

/// What somebody dialled, if an extension of the dial plan can have been: `s`, `h`, `ivr-3` and the like can't.
pub fn dialled(exten: &str, site: &Site) -> Option<Contact> {
    let exten = said(exten)?;
    let digits = exten.bytes().any(|byte| byte.is_ascii_digit());
    let dial = |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#');
    let shaped = digits && exten.chars().all(dial);
    // 112 lies within 100-199, but nobody who dials it wants a phone of ours, unless it is listed by itself.
    let listed = |range: &ExtensionRange| range.first == exten && range.last == exten;
    if party::is_emergency(exten) && !site.extensions.0.iter().any(listed) {
        return Some(Contact::new(Party::Short(exten.to_owned()), exten, None));
    }
    (shaped || site.extensions.contains(exten)).then(|| contact(exten, "", site))
}

/// The party that a dial string reaches: `+0301234567@trunk-telco`, `PJSIP/101`, `trunk-telco/sip:0301234567@host`.
pub fn of_dial_string(text: &str) -> Option<&str> {
    let text = said(text)?;
    let bare = text.split('@').next().unwrap_or(text);
    let bare = bare.rsplit('/').next().unwrap_or(bare);
    let bare = bare.rsplit(':').next().unwrap_or(bare);
    said(bare)
}

/// A value that says something.
pub fn said(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && !UNKNOWN.contains(&text)).then_some(text)
}

/// Whether it is one of our phones.
pub fn is_extension(contact: &Contact) -> bool {
    extension(contact).is_some()
}

/// The extension, if it is one of our phones.
pub fn extension(contact: &Contact) -> Option<&Extension> {
    match &contact.party {
        Party::Extension(extension) => Some(extension),
        Party::Number(_) | Party::Short(_) | Party::Anonymous | Party::Invalid => None,
    }
}

/// `"Max Muster" <+491711234567>` -> number, name. The name's own quotes are escaped with backslashes.
pub fn caller_id(text: &str) -> (String, String) {
    let text = text.trim();
    let Some((name, number)) = text.rsplit_once('<') else {
        return (text.to_owned(), String::new());
    };
    let number = number.trim().trim_end_matches('>').trim();
    let name = name.trim();
    let quoted = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    let name = quoted.map_or(Cow::Borrowed(name), unescaped).into_owned();
    (number.to_owned(), name)
}

/// Undoes backslashes as C has them; AMI escapes names and values so.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(escaped) => out.push(escaped),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}
