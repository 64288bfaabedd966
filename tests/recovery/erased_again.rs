//! Restores after an erasure: what a backup has from before it goes again by itself, whatever was lost in between; what
//! came after it stays (docs/decisions/011-erasures-outlive-backups.md).

use super::person::{
    NAME, OTHER, PROOF, SYNC, WHO, WRITINGS, by, found_in, found_in_log, started, tell_all, world,
};
use super::{backed_up, restored};
use crate::directory::desk::request as api;
use crate::support::{Daemon, World, answers, within};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tieline::sandbox::Fault;

const EMAIL: &str = "erika@example.org";
const LEDGER: &str = "tieline.erasures";
const OLD: &str = "backups/old";
const NEW: &str = "backups/new";

fn state(world: &World) -> PathBuf {
    world.place.folder.join("state")
}

/// Every word that names them.
fn words() -> Vec<&'static str> {
    [&WRITINGS[..], &["Mustermann-Erased", "erika"]].concat()
}

/// One customer who is a contact by the sync; logged calls and texts, one that is owed, one that is dead and speaks of
/// their e-mail address alone, late facts; and somebody else's. In the backup OLD.
async fn with_an_old_backup() -> (World, Daemon, Value) {
    let world = world(SYNC).await;
    fs::create_dir(world.place.folder.join("backups")).unwrap();
    let erika = json!({"name": NAME, "phones": [{"type": "mobile", "phone": WHO}],
        "emails": [{"type": "work", "email": EMAIL}]});
    world.sandbox.seed_customer(erika).unwrap();
    let daemon = started(&world).await;
    tell_all(&daemon).await;
    let mut late = by("w0", WHO);
    late["recording"] = json!("https://pbx.example/r/w0");
    daemon.post(&late).await;
    daemon
        .until("Max, Erika and Olga are imported", |status| {
            status["contacts"] == 3
        })
        .await;
    daemon.at_rest("late facts are in the note").await;
    world.sandbox.add_fault(Fault::on("/v1/", answers(503)));
    daemon.post(&by("owed", WHO)).await;
    daemon.post(&by("owed-other", OTHER)).await;
    let fax = json!({"event": "fax.received", "id": "broken", "from": format!("fax+{EMAIL}")});
    daemon.post(&fax).await;
    let status = daemon
        .until("two are owed, one dead", |status| {
            status["integrations"][0]["owed"] == 2 && status["events"]["dead"] == 1
        })
        .await;
    backed_up(&world, OLD).await;
    (world, daemon, status["events"]["accepted"].clone())
}

async fn erased(world: &World, who: &str) {
    let done = world.place.cli(&["erase", "--yes", who]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// Nothing of them is left, everything of the others is, and the accounts add up (invariant 2).
async fn only_the_others(world: &World, accepted: &Value) -> Daemon {
    assert_eq!(found_in(&state(world), &words()), Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(state(world)).unwrap().collect();
    assert_eq!(left.len(), 2, "the store and the ledger: {left:?}");
    let daemon = started(world).await;
    let status = daemon.at_rest("the other's owed call is logged").await;
    let events = &status["events"];
    assert_eq!(
        (
            &events["accepted"],
            &events["erased"],
            &events["logged"],
            &events["dead"]
        ),
        (accepted, &json!(9), &json!(2), &json!(0)),
        "{events}"
    );
    for call in ["script:other", "script:owed-other"] {
        assert!(
            world.place.explain(call).await["call"].is_object(),
            "{call}"
        );
    }
    let listed = api(world.place.listen, "GET", "/v1/contacts", &[PROOF], "")
        .await
        .json();
    let names = listed["contacts"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && !names.contains(&NAME), "{listed:#}");
    daemon
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_is_restored_without_who_was_erased_since() {
    let (world, daemon, accepted) = with_an_old_backup().await;
    assert!(!world.place.folder.join("backups").join(LEDGER).exists());
    assert!(daemon.stop().await.success());
    erased(&world, "0151 12399887").await;
    erased(&world, EMAIL).await;
    let ledger = fs::metadata(state(&world).join(LEDGER)).unwrap();
    assert_eq!(ledger.permissions().mode() & 0o777, 0o600);
    world.sandbox.clear_faults();
    let daemon = only_the_others(&world, &accepted).await;
    // They call again: that is no part of what was erased.
    daemon.post(&by("later", WHO)).await;
    daemon.at_rest("a new call is logged").await;
    backed_up(&world, NEW).await;
    assert!(daemon.stop().await.success());

    // The whole state folder is lost; the ledger lies beside the backups.
    fs::remove_dir_all(state(&world)).unwrap();
    fs::create_dir(state(&world)).unwrap();
    let again = restored(&world, OLD).await;
    assert!(
        again.contains("2 numbers, e-mail addresses and customers were erased since"),
        "{again}"
    );
    assert!(again.contains("7 calls and texts with 9 events"), "{again}");
    let daemon = only_the_others(&world, &accepted).await;
    assert!(daemon.stop().await.success());

    // The store alone is lost, and nothing lies beside the backup.
    fs::remove_dir_all(state(&world).join("store")).unwrap();
    fs::rename(
        world.place.folder.join(OLD),
        world.place.folder.join("alone"),
    )
    .unwrap();
    let alone = restored(&world, "alone").await;
    assert!(alone.contains("7 calls and texts with 9 events"), "{alone}");
    let daemon = only_the_others(&world, &accepted).await;
    assert!(daemon.stop().await.success());

    // A backup that is newer than the erasure brings back what came after it, and says by itself what it has had.
    fs::remove_dir_all(state(&world)).unwrap();
    fs::create_dir(state(&world)).unwrap();
    fs::remove_file(world.place.folder.join("backups").join(LEDGER)).unwrap();
    let newer = restored(&world, NEW).await;
    assert!(!newer.contains("erased"), "{newer}");
    assert!(state(&world).join(LEDGER).exists());
    let daemon = started(&world).await;
    let status = daemon.at_rest("the new call has its end").await;
    assert_eq!(status["events"]["erased"], 9, "{status:#}");
    assert!(world.place.explain("script:later").await["call"].is_object());
    assert!(daemon.stop().await.success());
    let told = [again.as_str(), &alone, &newer];
    assert_eq!(found_in_log(&world, &told, &words()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_missed_an_erasure_keeps_what_came_after_it() {
    let (world, daemon, _) = with_an_old_backup().await;
    assert!(daemon.stop().await.success());
    erased(&world, WHO).await;
    let ledger = fs::read(state(&world).join(LEDGER)).unwrap();
    // Nobody has the ledger: they are back, and call again.
    fs::remove_dir_all(state(&world)).unwrap();
    fs::create_dir(state(&world)).unwrap();
    world.sandbox.clear_faults();
    restored(&world, OLD).await;
    let daemon = started(&world).await;
    daemon.post(&by("later", WHO)).await;
    daemon.at_rest("all is logged").await;
    backed_up(&world, NEW).await;
    assert!(daemon.stop().await.success());

    // It is found again. A store that was put back by hand is told of, and mended by the command alone.
    fs::write(state(&world).join(LEDGER), &ledger).unwrap();
    let daemon = started(&world).await;
    assert!(
        world
            .place
            .log()
            .contains("the store is older than an erasure")
    );
    assert!(daemon.stop().await.success());
    let dry = world.place.cli(&["erase", "--dry-run"]).await;
    assert!(
        dry.out.starts_with("7 calls and texts with 8 events"),
        "{dry:?}"
    );
    let by_hand = world.place.cli(&["erase", "--yes"]).await;
    assert_eq!(by_hand.code, Some(0), "{by_hand:?}");
    let younger_alone = async || {
        let daemon = started(&world).await;
        daemon.at_rest("all has its end").await;
        for (call, there) in [
            ("w0", false),
            ("w2", false),
            ("owed", false),
            ("later", true),
            ("other", true),
        ] {
            let path = format!("/explain?of=script:{call}");
            let found = world.place.ask(hyper::Method::GET, &path, None).await;
            assert_eq!(found.is_some(), there, "{call}: {found:?}");
        }
        assert!(daemon.stop().await.success());
    };
    younger_alone().await;

    // The same for a backup of it.
    fs::remove_dir_all(state(&world).join("store")).unwrap();
    let told = restored(&world, NEW).await;
    assert!(told.contains("7 calls and texts with 8 events"), "{told}");
    younger_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_killed_goes_on() {
    let (world, daemon, accepted) = with_an_old_backup().await;
    assert!(daemon.stop().await.success());
    let would = async || world.place.cli(&["erase", "--dry-run", WHO]).await.out;
    let whole = would().await;
    // Nothing goes before it is known for good who goes.
    let in_the_way = state(&world).join("tieline.erasures.partial");
    fs::create_dir(&in_the_way).unwrap();
    let failed = world.place.cli(&["erase", "--yes", WHO]).await;
    assert!(
        failed.code == Some(1) && failed.err.contains("directory"),
        "{failed:?}"
    );
    assert_eq!(would().await, whole);
    fs::remove_dir(&in_the_way).unwrap();

    let noted = state(&world).join(LEDGER);
    let written_anew = state(&world).join("store.erasing/db");
    let mut killed = 0;
    for reached in [&noted, &written_anew] {
        let mut erasing = world.place.command_of(&["erase", "--yes", EMAIL]);
        let mut erasing = erasing.spawn().unwrap();
        within("it has come so far, or to its end", async {
            while !reached.exists() && erasing.try_wait().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        erasing.kill().unwrap();
        // Otherwise it was faster than we.
        killed += usize::from(!erasing.wait().unwrap().success());
    }
    assert!(killed > 0, "no erasure was killed");
    assert!(noted.exists());
    // Whoever is next goes with those that were noted before.
    erased(&world, WHO).await;
    world.sandbox.clear_faults();
    let daemon = only_the_others(&world, &accepted).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_ledger_is_refused_in_words_and_nothing_changes() {
    let (world, daemon, _) = with_an_old_backup().await;
    assert!(daemon.stop().await.success());
    erased(&world, WHO).await;
    let (here, beside) = (
        state(&world).join(LEDGER),
        world.place.folder.join("backups").join(LEDGER),
    );
    let whole = fs::read_to_string(&here).unwrap();
    let damaged = whole.replacen("\"who\":\"", "\"who\":\"A", 1);
    let newer = whole.replacen("\"tieline_erasures\":1", "\"tieline_erasures\":2", 1);
    let store = state(&world).join("store");
    let away = state(&world).join("store.old");
    for (text, says) in [(damaged, "it is damaged"), (newer, "format 2")] {
        fs::write(&here, &text).unwrap();
        let refused = world.place.cli(&["erase", "--yes", OTHER]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.err.contains(says) && refused.err.contains("put a copy"),
            "{refused:?}"
        );
        fs::rename(&store, &away).unwrap();
        let refused = world.place.cli(&["restore", OLD]).await;
        assert!(
            refused.code == Some(1) && refused.err.contains(says),
            "{refused:?}"
        );
        fs::write(&here, &whole).unwrap();
        fs::write(&beside, &text).unwrap();
        for args in [&["restore", OLD][..], &["restore", "--dry-run", OLD]] {
            let refused = world.place.cli(args).await;
            assert!(
                refused.code == Some(1) && refused.err.contains(says),
                "{refused:?}"
            );
        }
        assert!(!store.exists());
        fs::rename(&away, &store).unwrap();
        fs::remove_file(&beside).unwrap();
    }
}
