//! Kustomer and a real contact server: what changes on one side is on the other at the next look, or at once where
//! Kustomer tells of it.

use super::{customer, path_of, person};
use crate::carddav::radicale::{PASSWORD, Radicale, USER};
use crate::support::{Config, Daemon, LOOK_EVERY, World, request, within};
use hyper::Method;
use serde_json::json;
use std::fs;
use tieline::sandbox::{Fault, FaultKind, SandboxOptions, WebhookOptions};

/// A sandbox with Max and Ada, a daemon's settings with this contact server as its phone book, and lines more of them.
async fn world(server: &Radicale, poll: &str, lines: &str) -> World {
    let mut config = Config::kustomer(&format!("retry = [\"20ms\"]\n{lines}"));
    config.integrations[0].texts = format!(
        "[kustomer.contacts]\nphonebook = \"office\"\nsearch_lag = \"0s\"\npoll = \"{poll}\"\n[[carddav]]\nname = \"office\"\nurl = \"{}\"\nuser = \"{USER}\"\npassword_file = \"office-password\"\n",
        server.url("/alice/contacts/")
    );
    let options = SandboxOptions {
        webhooks: WebhookOptions::default(),
        ..SandboxOptions::empty()
    };
    let world = World::with(&config, options).await;
    fs::write(
        world.place.folder.join("office-password"),
        format!("{PASSWORD}\n"),
    )
    .unwrap();
    let ada = person("Ada Example", "+4915112345678");
    world.sandbox.seed_customer(ada).unwrap();
    world
}

/// All cards that lie on the server, one text each.
fn cards(server: &Radicale) -> Vec<(String, String)> {
    let entries = fs::read_dir(server.book()).unwrap().flatten();
    let named = entries.map(|entry| entry.file_name().into_string().unwrap());
    let cards = named.filter(|name| name.ends_with(".vcf"));
    cards
        .filter_map(|name| {
            // It may be replaced at this moment.
            let text = fs::read_to_string(server.book().join(&name)).ok()?;
            Some((name, text))
        })
        .collect()
}

async fn until_cards(server: &Radicale, what: &str, is_so: impl Fn(&[(String, String)]) -> bool) {
    within(what, async {
        while !is_so(&cards(server)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

fn has(cards: &[(String, String)], texts: &[&str]) -> bool {
    let mut all = cards.iter();
    all.any(|(_, card)| texts.iter().all(|text| card.contains(text)))
}

async fn until_customer(world: &World, name: &str) {
    within(&format!("{name} is in Kustomer"), async {
        let there = || {
            let all = world.sandbox.customers();
            all.iter().any(|one| one["attributes"]["name"] == name)
        };
        while !there() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

async fn rename(world: &World, from: &str, to: &str) {
    let path = path_of(&customer(world, from));
    let body = json!({"name": to});
    request(&world.sandbox, Method::PUT, &path, Some(&body)).await;
}

async fn stopped(daemon: Daemon) {
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_are_on_the_other_side_at_the_next_look() {
    let server = Radicale::start(&[]).await;
    let world = world(&server, "1s", "").await;
    let daemon = world.place.start().await;
    until_cards(&server, "both come", |all| all.len() == 2).await;
    rename(&world, "Ada Example", "Ada B. Example").await;
    until_cards(&server, "the card has the new name", |all| {
        has(all, &["Ada B. Example", "+4915112345678"])
    })
    .await;

    // And from a phone: what only the phone knows of the card stays.
    let all = cards(&server);
    let (name, card) = all
        .iter()
        .find(|(_, card)| card.contains("Ada B."))
        .unwrap();
    let edited = card
        .replace("Ada B. Example", "Ada C. Example")
        .replace("END:VCARD", "X-RING:loud\r\nEND:VCARD");
    server.other("PUT", name, &edited).await;
    until_customer(&world, "Ada C. Example").await;
    assert!(has(&cards(&server), &["Ada C. Example", "X-RING:loud"]));
    stopped(daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kustomer_tells_is_on_the_contact_server_at_once() {
    let server = Radicale::start(&[]).await;
    // Nobody looks again within an hour.
    let hook = "webhook = { secret_file = \"hook\" }";
    let world = world(&server, "1h", hook).await;
    let url = format!("http://{}", world.place.listen);
    let installed = world
        .place
        .cli(&["webhook", "install", "--url", &url])
        .await;
    assert_eq!(installed.code, Some(0), "{installed:?}");
    let daemon = world.place.start().await;
    until_cards(&server, "both come", |all| all.len() == 2).await;
    rename(&world, "Ada Example", "Ada B. Example").await;
    until_cards(&server, "the card has the new name", |all| {
        has(all, &["Ada B. Example"])
    })
    .await;
    let new = person("Carl Caller", "+4921155500400");
    request(&world.sandbox, Method::POST, "/v1/customers", Some(&new)).await;
    until_cards(&server, "a new customer has a card", |all| {
        has(all, &["Carl Caller", "+4921155500400"])
    })
    .await;
    daemon
        .until("nobody waits any more", |status| {
            status["integrations"][0]["webhook"]["waiting"] == 0
        })
        .await;
    stopped(daemon).await;
}

/// Kustomer answers something odd for one customer, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_is_not_understood_holds_nobody_up() {
    let server = Radicale::start(&[]).await;
    let hook = "webhook = { secret_file = \"hook\" }";
    let world = world(&server, "1h", hook).await;
    let url = format!("http://{}", world.place.listen);
    let install = ["webhook", "install", "--url", &url];
    assert_eq!(world.place.cli(&install).await.code, Some(0));
    let daemon = world.place.start().await;
    until_cards(&server, "both come", |all| all.len() == 2).await;
    let path = path_of(&customer(&world, "Ada Example"));
    let attributes =
        json!({"name": "Ada", "updatedAt": "2026-01-02T00:00:00.000Z", "phones": "none"});
    let id = path.rsplit('/').next().unwrap();
    let odd = FaultKind::Status {
        status: 200,
        body: Some(json!({"data": {"id": id, "attributes": attributes}})),
        headers: Default::default(),
    };
    world.sandbox.add_fault(Fault::on(path, odd).method("GET"));
    rename(&world, "Ada Example", "Ada B. Example").await;
    rename(&world, "Max Muster", "Max M. Muster").await;
    until_cards(&server, "the other one has the new name", |all| {
        has(all, &["Max M. Muster"])
    })
    .await;
    assert!(has(&cards(&server), &["Ada Example"]));
    // Nor does a change on her card that can't go to Kustomer.
    let all = cards(&server);
    let (name, card) = all.iter().find(|(_, card)| card.contains("Ada")).unwrap();
    let edited = card.replace("Ada Example", "Ada C. Example");
    server.other("PUT", name, &edited).await;
    let (name, card) = all.iter().find(|(_, card)| card.contains("Max")).unwrap();
    let edited = card.replace("Max M. Muster", "Max N. Muster");
    server.other("PUT", name, &edited).await;
    let synced = world.place.cli(&["sync", "now"]).await;
    assert_eq!(synced.code, Some(0), "{synced:?}");
    assert!(synced.out.contains("1 writes were refused"), "{synced:?}");
    until_customer(&world, "Max N. Muster").await;
    daemon
        .until("nobody waits any more", |status| {
            status["integrations"][0]["webhook"]["waiting"] == 0
        })
        .await;
    stopped(daemon).await;
}
