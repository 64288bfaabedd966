//! Kamailio: posts of `event_route[dialog:start|end|failed]` and a failure route, and rows of the module acc, as lines of
//! its log or with named columns.
//!
//! A proxy: one Call-ID is one call, and the 200 is taken for a person. Field names of the posts are ours
//! (docs/phone-systems.md), the values are Kamailio's.

use super::facts::{Glimpse, LegFacts, Outcome};
use super::fields::Fields;
use super::post::{self, Post};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site};
use crate::terms::call::{Direction, Reason};
use jiff::Timestamp;

/// Most lines of acc's log taken from one body.
const LINES_MAX: usize = 1000;

/// How a line of acc's log begins, behind what the system log puts in front.
const ACC: &str = "ACC: ";

/// Names that `log_extra` is given for the caller, the number dialled and the number called in the end.
const CALLER: &[&str] = &["from", "src_user", "caller", "from_user"];
const DIALLED: &[&str] = &["to", "dst_ouser", "called", "to_user", "dst_user"];

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    if acc_log(raw.body).is_some() {
        return Ok(());
    }
    post::admit(raw)
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let foreign = NotUnderstood::Foreign("Kamailio");
    let posts = match acc_log(raw.body) {
        Some(log) => rows(log, raw, site)?,
        None => Post::all(raw, site, foreign)?,
    };
    let mut legs = Vec::new();
    for post in &posts {
        if post.fields.has("event") {
            legs.push(dialog(post)?);
        } else if post.fields.has("method") {
            legs.extend(row(post)?);
        } else {
            return Err(foreign);
        }
    }
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(legs.into_iter().map(event).collect())
}

/// The text, if it is acc's log.
fn acc_log(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    (!text.trim_start().starts_with(['{', '[', '<']) && text.contains(ACC)).then_some(text)
}

fn rows<'a>(log: &str, raw: &RawEvent<'_>, site: &'a Site) -> Result<Vec<Post<'a>>, NotUnderstood> {
    let lines = log.lines().filter_map(|line| line.split_once(ACC));
    let row = |(_, line): (&str, &str)| {
        // The title ends with a colon: `transaction answered: timestamp=…;method=INVITE;…`
        let values = line.split_once(": ").map_or(line, |(_, values)| values);
        let pairs = values.split(';').filter_map(|pair| pair.split_once('='));
        Post {
            fields: pairs
                .map(|(name, value)| (name, value.to_owned()))
                .collect::<Fields>(),
            received: raw.received,
            site,
        }
    };
    let rows: Vec<Post<'_>> = lines.take(LINES_MAX + 1).map(row).collect();
    if rows.len() > LINES_MAX {
        return Err(NotUnderstood::TooManyRecords);
    }
    Ok(rows)
}

fn call(post: &Post<'_>) -> Result<LegFacts, NotUnderstood> {
    let mut root = post.root(post.id(&["callid", "call_id"])?);
    root.live = true;
    root.direction = post.direction(&["direction"]);
    root.caller = post.contact(CALLER, &["from_name", "src_name"]);
    root.dialled = post.contact(DIALLED, &["to_name"]);
    root.shown = post.contact(&["shown"], &[]);
    if root.shown.is_none() && root.direction == Some(Direction::Out) {
        root.shown = root
            .caller
            .clone()
            .filter(|caller| caller.number().is_some());
    }
    root.party.clone_from(&root.caller);
    root.agent = post.extension(&["extension"]);
    Ok(root)
}

/// A post of one of the event routes.
fn dialog(post: &Post<'_>) -> Result<LegFacts, NotUnderstood> {
    let mut root = call(post)?;
    root.started = post.time("setup")?;
    let at = post.time("time")?.unwrap_or(post.received);
    match post.fields.text("event") {
        "start" => answered(&mut root, at),
        "end" => {
            if let Some(start) = post.time("start_ts")? {
                // Cut to its second, it may seem to lie before the setup.
                let start = root.started.map_or(start, |setup| setup.max(start));
                answered(&mut root, start);
            }
            hung_up(&mut root, at);
        }
        // The failure route knows why; the dialog's own event has the times. Both are the same end of the same call.
        "failed" | "dlg_failed" => failed(&mut root, post.get(&["code"]), at),
        _ => return Err(NotUnderstood::Foreign("Kamailio")),
    }
    Ok(root)
}

/// A row of acc: a transaction and its final answer.
fn row(post: &Post<'_>) -> Result<Option<LegFacts>, NotUnderstood> {
    let at = match post.time("timestamp")? {
        Some(at) => at,
        None => post.time("time")?.unwrap_or(post.received),
    };
    let code = post.get(&["code", "sip_code"]);
    let root = |fill: &dyn Fn(&mut LegFacts)| {
        let mut root = call(post)?;
        fill(&mut root);
        Ok(Some(root))
    };
    match (post.fields.text("method"), class(code)) {
        ("INVITE", Some(2)) => root(&|root| answered(root, at)),
        ("INVITE", Some(3..=6)) => root(&|root| failed(root, code, at)),
        ("BYE", _) => root(&|root| hung_up(root, at)),
        // A provisional answer, or a transaction that changes nothing (ACK, CANCEL, UPDATE).
        _ => Ok(None),
    }
}

/// `4` of `486`.
fn class(code: Option<&str>) -> Option<u16> {
    let code: u16 = code?.parse().ok()?;
    Some(code / 100)
}

fn answered(root: &mut LegFacts, at: Timestamp) {
    root.answered = Some(at);
    root.bridged.insert((at, None));
}

/// Whoever hangs up is `From` of the BYE: its parties may be the wrong way round, and only fill a gap.
fn hung_up(root: &mut LegFacts, at: Timestamp) {
    let seen = |contact| Glimpse { at, contact };
    root.ended = Some(at);
    root.caller_seen = root.caller.take().map(seen);
    root.dialled_seen = root.dialled.take().map(seen);
    root.party = None;
    root.shown = None;
}

fn failed(root: &mut LegFacts, code: Option<&str>, at: Timestamp) {
    root.ended = Some(at);
    root.cause = code.map(str::to_owned);
    root.reason = code.and_then(reason);
    root.outcomes.insert((at, Outcome::Unknown));
}

/// What a final answer (RFC 3261, section 21) says of a call that nobody took.
fn reason(code: &str) -> Option<Reason> {
    match code.parse().ok()? {
        408 | 480 => Some(Reason::NoAnswer),
        487 => Some(Reason::CallerGaveUp),
        486 | 600 => Some(Reason::Busy),
        603 | 607 => Some(Reason::Declined),
        404 | 410 | 484 | 485 | 604 => Some(Reason::NoSuchNumber),
        400..=699 => Some(Reason::Failed),
        _ => None,
    }
}
