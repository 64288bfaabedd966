//! The documents are true where a machine can tell: links lead somewhere, files and commands that are named exist, and
//! the table of settings is that of config/tieline.toml.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use tieline::cli::Cli;

/// Folders that hold no documents of ours.
const ELSEWHERE: [&str; 2] = ["target", ".git"];

/// What a path in backticks begins with if it is one of the repository's.
const OURS: [&str; 9] = [
    "daemon/",
    "tests/",
    "config/",
    "docs/",
    "fixtures/",
    "systemd/",
    "packaging/",
    "benches/",
    ".ci/",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document with its text.
pub fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !ELSEWHERE.contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 8, "only {} documents found", found.len());
    found
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// What stands between `open` and `close`, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let pieces = text.split(open).skip(1);
    pieces
        .filter_map(|piece| piece.split_once(close))
        .map(|(inside, _)| inside)
        .collect()
}

/// Text in backticks, code blocks left out.
pub fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
}

/// A heading as GitHub's anchors have it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| {
        if c == ' ' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    })
    .collect()
}

pub fn headings(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for link in between(&text, "](", ")") {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let known =
                || headings(&std::fs::read_to_string(&target).unwrap_or_default()).contains(place);
            if !target.exists() || !(place.is_empty() || known()) {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_file_that_is_named_exists() {
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for name in quoted(&text) {
            let ours = OURS.iter().any(|beginning| name.starts_with(beginning));
            let pattern = name.contains(['<', '*', ' ', '…']);
            if ours && !pattern && !root().join(name).exists() {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_room_of_the_daemon_is_on_the_map() {
    let map = read("docs/architecture.md");
    let (_, map) = map.split_once("## Where is what").unwrap();
    let named = quoted(map);
    let mut wrong = Vec::new();
    for room in ["daemon", "daemon/calls"] {
        for entry in std::fs::read_dir(root().join(room)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let whole = format!("{room}/{name}");
            // The folder of a file (assemble.rs, assemble/) is on the map with it.
            let part = entry.path().is_dir() && root().join(format!("{whole}.rs")).exists();
            let folder = format!("{whole}/");
            let known = |one: &&str| **one == name || **one == whole || one.starts_with(&folder);
            if !part && name != "mod.rs" && !named.iter().any(known) {
                wrong.push(format!(
                    "{whole} is not in docs/architecture.md, Where is what"
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_command_that_is_named_exists() {
    let cli = Cli::command();
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        // In backticks and in code blocks; prose such as "the tieline daemon" has neither.
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        for line in quoted(&text).into_iter().chain(blocks) {
            let line = line.trim_start().trim_start_matches("sudo ");
            let Some(rest) = line.strip_prefix("tieline ") else {
                continue;
            };
            let word = rest.split_whitespace().next().unwrap_or_default();
            if word.chars().all(|c| c.is_ascii_lowercase()) && cli.find_subcommand(word).is_none() {
                wrong.push(format!("{}: tieline {word}", path.display()));
            }
        }
    }
    // Said to be missing, so that nobody looks for it.
    wrong.retain(|line| !line.ends_with("docs/operating.md: tieline restore"));
    none(&wrong);
}

/// `daemon.keep`, `kustomer.calls.log`: the keys of config/tieline.toml, commented ones too.
fn keys_of_the_defaults() -> BTreeSet<String> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in read("config/tieline.toml").lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_start_matches('[').split(']').next().unwrap();
            table = name.to_owned();
        } else if let Some((key, _)) = line.split_once('=')
            && key
                .trim_end()
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_')
            && !key.is_empty()
            && !key.starts_with(' ')
        {
            keys.insert(format!("{table}.{}", key.trim_end()));
        }
    }
    keys
}

/// The same of the tables in docs/operating.md, whose first head cell is the table's name.
fn keys_of_the_reference() -> BTreeSet<String> {
    let text = read("docs/operating.md");
    let (_, text) = text.split_once("### Every key").unwrap();
    let (text, _) = text.split_once("\n## ").unwrap();
    let mut table = "";
    let mut keys = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let first = quoted(line)[0];
        if first.starts_with('[') {
            table = first.trim_matches(['[', ']']);
        } else {
            keys.insert(format!("{table}.{first}"));
        }
    }
    keys
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let (defaults, reference) = (keys_of_the_defaults(), keys_of_the_reference());
    assert!(defaults.len() > 50, "{defaults:?}");
    let missing: Vec<_> = defaults.difference(&reference).collect();
    let unknown: Vec<_> = reference.difference(&defaults).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:?}\nunknown: {unknown:?}"
    );
}
