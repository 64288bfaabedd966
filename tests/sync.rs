//! The contact sync whole, over real sockets: the program, a sandbox Kustomer, the phone book's API and the commands.

mod export;
mod oracle;
mod servers;

use super::directory::desk::request as api;
use super::support::{Config, Daemon, LOOK_EVERY, World, attribute, request, within};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tieline::sandbox::{ApiKey, SANDBOX_KEY, SandboxOptions};

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

/// The sync's settings, and lines more of them.
fn config(lines: &str) -> Config {
    let mut config = Config {
        daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]".to_owned(),
        ..Config::default()
    };
    config.integrations[0].texts = format!("[kustomer.contacts]\nsearch_lag = \"0s\"\n{lines}\n");
    config
}

/// A sandbox with Max alone.
async fn world() -> World {
    let world = World::start(&config("")).await;
    fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_key_may_not_is_named_before_anything_is_synced() {
    let mut sandbox = SandboxOptions::empty();
    let roles = ["customer.read", "customer.update", "user.read"];
    sandbox.keys = vec![ApiKey {
        key: SANDBOX_KEY.to_owned(),
        roles: roles.map(|role| format!("org.permission.{role}")).to_vec(),
    }];
    let mut config = Config::default();
    config.integrations[0].texts = "[kustomer.contacts]\n".to_owned();
    let world = World::with(&config, sandbox).await;
    let checked = world.place.cli(&["check", "--online", "--json"]).await;
    let checked: Value = serde_json::from_str(&checked.out).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    let level = |role: &str| {
        let role = format!("org.permission.{role}");
        let found = findings.iter().find(|found| found["role"] == role.as_str());
        found.unwrap_or_else(|| panic!("{checked:#}"))["level"].clone()
    };
    let asked = ["search.create", "customer_merge.read", "customer.update"];
    assert_eq!(asked.map(level), ["fault", "fault", "ok"]);
}

fn person(name: &str, phone: &str) -> Value {
    json!({"name": name, "phones": [{"type": "mobile", "phone": phone}]})
}

async fn sync(world: &World) -> Option<i32> {
    let done = world.place.cli(&["sync", "now"]).await;
    assert!(done.code != Some(1), "{done:?}\n{}", world.place.log());
    done.code
}

/// The phone side: contact id and what it has, by name.
async fn contacts(world: &World) -> BTreeMap<String, Value> {
    let reply = api(
        world.place.listen,
        "GET",
        "/v1/contacts?limit=1000",
        &[PROOF],
        "",
    )
    .await;
    let listed = reply.json();
    let rows = listed["contacts"].as_array().unwrap().iter();
    rows.map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

fn customer(world: &World, name: &str) -> Value {
    let all = world.sandbox.customers();
    let found = all.into_iter().find(|one| attribute(one, "name") == name);
    found.unwrap_or_else(|| panic!("no customer {name}"))
}

fn path_of(customer: &Value) -> String {
    format!("/v1/customers/{}", customer["id"].as_str().unwrap())
}

async fn patch(world: &World, contact: &Value, change: Value) {
    let path = format!("/v1/contacts/{}", contact["id"].as_str().unwrap());
    let reply = api(
        world.place.listen,
        "PATCH",
        &path,
        &[PROOF],
        &change.to_string(),
    )
    .await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn settled(world: &World) {
    assert_eq!(sync(world).await, Some(0));
    let plan = world.place.cli(&["plan"]).await;
    assert_eq!(plan.code, Some(0), "a second run plans {}", plan.out);
}

async fn running(world: &World) -> Daemon {
    world.place.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_come_to_the_phone_side_and_edits_go_both_ways() {
    let world = world().await;
    for body in [
        person("Ada Example", "+4915112345678"),
        json!({"name": "Shared Only", "sharedPhones": [{"type": "work", "phone": "+4921155500200"}]}),
        json!({"name": "Whats App", "whatsapps": [{"type": "mobile", "phone": "+4915100000001"}]}),
        person("Ben Beispiel", "+493012345678"),
    ] {
        world.sandbox.seed_customer(body).unwrap();
    }
    let daemon = running(&world).await;
    settled(&world).await;
    let names: Vec<String> = contacts(&world).await.into_keys().collect();
    assert_eq!(names, ["Ada Example", "Ben Beispiel", "Max Muster"]);

    // Kustomer to phone.
    let ada = customer(&world, "Ada Example");
    let body =
        json!({"name": "Ada B. Example", "emails": [{"type": "work", "email": "ada@example.org"}]});
    request(&world.sandbox, Method::PUT, &path_of(&ada), Some(&body)).await;
    settled(&world).await;
    let there = contacts(&world).await;
    assert_eq!(
        there["Ada B. Example"]["emails"][0]["email"],
        "ada@example.org"
    );
    assert_eq!(there["Ada B. Example"]["tags"], json!(["phone"]));

    // Phone to Kustomer; what was there keeps its type.
    let numbers = json!([{"number": "+4915112345678", "type": "mobile"}, {"number": "+4921155500300", "type": "home"}]);
    patch(
        &world,
        &there["Ada B. Example"],
        json!({"name": "Ada C. Example", "phones": numbers}),
    )
    .await;
    settled(&world).await;
    let ada = customer(&world, "Ada C. Example");
    let phones = &ada["attributes"]["phones"];
    assert_eq!(
        (&phones[0]["type"], &phones[1]["type"]),
        (&json!("mobile"), &json!("work"))
    );
    assert_eq!(phones[1]["phone"], "+4921155500300");

    // Removed on one side: the customer stays, the contact goes, neither comes back.
    let there = contacts(&world).await;
    let path = format!(
        "/v1/contacts/{}",
        there["Ben Beispiel"]["id"].as_str().unwrap()
    );
    assert_eq!(
        api(world.place.listen, "DELETE", &path, &[PROOF], "")
            .await
            .status,
        204
    );
    request(
        &world.sandbox,
        Method::DELETE,
        &path_of(&customer(&world, "Max Muster")),
        None,
    )
    .await;
    settled(&world).await;
    let names: Vec<String> = contacts(&world).await.into_keys().collect();
    assert_eq!(names, ["Ada C. Example"]);
    customer(&world, "Ben Beispiel");
    daemon.kill();
    let daemon = running(&world).await;
    settled(&world).await;
    assert_eq!(contacts(&world).await.len(), 1);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_export_waits_for_approval_and_makes_one_customer() {
    let world = world().await;
    let daemon = running(&world).await;
    settled(&world).await;
    for (id, name, number) in [
        ("p1", "Carl Caller", "+4921155500400"),
        ("p2", "Max Double", "+4921155500500"),
    ] {
        let body =
            json!({"name": name, "phones": [{"number": number, "type": "mobile"}]}).to_string();
        let path = format!("/v1/contacts/{id}");
        assert_eq!(
            api(world.place.listen, "PUT", &path, &[PROOF], &body)
                .await
                .status,
            201
        );
    }
    assert_eq!(sync(&world).await, Some(3), "it waits");
    assert_eq!(world.sandbox.counts().customers, 1);
    let planned = world.place.cli(&["plan", "--json"]).await;
    assert_eq!(planned.code, Some(3), "{planned:?}");
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    let id = plan["plans"][0]["plan"].as_str().unwrap();
    let approved = world.place.cli(&["sync", "now", "--approve", id]).await;
    assert_eq!(approved.code, Some(0), "{approved:?}");
    settled(&world).await;
    let carl = customer(&world, "Carl Caller");
    assert_eq!(attribute(&carl, "externalId"), "p1");
    assert_eq!(carl["attributes"]["phones"][0]["type"], "work");
    assert_eq!(world.sandbox.counts().customers, 3);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namesakes_are_one_contact_until_they_are_parted() {
    let world = world().await;
    world
        .sandbox
        .seed_customer(person("Ada Müller", "+4915112345678"))
        .unwrap();
    world
        .sandbox
        .seed_customer(person("ada  muller", "+4915112345679"))
        .unwrap();
    let daemon = running(&world).await;
    settled(&world).await;
    let there = contacts(&world).await;
    assert_eq!(there.len(), 2, "{there:?}");
    let merged = there
        .values()
        .find(|one| one["phones"].as_array().unwrap().len() == 2)
        .unwrap();
    let parted = world
        .place
        .cli(&["contacts", "unmerge", merged["id"].as_str().unwrap()])
        .await;
    assert_eq!(parted.code, Some(0), "{parted:?}");
    settled(&world).await;
    let there = contacts(&world).await;
    assert_eq!(there.len(), 3, "{there:?}");
    assert!(
        there
            .values()
            .all(|one| one["phones"].as_array().unwrap().len() == 1)
    );
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_other_rules_everybody_is_looked_at_again() {
    let world = world().await;
    let shared = json!([{"type": "work", "phone": "+4921155500200"}]);
    let mut both = person("Bea Both", "+4915112345678");
    both["sharedPhones"] = shared;
    world.sandbox.seed_customer(both).unwrap();
    let names = async || contacts(&world).await.into_keys().collect::<Vec<_>>();
    let with = async |lines: &str| {
        world.configure(&config(lines));
        let daemon = running(&world).await;
        settled(&world).await;
        daemon
    };
    for (lines, there) in [
        ("", vec!["Bea Both", "Max Muster"]),
        ("skip_shared = \"customer\"", vec!["Max Muster"]),
        ("", vec!["Bea Both", "Max Muster"]),
    ] {
        let daemon = with(lines).await;
        assert_eq!(names().await, there, "{lines}");
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_amid_an_import_double_and_lose_nobody() {
    const PEOPLE: usize = 120;
    let world = world().await;
    for number in 0..PEOPLE {
        let body = person(
            &format!("Person No{number}"),
            &format!("+49151123{number:05}"),
        );
        world.sandbox.seed_customer(body).unwrap();
    }
    for killed_at in [5, 40, 90] {
        let daemon = running(&world).await;
        // The sync begins by itself.
        within("some are imported", async {
            while contacts(&world).await.len() < killed_at {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
        daemon.kill();
    }
    let daemon = running(&world).await;
    settled(&world).await;
    let there = contacts(&world).await;
    assert_eq!(there.len(), PEOPLE + 1, "and Max");
    assert_eq!(world.sandbox.counts().customers, PEOPLE + 1);
    assert!(daemon.stop().await.success());
}
