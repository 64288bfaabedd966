//! What an administrator watches tieline with: metrics as they are documented, the alerts and the dashboard of
//! config/monitoring, a real Prometheus that scrapes and alerts, and a real journal that is searched.

mod journal;
mod prometheus;

use crate::docs;
use crate::support::{Config, LOOK_EVERY, World, within};
use crate::tls;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A metric's type and labels.
type Shape = (String, BTreeSet<String>);

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/monitoring")
}

pub fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Every metric of ours that the text names.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words
        .filter(|word| word.starts_with("tieline_"))
        .map(str::to_owned)
        .collect()
}

/// The families of a scrape by the names of their rows; labels of those that have any.
fn shown(metrics: &str) -> BTreeMap<String, Shape> {
    let mut kinds = BTreeMap::new();
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for line in metrics.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            let total = if kind == "counter" { "_total" } else { "" };
            kinds.insert(format!("{name}{total}"), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, _) = rest.split_once('}').unwrap();
            let kind = kinds[name].clone();
            let shape = shapes
                .entry(name.to_owned())
                .or_insert((kind, BTreeSet::new()));
            let labels = labels
                .split(',')
                .filter_map(|label| label.split_once("=\""));
            shape.1.extend(labels.map(|(label, _)| label.to_owned()));
        }
    }
    for (name, kind) in kinds {
        assert!(
            shapes.contains_key(&name),
            "no row: {name} ({kind})\n{metrics}"
        );
    }
    shapes
}

/// The same of the table in docs/operating.md.
fn documented() -> BTreeMap<String, Shape> {
    let text = docs::read("docs/operating.md");
    let (_, text) = text.split_once("### The metrics").unwrap();
    let (text, _) = text.split_once("\n### ").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = docs::quoted(cells[3]).into_iter().map(str::to_owned);
        let name = docs::quoted(cells[1])[0].to_owned();
        (name, (cells[2].to_owned(), labels.collect()))
    };
    rows.map(row).collect()
}

/// Two phone systems that post, one whose events are fetched, one with a folder; a webhook, a contact sync and TLS.
fn everything() -> Config {
    let mut config = Config {
        daemon: "[daemon.tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\n\
             [[pbx]]\nname = \"live\"\ndialect = \"freeswitch\"\nconnect = \"esl://127.0.0.1:1\"\nsecret_file = \"script-token\"\n\
             pickup_dir = \"pickup\""
            .to_owned(),
        ..Config::default()
    };
    let part = &mut config.integrations[0];
    part.lines += "\nwebhook = { secret_file = \"script-token\" }";
    part.texts = "[kustomer.contacts]".to_owned();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_as_documented_and_none_else_is_named() {
    let world = World::start(&everything()).await;
    let place = &world.place;
    tls::made(90).write(&place.folder);
    fs::create_dir(place.folder.join("pickup")).unwrap();
    let _daemon = place.start().await;
    let metrics = within("Kustomer was asked", async {
        loop {
            let metrics = place.metrics().await;
            if metrics.contains("tieline_kustomer_requests_total{") {
                return metrics;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let (shown, documented) = (shown(&metrics), documented());
    assert_eq!(shown, documented);
    assert!(shown.len() > 40, "{shown:?}");
    let ours = [
        "tieline.rules.yml",
        "tieline.rules.test.yml",
        "tieline.dashboard.json",
    ]
    .map(file);
    let pages = docs::documents();
    // Files of a package begin alike.
    let is_metric = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let pages = pages.iter().flat_map(|(_, text)| docs::quoted(text));
    let pages = pages.filter(is_metric).flat_map(names);
    let named = ours.iter().flat_map(|text| names(text)).chain(pages);
    let unknown: BTreeSet<String> = named.filter(|name| !shown.contains_key(name)).collect();
    assert_eq!(unknown, BTreeSet::new());
}

/// Runs promtool in the folder of our files; what it says.
fn promtool(args: &[&str]) -> String {
    let output = Command::new("promtool")
        .args(args)
        .current_dir(folder())
        .output()
        .expect("promtool: tests/setup.sh installs it");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(output.status.success(), "{args:?}: {said:?}");
    said.concat()
}

#[test]
fn promtool_has_nothing_against_them() {
    promtool(&["check", "config", "--lint-fatal", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint-fatal", "tieline.rules.yml"]);
    let said = promtool(&["test", "rules", "tieline.rules.test.yml"]);
    assert!(said.contains("SUCCESS"), "{said}");
}

/// Each alert with its lines.
fn alerts(rules: &str) -> BTreeMap<&str, &str> {
    let alerts = rules.split("- alert: ").skip(1);
    alerts.map(|rule| rule.split_once('\n').unwrap()).collect()
}

/// The value of a key in an alert's lines.
fn value<'a>(lines: &'a str, key: &str) -> &'a str {
    let of = |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix(": ");
    let found = lines.lines().find_map(of);
    found.unwrap_or_else(|| panic!("no {key}: {lines}"))
}

#[test]
fn every_alert_is_tested_explained_and_leads_somewhere() {
    let (rules, tests) = (file("tieline.rules.yml"), file("tieline.rules.test.yml"));
    let operating = docs::read("docs/operating.md");
    let alerts = alerts(&rules);
    assert!(alerts.len() > 20, "{alerts:?}");
    for (name, lines) in &alerts {
        for key in ["expr", "summary", "description", "action"] {
            value(lines, key);
        }
        let chapter = value(lines, "chapter");
        let (page, place) = chapter.split_once('#').unwrap_or((chapter, ""));
        let leads = place.is_empty() || docs::headings(&docs::read(page)).contains(place);
        assert!(leads, "{name}: {chapter}");
        assert!(
            tests.contains(&format!("\"{name}\"")) || tests.contains(&format!("alertname: {name}")),
            "{name} has no test"
        );
        let row = format!("| `{name}` | {}", value(lines, "severity"));
        assert!(operating.contains(&row), "{row}");
    }
    let explained = docs::quoted(&operating).into_iter();
    let unknown: Vec<&str> = explained
        .filter(|word| word.starts_with("Tieline") && !alerts.contains_key(word))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The panels of the dashboard that show something.
pub fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&file("tieline.dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .filter(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

/// What its panels ask Prometheus.
pub fn queries() -> Vec<String> {
    let targets = |panel: Value| panel["targets"].as_array().unwrap().clone();
    let all = panels().into_iter().flat_map(targets);
    all.map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_panel_is_whole_and_none_lies_on_another() {
    let panels = panels();
    assert!(panels.len() > 15);
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in &panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        assert!(!title.is_empty() && !panel["description"].as_str().unwrap().is_empty());
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let shown = &panel["fieldConfig"]["defaults"];
        assert!(!shown["unit"].as_str().unwrap().is_empty(), "{title}");
        assert!(
            !shown["thresholds"]["steps"].as_array().unwrap().is_empty(),
            "{title}"
        );
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for y in at("y")..at("y") + at("h") {
            for x in at("x")..at("x") + at("w") {
                assert!(cells.insert((x, y)), "{title} lies on another");
            }
        }
    }
    // Of several tieline each panel shows one.
    assert!(
        queries()
            .iter()
            .all(|query| query.contains("instance=\"$instance\""))
    );
}
