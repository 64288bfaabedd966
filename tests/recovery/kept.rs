//! What `daemon.keep` removes: a while after a person's last call nothing of it is left in any tree, whatever was kept of it
//! (the table in docs/operating.md, Privacy).

use super::files::records;
use super::person::{OTHER, WHO, WRITINGS, by, found_in_records, world};
use crate::support::text;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::fs;
use std::time::Duration;
use tieline::calls::directory::Directory;
use tieline::calls::journal::{Journal, QUEUE_POSTS_DEFAULT};
use tieline::calls::lately::Lately;
use tieline::calls::ledger::Ledger;
use tieline::calls::outbox::Outbox;
use tieline::calls::retention::Retention;
use tieline::store::{Store, StoreOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_keep_is_over_nothing_of_calls_and_texts_is_left() {
    let world = world("").await;
    let daemon = world.place.start().await;
    for (id, from) in [("a", WHO), ("b", "015112399887"), ("other", OTHER)] {
        daemon.post(&by(id, from)).await;
    }
    for id in ["t1", "t2"] {
        daemon
            .post(&text(id, "in", WHO, crate::support::OURS))
            .await;
    }
    daemon.at_rest("all is logged").await;
    // What came late for the note, and a call that nobody takes.
    let mut late = by("a", WHO);
    late["recording"] = json!("https://pbx.example/r/a");
    daemon.post(&late).await;
    let mut internal = by("inside", "101");
    internal["to"] = json!("102");
    internal["note"] = json!(format!("about {WHO}"));
    daemon.post(&internal).await;
    daemon.at_rest("late facts are in the note").await;
    assert!(daemon.stop().await.success());

    let store = world.place.folder.join("state/store");
    let store = Store::open(&store, StoreOptions::default()).unwrap();
    let outbox = Outbox::open(&store);
    let retention = Retention {
        keep: Duration::from_secs(30 * 24 * 60 * 60),
        journal: Journal::open(store.clone(), QUEUE_POSTS_DEFAULT).unwrap(),
        ledger: Ledger::open(&store, &outbox),
        directory: Directory::open(&store),
        lately: Lately::open(&store),
    };
    let written = async || {
        let path = world.place.folder.join("kept");
        store
            .backup(fs::File::create(&path).unwrap())
            .await
            .unwrap();
        records(&fs::read_to_string(&path).unwrap())
    };
    let before = found_in_records(&written().await, &WRITINGS);
    for tree in ["journal", "outbox", "directory", "lately", "calls"] {
        let there = before
            .iter()
            .any(|found| found.ends_with(&format!(" in {tree}")));
        assert!(there, "nothing to remove in {tree}: {before:?}");
    }
    let later: Timestamp = tieline::clock::now() + (40 * 24).hours();
    retention.directory.prune(later).await.unwrap();
    assert_eq!(retention.prune(later).await.unwrap(), 7);
    let left = written().await;
    assert_eq!(found_in_records(&left, &WRITINGS), Vec::<String>::new());
    let calls = left
        .iter()
        .filter(|(tree, key, _)| tree == "calls" || (tree == "ends" && key[0] == b'e'));
    assert_eq!(calls.count(), 0, "{left:?}");
    let deliveries = left
        .iter()
        .filter(|(tree, key, _)| tree == "outbox" && !matches!(key[0], b'u' | b't'));
    assert_eq!(deliveries.count(), 0, "{left:?}");
}
