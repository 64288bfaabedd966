//! Backup files read and written anew, as an older or a newer tieline would have written them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The records of a backup as they are at its end: tree, key, value.
pub(crate) fn records(whole: &str) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut records: Vec<(String, Vec<u8>, Vec<u8>)> = Vec::new();
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(tree) = line["tree"].as_str() else {
            continue;
        };
        let gone = line.get("gone");
        let key = decode(gone.unwrap_or(&line["key"]));
        records.retain(|(known, of, _)| (known.as_str(), of) != (tree, &key));
        if gone.is_none() {
            records.push((tree.to_owned(), key, decode(&line["value"])));
        }
    }
    records
}

/// The lines with the records' values of one tree changed, and the trailer that fits them.
pub(crate) fn rewritten(
    whole: &str,
    tree: &str,
    change: impl Fn(&str, &[u8], Vec<u8>) -> Vec<u8>,
) -> String {
    let header = whole.lines().next().unwrap();
    let mut lines = vec![header.to_owned()];
    for (of, key, value) in records(whole) {
        let value = if of == tree {
            change(&of, &key, value)
        } else {
            value
        };
        lines.push(line(&of, &key, &value));
    }
    closed(&lines)
}

/// A record's line.
pub(crate) fn line(tree: &str, key: &[u8], value: &[u8]) -> String {
    format!(
        "{{\"tree\":{},\"key\":\"{}\",\"value\":\"{}\"}}",
        json!(tree),
        STANDARD.encode(key),
        STANDARD.encode(value)
    )
}

/// Header and records with the trailer behind them.
pub(crate) fn closed(lines: &[String]) -> String {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let sum: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "{text}{{\"records\":{},\"sha256\":\"{sum}\"}}\n",
        lines.len() - 1
    )
}
