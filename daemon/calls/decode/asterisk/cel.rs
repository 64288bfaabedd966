//! Channel event logging: lines of `cel_custom`'s CSV files, or of the database's table with a line of names before them.
//!
//! One line is one thing that happened to one channel.

use super::channel::{self, Channel, said};
use super::csv;
use super::status;
use crate::calls::decode::facts::{LegFacts, Line, Role, TransferFact};
use crate::calls::decode::fields::{Fields, RECORDS_MAX};
use crate::calls::decode::{NotUnderstood, Site, vendor_id};
use crate::terms::call::TransferKind;
use jiff::Timestamp;
use serde_json::Value;

/// The columns of Asterisk's sample of `cel_custom.conf`.
const COLUMNS: &[&str] = &[
    "eventtype",
    "eventtime",
    "cidname",
    "cidnum",
    "cidani",
    "cidrdnis",
    "ciddnid",
    "exten",
    "context",
    "channame",
    "appname",
    "appdata",
    "amaflags",
    "accountcode",
    "uniqueid",
    "linkedid",
    "peer",
    "userfield",
    "userdeftype",
    "extra",
];

/// Every kind of event that Asterisk logs; other names are no line of this log.
const KINDS: &[&str] = &[
    "CHAN_START",
    "CHAN_END",
    "HANGUP",
    "ANSWER",
    "APP_START",
    "APP_END",
    "PARK_START",
    "PARK_END",
    "BRIDGE_ENTER",
    "BRIDGE_EXIT",
    "BLINDTRANSFER",
    "ATTENDEDTRANSFER",
    "PICKUP",
    "FORWARD",
    "LINKEDID_END",
    "LOCAL_OPTIMIZE",
    "LOCAL_OPTIMIZE_BEGIN",
    "USER_DEFINED",
    "STREAM_BEGIN",
    "STREAM_END",
    "DTMF",
];

/// Whether a line of CSV is one of this log's.
pub fn is_record(values: &[String]) -> bool {
    values.len() >= 16
        && values
            .first()
            .is_some_and(|kind| KINDS.contains(&kind.trim()))
}

/// Whether a line names this log's columns.
pub fn is_head(values: &[String]) -> bool {
    values.iter().any(|value| value.trim() == "eventtype")
}

/// Whether named values are a line of this log.
pub fn is_named(fields: &Fields) -> bool {
    fields.has("eventtype") && fields.has("channame")
}

/// The lines of a CSV text with the columns' names.
pub fn read(text: &str) -> Result<Vec<Fields>, NotUnderstood> {
    let mut records = csv::records(text);
    if records.len() > RECORDS_MAX {
        return Err(NotUnderstood::TooManyRecords);
    }
    let named = records.first().is_some_and(|first| is_head(first));
    let head: Option<Vec<String>> = named.then(|| records.remove(0));
    let record = |values: Vec<String>| -> Result<Fields, NotUnderstood> {
        match &head {
            Some(head) => Ok(head.iter().zip(values).collect()),
            None if is_record(&values) => Ok(COLUMNS.iter().zip(values).collect()),
            None => Err(NotUnderstood::CsvColumns),
        }
    };
    records.into_iter().map(record).collect()
}

/// What a line states.
pub fn decode(line: &Fields, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let kind = line.get("eventtype");
    let kind = kind.ok_or(NotUnderstood::Missing("eventtype"))?;
    let id = line
        .get("uniqueid")
        .ok_or(NotUnderstood::Missing("uniqueid"))?;
    let channel = Channel {
        id,
        linked: line.get("linkedid").unwrap_or(id),
        name: line.text("channame"),
        number: line.first(&["cidnum", "cid_num"]).unwrap_or_default(),
        caller_name: line.first(&["cidname", "cid_name"]).unwrap_or_default(),
        context: line.text("context"),
        exten: line.text("exten"),
        live: true,
    };
    let Some(mut leg) = channel.leg(site) else {
        return Ok(Vec::new());
    };
    let time = line.text("eventtime");
    let at = channel::epoch(time).or_else(|| channel::local(time, leg.born, site));
    let at = at.ok_or(NotUnderstood::BadTime("eventtime"))?;
    let extra: Value = line
        .first(&["extra", "eventextra"])
        .and_then(|extra| serde_json::from_str(extra).ok())
        .unwrap_or(Value::Null);
    let more = |name: &str| {
        extra
            .get(name)
            .and_then(crate::calls::decode::fields::scalar)
    };
    let mut others = Vec::new();
    match kind {
        "CHAN_START" => {
            let made = channel.created(at, None, site);
            leg = made.unwrap_or(leg);
        }
        "ANSWER" => leg.answered = Some(at),
        "APP_START" => application(&mut leg, &channel, line, at, site),
        "BRIDGE_ENTER" | "BRIDGE_EXIT" => {
            let bridge = more("bridge_id").unwrap_or_default();
            let technology = more("bridge_technology").unwrap_or_default();
            let came = kind == "BRIDGE_ENTER";
            channel::stay(&mut leg, at, &bridge, &technology, came);
        }
        "HANGUP" => hangup(&mut leg, &channel, at, &more),
        "CHAN_END" => leg.ended = Some(at),
        "BLINDTRANSFER" => {
            let to = more("extension").unwrap_or_default();
            transfer(&mut leg, at, TransferKind::Blind, to);
        }
        "ATTENDEDTRANSFER" => {
            transfer(&mut leg, at, TransferKind::Attended, String::new());
            others = joined(&leg, &more);
        }
        // A mailbox greets, and beeps when it begins to record.
        "STREAM_BEGIN" if line.text("appname") == "VoiceMail" => {
            leg.beeped = Some(more("sound").as_deref() == Some("beep"));
        }
        // DTMF, other sounds and applications' ends say nothing of who talked. LINKEDID_END says no more than the channels'
        // ends do, and it comes for a call that became part of another while that goes on.
        _ => return Ok(Vec::new()),
    }
    others.push(leg);
    Ok(others)
}

fn application(
    leg: &mut LegFacts,
    channel: &Channel<'_>,
    line: &Fields,
    at: Timestamp,
    site: &Site,
) {
    let name = line.text("appname");
    status::application(leg, name, line.text("appdata"));
    status::queue_limit(leg, name, line.text("appdata"), at);
    channel.glimpsed(leg, at, site);
    let ours = matches!(leg.line, Some(Line::Phone | Line::Machine));
    let calls_out = leg.role == Some(Role::Root) && ours;
    if name == "Dial" && calls_out {
        // By now the dial plan has set the caller id that the other side will see.
        let shown = channel::contact(channel.number, "", site);
        leg.shown = Some(shown).filter(|shown| shown.number().is_some());
    }
}

fn hangup(
    leg: &mut LegFacts,
    channel: &Channel<'_>,
    at: Timestamp,
    more: &dyn Fn(&str) -> Option<String>,
) {
    leg.ended = Some(at);
    status::cause(leg, &more("hangupcause").unwrap_or_default(), "");
    let source = more("hangupsource").unwrap_or_default();
    if source == channel.name {
        leg.hung_up = Some(at);
    }
    leg.cleared = source.starts_with("dialplan/");
    let dialled = more("dialstatus").unwrap_or_default();
    status::variable(leg, at, "DIALSTATUS", &dialled);
}

/// The call that the transferring phone made to the target is part of this one.
fn joined(leg: &LegFacts, more: &dyn Fn(&str) -> Option<String>) -> Vec<LegFacts> {
    let names = ["channel2_uniqueid", "transfer_target_channel_uniqueid"];
    let ids = names
        .iter()
        .filter_map(|name| more(name).filter(|id| id != "N/A"));
    ids.filter_map(|id| vendor_id(&id))
        .filter(|id| *id != leg.leg)
        .map(|id| LegFacts::new(leg.key.clone(), id))
        .collect()
}

fn transfer(leg: &mut LegFacts, at: Timestamp, kind: TransferKind, to: String) {
    let from = leg.party.as_ref().and_then(|party| said(&party.raw));
    let from = from.map(str::to_owned);
    leg.rare
        .transfers
        .insert(TransferFact { at, kind, from, to });
}
