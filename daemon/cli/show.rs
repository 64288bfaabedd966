//! How calls and texts are printed: JSON for programs in the form of the recordings' `expected.json`, tables for people.
//! Used by the commands.

use super::decode::{Decoded, DecodedCall};
use super::table;
use crate::calls::picture::{address, call_json, seconds, text_json};
use crate::terms::party::{Contact, Party};
use crate::terms::text::Text;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::Write;

/// Everything, in the form of the recordings' `expected.json`.
pub fn decoded_json(decoded: &Decoded) -> Value {
    let call = |decoded: &DecodedCall| {
        let mut call = call_json(&decoded.call);
        if let (Some(why), Value::Object(fields)) = (decoded.open, &mut call) {
            fields.insert("incomplete".to_owned(), json!(why.to_string()));
        }
        call
    };
    json!({
        "calls": decoded.calls.iter().map(call).collect::<Vec<_>>(),
        "texts": decoded.texts.iter().map(text_json).collect::<Vec<_>>(),
        "undecoded": decoded.undecoded.iter().map(|post| json!({ "post": post.post, "why": post.why })).collect::<Vec<_>>(),
    })
}

/// The columns of [`call_row`].
const CALL_HEAD: [&str; 8] = [
    "started",
    "result",
    "other party",
    "our number",
    "agent",
    "wait",
    "talk",
    "call",
];

/// The columns of [`text_row`].
const TEXT_HEAD: [&str; 6] = ["at", "text", "from", "to", "body", "id"];

/// For people; times in `zone`.
pub fn print(decoded: &Decoded, zone: &TimeZone, out: &mut dyn Write) -> std::io::Result<()> {
    if !decoded.calls.is_empty() {
        let rows: Vec<_> = decoded
            .calls
            .iter()
            .map(|call| call_row(call, zone))
            .collect();
        table::write(out, &CALL_HEAD, &rows)?;
    }
    if !decoded.texts.is_empty() {
        let rows: Vec<_> = decoded
            .texts
            .iter()
            .map(|text| text_row(text, zone))
            .collect();
        table::write(out, &TEXT_HEAD, &rows)?;
    }
    for post in &decoded.undecoded {
        writeln!(out, "post {} gave nothing: {}", post.post, post.why)?;
    }
    let (calls, texts) = (decoded.calls.len(), decoded.texts.len());
    let rest = decoded.undecoded.len();
    writeln!(
        out,
        "calls: {calls}, texts: {texts}, posts that gave nothing: {rest}"
    )
}

fn call_row(DecodedCall { call, open }: &DecodedCall, zone: &TimeZone) -> Vec<String> {
    let reason = call
        .reason
        .map(|reason| format!(", {}", reason.words()))
        .unwrap_or_default();
    let open = open
        .map(|why| format!(" (incomplete: {why})"))
        .unwrap_or_default();
    let or_dash = |said: Option<String>| said.unwrap_or_else(|| "-".to_owned());
    vec![
        local(call.started, zone),
        format!("{}{reason}{open}", call.call_type.words()),
        person(&call.other),
        or_dash(call.connected.as_ref().map(ToString::to_string)),
        or_dash(call.agent.as_ref().map(ToString::to_string)),
        format!("{:.1} s", seconds(call.wait)),
        format!("{:.1} s", seconds(call.talk)),
        call.key.id.clone(),
    ]
}

fn text_row(text: &Text, zone: &TimeZone) -> Vec<String> {
    vec![
        local(text.at, zone),
        text.direction.word().to_owned(),
        address(&text.from),
        address(&text.to),
        text.body.replace(char::is_control, " "),
        text.key.id.clone(),
    ]
}

fn local(time: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn person(contact: &Contact) -> String {
    let address = match contact.party {
        Party::Anonymous => "anonymous".to_owned(),
        Party::Number(_) | Party::Extension(_) | Party::Short(_) | Party::Invalid => {
            address(contact)
        }
    };
    match &contact.name {
        Some(name) => format!("{address} {}", name.replace(char::is_control, " ")),
        None => address,
    }
}
