//! Backups of the running program and stores made of them (invariants 1 to 3): what was acknowledged before a backup is in
//! it, and after a restore nothing is logged twice, though Kustomer knows more than the backup.

mod erase;
mod erased_again;
pub(crate) mod files;
mod kept;
mod older;
mod person;
mod sync;

use crate::crash::{generous, post_event, quick};
use crate::support::{Config, Daemon, World, answers, call, logs, request, text, within};
use files::{records, rewritten};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tieline::sandbox::{Fault, FaultKind};

/// Where the tests put backups.
const FILE: &str = "tieline.backup";

fn with_messages() -> Config {
    let mut config = quick();
    // What isn't found counts after twice that.
    let lines = &mut config.integrations[0].lines;
    *lines = lines.replace("timeout = \"5s\"", "timeout = \"1s\"");
    config.integrations[0].calls = "voice_message = true".to_owned();
    config.integrations[0].texts = "window = \"1h\"".to_owned();
    config
}

/// The daemon is gone, and with it its store.
fn lost(world: &World, daemon: Daemon) {
    daemon.kill();
    fs::remove_dir_all(world.place.folder.join("state/store")).unwrap();
}

async fn backed_up(world: &World, file: &str) {
    let taken = world.place.cli(&["backup", file]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}\n{}", world.place.log());
}

/// What the command said.
async fn restored(world: &World, file: &str) -> String {
    let done = world.place.cli(&["restore", file]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    done.out
}

/// Every call has one conversation with one note and one message.
fn once_each(world: &World, calls: &[Value]) {
    let expected: BTreeSet<String> = calls
        .iter()
        .map(|call| format!("tieline:script:{}", call["id"].as_str().unwrap()))
        .collect();
    let logged = logs(&world.sandbox);
    let wrong: Vec<_> = logged.iter().filter(|(_, made)| **made != (1, 1)).collect();
    assert!(wrong.is_empty(), "not exactly one: {wrong:?}");
    assert_eq!(logged.into_keys().collect::<BTreeSet<_>>(), expected);
    let messages = world.sandbox.messages();
    let distinct: BTreeSet<String> = messages
        .iter()
        .map(|one| one["attributes"]["externalId"].to_string())
        .collect();
    assert_eq!((messages.len(), distinct.len()), (calls.len(), calls.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_every_call_is_logged_once_whoever_tells_it_again() {
    let world = World::with(&with_messages(), generous()).await;
    let daemon = world.place.start().await;
    let numbers = ["+491711234567", "+4915112345001", "+4915112345002"];
    let calls: Vec<Value> = (0..60)
        .map(|number| call(&format!("r{number}"), numbers[number % numbers.len()]))
        .collect();
    let (before, rest) = calls.split_at(20);
    for call in before {
        daemon.post(call).await;
    }
    daemon.at_rest("the first calls are logged").await;
    // From here on some are stuck at each of their steps: those are owed in the backup.
    for path in ["/v1/customers", "/v1/conversations", "/v1/messages"] {
        let lost = Fault::on(path, FaultKind::CommitThenClose).method("POST");
        world.sandbox.add_fault(lost.probability(0.5));
    }
    let down = Fault::on("/v1/", answers(503));
    world.sandbox.add_fault(down.probability(0.5));
    let (owed, rest) = rest.split_at(20);
    let over = Arc::new(AtomicBool::new(false));
    for call in owed {
        daemon.post(call).await;
    }
    // Events that are no calls keep the store's writer busy while the backup runs.
    let noise = tokio::spawn({
        let (place, over) = (world.place.clone(), Arc::clone(&over));
        async move {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                post_event(&place, &json!({"event": "noise", "id": number})).await;
                number += 1;
            }
        }
    });
    backed_up(&world, FILE).await;
    over.store(true, Ordering::Relaxed);
    noise.await.unwrap();
    world.sandbox.clear_faults();
    // Kustomer gets to know more than the backup.
    for call in rest {
        daemon.post(call).await;
    }
    daemon.at_rest("all calls are logged").await;
    once_each(&world, &calls);
    lost(&world, daemon);
    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    let status = daemon.at_rest("what the backup owes is logged").await;
    let accepted = status["events"]["accepted"].as_u64().unwrap();
    assert!(accepted >= 40, "acknowledged before the backup: {status:#}");
    once_each(&world, &calls);
    // The phone system tells everything again: the first forty are known, the others are new.
    for call in &calls {
        daemon.post(call).await;
    }
    let status = daemon.at_rest("what was told again has its end").await;
    assert_eq!(status["events"]["accepted"].as_u64(), Some(accepted + 20));
    once_each(&world, &calls);
    let customers = world.sandbox.counts().customers;
    assert_eq!(customers, numbers.len(), "one customer a number");
    // New calls are logged as ever.
    let new = call("new", numbers[0]);
    daemon.post(&new).await;
    daemon.at_rest("a new call is logged").await;
    once_each(&world, &[calls, vec![new]].concat());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_call_that_was_logged_since_the_backup_is_not_logged_again() {
    let world = World::with(&with_messages(), generous()).await;
    let refused = Fault::on("/v1/conversations/*/notes", answers(422));
    world.sandbox.add_fault(refused.method("POST"));
    let daemon = world.place.start().await;
    let one = call("dead", "+491711234567");
    daemon.post(&one).await;
    daemon
        .until("it is dead", |status| status["events"]["dead"] == 1)
        .await;
    backed_up(&world, FILE).await;
    world.sandbox.clear_faults();
    let id = ["dead", "retry", "support/call:script:dead"];
    let retried = world.place.cli(&id).await;
    assert!(retried.out.starts_with("1 "), "{retried:?}");
    daemon
        .until("it is logged", |status| status["events"]["logged"] == 1)
        .await;
    lost(&world, daemon);
    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    let retried = world.place.cli(&id).await;
    assert!(retried.out.starts_with("1 "), "{retried:?}");
    daemon
        .until("it has its end", |status| status["events"]["logged"] == 1)
        .await;
    once_each(&world, &[one]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lost_daemon_asked_for_may_be_done_after_the_restore() {
    let world = World::with(&with_messages(), generous()).await;
    let daemon = world.place.start().await;
    backed_up(&world, FILE).await;
    lost(&world, daemon);
    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    let one = call("late", "+491711234567");
    daemon.post(&one).await;
    let looked = || -> u64 {
        let requests = world.sandbox.requests();
        let looks = requests.by_route.iter();
        let looks = looks.filter(|(route, _)| route.contains("conversations/externalId"));
        looks.map(|(_, count)| count).sum()
    };
    within("it is looked for", async {
        while looked() == 0 {
            tokio::time::sleep(crate::support::LOOK_EVERY).await;
        }
    })
    .await;
    // Only now Kustomer does what it was asked for before.
    let max = world.sandbox.customers()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let made =
        json!({"externalId": "tieline:script:late", "name": "Missed call", "status": "done"});
    let path = format!("/v1/customers/{max}/conversations");
    request(&world.sandbox, hyper::Method::POST, &path, Some(&made)).await;
    daemon.at_rest("it is logged").await;
    once_each(&world, &[one]);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_an_exchange_that_are_told_again_find_their_conversation() {
    let world = World::with(&with_messages(), generous()).await;
    let daemon = world.place.start().await;
    let texts: Vec<Value> = ["t1", "t2", "t3"]
        .iter()
        .map(|id| text(id, "in", "+491711234567", crate::support::OURS))
        .collect();
    daemon.post(&texts[0]).await;
    daemon.at_rest("the first text is logged").await;
    backed_up(&world, FILE).await;
    for text in &texts[1..] {
        daemon.post(text).await;
    }
    daemon.at_rest("all are logged").await;
    let counts = world.sandbox.counts();
    assert_eq!((counts.conversations, counts.notes), (1, 3));
    lost(&world, daemon);
    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    for text in &texts {
        daemon.post(text).await;
    }
    daemon.at_rest("all have their end").await;
    let counts = world.sandbox.counts();
    assert_eq!((counts.conversations, counts.notes), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_was_killed_leaves_nothing_half() {
    let world = World::with(&quick(), generous()).await;
    let daemon = world.place.start().await;
    for number in 0..300 {
        post_event(&world.place, &call(&format!("k{number}"), "+491711234567")).await;
    }
    backed_up(&world, FILE).await;
    lost(&world, daemon);
    let (store, unfinished) = (
        world.place.folder.join("state/store"),
        world.place.folder.join("state/store.restoring"),
    );
    let mut killed = 0;
    for _ in 0..5 {
        let mut restore = world.place.command_of(&["restore", FILE]).spawn().unwrap();
        within("the restore has begun, or ended", async {
            while !unfinished.join("db").exists() && restore.try_wait().unwrap().is_none() {
                tokio::time::sleep(crate::support::LOOK_EVERY).await;
            }
        })
        .await;
        restore.kill().unwrap();
        let ended = restore.wait().unwrap();
        if ended.success() {
            // It was faster than we.
            fs::remove_dir_all(&store).unwrap();
        } else {
            killed += 1;
            assert!(!store.exists(), "half a store is in place");
        }
    }
    assert!(killed > 0, "no restore was killed");
    restored(&world, FILE).await;
    assert!(!unfinished.exists());
    let daemon = world.place.start().await;
    daemon.at_rest("everything is logged").await;
    let logged = logs(&world.sandbox);
    assert_eq!(logged.len(), 300);
    assert!(logged.values().all(|made| *made == (1, 1)), "{logged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_restored_is_refused_in_words_and_changes_nothing() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("a", "+491711234567")).await;
    daemon.at_rest("it is logged").await;
    backed_up(&world, FILE).await;
    let refused = async |file: &str, words: &str| {
        let done = world.place.cli(&["restore", file]).await;
        assert_eq!(done.code, Some(1), "{file}: {done:?}");
        assert!(done.err.contains(words), "{file}: {done:?}");
    };
    refused(FILE, "in use").await;
    assert!(daemon.stop().await.success());
    refused(FILE, "move that folder away").await;
    let store = world.place.folder.join("state/store");
    fs::remove_dir_all(&store).unwrap();
    let whole = fs::read_to_string(world.place.folder.join(FILE)).unwrap();
    let put = |name: &str, text: &str| fs::write(world.place.folder.join(name), text).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    put("cut", &whole[..whole.len() - 100]);
    put("less", &[lines[..3].concat(), String::new()].join("\n"));
    put("more", &format!("{whole}{{}}\n"));
    put(
        "another",
        &whole.replacen("\"tree\":\"calls\"", "\"tree\":\"ends\"", 1),
    );
    put("none", "what is this\n");
    put("empty", "");
    let newer = whole.replacen("{\"tieline_store\":2", "{\"tieline_store\":3,\"new\":1", 1);
    put("newer", &newer);
    let record = |_: &str, _: &[u8], mut value: Vec<u8>| {
        value[1] = 200;
        value
    };
    let held: BTreeSet<String> = records(&whole)
        .into_iter()
        .map(|(tree, _, _)| tree)
        .collect();
    assert!(held.len() >= 5, "{held:?}");
    for tree in &held {
        put(&format!("record-{tree}"), &rewritten(&whole, tree, record));
    }
    put(
        "tree",
        &rewritten(&whole, "calls", |_, _, value| value)
            .replace("\"tree\":\"calls\"", "\"tree\":\"dreams\""),
    );
    for (file, words) in [
        ("cut", "cut"),
        ("more", "follows"),
        ("another", "checksum"),
        ("none", "isn't that of a backup"),
        ("empty", "isn't that of a backup"),
        ("newer", "format 3"),
        ("missing", "No such file"),
    ] {
        refused(file, words).await;
        let checked = world.place.cli(&["backup", "check", file]).await;
        assert_eq!(checked.code, Some(1), "{file}: {checked:?}");
        assert!(checked.err.contains(words), "{file}: {checked:?}");
        assert!(!store.exists(), "{file}");
    }
    for tree in &held {
        // The journal has pages of events.
        let words = if tree == "journal" {
            "cut short"
        } else {
            "version 200"
        };
        refused(&format!("record-{tree}"), words).await;
    }
    refused("tree", "doesn't know").await;
    for args in [["backup", "check", FILE], ["restore", "--dry-run", FILE]] {
        let checked = world.place.cli(&args).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert!(checked.out.contains("is whole"), "{checked:?}");
        assert!(!store.exists());
    }
    restored(&world, FILE).await;
    assert!(world.place.start().await.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_backups_go_only_once_the_new_one_is_whole() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("a", "+491711234567")).await;
    let folder = world.place.folder.join("backups");
    fs::create_dir(&folder).unwrap();
    let others = ["notes.txt", "tieline-before-update.backup"];
    let old = [
        "tieline-2026-01-01T000000Z.backup",
        "tieline-2026-01-02T000000Z.backup",
        "tieline-2026-01-03T000000Z.backup",
    ];
    let partial = "tieline-2026-01-04T000000Z.backup.partial";
    for name in others.iter().chain(&old).chain([&partial]) {
        File::create(folder.join(name)).unwrap();
    }
    let names = || -> BTreeSet<String> {
        let files = fs::read_dir(&folder).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let args = ["backup", "--keep", "2", "backups"];
    let taken = world.place.cli(&args).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let left = names();
    let new: Vec<&String> = left
        .iter()
        .filter(|name| !others.contains(&name.as_str()) && name.as_str() != old[2])
        .collect();
    assert_eq!((new.len(), left.len()), (1, 4), "{left:?}");
    let checked = world
        .place
        .cli(&["backup", "check", &format!("backups/{}", new[0])])
        .await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(daemon.stop().await.success());
    let failed = world.place.cli(&["backup", "--keep", "1", "backups"]).await;
    assert_eq!(failed.code, Some(69), "{failed:?}");
    assert_eq!(names(), left, "a backup that wasn't taken removes none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_gets_a_backup_too_and_it_is_the_users_alone_in_a_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("a", "+491711234567")).await;
    daemon.at_rest("it is logged").await;
    let piped = world.place.cli(&["backup", "-"]).await;
    assert_eq!(piped.code, Some(0), "{:?}", piped.err);
    fs::write(world.place.folder.join("piped"), piped.out).unwrap();
    let checked = world.place.cli(&["backup", "check", "piped"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    backed_up(&world, FILE).await;
    let mode = fs::metadata(world.place.folder.join(FILE))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let left: Vec<PathBuf> = fs::read_dir(&world.place.folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A tree that nobody listed would make every backup of it impossible to restore.
#[test]
fn every_tree_is_known_to_the_restore() {
    let mut declared = BTreeSet::new();
    let mut folders = vec![PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/daemon"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines = text.lines().map(|line| line.trim_start_matches("pub "));
            for line in lines.filter(|line| line.starts_with("const TREE")) {
                let names = line.split('"').skip(1).step_by(2);
                declared.extend(names.map(str::to_owned));
            }
        }
    }
    let known: BTreeSet<String> = tieline::recovery::TREES.map(str::to_owned).into();
    assert_eq!(declared, known);
}
