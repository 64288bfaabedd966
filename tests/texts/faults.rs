//! What fails on the way of an exchange: no text is lost or twice, and whoever can shares a conversation.

use super::{at, exchanges, hourly, id_of, received, sent, shared, windowed};
use crate::support::{Config, OURS, World, address, populated, request, text};
use hyper::Method;
use serde_json::json;
use std::time::Duration;
use tieline::sandbox::{Fault, FaultKind, LimitOptions, SandboxOptions};

fn refused(path: &str) -> Fault {
    let kind = FaultKind::Status {
        status: 400,
        body: None,
        headers: [].into(),
    };
    Fault::on(path, kind).method("POST").times(1)
}

/// The reply to each create lost, done or not, for each of three texts in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_make_nothing_twice() {
    for path in [
        "/v1/customers",
        "/v1/customers/*/conversations",
        "/v1/conversations/*/notes",
        "/v1/conversations/*/messages",
        "/v1/conversations/*",
    ] {
        for kind in [FaultKind::CommitThenClose, FaultKind::CloseBefore] {
            for after in 0..2 {
                let config = windowed("window = \"1h\"\ntext_message = true");
                let (world, daemon) = World::running(&config).await;
                let method = if path == "/v1/conversations/*" {
                    "PUT"
                } else {
                    "POST"
                };
                let mut fault = Fault::on(path, kind.clone()).method(method).times(2);
                fault.after = after;
                assert!(world.sandbox.add_fault(fault));
                let text = |id, minute| at(text(id, "in", "+4915112345678", OURS), minute);
                let posts = [("m1", 0), ("m2", 1), ("m3", 2)]
                    .map(|(id, minute)| tokio::spawn(daemon.post_owned(text(id, minute))));
                for post in posts {
                    post.await.unwrap();
                }
                let status = daemon.settled(3).await;
                assert_eq!(status["events"]["logged"], 3, "{path} {kind:?} {after}");
                let found = exchanges(&world.sandbox);
                assert_eq!(
                    found.values().collect::<Vec<_>>(),
                    [&["m1", "m2", "m3"]],
                    "{path} {kind:?} {after}"
                );
                assert_eq!(world.sandbox.messages().len(), 3);
                assert_eq!(world.sandbox.counts().customers, 2);
            }
        }
    }
}

/// While the first text's create is unclear, the others wait for what becomes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_behind_an_unclear_create_wait_for_it() {
    let mut config = hourly();
    config.integrations[0].lines = config.integrations[0]
        .lines
        .replace("land_time = \"50ms\"\nbulk", "land_time = \"1s\"\nbulk");
    let (world, daemon) = World::running(&config).await;
    let lost = Fault::on("/v1/customers/*/conversations", FaultKind::CommitThenClose);
    assert!(world.sandbox.add_fault(lost.method("POST").times(1)));
    daemon.post(&received("m1", 0)).await;
    world
        .sandbox
        .wait_until(|counts| counts.conversations == 1)
        .await;
    daemon.post(&received("m2", 1)).await;
    daemon.post(&sent("m3", 2)).await;
    daemon
        .until("two wait behind", |status| {
            status["integrations"][0]["behind"] == 2
        })
        .await;
    assert_eq!(world.sandbox.counts().notes, 0);
    daemon.settled(3).await;
    assert_eq!(
        exchanges(&world.sandbox),
        shared(&[("m1", &["m1", "m2", "m3"])])
    );
}

/// The first text is refused for good: the next one begins the conversation, and the others join that. The dead one has
/// one of its own when it is taken up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_dead_text_the_next_one_begins() {
    let (world, daemon) = World::running(&hourly()).await;
    let slow = Fault::on("/v1/customers/phone=*", FaultKind::Delay { ms: 500 }).times(1);
    world.sandbox.add_fault(slow);
    world
        .sandbox
        .add_fault(refused("/v1/customers/*/conversations"));
    for (id, minute) in [("m1", 0), ("m2", 1), ("m3", 2), ("m4", 3)] {
        daemon.post(&received(id, minute)).await;
    }
    let status = daemon.settled(4).await;
    assert_eq!(
        (&status["events"]["logged"], &status["events"]["dead"]),
        (&3.into(), &1.into())
    );
    assert_eq!(
        exchanges(&world.sandbox),
        shared(&[("m2", &["m2", "m3", "m4"])])
    );
    let explained = world.place.explain("script:m2").await.to_string();
    assert!(
        explained.contains("a conversation of its own"),
        "{explained}"
    );
    daemon.post(&received("m5", 4)).await;
    daemon.settled(5).await;
    let replayed = world.place.cli(&["replay", "--dead"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    daemon
        .until("all are logged", |status| status["events"]["logged"] == 5)
        .await;
    assert_eq!(
        exchanges(&world.sandbox),
        shared(&[("m1", &["m1"]), ("m2", &["m2", "m3", "m4", "m5"])])
    );
}

/// A text that dies after it joined holds nobody up, and is taken up again where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_text_in_the_middle_holds_nobody_up() {
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&received("m1", 0)).await;
    daemon.settled(1).await;
    world
        .sandbox
        .add_fault(refused("/v1/conversations/*/notes"));
    daemon.post(&received("m2", 1)).await;
    daemon.settled(2).await;
    daemon.post(&received("m3", 2)).await;
    let status = daemon.settled(3).await;
    assert_eq!(status["events"]["dead"], 1);
    assert_eq!(exchanges(&world.sandbox), shared(&[("m1", &["m1", "m3"])]));
    world.place.cli(&["replay", "--dead"]).await;
    daemon
        .until("all are logged", |status| status["events"]["logged"] == 3)
        .await;
    assert_eq!(
        exchanges(&world.sandbox),
        shared(&[("m1", &["m1", "m2", "m3"])])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_conversation_is_followed_by_a_new_one() {
    let (world, daemon) = World::running(&hourly()).await;
    daemon.post(&received("m1", 0)).await;
    daemon.settled(1).await;
    let path = format!("/v1/conversations/{}", id_of(&world.sandbox, "m1"));
    request(&world.sandbox, Method::DELETE, &path, None).await;
    for (id, minute) in [("m2", 1), ("m3", 2)] {
        daemon.post(&received(id, minute)).await;
        daemon.settled(usize::try_from(minute).unwrap() + 1).await;
    }
    let found = exchanges(&world.sandbox);
    assert_eq!(found["m2"], ["m2", "m3"]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["m2"]);
}

/// Who is nobody's customer, and none is made: all of the exchange is filtered, and what comes once there is one isn't.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_with_nobody_is_filtered_until_somebody_is_there() {
    let (world, daemon) = World::running(&windowed("window = \"1h\"\nunknown = \"skip\"")).await;
    let text = |id, minute| at(text(id, "in", "+4915112345678", OURS), minute);
    daemon.post(&text("m1", 0)).await;
    daemon.post(&text("m2", 1)).await;
    let status = daemon.settled(2).await;
    assert_eq!(status["events"]["filtered"]["unknown_customer"], 2);
    let known = json!({"name": "Eva", "phones": [{"type": "mobile", "phone": "+4915112345678"}]});
    world.sandbox.seed_customer(known).unwrap();
    daemon.post(&text("m3", 2)).await;
    daemon.post(&text("m4", 3)).await;
    daemon.settled(4).await;
    assert_eq!(exchanges(&world.sandbox), shared(&[("m3", &["m3", "m4"])]));
}

/// A backlog of exchanges drains in bulk requests: conversations first, then the notes of all that join them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_exchanges_goes_through_bulk_requests() {
    const PEOPLE: usize = 40;
    const EACH: usize = 5;
    const WINDOW: Duration = Duration::from_millis(500);
    let kustomer = address().to_string();
    let mut config: Config = hourly();
    config.integrations[0].url = Some(format!("http://{kustomer}"));
    config.integrations[0].lines = "requests_per_minute = 100\nbudget_window = \"500ms\"\nparallel = 8\nretry = [\"50ms\", \"100ms\"]\nland_time = \"50ms\"\nbulk_land_time = \"1s\"".to_owned();
    let world = World::start(&config).await;
    let daemon = world.place.start().await;
    let person = |number: usize| format!("+4915112340{number:03}");
    for round in 0..EACH {
        let minute = i64::try_from(round).unwrap();
        let event = |number: usize| {
            at(
                text(
                    &format!("m{number:02}-{round}"),
                    "in",
                    &person(number),
                    OURS,
                ),
                minute,
            )
        };
        let posts: Vec<_> = (0..PEOPLE)
            .map(|number| tokio::spawn(daemon.post_owned(event(number))))
            .collect();
        for post in posts {
            post.await.unwrap();
        }
    }
    daemon
        .until("all of them wait", |status| {
            status["integrations"][0]["owed"] == PEOPLE * EACH
        })
        .await;
    let known =
        |number| json!({"name": "Texter", "phones": [{"type": "mobile", "phone": person(number)}]});
    let limits = LimitOptions {
        window: WINDOW,
        requests: 100,
        ..LimitOptions::default()
    };
    let options = SandboxOptions {
        listen: kustomer,
        limits,
        bulk_delay: Duration::from_millis(50),
        customers: (0..PEOPLE).map(known).collect(),
        ..SandboxOptions::empty()
    };
    let sandbox = populated(options).await;
    for path in ["/v1/conversations/bulk", "/v1/notes/bulk"] {
        sandbox.add_fault(Fault::on(path, FaultKind::CommitThenClose).times(1));
    }
    let status = daemon.settled(PEOPLE * EACH).await;
    assert_eq!(status["events"]["logged"], PEOPLE * EACH);
    let found = exchanges(&sandbox);
    assert_eq!(found.len(), PEOPLE);
    for (first, texts) in &found {
        let of: Vec<String> = (0..EACH)
            .map(|round| format!("{}-{round}", &first[..3]))
            .collect();
        assert_eq!(texts, &of);
    }
    let requests = sandbox.requests();
    assert!(
        requests.count("POST /v1/notes/bulk") > 0,
        "{:?}",
        requests.by_route
    );
    let most = requests.most_within(WINDOW);
    assert!(most <= 100, "{most} in a window");
    println!(
        "{} requests for {} texts: {:?}",
        requests.total,
        PEOPLE * EACH,
        requests.by_route
    );
}

/// A text that comes again, as it was or under the same id with other words, is one text and one of its exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_comes_again_is_one_text() {
    let (world, daemon) = World::running(&hourly()).await;
    let (first, second) = (received("m1", 0), received("m2", 1));
    for event in [&first, &second, &first, &second] {
        daemon.post(event).await;
    }
    let mut again = first.clone();
    again["from_name"] = json!("Max");
    daemon.post(&again).await;
    let status = daemon.settled(3).await;
    let events = &status["events"];
    assert_eq!(
        (&events["logged"], &events["joined"]),
        (&2.into(), &1.into())
    );
    assert_eq!(exchanges(&world.sandbox), shared(&[("m1", &["m1", "m2"])]));
}
