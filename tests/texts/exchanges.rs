//! Which texts share a conversation, and what becomes of its status.

use super::{MAX, at, exchanges, hourly, id_of, received, sent, shared, status_of, windowed};
use crate::support::{Config, Integration, OURS, World, attribute, request, text};
use hyper::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_of_both_directions_is_one_conversation_with_a_note_each() {
    let (world, daemon) = World::running(&hourly()).await;
    for event in [received("m1", 0), sent("m2", 10), received("m3", 69)] {
        daemon.post(&event).await;
    }
    // Beyond the window of the last one; another of our numbers; another person.
    daemon.post(&received("m4", 130)).await;
    let other_line = at(text("m5", "in", MAX, "+4921155500111"), 130);
    let somebody = at(text("m6", "in", "+4915112345678", OURS), 130);
    daemon.post(&other_line).await;
    daemon.post(&somebody).await;
    let status = daemon.settled(6).await;
    assert_eq!(status["events"]["logged"], 6);
    let expected = shared(&[
        ("m1", &["m1", "m2", "m3"]),
        ("m4", &["m4"]),
        ("m5", &["m5"]),
        ("m6", &["m6"]),
    ]);
    assert_eq!(exchanges(&world.sandbox), expected);
    let explained = world.place.explain("script:m3").await;
    assert_eq!(
        explained["integrations"][0]["delivery"]["joins"],
        "text:script:m1"
    );
    let told = world.place.cli(&["explain", "script:m3"]).await.out;
    assert!(
        told.contains("joins the conversation of text:script:m1"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_window_each_text_has_its_own() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&received("m1", 0)).await;
    daemon.post(&received("m2", 0)).await;
    daemon.settled(2).await;
    let expected = shared(&[("m1", &["m1"]), ("m2", &["m2"])]);
    assert_eq!(exchanges(&world.sandbox), expected);
}

/// Forty at the same moment, of four people, from both sides, some twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_the_same_moment_find_their_exchange() {
    let (world, daemon) = World::running(&hourly()).await;
    let mut posts = Vec::new();
    for number in 0..40 {
        let person = format!("+491511234567{}", number % 4);
        let event = at(text(&format!("m{number:02}"), "in", &person, OURS), number);
        posts.push(tokio::spawn(daemon.post_owned(event.clone())));
        posts.push(tokio::spawn(daemon.post_owned(event)));
    }
    for post in posts {
        post.await.unwrap();
    }
    let status = daemon.settled(40).await;
    assert_eq!(status["events"]["logged"], 40);
    let found = exchanges(&world.sandbox);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.values().all(|texts| texts.len() == 10), "{found:?}");
    assert_eq!(world.sandbox.counts().customers, 5, "and Max");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_received_text_opens_its_conversation_again_and_a_sent_one_leaves_it() {
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&received("m1", 0)).await;
    daemon.settled(1).await;
    let close = async || {
        let path = format!("/v1/conversations/{}", id_of(&world.sandbox, "m1"));
        let done = json!({"status": "done"});
        request(&world.sandbox, Method::PUT, &path, Some(&done)).await;
    };
    close().await;
    world.sandbox.reset_requests();
    daemon.post(&sent("m2", 1)).await;
    daemon.settled(2).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "done");
    assert_eq!(world.sandbox.requests().total, 1, "the note alone");
    world.sandbox.reset_requests();
    daemon.post(&received("m3", 2)).await;
    daemon.settled(3).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "open");
    assert_eq!(world.sandbox.requests().total, 2, "the note, and one more");
    assert_eq!(exchanges(&world.sandbox).len(), 1);
    // After a restart the exchange still runs.
    assert!(daemon.stop().await.success());
    let daemon = world.place.start().await;
    close().await;
    daemon.post(&received("m4", 3)).await;
    daemon.settled(4).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "open");
    assert_eq!(
        exchanges(&world.sandbox),
        shared(&[("m1", &["m1", "m2", "m3", "m4"])])
    );
}

/// `received = "done"` says that nobody need look: nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_logged_as_done_change_no_status() {
    let lines = "window = \"1h\"\nlog = { received = \"done\", sent = \"open\" }";
    let (world, daemon) = World::running(&windowed(lines)).await;
    daemon.post(&received("m1", 0)).await;
    daemon.settled(1).await;
    daemon.post(&sent("m2", 1)).await;
    daemon.post(&received("m3", 2)).await;
    daemon.settled(3).await;
    assert_eq!(status_of(&world.sandbox, "m1"), "done");
    assert_eq!(exchanges(&world.sandbox).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_integration_has_its_own_exchanges() {
    let mut config = hourly();
    let mut each = Integration::named("each");
    let mut shop = Integration::named("shop");
    each.texts = String::new();
    // Takes no text that was sent: its exchange is made of the others.
    shop.texts = "window = \"1h\"\nlog = { sent = \"off\" }".to_owned();
    let sandboxes = [
        crate::support::populated(tieline::sandbox::SandboxOptions::empty()).await,
        crate::support::populated(tieline::sandbox::SandboxOptions::empty()).await,
    ];
    each.url = Some(sandboxes[0].url().to_owned());
    shop.url = Some(sandboxes[1].url().to_owned());
    config.integrations.extend([each, shop]);
    let (world, daemon) = World::running(&config).await;
    for event in [sent("m1", 0), received("m2", 10), received("m3", 20)] {
        daemon.post(&event).await;
    }
    daemon.settled(3).await;
    let all = ["m1", "m2", "m3"];
    assert_eq!(exchanges(&world.sandbox), shared(&[("m1", &all)]));
    let single = all.map(|text| (text, vec![text]));
    let single: Vec<_> = single
        .iter()
        .map(|(name, texts)| (*name, texts.as_slice()))
        .collect();
    assert_eq!(exchanges(&sandboxes[0]), shared(&single));
    assert_eq!(exchanges(&sandboxes[1]), shared(&[("m2", &["m2", "m3"])]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_customers_are_each_text_s_own() {
    let (world, daemon) = World::running(&windowed("window = \"1h\"\ntext_message = true")).await;
    for (id, minute) in [("m1", 0), ("m2", 1), ("m3", 2)] {
        daemon
            .post(&at(text(id, "in", "+4915112345678", OURS), minute))
            .await;
    }
    daemon.settled(3).await;
    let mut messages: Vec<String> = world
        .sandbox
        .messages()
        .iter()
        .map(|one| attribute(one, "externalId"))
        .collect();
    messages.sort();
    assert_eq!(
        messages,
        ["m1", "m2", "m3"].map(|id| format!("tieline:script:{id}:message"))
    );
    assert_eq!(exchanges(&world.sandbox).len(), 1);
    assert_eq!(world.sandbox.counts().customers, 2);
}
