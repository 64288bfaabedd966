//! One person forgotten before their time: no byte of theirs is left in the state folder or a new backup, in whatever writing
//! it came; the others' are all there, and the accounts add up (invariant 2).

use super::FILE;
use super::files::records;
use crate::directory::desk::request as api;
use crate::support::{Config, World, call, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tieline::sandbox::{Fault, FaultKind};

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");
pub(super) const WHO: &str = "+4915112399887";
/// As E.164 has it, as people and phone systems write it, and their last digits together.
pub(super) const WRITINGS: [&str; 4] = [
    "4915112399887",
    "015112399887",
    "15112399887",
    "0151 123-99887",
];
pub(super) const OTHER: &str = "+4915112399888";
const NAME: &str = "Erika Mustermann-Erased";

/// Which of the words are in any file of the folder.
fn found_in(folder: &Path, words: &[&str]) -> Vec<String> {
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

fn found_in_backup(file: &Path, words: &[&str]) -> Vec<String> {
    found_in_records(&records(&fs::read_to_string(file).unwrap()), words)
}

const SYNC: &str = "[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"1s\"\nexport = false\n";

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_person_is_left_and_the_others_lose_nothing() {
    let world = world(SYNC).await;
    world
        .sandbox
        .seed_customer(json!({"name": NAME, "phones": [{"type": "mobile", "phone": WHO}]}))
        .unwrap();
    let daemon = world.place.start().await;
    // Logged calls in all writings, texts of an exchange, a call of somebody else's, a contact, an import by the sync.
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
    daemon
        .until("Max, Erika and Olga are imported", |status| {
            status["contacts"] == 3
        })
        .await;
    // One is dead, one still owed.
    let refused = FaultKind::Status {
        status: 503,
        body: None,
        headers: BTreeMap::default(),
    };
    world.sandbox.add_fault(Fault::on("/v1/", refused));
    daemon.post(&by("owed", WHO)).await;
    daemon
        .post(&json!({"event": "fax.received", "id": "broken", "from": WHO}))
        .await;
    let status = daemon
        .until("one is owed, one dead", |status| {
            status["integrations"][0]["owed"] == 1 && status["events"]["dead"] == 1
        })
        .await;
    let accepted = status["events"]["accepted"].clone();
    let running = world.place.cli(&["erase", "--yes", WHO]).await;
    assert_eq!(running.code, Some(1), "{running:?}");
    assert!(running.err.contains("in use"), "{running:?}");
    assert!(daemon.stop().await.success());
    let state = world.place.folder.join("state");
    let words = [&WRITINGS[..], &["Mustermann-Erased", "w0", "owed"]].concat();
    assert!(
        found_in(&state, &words).len() > 3,
        "{:?}",
        found_in(&state, &words)
    );

    let asked = world.place.cli(&["erase", "0151 12399887"]).await;
    assert_eq!(asked.code, Some(1), "nobody said yes: {asked:?}");
    let dry = world
        .place
        .cli(&["erase", "--dry-run", "0151 12399887"])
        .await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(
        dry.out
            .starts_with("7 calls and texts with 8 events (1 of them"),
        "{dry:?}"
    );
    assert!(found_in(&state, &words).len() > 3);
    let erased = world.place.cli(&["erase", "--yes", "0151 12399887"]).await;
    assert_eq!(erased.code, Some(0), "{erased:?}");
    assert!(
        !erased.out.contains(&WHO[1..]) && !erased.out.contains(NAME),
        "{erased:?}"
    );
    assert_eq!(found_in(&state, &words), Vec::<String>::new());
    assert!(!state.join("store.erasing").exists());

    world.sandbox.clear_faults();
    let conversations = world.sandbox.counts().conversations;
    let daemon = world.place.start().await;
    let status = daemon.at_rest("the accounts add up").await;
    let events = &status["events"];
    assert_eq!(
        (&events["accepted"], &events["erased"], &events["dead"]),
        (&accepted, &json!(8), &json!(0)),
        "{events}"
    );
    assert_eq!(
        (&events["logged"], &status["contacts"]),
        (&json!(1), &json!(2)),
        "{status:#}"
    );
    let accounts = &status["accounts"];
    let script = &accounts["phone_systems"]["script"];
    assert_eq!(
        (&script["accepted"], &script["erased"], &script["logged"]),
        (&accepted, &json!(8), &json!(1)),
        "{accounts:#}"
    );
    // Nobody was asked about what couldn't be read.
    let support = &accounts["integrations"]["support"];
    assert_eq!(
        (&support["asked"], &support["erased"], &support["logged"]),
        (&json!(8), &json!(7), &json!(1)),
        "{accounts:#}"
    );
    assert!(world.place.explain("script:other").await["call"].is_object());
    let taken = world.place.cli(&["backup", FILE]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert_eq!(
        found_in_backup(&world.place.folder.join(FILE), &words),
        Vec::<String>::new()
    );
    // The sync doesn't bring them back, though Kustomer has them; what is logged there stays, and new calls are taken.
    let synced = world.place.cli(&["sync", "now"]).await;
    assert_eq!(synced.code, Some(0), "{synced:?}");
    let listed = api(world.place.listen, "GET", "/v1/contacts", &[PROOF], "")
        .await
        .json();
    let names = listed["contacts"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && !names.contains(&NAME), "{listed:#}");
    assert_eq!(world.sandbox.counts().conversations, conversations);
    daemon.post(&by("later", WHO)).await;
    daemon.at_rest("a new call is logged").await;
    assert_eq!(world.sandbox.counts().conversations, conversations + 1);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_erased_by_id_and_what_else_they_are_found_by_is_told() {
    let world = world(SYNC).await;
    let id = world
        .sandbox
        .seed_customer(
            json!({"name": NAME, "phones": [{"type": "mobile", "phone": WHO}],
            "emails": [{"type": "work", "email": "erika@example.org"}]}),
        )
        .unwrap();
    let daemon = world.place.start().await;
    daemon.post(&by("a", WHO)).await;
    daemon.post(&by("other", OTHER)).await;
    daemon.at_rest("all is logged").await;
    daemon
        .until("all are imported", |status| status["contacts"] == 3)
        .await;
    assert!(daemon.stop().await.success());
    let told = world
        .place
        .cli(&["erase", "--dry-run", "erika@example.org"])
        .await;
    assert!(
        told.out.contains(&format!("found by {WHO} too")),
        "{told:?}"
    );
    for wrong in ["nobody", "12", "customer:"] {
        let refused = world.place.cli(&["erase", "--yes", wrong]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("no phone number"), "{refused:?}");
    }
    let erased = world
        .place
        .cli(&["erase", "--yes", &format!("customer:{id}")])
        .await;
    assert_eq!(erased.code, Some(0), "{erased:?}");
    let words = [&WRITINGS[..], &["Mustermann-Erased", "erika@example.org"]].concat();
    assert_eq!(
        found_in(&world.place.folder.join("state"), &words),
        Vec::<String>::new()
    );
    let daemon = world.place.start().await;
    let status = daemon.at_rest("the accounts add up").await;
    assert_eq!(
        (&status["events"]["erased"], &status["events"]["logged"]),
        (&json!(1), &json!(1)),
        "{status:#}"
    );
    assert!(daemon.stop().await.success());
}
