//! Somebody who is erased, somebody like them who isn't, an installation that has to do with both, and where a word of them
//! is left.

use super::files::records;
use crate::support::{Config, Daemon, World, call, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

pub(super) const PROOF: (&str, &str) = ("authorization", "Bearer client-token");
pub(super) const WHO: &str = "+4915112399887";
/// As E.164 has it, as people and phone systems write it, and their last digits together.
pub(super) const WRITINGS: [&str; 4] = [
    "4915112399887",
    "015112399887",
    "15112399887",
    "0151 123-99887",
];
pub(super) const OTHER: &str = "+4915112399888";
pub(super) const NAME: &str = "Erika Mustermann-Erased";

/// Which of the words are in any file of the folder, byte by byte.
pub(super) fn found_in(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            for word in words {
                if bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes())
                {
                    found.push(format!("{word} in {}", path.display()));
                }
            }
        }
    }
    found
}

/// The same in what a backup holds.
pub(super) fn found_in_records(
    records: &[(String, Vec<u8>, Vec<u8>)],
    words: &[&str],
) -> Vec<String> {
    let mut found = Vec::new();
    for (tree, key, value) in records {
        for word in words {
            let has = |bytes: &[u8]| {
                bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes())
            };
            if has(key) || has(value) {
                found.push(format!("{word} in {tree}"));
            }
        }
    }
    found
}

pub(super) fn found_in_backup(file: &Path, words: &[&str]) -> Vec<String> {
    found_in_records(&records(&fs::read_to_string(file).unwrap()), words)
}

/// Customers become contacts, nobody else's contacts customers.
pub(super) const SYNC: &str =
    "[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"1s\"\nexport = false\n";

/// With an exchange of texts, the last agent, and whatever else.
pub(super) async fn world(contacts: &str) -> World {
    let mut config = Config {
        daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]".to_owned(),
        ..Config::default()
    };
    // A restart within the window counts all of it as used.
    config.integrations[0]
        .lines
        .push_str("\nbudget_window = \"500ms\"");
    config.integrations[0].calls = "assign = [\"last_agent\", \"agent\"]".to_owned();
    config.integrations[0].texts = format!("window = \"1h\"\n{contacts}");
    let world = World::start(&config).await;
    fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
    world
}

pub(super) fn by(id: &str, from: &str) -> Value {
    let mut call = call(id, from);
    call["from_name"] = json!(if from.ends_with('8') {
        "Olga Other"
    } else {
        NAME
    });
    call
}

/// A daemon that logs what it logs by default.
pub(super) async fn started(world: &World) -> Daemon {
    let level = ("TIELINE_LOG", Path::new("info"));
    world.place.spawn_with(&[level]).ready().await.unwrap()
}

/// Which of the words are in the daemon's log, over all its starts, or in what a command said.
pub(super) fn found_in_log(world: &World, told: &[&str], words: &[&str]) -> Vec<String> {
    let log = world.place.log();
    assert!(log.contains(" INFO ") && !log.contains("DEBUG"), "{log}");
    let all = [&[log.as_str()], told].concat().join("\n");
    let found = words.iter().filter(|word| all.contains(**word));
    found.map(|word| (*word).to_owned()).collect()
}

/// Their calls in all writings, texts of an exchange, and a call of somebody else's, all logged.
pub(super) async fn tell_all(daemon: &Daemon) {
    for (number, from) in [WHO, "015112399887", "0151 123-99887", "004915112399887"]
        .iter()
        .enumerate()
    {
        daemon.post(&by(&format!("w{number}"), from)).await;
    }
    for id in ["t1", "t2"] {
        daemon
            .post(&text(id, "in", WHO, crate::support::OURS))
            .await;
    }
    daemon.post(&by("other", OTHER)).await;
    daemon.at_rest("all is logged").await;
}
