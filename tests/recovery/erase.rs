//! One person forgotten before their time: no byte of theirs is left in the state folder or a new backup, in whatever writing
//! it came; the others' are all there, and the accounts add up (invariant 2).

use super::person::{
    NAME, OTHER, PROOF, SYNC, WHO, WRITINGS, by, found_in, found_in_backup, found_in_log, started,
    tell_all, world,
};
use super::{FILE, backed_up};
use crate::directory::desk::request as api;
use crate::support::answers;
use serde_json::json;
use tieline::sandbox::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_person_is_left_and_the_others_lose_nothing() {
    let world = world(SYNC).await;
    world
        .sandbox
        .seed_customer(json!({"name": NAME, "phones": [{"type": "mobile", "phone": WHO}]}))
        .unwrap();
    let daemon = started(&world).await;
    tell_all(&daemon).await;
    daemon
        .until("Max, Erika and Olga are imported", |status| {
            status["contacts"] == 3
        })
        .await;
    // One is dead, one still owed.
    world.sandbox.add_fault(Fault::on("/v1/", answers(503)));
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
    assert_eq!(found_in(&state, &words), Vec::<String>::new());
    assert!(!state.join("store.erasing").exists());

    world.sandbox.clear_faults();
    let conversations = world.sandbox.counts().conversations;
    let daemon = started(&world).await;
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
    backed_up(&world, FILE).await;
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
    let names = [&WRITINGS[..], &[NAME, "Mustermann-Erased"]].concat();
    let told = [erased.out.as_str(), &erased.err];
    assert_eq!(found_in_log(&world, &told, &names), Vec::<String>::new());
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
