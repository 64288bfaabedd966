//! A backup of an older tieline: the first format, records of earlier versions. It is restored and read.

use super::files::{closed, line, records};
use super::{FILE, backed_up, lost, restored};
use crate::crash::{generous, post_event, quick};
use crate::directory::desk::request as api;
use crate::support::{World, answers, call, logs};
use serde_json::json;
use std::fs;
use tieline::sandbox::Fault;

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

/// The record as the version before wrote it; none: that version had none.
fn before(tree: &str, key: &[u8], value: Vec<u8>) -> Vec<u8> {
    match (tree, key[0]) {
        // Whose number it is: the id alone, without a name.
        ("contacts", b'n') => {
            let caller: serde_json::Value = serde_json::from_slice(&value[2..]).unwrap();
            [&b"\x00\x01"[..], caller["id"].to_string().as_bytes()].concat()
        }
        // Deliveries without doubts.
        ("outbox", b'r') => [&b"\x00\x02"[..], &value[2..]].concat(),
        _ => value,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_s_backup_is_restored_and_read() {
    let mut config = quick();
    config.daemon = "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:write\"]".to_owned();
    let world = World::with(&config, generous()).await;
    fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
    world.sandbox.add_fault(Fault::on("/v1/", answers(503)));
    let daemon = world.place.start().await;
    let contact =
        json!({"name": "Carl Caller", "phones": [{"number": "+4921155500400", "type": "work"}]});
    let put = api(
        world.place.listen,
        "PUT",
        "/v1/contacts/p1",
        &[PROOF],
        &contact.to_string(),
    )
    .await;
    assert_eq!(put.status, 201);
    post_event(&world.place, &call("owed", "+491711234567")).await;
    daemon
        .until("it is owed", |status| {
            status["integrations"][0]["owed"] == 1
        })
        .await;
    backed_up(&world, FILE).await;
    lost(&world, daemon);
    world.sandbox.clear_faults();

    let file = world.place.folder.join(FILE);
    let mut lines = vec!["{\"tieline_store\":1}".to_owned()];
    let mut older = 0;
    for (tree, key, value) in records(&fs::read_to_string(&file).unwrap()) {
        let old = before(&tree, &key, value.clone());
        older += usize::from(old != value);
        lines.push(line(&tree, &key, &old));
    }
    assert_eq!(older, 2, "a number and a delivery");
    fs::write(&file, closed(&lines)).unwrap();

    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    daemon.at_rest("the owed call is logged").await;
    assert_eq!(logs(&world.sandbox)["tieline:script:owed"], (1, 1));
    let found = api(
        world.place.listen,
        "GET",
        "/v1/lookup?number=%2B4921155500400",
        &[PROOF],
        "",
    )
    .await;
    assert_eq!(found.json()["contact"]["name"], "Carl Caller", "{found:?}");
    assert!(daemon.stop().await.success());
}
