//! Every call of the client once, against the sandbox.

use super::{at, fault_of, new_conversation, new_note, number, status, world, world_with};
use serde_json::{Map, json};
use tieline::kustomer::bulk::{Item, JobState, Kind, Told};
use tieline::kustomer::conversations::{Channel, NewConversation, NewMessage, Status};
use tieline::kustomer::customers::NewCustomer;
use tieline::kustomer::fault::KustomerFault;
use tieline::kustomer::stats::Outcome;
use tieline::sandbox::SandboxOptions;
use tieline::terms::call::Direction;
use tieline::terms::ids::{CustomerId, UserId};

#[tokio::test]
async fn a_customer_is_created_and_found_by_everything_it_has() {
    let world = world().await;
    let new = NewCustomer {
        name: Some("Ada\nExample".into()),
        external_id: Some("tieline:contact:1".into()),
        phones: vec![number("+4915112345678")],
        emails: vec!["ada@example.org".into()],
    };
    let created = world.client.create_customer(&new).await.unwrap();
    assert_eq!(created.name.as_deref(), Some("Ada Example"));
    assert_eq!(created.phones, ["+4915112345678"]);
    assert!(created.updated_at.is_some() && created.created_at.is_some());
    let by_phone = world
        .client
        .by_phone(&number("+4915112345678"))
        .await
        .unwrap();
    let by_email = world.client.by_email("ada@example.org").await.unwrap();
    assert_eq!(
        (by_phone, by_email),
        (vec![created.clone()], vec![created.clone()])
    );
    assert_eq!(
        world
            .client
            .by_external_id("tieline:contact:1")
            .await
            .unwrap(),
        Some(created.clone())
    );
    assert_eq!(
        world.client.customer(&created.id).await.unwrap(),
        Some(created.clone())
    );
    let duplicate = world.client.create_customer(&new).await.unwrap_err();
    assert!(
        matches!(duplicate, KustomerFault::Conflict { .. }),
        "{duplicate}"
    );
    assert!(duplicate.certain_not_done());
    assert!(!duplicate.to_string().contains("4915112345678"));
    assert_eq!(
        world.client.by_email("nobody@example.org").await.unwrap(),
        []
    );
    assert_eq!(world.client.by_external_id("none").await.unwrap(), None);
    assert_eq!(
        world
            .client
            .customer(&CustomerId("a".repeat(24)))
            .await
            .unwrap(),
        None
    );
    assert_eq!(world.client.merges_of(&created.id).await.unwrap(), []);
}

#[tokio::test]
async fn an_unknown_number_is_asked_without_plus_only_until_plus_is_known_to_work() {
    let world = world().await;
    let count = || world.sandbox.requests().total;
    assert_eq!(
        world
            .client
            .by_phone(&number("+4915112345678"))
            .await
            .unwrap(),
        []
    );
    assert_eq!(count(), 2);
    world
        .sandbox
        .seed_customer(json!({"phones": [{"phone": "+4915112345678"}]}))
        .unwrap();
    assert_eq!(
        world
            .client
            .by_phone(&number("+4915112345678"))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(count(), 3);
    assert_eq!(
        world
            .client
            .by_phone(&number("+33612345678"))
            .await
            .unwrap(),
        []
    );
    assert_eq!(count(), 4);
}

#[tokio::test]
async fn a_lookup_that_matches_a_shared_phone_finds_nobody() {
    let world = world().await;
    let shared = json!({"data": {"type": "customer", "id": "a".repeat(24),
        "attributes": {"phones": [{"phone": "+4930111"}], "sharedPhones": [{"phone": "+4915112345678"}]}}});
    world.fault("/v1/customers/phone=", status(200, &[], Some(shared)));
    assert_eq!(
        world
            .client
            .by_phone(&number("+4915112345678"))
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_merged_customer_leads_to_its_target() {
    let world = world().await;
    let (source, target) = (world.customer().await, world.customer().await);
    let merges = json!({"data": [{"type": "customer_merge", "id": "m", "relationships": {
        "source": {"data": {"type": "customer", "id": source.0}}, "target": {"data": {"type": "customer", "id": target.0}}}}]});
    world.fault("/v1/customers/*/merges", status(200, &[], Some(merges)));
    let merges = world.client.merges_of(&source).await.unwrap();
    assert_eq!((&merges[0].source, &merges[0].target), (&source, &target));
}

#[tokio::test]
async fn a_call_becomes_a_conversation_a_note_and_a_message() {
    let mut options = SandboxOptions::empty();
    options.custom = json!({"conversation": {"callDurationNum": {"type": "number"}}});
    let world = world_with(options, |_| {}).await;
    let user = UserId(
        world
            .sandbox
            .seed_user(json!({"name": "Grace", "email": "grace@example.org"}))
            .unwrap(),
    );
    let customer = world.customer().await;
    let new = NewConversation {
        assigned_users: vec![user],
        tags: vec!["phone".into(), "#vip".into(), String::new()],
        custom: Map::from_iter([("callDurationNum".to_owned(), json!(194))]),
        name: "x".repeat(400),
        ..new_conversation("tieline:hq:a1")
    };
    let created = world
        .client
        .create_conversation(&customer, &new)
        .await
        .unwrap();
    assert_eq!(
        (created.external_id.as_deref(), created.status.as_deref()),
        (Some("tieline:hq:a1"), Some("open"))
    );
    assert_eq!(created.customer, Some(customer));
    let found = world
        .client
        .conversation_by_external_id("tieline:hq:a1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.id, created.id);
    assert_eq!(
        world
            .client
            .conversation_by_external_id("tieline:hq:a2")
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        world
            .client
            .conversation(&created.id)
            .await
            .unwrap()
            .unwrap()
            .id,
        created.id
    );
}

#[tokio::test]
async fn a_note_is_cut_to_what_kustomer_takes_and_listed() {
    let world = world().await;
    let conversation = world.conversation().await;
    let note = world
        .client
        .create_note(
            &conversation,
            &new_note("tieline:hq:a1:note", &"ä".repeat(40_000)),
        )
        .await
        .unwrap();
    let notes = world.client.notes_of(&conversation).await.unwrap();
    assert_eq!(notes, std::slice::from_ref(&note));
    assert_eq!(note.external_id.as_deref(), Some("tieline:hq:a1:note"));
    assert_eq!(note.body.unwrap().chars().count(), 10_000);
}

#[tokio::test]
async fn a_message_tells_the_times_of_a_call_and_done_closes() {
    let world = world().await;
    let conversation = world.conversation().await;
    let message = NewMessage {
        external_id: "tieline:hq:a1".into(),
        direction: Direction::In,
        sent_at: at("2026-10-21T14:02:11.925Z"),
        preview: "Incoming call, 3 min".into(),
        from: Some(number("+4915112345678")),
        to: None,
        channel: Channel::Voice {
            placed_at: at("2026-10-21T14:02:11.925Z"),
            answered_at: None,
            ended_at: at("2026-10-21T14:05:34Z"),
            recording: Some("https://pbx.example/r/a1".into()),
        },
    };
    let id = world
        .client
        .create_message(&conversation, &message)
        .await
        .unwrap();
    assert_eq!(
        world
            .client
            .message_by_external_id("tieline:hq:a1")
            .await
            .unwrap(),
        Some(id)
    );
    assert_eq!(
        world.client.message_by_external_id("none").await.unwrap(),
        None
    );
    let sms = NewMessage {
        external_id: "sms".into(),
        channel: Channel::Sms,
        direction: Direction::Out,
        ..message
    };
    world
        .client
        .create_message(&conversation, &sms)
        .await
        .unwrap();
    let meta = &world.sandbox.messages()[0]["attributes"]["meta"];
    assert_eq!(meta["endedAt"], "2026-10-21T14:05:34.000Z");
    assert!(meta.get("answeredAt").is_none());

    world
        .client
        .update_conversation(&conversation, Status::Done)
        .await
        .unwrap();
    assert_eq!(
        world.sandbox.conversations()[0]["attributes"]["status"],
        "done"
    );
}

#[tokio::test]
async fn users_metadata_and_search_are_read() {
    let mut options = SandboxOptions::empty();
    options.custom = json!({"conversation": {"callDurationNum": {"type": "number"}}});
    let world = world_with(options, |_| {}).await;
    world
        .sandbox
        .seed_user(json!({"name": "Grace", "email": "grace@example.org"}))
        .unwrap();
    assert_eq!(
        world.client.users("GRACE@example.org").await.unwrap()[0]
            .name
            .as_deref(),
        Some("Grace")
    );
    assert_eq!(world.client.users("nobody@example.org").await.unwrap(), []);
    let all = world.client.all_users().await.unwrap();
    let current = world.client.current_user().await.unwrap();
    assert!(all.len() >= 2 && !current.id.0.is_empty());
    let metadata = world.client.metadata("conversation").await.unwrap();
    assert_eq!(
        metadata,
        [("callDurationNum".to_owned(), "number".to_owned())]
    );
    world.customer().await;
    let query = json!({"queryContext": "customer", "and": [{"customer_updated_at": {"gte": "2020-01-01T00:00:00Z"}}]});
    assert_eq!(
        world
            .client
            .search(query, 1, 500)
            .await
            .unwrap()
            .records
            .len(),
        1
    );
    assert_eq!(
        (world.client.searches().used, world.client.requests().used),
        (1, 7)
    );
}

#[tokio::test]
async fn notes_are_read_over_all_pages() {
    let world = world().await;
    let conversation = world.conversation().await;
    for count in 0..101 {
        world
            .client
            .create_note(&conversation, &new_note(&format!("n{count}"), "x"))
            .await
            .unwrap();
    }
    let before = world.sandbox.requests().total;
    assert_eq!(
        world.client.notes_of(&conversation).await.unwrap().len(),
        101
    );
    assert_eq!(world.sandbox.requests().total - before, 2);
}

#[tokio::test]
async fn what_was_asked_is_counted() {
    let world = world().await;
    world.customer().await;
    world.client.by_email("nobody@example.org").await.unwrap();
    world.fault("/v1/users/current", status(500, &[], None));
    fault_of(world.client.current_user()).await;
    let stats = world.client.stats();
    let counted: Vec<_> = stats
        .requests
        .iter()
        .map(|((route, outcome), count)| (*route, *outcome, *count))
        .collect();
    let expected = [
        ("GET /v1/customers/email=", Outcome::NotFound, 1),
        ("GET /v1/users/current", Outcome::Failed, 1),
        ("POST /v1/customers", Outcome::Ok, 1),
    ];
    assert_eq!(counted, expected);
    assert!(stats.last_success.is_some());
    assert_eq!(
        stats.last_failure.unwrap().1,
        "GET /v1/users/current: Kustomer answered 500"
    );
}

#[tokio::test]
async fn a_bulk_request_is_a_job_that_tells_of_each_item() {
    let options = SandboxOptions {
        bulk_delay: std::time::Duration::from_millis(200),
        ..SandboxOptions::empty()
    };
    let world = world_with(options, |_| {}).await;
    let customer = world.customer().await;
    let new = |id: &str| new_conversation(&format!("tieline:hq:{id}"));
    let nobody = CustomerId("aaaaaaaaaaaaaaaaaaaaaaaa".into());
    let items = [
        Item::conversation(0, &customer, &new("a1")),
        Item::conversation(1, &nobody, &new("a2")),
        Item::conversation(2, &customer, &new("a3")),
    ];
    let client = &world.client;
    let job = client
        .start_bulk(Kind::Conversations, &items)
        .await
        .unwrap();
    assert_eq!(client.bulk_job(&job).await, Ok(JobState::Running));
    assert_eq!(client.bulk_results(&job).await, Ok([].into()));
    world
        .sandbox
        .wait_until(|counts| counts.conversations == 2)
        .await;
    assert_eq!(client.bulk_job(&job).await, Ok(JobState::Complete));
    let told = client.bulk_results(&job).await.unwrap();
    assert_eq!(told[&1], Told::Failed("Not Found".into()));
    for (item, id) in [(0, "a1"), (2, "a3")] {
        let external_id = format!("tieline:hq:{id}");
        let found = client.conversation_by_external_id(&external_id).await;
        let found = found.unwrap().unwrap();
        assert_eq!(told[&item], Told::Created(found.id.0));
    }
    let gone = client.bulk_job("aaaaaaaaaaaaaaaaaaaaaaaa").await;
    assert_eq!(gone, Err(KustomerFault::NotFound));
    let wrong = [Item::customer(
        0,
        &NewCustomer {
            name: Some("A".into()),
            emails: vec!["none".into()],
            ..NewCustomer::default()
        },
    )];
    let refused = client.start_bulk(Kind::Customers, &wrong).await;
    assert!(refused.is_err_and(|fault| fault.certain_not_done()));
    assert_eq!(world.sandbox.counts().customers, 1);
}
