//! `tieline filter test`: a number, a recording, and what came lately against other rules.

use crate::support::{Config, OURS, World, call, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const MAX: &str = "+491711234567";

/// The rule that decided in the first integration, or none.
fn skip(tested: &Value) -> Option<&str> {
    tested["integrations"][0]["skip"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_tried_without_a_daemon() {
    let mut config = Config::calls(
        "ignore = [\"+49171*\", \"150\"]\nmin_talk = \"5s\"\nlog = { voicemail = \"off\" }\nconnected_numbers = [\"+4921155500100\"]",
    );
    config.integrations[0].texts = "ignore = [\"+49172*\"]\nlog = { sent = \"off\" }".to_owned();
    let world = World::start(&config).await;
    let ours = ["--to", OURS];
    let table: [(&str, &[&str], Option<&str>); 14] = [
        ("0172 1234567", &[], Some("not_listed")),
        ("0172 1234567", &ours, None),
        ("+49 171 1234567", &ours, Some("ignored")),
        (
            "01721234567",
            &["--to", OURS, "--talk", "4s"],
            Some("too_short"),
        ),
        (
            "01721234567",
            &["--to", OURS, "--agent", "150"],
            Some("ignored"),
        ),
        (
            "01721234567",
            &["--to", OURS, "--happens", "voicemail"],
            Some("switched_off"),
        ),
        (
            "01721234567",
            &["--to", OURS, "--happens", "incoming-missed", "--talk", "0s"],
            None,
        ),
        ("101", &["--happens", "internal"], Some("internal")),
        ("", &ours, Some("anonymous")),
        (
            "112",
            &["--to", OURS, "--happens", "outgoing-answered"],
            Some("short_number"),
        ),
        (
            "01721234567",
            &["--happens", "text-received", "--to", OURS],
            Some("ignored"),
        ),
        (
            "01711234567",
            &["--happens", "text-received", "--to", OURS],
            None,
        ),
        (
            "01711234567",
            &["--happens", "text-sent", "--to", OURS],
            Some("switched_off"),
        ),
        (
            "01711234567",
            &["--happens", "text-failed", "--pbx", "script"],
            None,
        ),
    ];
    for (number, options, expected) in table {
        let args = [&["filter", "test", number], options].concat();
        let tested = world.place.json(&args).await["tested"].take();
        assert_eq!(tested.as_array().unwrap().len(), 1);
        assert_eq!(skip(&tested[0]), expected, "{args:?}: {tested:#}");
        let rules = tested[0]["integrations"][0]["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["detail"].is_string()));
    }
    let shown = world
        .place
        .cli(&["filter", "test", MAX, "--to", OURS])
        .await;
    assert!(
        shown
            .out
            .contains("support: would be filtered; decided by ignored"),
        "{shown:?}"
    );
    assert!(
        shown.out.contains("matches \"+49171*\" of ignore"),
        "{shown:?}"
    );
    // Changed rules, without a word of them in the settings.
    fs::write(
        world.place.folder.join("new.toml"),
        "[[kustomer]]\nname = \"support\"\n[kustomer.calls]\nignore = []\n",
    )
    .unwrap();
    let tested = world
        .place
        .json(&["filter", "test", MAX, "--to", OURS, "--with", "new.toml"])
        .await;
    assert_eq!(skip(&tested["tested"][0]), None);
    for (args, code) in [
        (["filter", "test", MAX, "--pbx", "nobody"].as_slice(), 1),
        (&["filter", "test"], 2),
        (&["filter", "test", MAX, "--days", "1"], 2),
        (&["filter", "test", "--days", "1"], 69),
    ] {
        assert_eq!(world.place.cli(args).await.code, Some(code), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_tried_without_a_daemon() {
    let world = World::start(&Config::calls("log = { incoming_missed = \"off\" }")).await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/calls/freeswitch");
    for (name, expected) in [
        ("01-inbound-answered", None),
        ("02-inbound-noanswer", Some("switched_off")),
        ("10-internal-101-to-102", Some("internal")),
    ] {
        let file = fixtures
            .join(name)
            .join("http-received.txt")
            .display()
            .to_string();
        let tested = world.place.json(&["filter", "test", "--file", &file]).await["tested"].take();
        assert_eq!(tested.as_array().unwrap().len(), 1, "{name}");
        assert_eq!(skip(&tested[0]), expected, "{name}: {tested:#}");
        assert!(
            tested[0]["legs"]
                .as_array()
                .is_some_and(|legs| !legs.is_empty())
        );
    }
    let gone = world.place.cli(&["filter", "test", "--file", "gone"]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_lately_is_held_against_other_rules() {
    let mut config = Config::calls("ignore = [\"+49172*\"]\nmin_talk = \"1s\"");
    config.settle = "0s".to_owned();
    let (world, daemon) = World::running(&config).await;
    daemon.post(&call("a1", MAX)).await;
    daemon.post(&call("a2", "+491721234567")).await;
    daemon.post(&call("a3", "+491731234567")).await;
    daemon.post(&text("t1", "in", MAX, OURS)).await;
    let mut short = call("a4", "+491741234567");
    short["ended"] = short["answered"].clone();
    daemon.post(&short).await;
    daemon.settled(5).await;
    let days = ["filter", "test", "--days", "400"];
    assert_eq!(
        world.place.cli(&days).await.code,
        Some(2),
        "more than is ever kept"
    );
    let same = world.place.cli(&["filter", "test", "--days", "30"]).await;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(
        same.out
            .starts_with("5 calls and texts of the last 30 days: 0 would be logged"),
        "{same:?}"
    );
    let new = "[[kustomer]]\nname = \"support\"\n[kustomer.calls]\nignore = [\"+49171*\", \"+49174*\"]\nmin_talk = \"0s\"\n";
    let file = world.place.folder.join("new.toml");
    fs::write(&file, new).unwrap();
    let changed = world
        .place
        .cli(&[
            "filter", "test", "--days", "30", "--with", "new.toml", "--json",
        ])
        .await;
    assert_eq!(changed.code, Some(3), "{changed:?}");
    let changed: Value = serde_json::from_str(&changed.out).unwrap();
    let counts = ["looked_at", "logged", "not_logged", "other_rule"]
        .map(|key| changed[key].as_u64().unwrap());
    assert_eq!(counts, [5, 1, 1, 1], "{changed:#}");
    let of = |id: &str| {
        let key = format!("call:script:{id}");
        let mut all = changed["changes"].as_array().unwrap().iter();
        let one = all
            .find(|one| one["key"] == key.as_str())
            .unwrap_or_else(|| panic!("{changed:#}"));
        json!([one["turn"], one["old"]["outcome"], one["new"]["outcome"]])
    };
    assert_eq!(of("a1"), json!(["not_logged", "logged", "ignored"]));
    assert_eq!(of("a2"), json!(["logged", "ignored", "logged"]));
    assert_eq!(of("a4"), json!(["other_rule", "too_short", "ignored"]));
    let shown = world
        .place
        .cli(&["filter", "test", "--days", "30", "--with", "new.toml"])
        .await;
    let a1 = "call:script:a1 incoming answered, +491711234567, support\n  now:  logged\n  then: ignored number or extension (\"+491711234567\" matches \"+49171*\" of ignore)\n";
    assert!(shown.out.contains(a1), "{shown:?}");
    assert!(shown.out.ends_with("1 would be logged that aren't, 1 would not be logged that are, 1 would be filtered by another rule\n"));
    // What was tried is what a reload does.
    let settings = world.place.folder.join("tieline.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let edited = text.replace(
        "ignore = [\"+49172*\"]",
        "ignore = [\"+49171*\", \"+49174*\"]",
    );
    fs::write(&settings, edited).unwrap();
    let edited = world
        .place
        .json_of(&["filter", "test", "--days", "1"], 3)
        .await;
    assert_eq!(
        edited["not_logged"], 1,
        "the files as they are, before the reload"
    );
    daemon.signal(rustix::process::Signal::HUP);
    daemon
        .until("the settings are read again", |status| {
            status["settings"]["in_force"] != "since the start"
        })
        .await;
    let after = world.place.json(&["filter", "test", "--days", "1"]).await;
    assert_eq!(after["changes"], json!([]));
    // Another reading of the same events: a phone system that isn't there any more.
    let gone = "[[kustomer]]\nname = \"sales\"\norg = \"acme\"\napi_key_file = \"kustomer-key\"\npbx = [\"hq\"]\n";
    fs::write(&file, gone).unwrap();
    let added = world
        .place
        .json_of(&["filter", "test", "--days", "1", "--with", "new.toml"], 3)
        .await;
    let all = added["changes"].as_array().unwrap();
    assert_eq!(all.len(), 5);
    assert!(
        all.iter().all(|one| one["integration"] == "sales"
            && one["turn"] == "other_rule"
            && one["old"]["outcome"] == "absent"
            && one["new"]["outcome"] == "phone_system_not_taken"),
        "{all:#?}"
    );
}
