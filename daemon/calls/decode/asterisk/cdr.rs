//! Call detail records: lines of Asterisk's CSV files, rows posted as forms or JSON, and AMI's Cdr events.
//!
//! A record is about a pair of channels, A and B, not about a call. Times are local and cut to seconds; the duration is
//! right when the clocks change, the difference of the times isn't. ANSWERED with a second channel means that the two were
//! joined; ANSWERED without one was a queue, a menu or a mailbox. `dst` is where the dial plan ended, not what was dialled.

use super::channel::{self, Channel, said};
use super::csv;
use super::status;
use crate::calls::decode::facts::{Glimpse, Join, LegFacts, Line, Outcome, Role};
use crate::calls::decode::fields::{Fields, RECORDS_MAX};
use crate::calls::decode::{NotUnderstood, Site, vendor_id};
use jiff::{SignedDuration, Timestamp};

/// Most seconds between the end that a record states and its start plus duration; beyond it the end is of another hour.
const END_SLACK_SECONDS: f64 = 2.0;

/// Longest call, in seconds, that a record is believed: a year.
const DURATION_MAX: i64 = 366 * 24 * 3600;

/// `cdr.conf [csv]`: the columns of Master.csv that are always there.
const MODULE: &[&str] = &[
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
];

/// FreePBX's table, and `cdr_custom.conf` in its order. Further columns stand between `cnam` and `linkedid` in the table.
const FREEPBX: &[&str] = &[
    "calldate",
    "clid",
    "src",
    "dst",
    "dcontext",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "accountcode",
    "uniqueid",
    "userfield",
    "did",
    "recordingfile",
    "cnum",
    "cnam",
];

/// See [`FREEPBX`].
const FREEPBX_TABLE: &[&str] = &["outbound_cnum", "outbound_cnam", "dst_cnam"];

/// The end of a line in FreePBX's order.
const NEW: &[&str] = &["linkedid", "peeraccount", "sequence"];

/// `newcdrcolumns=yes` in Master.csv.
const NEW_MODULE: &[&str] = &["peeraccount", "linkedid", "sequence"];

/// The line that Asterisk's own sample of `cdr_custom.conf` has.
const SAMPLE: &[&str] = &[
    "clid",
    "src",
    "dst",
    "dcontext",
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
    "accountcode",
    "uniqueid",
    "userfield",
    "sequence",
];

/// AMI's names of a record's fields.
const AMI: &[(&str, &str)] = &[
    ("source", "src"),
    ("destination", "dst"),
    ("destinationcontext", "dcontext"),
    ("callerid", "clid"),
    ("destinationchannel", "dstchannel"),
    ("lastapplication", "lastapp"),
    ("starttime", "start"),
    ("answertime", "answer"),
    ("endtime", "end"),
    ("billableseconds", "billsec"),
];

/// The records in a CSV text, with the columns' names. A line of names may stand first; without it the columns are told by
/// where the first time stands.
pub fn read(text: &str) -> Result<Vec<Fields>, NotUnderstood> {
    let mut records = csv::records(text);
    if records.len() > RECORDS_MAX {
        return Err(NotUnderstood::TooManyRecords);
    }
    let named = records.first().is_some_and(|first| is_head(first));
    let head: Option<Vec<String>> = named.then(|| records.remove(0));
    let record = |values: Vec<String>| -> Result<Fields, NotUnderstood> {
        let names: Vec<&str> = match &head {
            Some(head) => head.iter().map(String::as_str).collect(),
            None => columns(&values).ok_or(NotUnderstood::CsvColumns)?,
        };
        Ok(names.into_iter().zip(values).collect())
    };
    records.into_iter().map(record).collect()
}

/// Whether a line names columns.
pub fn is_head(values: &[String]) -> bool {
    let names = |name: &str| values.iter().any(|value| value.trim() == name);
    names("uniqueid") && (names("channel") || names("channame"))
}

/// Whether a line of CSV can be a record.
pub fn is_record(values: &[String]) -> bool {
    columns(values).is_some()
}

fn columns(values: &[String]) -> Option<Vec<&'static str>> {
    let times = values
        .iter()
        .position(|value| value.trim().parse::<jiff::civil::DateTime>().is_ok());
    let parts: &[&[&str]] = match (times?, values.len()) {
        (0, 26..) => &[FREEPBX, FREEPBX_TABLE, NEW],
        (0, 15..) => &[FREEPBX, NEW],
        (8, 17..) => &[SAMPLE],
        (9, 21) => &[MODULE, &["uniqueid", "userfield"], NEW_MODULE],
        (9, 20) => {
            let id = values.get(16).is_some_and(|id| channel::born(id).is_some());
            let extra: &[&str] = if id { &["uniqueid"] } else { &["userfield"] };
            return Some([MODULE, extra, NEW_MODULE].concat());
        }
        (9, 19) => &[MODULE, NEW_MODULE],
        (9, 17..=18) => &[MODULE, &["uniqueid", "userfield"]],
        _ => return None,
    };
    Some(parts.concat())
}

/// A record of AMI's Cdr event under the names that the files have.
pub fn of_ami(event: &Fields) -> Fields {
    let mut record = event.clone();
    for (ami, name) in AMI {
        if let Some(value) = event.whole(ami) {
            record.insert(name, value);
        }
    }
    record
}

/// Whether named values are a record: a hook knows no second channel and no application.
pub fn is_row(fields: &Fields) -> bool {
    fields.has("dstchannel") || fields.has("lastapp")
}

/// When a record began and ended.
struct Span {
    start: Timestamp,
    /// Start plus duration.
    until: Timestamp,
    /// As [`Span::until`], or the stated end if that is a little later.
    end: Timestamp,
}

/// What a record states.
pub fn decode(row: &Fields, site: &Site) -> Result<Vec<LegFacts>, NotUnderstood> {
    let id = row.get("uniqueid").or(row.get("linkedid"));
    let id = id.ok_or(NotUnderstood::Missing("uniqueid"))?;
    let linked = row.get("linkedid").unwrap_or(id);
    let a = Channel {
        id,
        linked,
        name: row.text("channel"),
        number: row.text("src"),
        context: row.text("dcontext"),
        ..Channel::default()
    };
    let Some(mut leg) = a.leg(site) else {
        return Ok(Vec::new());
    };
    a.by_caller_id(&mut leg, site);
    let span = span(row, leg.born, site)?;
    leg.born = leg.born.or(Some(span.start));
    leg.until = Some(span.end);
    let disposition = row.text("disposition");
    leg.cause = said(disposition).map(str::to_owned);
    let answered = disposition == "ANSWERED";
    let application = row.text("lastapp");
    if application != "VoiceMail" || answered {
        status::application(&mut leg, application, row.text("lastdata"));
    }
    let file = row.first(&["recordingfile", "recording"]);
    status::recorded(&mut leg, file.unwrap_or_default());
    written(&mut leg, row, span.until);
    if leg.role == Some(Role::Root) {
        parties(&mut leg, &a, row, span.start, site);
    }
    let Some(name) = row.get("dstchannel").and_then(vendor_id) else {
        return Ok(vec![leg]);
    };
    if answered {
        let talk = SignedDuration::from_secs(row.number("billsec").unwrap_or(0).min(DURATION_MAX));
        let from = span.until.checked_sub(talk).unwrap_or(span.start);
        leg.rare.joins.insert(Join {
            with: name.clone(),
            from,
            until: span.until,
        });
    } else {
        let outcome = match status::of_dial(disposition) {
            // A time-out, a caller who gave up and a phone that declined all read NO ANSWER.
            None | Some(Outcome::NoAnswer) => Outcome::Unknown,
            Some(outcome) => outcome,
        };
        leg.outcomes.insert((span.until, outcome));
    }
    let mut other = LegFacts::new(leg.key.clone(), name.clone());
    other.role = Some(Role::Branch);
    other.line = channel::line(&name, site);
    if other.line == Some(Line::Phone) {
        other.party = Some(channel::phone(&name, site));
    }
    other.channel = Some(name);
    other.until = Some(span.end);
    other.cause.clone_from(&leg.cause);
    Ok(vec![leg, other])
}

fn span(row: &Fields, born: Option<Timestamp>, site: &Site) -> Result<Span, NotUnderstood> {
    let start = row
        .first(&["start", "calldate"])
        .ok_or(NotUnderstood::Missing("start"))?;
    let start = channel::local(start, born, site).ok_or(NotUnderstood::BadTime("start"))?;
    let seconds = row.number("duration").unwrap_or(0).min(DURATION_MAX);
    let until = start
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| NotUnderstood::BadTime("start"))?;
    let stated = row
        .get("end")
        .and_then(|end| channel::local(end, Some(until), site));
    let near = |end: &Timestamp| {
        end.duration_since(until).as_secs_f64().abs() <= END_SLACK_SECONDS && *end > until
    };
    Ok(Span {
        start,
        until,
        end: stated.filter(near).unwrap_or(until),
    })
}

/// Who calls whom, as the record of the call's first channel has it. Seen at the end only: what saw it begin knows better.
fn parties(leg: &mut LegFacts, a: &Channel<'_>, row: &Fields, at: Timestamp, site: &Site) {
    let glimpse = |contact| Glimpse { at, contact };
    let (number, name) = channel::caller_id(row.text("clid"));
    let number = row.get("src").map_or(number, str::to_owned);
    let name = row.get("cnam").map_or(name, str::to_owned);
    let sent = || {
        let sent = channel::contact(row.get("outbound_cnum").unwrap_or(&number), "", site);
        Some(sent).filter(|sent| sent.number().is_some())
    };
    match leg.line {
        Some(Line::Phone) => {
            leg.caller_seen = leg.party.clone().map(glimpse);
            leg.dialled_seen = channel::dialled(row.text("dst"), site).map(glimpse);
            leg.shown = sent();
        }
        Some(Line::Trunk) => {
            leg.caller_seen = Some(glimpse(channel::contact(&number, &name, site)));
            let did = row.get("did").map(|did| channel::contact(did, "", site));
            // Where the dial plan ended is our number only if it looks like one, and if the caller wasn't handed on.
            let handed_on = channel::is_inside(row.text("dcontext"));
            let dst = channel::dialled(row.text("dst"), site)
                .filter(|dst| dst.number().is_some() && !handed_on);
            leg.dialled_seen = did.or(dst).map(glimpse);
        }
        Some(Line::Machine) => {
            leg.caller_seen = a.link_phone(site).map(glimpse);
            leg.dialled_seen = a.wanted(row.text("dst"), site).map(glimpse);
            leg.shown = sent();
        }
        None => {}
    }
}

/// What a dial plan may have written into `userfield` for us: `queuestatus=TIMEOUT;vmstatus=SUCCESS`.
fn written(leg: &mut LegFacts, row: &Fields, at: Timestamp) {
    for pair in row.text("userfield").split([';', '&', ',']) {
        if let Some((name, value)) = pair.split_once('=') {
            status::variable(leg, at, &name.trim().to_ascii_uppercase(), value.trim());
        }
    }
}
