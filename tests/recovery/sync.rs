//! The contact sync after a restore: its links are older than what Kustomer has. Both sides come together, nobody is there
//! twice (invariant 6).

use super::{FILE, backed_up, lost, restored};
use crate::directory::desk::request as api;
use crate::support::{Config, World, answers, attribute, request, within};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tieline::sandbox::Fault;

const PROOF: (&str, &str) = ("authorization", "Bearer client-token");

async fn put(world: &World, id: &str, name: &str, number: &str) {
    let body = json!({"name": name, "phones": [{"number": number, "type": "work"}]}).to_string();
    let path = format!("/v1/contacts/{id}");
    let reply = api(world.place.listen, "PUT", &path, &[PROOF], &body).await;
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
}

/// Until both sides are together. Kustomer's time has whole seconds: what was just made there is found by the next look.
async fn settled(world: &World) {
    let settling = async {
        loop {
            let mut done = world.place.cli(&["sync", "now"]).await;
            if done.code == Some(3) {
                let planned = world.place.cli(&["plan", "--json"]).await;
                let plan: Value = serde_json::from_str(&planned.out).unwrap();
                let id = plan["plans"][0]["plan"].as_str().unwrap_or_default();
                done = world.place.cli(&["sync", "now", "--approve", id]).await;
            }
            if done.code == Some(0) && world.place.cli(&["plan"]).await.code == Some(0) {
                return;
            }
        }
    };
    within("both sides are together", settling).await;
}

/// Names and how many numbers each has, on both sides.
async fn both_sides(world: &World) -> [BTreeMap<String, usize>; 2] {
    let path = "/v1/contacts?limit=1000";
    let listed = api(world.place.listen, "GET", path, &[PROOF], "")
        .await
        .json();
    let contacts = listed["contacts"].as_array().unwrap();
    let phones = |one: &Value| one["phones"].as_array().map_or(0, Vec::len);
    let of_contact = |one: &Value| (one["name"].as_str().unwrap().to_owned(), phones(one));
    let customers = world.sandbox.customers();
    let of_customer = |one: &Value| (attribute(one, "name"), phones(&one["attributes"]));
    let sides = [
        contacts.iter().map(of_contact).collect::<BTreeMap<_, _>>(),
        customers.iter().map(of_customer).collect(),
    ];
    assert_eq!(
        (sides[0].len(), sides[1].len()),
        (contacts.len(), customers.len()),
        "somebody is there twice: {listed:#} {customers:#?}"
    );
    sides
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_older_than_kustomer_converge_and_double_nobody() {
    let mut config = Config {
        daemon: "[[client]]\nname = \"pbx\"\ntoken_file = \"client-token\"\nmay = [\"lookup\", \"contacts:read\", \"contacts:write\"]".to_owned(),
        ..Config::default()
    };
    config.integrations[0].texts =
        "[kustomer.contacts]\nsearch_lag = \"0s\"\npoll = \"1s\"\n".to_owned();
    let world = World::start(&config).await;
    fs::write(world.place.folder.join("client-token"), "client-token\n").unwrap();
    let daemon = world.place.start().await;
    put(&world, "p1", "Carl Caller", "+4921155500400").await;
    settled(&world).await;
    // One that the backup has without its customer.
    world.sandbox.add_fault(Fault::on("/v1/", answers(503)));
    put(&world, "p2", "Dora Due", "+4921155500500").await;
    backed_up(&world, FILE).await;
    world.sandbox.clear_faults();
    // What Kustomer learns and the backup doesn't know.
    put(&world, "p3", "Emil Export", "+4921155500600").await;
    put(&world, "p1", "Carl C. Caller", "+4921155500400").await;
    let new =
        json!({"name": "Nora New", "phones": [{"type": "mobile", "phone": "+4915112345678"}]});
    request(&world.sandbox, Method::POST, "/v1/customers", Some(&new)).await;
    daemon
        .until("everybody is a contact", |status| status["contacts"] == 5)
        .await;
    settled(&world).await;
    let before = both_sides(&world).await;
    let names: Vec<&String> = before[1].keys().collect();
    assert_eq!(
        names,
        [
            "Carl C. Caller",
            "Dora Due",
            "Emil Export",
            "Max Muster",
            "Nora New"
        ]
    );
    let path = "/v1/contacts/changes?since=";
    let cursor = api(
        world.place.listen,
        "GET",
        "/v1/contacts/changes?limit=1000",
        &[PROOF],
        "",
    )
    .await
    .json();
    let cursor = cursor["next"].as_str().unwrap_or_default().to_owned();

    lost(&world, daemon);
    restored(&world, FILE).await;
    let daemon = world.place.start().await;
    daemon
        .until("everybody is a contact again", |status| {
            status["contacts"] == 5
        })
        .await;
    settled(&world).await;
    assert_eq!(both_sides(&world).await, before);
    // As many changes later that number of a change is somebody else's.
    for number in 0..20 {
        put(&world, "p9", &format!("Paul No{number}"), "+4921155500900").await;
    }
    // Whoever read up to a change that the store doesn't know any more reads everything again.
    let changes = api(
        world.place.listen,
        "GET",
        &format!("{path}{cursor}"),
        &[PROOF],
        "",
    )
    .await;
    assert_eq!(changes.status, 410, "{changes:?}");
    assert!(daemon.stop().await.success());
}
