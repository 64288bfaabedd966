//! Whose conversation a call becomes, over real sockets: known, new, shared, deleted and hidden callers, our own people,
//! and several organisations.

use crate::support::{Config, Integration, World, attribute, call, logs, related, request};
use hyper::Method;
use serde_json::{Value, json};
use tieline::sandbox::Sandbox;

const MAX: &str = "+491711234567";

/// The customer that each conversation belongs to, by externalId.
fn customer_of(sandbox: &Sandbox, id: &str) -> String {
    let wanted = format!("tieline:script:{id}");
    let conversations = sandbox.conversations();
    let found = conversations
        .iter()
        .find(|one| attribute(one, "externalId") == wanted);
    related(
        found.unwrap_or_else(|| panic!("no conversation of {id}")),
        "customer",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_met_before_costs_two_requests_and_a_third_for_the_voice_message() {
    for (lines, cost) in [("", 2), ("voice_message = true", 3)] {
        let (world, daemon) = World::running(&Config::calls(lines)).await;
        daemon.post(&call("first", MAX)).await;
        daemon.settled(1).await;
        world.sandbox.reset_requests();
        daemon.post(&call("second", "0171 / 123 45 67")).await;
        daemon.settled(2).await;
        let requests = world.sandbox.requests();
        assert_eq!(requests.total, cost, "{lines}: {:?}", requests.by_route);
        assert_eq!(logs(&world.sandbox).len(), 2);
        daemon.kill();
        let daemon = world.place.start().await;
        world.sandbox.reset_requests();
        let mut unanswered = call("third", MAX);
        unanswered["answered"] = Value::Null;
        unanswered["extension"] = Value::Null;
        daemon.post(&unanswered).await;
        daemon.settled(3).await;
        let requests = world.sandbox.requests();
        assert_eq!(
            requests.total, cost,
            "after a restart, {lines}: {:?}",
            requests.by_route
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_number_becomes_one_customer_however_many_call_at_once() {
    let (world, daemon) = World::running(&Config::default()).await;
    let posts: Vec<_> = (0..8)
        .map(|number| {
            tokio::spawn(daemon.post_owned(call(&format!("c{number}"), "+49 151 99887766")))
        })
        .collect();
    for post in posts {
        post.await.unwrap();
    }
    daemon.settled(8).await;
    assert_eq!(world.sandbox.counts().customers, 2, "Max and the new one");
    assert!(logs(&world.sandbox).values().all(|made| *made == (1, 1)));
    let new = world
        .sandbox
        .customers()
        .into_iter()
        .find(|one| attribute(one, "name") != "Max Muster")
        .unwrap();
    assert_eq!(new["attributes"]["phones"][0]["phone"], "+4915199887766");
    assert!(
        (0..8)
            .all(|number| new["id"] == customer_of(&world.sandbox, &format!("c{number}")).as_str())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_number_is_skipped_where_the_settings_say_so() {
    let (world, daemon) = World::running(&Config::calls("unknown = \"skip\"")).await;
    let id = daemon.post(&call("new", "+4915199887766")).await;
    daemon.post(&call("known", MAX)).await;
    daemon.settled(2).await;
    assert_eq!(world.sandbox.counts().customers, 1);
    let explained = daemon.place.explain(&id).await;
    assert_eq!(explained["ends"][0]["end"], "filtered", "{explained:#}");
    assert!(
        explained["ends"][0]["why"]
            .as_str()
            .unwrap()
            .contains("unknown"),
        "{explained:#}"
    );
    // Settings that create the customer, and a replay: now it is logged.
    world.configure(&Config::default());
    daemon.signal(rustix::process::Signal::HUP);
    let changed = |status: &Value| status["settings"]["in_force"] != "since the start";
    daemon.until("the rules changed", changed).await;
    let replayed = daemon.place.cli(&["replay", "--filtered"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let logged = |status: &Value| status["events"]["logged"] == 2;
    daemon.until("the filtered call is logged", logged).await;
    daemon.settled(2).await;
    assert_eq!(world.sandbox.counts().customers, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_callers_are_skipped_or_go_to_one_customer() {
    let mut config = Config::default();
    let world = World::start(&config).await;
    let nobody = world
        .sandbox
        .seed_customer(json!({"name": "Hidden callers"}))
        .unwrap();
    let mut second = Integration::named("hidden");
    second.calls = format!("anonymous = \"{nobody}\"");
    config.integrations.push(second);
    world.configure(&config);
    let daemon = world.place.start().await;
    let id = daemon.post(&call("hidden", "anonymous")).await;
    daemon.settled(1).await;
    assert_eq!(
        logs(&world.sandbox),
        [("tieline:script:hidden".to_owned(), (1, 1))].into()
    );
    assert_eq!(customer_of(&world.sandbox, "hidden"), nobody);
    assert_eq!(
        world.sandbox.counts().customers,
        2,
        "nobody is created for no number"
    );
    let explained = daemon.place.explain(&id).await;
    let parts: Vec<_> = explained["integrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            (
                &part["integration"],
                &part["end"]["end"],
                &part["decided_by"],
            )
        })
        .collect();
    assert!(
        parts.contains(&(&json!("support"), &json!("filtered"), &json!("anonymous"))),
        "{parts:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_organisations_take_a_call_by_their_own_filters() {
    let other = crate::support::populated(tieline::sandbox::SandboxOptions::empty()).await;
    let mut config = Config::calls("connected_numbers = [\"+49 211 555 00100\"]");
    let mut second = Integration::named("sales");
    second.url = Some(other.url().to_owned());
    second.calls = "ignore = [\"+49171*\"]".to_owned();
    config.integrations.push(second);
    let (world, daemon) = World::running(&config).await;
    let mut elsewhere = call("elsewhere", "+4915199887766");
    elsewhere["to"] = json!("+49 211 555 00120");
    for event in [
        call("both", "+4915199887766"),
        call("ignored-by-sales", MAX),
        elsewhere,
    ] {
        daemon.post(&event).await;
    }
    let status = daemon.settled(3).await;
    assert_eq!(status["events"]["logged"], 3, "each was logged somewhere");
    let of = |sandbox: &Sandbox| logs(sandbox).into_keys().collect::<Vec<_>>();
    assert_eq!(
        of(&world.sandbox),
        ["tieline:script:both", "tieline:script:ignored-by-sales"]
    );
    assert_eq!(
        of(&other),
        ["tieline:script:both", "tieline:script:elsewhere"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_map_assigns_the_right_user() {
    let (world, daemon) = World::running(&Config::default()).await;
    let erin = world
        .sandbox
        .seed_user(json!({"name": "Erin", "email": "erin@example.org"}))
        .unwrap();
    let mut by_login = call("login", MAX);
    by_login["extension"] = json!("erin@example.org");
    let mut by_map = call("map", MAX);
    by_map["extension"] = json!("102");
    let mut nobody = call("nobody", MAX);
    nobody["extension"] = json!("199");
    for event in [&by_login, &by_map, &nobody] {
        daemon.post(event).await;
    }
    daemon.settled(3).await;
    let assigned = |id: &str| {
        let conversations = world.sandbox.conversations();
        let found = conversations
            .iter()
            .find(|one| attribute(one, "externalId") == format!("tieline:script:{id}"));
        found.unwrap()["attributes"]["assignedUsers"].clone()
    };
    assert_eq!(assigned("login"), json!([erin]));
    assert_eq!(assigned("map").as_array().unwrap().len(), 1);
    assert_ne!(assigned("map"), assigned("login"));
    assert_eq!(assigned("nobody"), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_deleted_between_two_calls_is_looked_up_again() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("before", MAX)).await;
    daemon.settled(1).await;
    let gone = customer_of(&world.sandbox, "before");
    request(
        &world.sandbox,
        Method::DELETE,
        &format!("/v1/customers/{gone}"),
        None,
    )
    .await;
    daemon.post(&call("after", MAX)).await;
    let status = daemon.settled(2).await;
    assert_eq!(status["events"]["logged"], 2, "{status:#}");
    assert_ne!(customer_of(&world.sandbox, "after"), gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_id_used_again_a_day_later_is_another_call() {
    let (world, daemon) = World::running(&Config::default()).await;
    daemon.post(&call("1", MAX)).await;
    daemon.settled(1).await;
    let mut again = call("1", MAX);
    for (key, time) in [
        ("started", "2026-11-21T12:24:29Z"),
        ("answered", "2026-11-21T12:24:31Z"),
        ("ended", "2026-11-21T12:25:36Z"),
    ] {
        again[key] = json!(time);
    }
    daemon.post(&again).await;
    let status = daemon.settled(2).await;
    assert_eq!(status["events"]["logged"], 2, "{status:#}");
    let logs = logs(&world.sandbox);
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert!(logs.values().all(|made| *made == (1, 1)), "{logs:?}");
}

/// It is no number: nobody is created for it, and its end says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_with_letters_has_an_end_that_says_so() {
    let (world, daemon) = World::running(&Config::default()).await;
    let id = daemon.post(&call("letters", "FRONT-DESK 4")).await;
    let status = daemon.settled(1).await;
    assert_eq!(status["events"]["logged"], 0, "{status:#}");
    assert_eq!(world.sandbox.counts().customers, 1);
    let explained = daemon.place.explain(&id).await;
    assert_eq!(explained["ends"][0]["end"], "filtered", "{explained:#}");
    assert_eq!(explained["call"]["other_party_raw"], "FRONT-DESK 4");
}
