//! Grandstream UCM: rows of its call detail records, as CSV, as named columns, or as the groups of `main_cdr` and
//! `sub_cdr_…` that its interface gives. One row is one pair of channels; times are local.
//!
//! Rows of one `session` are one call; older firmware has none, there the unique id is the call's.

use super::asterisk::csv;
use super::body::{self, Payload};
use super::facts::{Glimpse, LegFacts, Outcome, Role};
use super::fields::{Fields, RECORDS_MAX, scalar};
use super::post::{self, Post, weak_id};
use super::{Malformed, NotUnderstood, PhoneEvent, RawEvent, Site};
use crate::terms::call::Direction;
use crate::terms::ids::Kind;
use jiff::Timestamp;
use serde_json::Value;

/// The columns of a file without a line of names; newer firmware adds further ones behind.
const COLUMNS: &[&str] = &[
    "acctid",
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "uniqueid",
    "userfield",
    "channel_ext",
    "dstchannel_ext",
    "service",
];

/// Applications that answer without a person.
const MACHINES: &[&str] = &["VoiceMail", "BackGround", "Background", "Playback", "Read"];

/// See [`super::admit`].
pub fn admit(raw: &RawEvent<'_>) -> Result<(), Malformed> {
    match table(raw.body) {
        Some(text) => csv::check(text),
        None => post::admit(raw),
    }
}

/// See [`super::decode`].
pub fn decode(raw: &RawEvent<'_>, site: &Site) -> Result<Vec<PhoneEvent>, NotUnderstood> {
    let mut legs = Vec::new();
    for fields in rows(raw.body)? {
        let post = Post {
            fields,
            received: raw.received,
            site,
        };
        legs.extend(row(&post)?);
    }
    let event = |leg| PhoneEvent::Leg(Box::new(leg));
    Ok(legs.into_iter().map(event).collect())
}

/// The text, if it is a table of CSV.
fn table(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.starts_with(['{', '[', '<']) {
        return None;
    }
    (csv::first(text)?.len() >= COLUMNS.len() - 2).then_some(text)
}

fn rows(body: &[u8]) -> Result<Vec<Fields>, NotUnderstood> {
    let foreign = NotUnderstood::Foreign("a Grandstream UCM");
    let mut rows = Vec::new();
    match table(body) {
        Some(text) => {
            csv::check(text)?;
            rows.extend(of_table(text)?);
        }
        None => match body::sniff(body)? {
            Payload::Json(json) => {
                let value: Value =
                    serde_json::from_str(&json).map_err(|fault| body::json_fault(&fault))?;
                of_groups(&value, &mut rows);
            }
            form @ Payload::Form(_) => rows.extend(super::fields::read(&form, foreign)?),
            Payload::Xml(_) => return Err(foreign),
        },
    }
    rows.retain(|row| row.has("disposition"));
    if rows.len() > RECORDS_MAX {
        return Err(NotUnderstood::TooManyRecords);
    }
    if rows.is_empty() {
        Err(foreign)
    } else {
        Ok(rows)
    }
}

fn of_table(text: &str) -> Result<Vec<Fields>, NotUnderstood> {
    let mut records = csv::records(text);
    let is_head = |values: &Vec<String>| {
        let named = |name: &str| values.iter().any(|value| value.eq_ignore_ascii_case(name));
        named("disposition") && named("start")
    };
    let head = records
        .first()
        .is_some_and(is_head)
        .then(|| records.remove(0));
    let is_time = |value: Option<&String>| {
        value.is_some_and(|value| value.trim().parse::<jiff::civil::DateTime>().is_ok())
    };
    let named = |values: Vec<String>| -> Result<Fields, NotUnderstood> {
        let names: Vec<&str> = match &head {
            Some(head) => head.iter().map(String::as_str).collect(),
            None if is_time(values.get(10)) => COLUMNS.to_vec(),
            // Without the counter in front.
            None if is_time(values.get(9)) => COLUMNS.iter().skip(1).copied().collect(),
            None => return Err(NotUnderstood::CsvColumns),
        };
        Ok(names.into_iter().zip(values).collect())
    };
    records.into_iter().map(named).collect()
}

/// Every object that is a row, wherever it is nested; bodies are no deeper than `NESTING_MAX`.
fn of_groups(value: &Value, rows: &mut Vec<Fields>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| of_groups(item, rows)),
        Value::Object(object) => {
            let pairs = object.iter();
            rows.push(
                pairs
                    .filter_map(|(name, value)| Some((name, scalar(value)?)))
                    .collect(),
            );
            object.values().for_each(|value| of_groups(value, rows));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn row(post: &Post<'_>) -> Result<[LegFacts; 2], NotUnderstood> {
    let start = post.time("start")?.ok_or(NotUnderstood::Missing("start"))?;
    let end = match post.duration("duration") {
        Some(duration) => start.checked_add(duration).ok(),
        None => post.time_after("end", Some(start))?,
    };
    let end = end.unwrap_or(start).max(start);
    let direction = match post.fields.text("userfield") {
        "Inbound" => Some(Direction::In),
        "Outbound" => Some(Direction::Out),
        "Internal" => Some(Direction::Internal),
        // `EXT`, `LOCAL` and what nobody has named yet.
        _ => None,
    };
    let id = post
        .get(&["session", "uniqueid"])
        .and_then(super::vendor_id);
    let weak = || {
        let extension = post.extension(&["dstchannel_ext", "dst"]);
        let direction = direction.map_or("", Direction::word);
        weak_id(
            start,
            extension.as_ref(),
            post.fields.text("src"),
            direction,
        )
    };
    let weak_key = id.is_none();
    let id = id.unwrap_or_else(weak);
    let mut root = LegFacts::new(post.key(Kind::Call, id.clone()), id);
    root.weak_key = weak_key;
    root.role = Some(Role::Root);
    root.direction = direction;
    (root.started, root.ended) = (Some(start), Some(end));
    // An analogue line has no caller, and `s` where the number dialled would be.
    let seen = |contact| Glimpse { at: start, contact };
    root.caller_seen = post.contact(&["src"], &["caller_name"]).map(seen);
    let dialled = post.get(&["dst"]).filter(|dst| *dst != "s");
    root.dialled_seen = dialled.map(|dst| seen(post.read(dst, None)));
    root.rare.queue = queue(post.fields.text("action_type"));
    let files = post.fields.text("recordfiles");
    root.rare.recording = files
        .split('@')
        .find(|file| !file.is_empty())
        .map(str::to_owned);
    root.recording_announced = root.rare.recording.is_some();
    root.voicemail = machine(post) && post.fields.text("lastapp") == "VoiceMail"
        || post.fields.text("action_type") == "VM";
    let branch = branch(post, &root, start, end)?;
    Ok([root, branch])
}

/// The attempt to reach somebody that a row is.
fn branch(
    post: &Post<'_>,
    root: &LegFacts,
    start: Timestamp,
    end: Timestamp,
) -> Result<LegFacts, NotUnderstood> {
    let name = post
        .get(&["dstchannel", "acctid"])
        .map_or_else(|| start.as_second().to_string(), str::to_owned);
    let mut leg = LegFacts::new(root.key.clone(), format!("{}/{name}", root.leg));
    leg.role = Some(Role::Branch);
    (leg.started, leg.ended) = (Some(start), Some(end));
    leg.party = post.contact(&["dstchannel_ext", "dst"], &[]);
    let disposition = post.fields.text("disposition");
    leg.cause = Some(disposition.to_owned()).filter(|cause| !cause.is_empty());
    if disposition == "ANSWERED" {
        if !machine(post) && post.get(&["dstchannel"]).is_some() {
            let billed = post.duration("billsec");
            let talk = billed.and_then(|length| end.checked_sub(length).ok());
            let answer = match talk {
                Some(at) => Some(at),
                None => post.time_after("answer", Some(start))?,
            };
            let answer = answer.unwrap_or(start).clamp(start, end);
            leg.answered = Some(answer);
            leg.bridged.insert((answer, Some(end)));
            return Ok(leg);
        }
        // A machine took the call; why nobody did isn't told.
        leg.outcomes.insert((end, Outcome::Unknown));
        return Ok(leg);
    }
    let outcome = match disposition {
        "BUSY" => Outcome::Busy,
        "FAILED" | "CONGESTION" => Outcome::Failed,
        // A time-out, a caller who gave up and a phone that declined all read NO ANSWER.
        _ => Outcome::Unknown,
    };
    leg.outcomes.insert((end, outcome));
    Ok(leg)
}

/// Whether a menu, an announcement or a mailbox took the call.
fn machine(post: &Post<'_>) -> bool {
    let action = post.fields.text("action_type");
    MACHINES.contains(&post.fields.text("lastapp")) || action.starts_with("IVR") || action == "VM"
}

/// `6500` of `QUEUE[6500]`.
fn queue(action: &str) -> Option<String> {
    let name = action.strip_prefix("QUEUE[")?.strip_suffix(']')?;
    (!name.is_empty()).then(|| name.to_owned())
}
