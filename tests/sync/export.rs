//! The first export of a phone book: many customers in few requests, each once, whatever fails or dies on the way.

use super::{Daemon, World, contacts, running, settled, world};
use crate::support::attribute;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use tieline::sandbox::{Fault, FaultKind};

const PEOPLE: usize = 150;

/// A phone book of so many, none of whom is in Kustomer.
async fn filled(world: &World) -> Daemon {
    let daemon = running(world).await;
    let mut table = "id,name,mobile\n".to_owned();
    for number in 0..PEOPLE {
        writeln!(table, "p{number},Person No{number},+4921155{number:05}").unwrap();
    }
    fs::write(world.place.folder.join("people.csv"), table).unwrap();
    let done = world.place.cli(&["contacts", "import", "people.csv"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    daemon
}

/// The plan that waits for approval.
async fn waiting(world: &World) -> String {
    let planned = world.place.cli(&["plan", "--json"]).await;
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    assert!(plan["plans"][0]["stopped"].is_string(), "{plan:#}");
    plan["plans"][0]["plan"].as_str().unwrap().to_owned()
}

async fn approve(world: &World) {
    let id = waiting(world).await;
    world.place.cli(&["sync", "now", "--approve", &id]).await;
}

/// Everybody is a customer once, and knows it.
async fn is_whole(world: &World) {
    settled(world).await;
    let customers = world.sandbox.customers();
    let made: BTreeSet<String> = customers
        .iter()
        .map(|one| attribute(one, "externalId"))
        .filter(|id| !id.is_empty())
        .collect();
    let wanted: BTreeSet<String> = (0..PEOPLE).map(|number| format!("p{number}")).collect();
    assert_eq!(made, wanted);
    assert_eq!(customers.len(), PEOPLE + 1, "and Max");
    let linked = contacts(world).await;
    let linked = linked
        .values()
        .filter(|one| one["sources"][0]["customer"].is_string());
    assert_eq!(linked.count(), PEOPLE + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_customers_are_created_in_few_requests() {
    let world = world().await;
    let daemon = filled(&world).await;
    world.sandbox.reset_requests();
    approve(&world).await;
    is_whole(&world).await;
    let requests = world.sandbox.requests().total;
    assert!(requests < 40, "{requests} requests for {PEOPLE} customers");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_does_not_create_is_created_singly() {
    let ways = [
        FaultKind::CommitThenClose,
        FaultKind::BulkSilent,
        FaultKind::BulkVanish,
        FaultKind::BulkItems {
            every: 3,
            commit: false,
        },
        FaultKind::BulkItems {
            every: 4,
            commit: true,
        },
    ];
    let mut tries = tokio::task::JoinSet::new();
    for way in ways {
        tries.spawn(async move {
            let world = world().await;
            let fault = Fault::on("/v1/customers/bulk", way);
            world.sandbox.add_fault(fault.times(1));
            let daemon = filled(&world).await;
            approve(&world).await;
            is_whole(&world).await;
            assert!(daemon.stop().await.success());
        });
    }
    tries.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_an_export_nobody_is_doubled() {
    let world = world().await;
    let daemon = filled(&world).await;
    let id = waiting(&world).await;
    let approval = ["sync", "now", "--approve", &id];
    let approved = world.place.cli(&approval);
    let killed = async {
        // The first job is done, or under way.
        world
            .sandbox
            .wait_until(|counts| counts.customers > 20)
            .await;
        daemon.kill();
    };
    tokio::join!(approved, killed);
    let daemon = running(&world).await;
    // What is left of it is a plan of its own.
    world.place.cli(&["sync", "now"]).await;
    let planned = world.place.cli(&["plan", "--json"]).await;
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    if plan["plans"][0]["stopped"].is_string() {
        approve(&world).await;
    }
    is_whole(&world).await;
    assert!(daemon.stop().await.success());
}
