//! How calls and texts are printed: JSON for programs in the form of the recordings' `expected.json`, tables for people.
//! Used by the commands.

use super::decode::{Decoded, DecodedCall};
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

/// For people; times in `zone`.
pub fn table(decoded: &Decoded, zone: &TimeZone, out: &mut dyn Write) -> std::io::Result<()> {
    let local = &|time: Timestamp| {
        time.to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    let mut rows = vec![
        [
            "started",
            "result",
            "other party",
            "our number",
            "agent",
            "wait",
            "talk",
            "call",
        ]
        .map(str::to_owned),
    ];
    for DecodedCall { call, open } in &decoded.calls {
        let reason = call
            .reason
            .map(|reason| format!(", {}", reason.words()))
            .unwrap_or_default();
        let open = open
            .map(|why| format!(" (incomplete: {why})"))
            .unwrap_or_default();
        rows.push([
            local(call.started),
            format!("{}{reason}{open}", call.call_type.words()),
            person(&call.other),
            call.connected
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            call.agent
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            format!("{:.1} s", seconds(call.wait)),
            format!("{:.1} s", seconds(call.talk)),
            call.key.id.clone(),
        ]);
    }
    if rows.len() > 1 {
        columns(&rows, out)?;
    }
    texts(&decoded.texts, local, out)?;
    for post in &decoded.undecoded {
        writeln!(out, "post {} gave nothing: {}", post.post, post.why)?;
    }
    let (calls, texts, rest) = (
        decoded.calls.len(),
        decoded.texts.len(),
        decoded.undecoded.len(),
    );
    writeln!(
        out,
        "{calls} calls, {texts} texts, {rest} posts not understood"
    )
}

fn texts(
    texts: &[Text],
    local: &dyn Fn(Timestamp) -> String,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut rows = vec![["at", "text", "from", "to", "body", "id"].map(str::to_owned)];
    for text in texts {
        let body = text.body.replace(char::is_control, " ");
        rows.push([
            local(text.at),
            text.direction.word().to_owned(),
            address(&text.from),
            address(&text.to),
            body,
            text.key.id.clone(),
        ]);
    }
    if rows.len() > 1 {
        columns(&rows, out)
    } else {
        Ok(())
    }
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

/// Pads every column to its widest cell.
fn columns<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> std::io::Result<()> {
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
