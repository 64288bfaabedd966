//! Texts and their exchanges, over real sockets: who shares a conversation, a note for each text, whatever fails.

mod crashes;
mod exchanges;
mod faults;
mod reports;

use crate::support::{Config, OURS, attribute, related, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tieline::clock;
use tieline::sandbox::Sandbox;

const MAX: &str = "+491711234567";

/// One integration whose texts share a conversation for an hour.
fn hourly() -> Config {
    windowed("window = \"1h\"")
}

fn windowed(texts: &str) -> Config {
    let mut config = Config::default();
    config.integrations[0].texts = texts.to_owned();
    config
}

/// A text of our own dialect, so many minutes from an hour ago.
fn at(mut event: Value, minute: i64) -> Value {
    let time = clock::now() - jiff::SignedDuration::from_mins(60 * 24 - minute);
    event["at"] = json!(time.to_string());
    event
}

fn received(id: &str, minute: i64) -> Value {
    at(text(id, "in", MAX, OURS), minute)
}

fn sent(id: &str, minute: i64) -> Value {
    at(text(id, "out", OURS, MAX), minute)
}

/// The texts whose notes stand in each conversation, by the conversation's externalId without our prefix; a conversation
/// or a note that is there twice fails.
fn exchanges(sandbox: &Sandbox) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let short = |external_id: String| external_id.trim_start_matches("tieline:script:").to_owned();
    for conversation in sandbox.conversations() {
        let name = short(attribute(&conversation, "externalId"));
        let id = conversation["id"].as_str().unwrap().to_owned();
        names.insert(id, name.clone());
        assert!(
            found.insert(name.clone(), Vec::new()).is_none(),
            "{name} twice"
        );
    }
    let mut all = Vec::new();
    for note in sandbox.notes() {
        // Notes of a deleted conversation are nobody's.
        let Some(texts) = names
            .get(&related(&note, "conversation"))
            .and_then(|of| found.get_mut(of))
        else {
            continue;
        };
        let name = short(attribute(&note, "externalId"))
            .trim_end_matches(":note")
            .to_owned();
        assert!(!all.contains(&name), "the note of {name} twice");
        all.push(name.clone());
        texts.push(name);
    }
    found.values_mut().for_each(|texts| texts.sort());
    found
}

fn shared(groups: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    groups
        .iter()
        .map(|(name, texts)| ((*name).to_owned(), owned(texts)))
        .collect()
}

/// The status of the conversation of this text.
fn status_of(sandbox: &Sandbox, id: &str) -> String {
    let wanted = format!("tieline:script:{id}");
    let all = sandbox.conversations();
    let found = all
        .iter()
        .find(|one| attribute(one, "externalId") == wanted);
    attribute(found.unwrap(), "status")
}

/// The id in Kustomer of the conversation of this text.
fn id_of(sandbox: &Sandbox, id: &str) -> String {
    let wanted = format!("tieline:script:{id}");
    let all = sandbox.conversations();
    let found = all
        .iter()
        .find(|one| attribute(one, "externalId") == wanted);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}
