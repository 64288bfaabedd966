//! One posted call record as mod_json_cdr, mod_xml_cdr and mod_format_cdr write it, JSON or XML, brought into one form
//! with every value decoded. Knows the modules' encodings, not what the values mean.

use crate::calls::decode::body::{self, Payload};
use crate::calls::decode::{Malformed, NESTING_MAX, NotUnderstood};
use jiff::Timestamp;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Most profiles of one call flow that are read: one per transfer. More than this is no call between people.
const FLOWS_MAX: usize = 100;

/// Before a list of a variable's values, with `|:` between them.
const LIST: &str = "ARRAY::";

pub type Fields = BTreeMap<String, String>;

/// A record of one leg.
#[derive(Debug, Default)]
pub struct Record {
    variables: Fields,
    /// What the dial plan ran: application and its data.
    pub applications: Vec<(String, String)>,
    /// Newest first, as sent: a transfer adds one in front.
    pub flows: Vec<Flow>,
}

/// One element of the call flow: a stay in the dial plan.
#[derive(Debug, Default)]
pub struct Flow {
    pub profile: Fields,
    /// The leg that set this one up.
    pub originator: Fields,
    /// Legs set up by this one.
    pub originatees: Vec<Fields>,
    times: Fields,
}

impl Flow {
    /// A stay with these, and nobody else's profile.
    pub fn new(profile: Fields, times: Fields) -> Self {
        Self {
            profile,
            times,
            ..Self::default()
        }
    }

    /// A field of the caller's profile, if it says anything.
    pub fn field(&self, name: &str) -> Option<&str> {
        said(&self.profile, name)
    }

    /// A time in microseconds since the epoch; zero means never.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        said(&self.times, name).and_then(micros)
    }
}

impl Record {
    /// A record of these channel variables alone.
    pub fn new(variables: Fields) -> Self {
        Self {
            variables,
            ..Self::default()
        }
    }

    /// A channel variable, if it says anything.
    pub fn variable(&self, name: &str) -> Option<&str> {
        said(&self.variables, name)
    }

    /// The values of a variable that may hold several: `ARRAY::a|:b`.
    pub fn values(&self, name: &str) -> Vec<&str> {
        match self.variable(name) {
            None => Vec::new(),
            Some(value) => value
                .strip_prefix(LIST)
                .map_or_else(|| vec![value], |list| list.split("|:").collect()),
        }
    }

    /// `<name>_uepoch` in microseconds, else `<name>_epoch` in seconds; zero means never.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        let fine = self.variable(&format!("{name}_uepoch")).and_then(micros);
        let coarse = || self.variable(&format!("{name}_epoch")).and_then(seconds);
        fine.or_else(coarse)
    }
}

/// A field of a profile, if it says anything.
pub fn said<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields
        .get(name)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

/// Microseconds since the epoch; zero means never.
pub fn micros(value: &str) -> Option<Timestamp> {
    value
        .parse()
        .ok()
        .filter(|micros| *micros > 0)
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
}

/// Whole seconds since the epoch.
pub fn seconds(value: &str) -> Option<Timestamp> {
    value
        .parse()
        .ok()
        .filter(|seconds| *seconds > 0)
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
}

/// Reads a record from a body of any of the encodings.
pub fn read(body: &[u8]) -> Result<Record, NotUnderstood> {
    let (payload, in_form) = unwrap(body)?;
    let mut record = match payload {
        Payload::Json(json) => from_json(&json).map_err(|fault| match fault {
            // mod_json_cdr encodes the form without encoding what is percent-encoded already, so that one decoding
            // leaves raw quotes and line ends inside the strings.
            NotUnderstood::Malformed(_) if in_form => NotUnderstood::EncodedTwice,
            fault => fault,
        })?,
        Payload::Xml(xml) => from_xml(&xml)?,
        Payload::Form(_) => return Err(NotUnderstood::NotACdr),
    };
    if record.variables.is_empty() {
        return Err(NotUnderstood::NotACdr);
    }
    record.flows.truncate(FLOWS_MAX);
    Ok(record)
}

/// The document, out of its form if it is in one, and whether it was.
pub fn unwrap(body: &[u8]) -> Result<(Payload<'_>, bool), Malformed> {
    match body::sniff(body)? {
        Payload::Form(form) => Ok(match body::document_in_form(form, "cdr")? {
            Some(document) => (document, true),
            None => (Payload::Form(form), true),
        }),
        document @ (Payload::Json(_) | Payload::Xml(_)) => Ok((document, false)),
    }
}

fn from_json(json: &str) -> Result<Record, NotUnderstood> {
    let value: Value = serde_json::from_str(json).map_err(|fault| body::json_fault(&fault))?;
    let empty = Map::new();
    let object = |value: Option<&Value>| {
        value
            .and_then(Value::as_object)
            .map_or_else(Fields::new, fields)
    };
    let root = value.as_object().unwrap_or(&empty);
    let mut variables = object(root.get("variables"));
    // `encode-values` leaves its mark on every stamp: 2026-11-20%2013%3A24%3A29.
    if variables
        .get("start_stamp")
        .is_some_and(|stamp| stamp.contains('%'))
    {
        variables
            .values_mut()
            .for_each(|value| *value = body::percent_decoded(value));
    }
    let applications = list(value.pointer("/app_log/applications"))
        .map(|application| object(Some(application)))
        .map(|mut fields| {
            (
                taken(&mut fields, "app_name"),
                taken(&mut fields, "app_data"),
            )
        })
        .collect();
    let flows = list(root.get("callflow"))
        .map(|flow| Flow {
            profile: object(flow.get("caller_profile")),
            originator: list(flow.pointer("/caller_profile/originator/originator_caller_profiles"))
                .next_back()
                .map_or_else(Fields::new, |profile| object(Some(profile))),
            originatees: list(
                flow.pointer("/caller_profile/originatee/originatee_caller_profiles"),
            )
            .map(|profile| object(Some(profile)))
            .collect(),
            times: object(flow.get("times")),
        })
        .collect();
    Ok(Record {
        variables,
        applications,
        flows,
    })
}

fn list(value: Option<&Value>) -> std::slice::Iter<'_, Value> {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

/// The scalars of an object, as text; FreeSWITCH writes every one as a string, other writers don't.
fn fields(object: &Map<String, Value>) -> Fields {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    object
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}

fn taken(fields: &mut Fields, name: &str) -> String {
    fields.remove(name).unwrap_or_default()
}

/// Reads XML as a stream: variables are named freely (`nolocal:presence_id`), which a namespace-aware tree refuses.
fn from_xml(xml: &str) -> Result<Record, NotUnderstood> {
    let mut reader = Reader::from_str(xml);
    let mut record = Record::default();
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        let event = reader.read_event();
        let at = || body::xml_fault(&reader);
        match event {
            Ok(Event::Eof) if path.is_empty() => return Ok(record),
            Ok(Event::Eof | Event::DocType(_)) | Err(_) => return Err(at().into()),
            Ok(Event::Start(start)) => {
                path.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                if path.len() > NESTING_MAX {
                    return Err(Malformed::TooDeep.into());
                }
                text.clear();
                opened(&mut record, &path, &start);
            }
            Ok(Event::End(_)) => {
                closed(&mut record, &path, &text);
                path.pop();
                text.clear();
            }
            Ok(Event::Empty(start)) => {
                path.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                opened(&mut record, &path, &start);
                path.pop();
            }
            Ok(Event::Text(part)) => text.push_str(&part.decode().map_err(|_| at())?),
            Ok(Event::CData(part)) => text.push_str(&part.decode().map_err(|_| at())?),
            Ok(Event::GeneralRef(reference)) => {
                let name = reference.decode().map_err(|_| at())?;
                let character = reference.resolve_char_ref().map_err(|_| at())?;
                match character {
                    Some(character) => text.push(character),
                    None => text.push_str(
                        quick_xml::escape::resolve_predefined_entity(&name).ok_or_else(at)?,
                    ),
                }
            }
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
        }
    }
}

/// Adds a variable; one with several values is written once for each, and becomes the list that JSON has.
fn several(variables: &mut Fields, name: &str, value: String) {
    let Some(known) = variables.get_mut(name) else {
        variables.insert(name.to_owned(), value);
        return;
    };
    if !known.starts_with(LIST) {
        *known = format!("{LIST}{known}");
    }
    known.push_str("|:");
    known.push_str(&value);
}

fn opened(record: &mut Record, path: &[String], start: &BytesStart<'_>) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["cdr", "callflow"] => record.flows.push(Flow::default()),
        ["cdr", "app_log", "application"] => {
            let value = |name: &str| {
                let attribute = start.try_get_attribute(name).ok().flatten();
                attribute
                    .and_then(|found| found.normalized_value(XmlVersion::Implicit1_0).ok())
                    .map(Cow::into_owned)
                    .unwrap_or_default()
            };
            record
                .applications
                .push((value("app_name"), value("app_data")));
        }
        [
            "cdr",
            "callflow",
            "caller_profile",
            "originatee",
            "originatee_caller_profile",
        ] => {
            if let Some(flow) = record.flows.last_mut() {
                flow.originatees.push(Fields::new());
            }
        }
        _ => {}
    }
}

fn closed(record: &mut Record, path: &[String], text: &str) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let ["cdr", "variables", name] = path.as_slice() {
        several(&mut record.variables, name, body::percent_decoded(text));
        return;
    }
    let Some(flow) = record.flows.last_mut() else {
        return;
    };
    let (fields, name) = match path.as_slice() {
        ["cdr", "callflow", "times", name] => (&mut flow.times, name),
        ["cdr", "callflow", "caller_profile", name] => (&mut flow.profile, name),
        [
            "cdr",
            "callflow",
            "caller_profile",
            "originator",
            "originator_caller_profile",
            name,
        ] => (&mut flow.originator, name),
        [
            "cdr",
            "callflow",
            "caller_profile",
            "originatee",
            "originatee_caller_profile",
            name,
        ] => {
            let Some(last) = flow.originatees.last_mut() else {
                return;
            };
            (last, name)
        }
        _ => return,
    };
    fields.insert((*name).to_owned(), text.to_owned());
}
