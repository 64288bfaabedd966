//! The Kustomer client against the sandbox over real sockets: every call once, then every fault with its verdict.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tieline::kustomer::client::{Client, REPLY_BYTES_MAX};
use tieline::kustomer::conversations::{Channel, NewConversation, NewMessage, NewNote, Status};
use tieline::kustomer::customers::NewCustomer;
use tieline::kustomer::fault::{KustomerFault, Next};
use tieline::kustomer::stats::Outcome;
use tieline::pace::Lane;
use tieline::sandbox::{ApiKey, Fault, FaultKind, SANDBOX_KEY, Sandbox, SandboxOptions};
use tieline::settings::types::{
    AnonymousPolicy, CallRules, ContactRules, KustomerSettings, SeveralPolicy, TextRules,
    UnknownPolicy,
};
use tieline::terms::call::Direction;
use tieline::terms::ids::{ConversationId, CustomerId, UserId};
use tieline::terms::number::{E164, NumberPlan};

/// A sandbox and a client of it; the folder holds the key file.
struct World {
    sandbox: Sandbox,
    client: Client,
    folder: tempfile::TempDir,
}

async fn world() -> World {
    world_with(SandboxOptions::empty(), |_| {}).await
}

async fn world_with(options: SandboxOptions, change: impl Fn(&mut KustomerSettings)) -> World {
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(sandbox.url(), folder.path());
    change(&mut settings);
    let client = Client::new(&settings, 0).unwrap();
    World {
        sandbox,
        client,
        folder,
    }
}

/// Settings for a peer, with the sandbox's key in a file of `folder`.
fn settings(url: &str, folder: &Path) -> KustomerSettings {
    let api_key_file = folder.join("key");
    std::fs::write(&api_key_file, format!("{SANDBOX_KEY}\n")).unwrap();
    KustomerSettings {
        name: "support".into(),
        url: url.into(),
        web_url: None,
        api_key_file,
        active: true,
        pbx: Vec::new(),
        contact_tag: "phone".into(),
        requests_per_minute: 500,
        searches_per_minute: 100,
        budget_window: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
        retry: Vec::new(),
        retry_for: Duration::from_secs(60),
        parallel: 8,
        calls: CallRules {
            connected_numbers: Vec::new(),
            ignore: Vec::new(),
            min_talk: Duration::ZERO,
            anonymous: AnonymousPolicy::Skip,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            voice_message: false,
            log: BTreeMap::new(),
            tags: Vec::new(),
            note_template: None,
            labels: BTreeMap::new(),
        },
        texts: TextRules {
            connected_numbers: Vec::new(),
            ignore: Vec::new(),
            received: tieline::settings::types::LogAs::Open,
            sent: tieline::settings::types::LogAs::Done,
            window: Duration::ZERO,
            text_message: false,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            tags: Vec::new(),
        },
        contacts: ContactRules {
            import: false,
            export: false,
            merge_by: Vec::new(),
            phonebook: "directory".into(),
            poll: Duration::from_secs(60),
            max_changes_count: 1,
            max_changes_percent: 1,
        },
    }
}

fn number(text: &str) -> E164 {
    NumberPlan::new("DE", None).unwrap().parse(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn new_conversation(external_id: &str) -> NewConversation {
    NewConversation {
        external_id: external_id.into(),
        name: "Incoming call".into(),
        direction: Direction::In,
        status: Status::Open,
        created_at: Some(at("2026-10-21T14:02:11.925Z")),
        assigned_users: Vec::new(),
        tags: Vec::new(),
        custom: Map::new(),
    }
}

fn new_note(external_id: &str, body: &str) -> NewNote {
    NewNote {
        external_id: external_id.into(),
        body: body.into(),
    }
}

impl World {
    async fn customer(&self) -> CustomerId {
        self.client
            .create_customer(&NewCustomer::default())
            .await
            .unwrap()
            .id
    }

    async fn conversation(&self) -> ConversationId {
        let customer = self.customer().await;
        self.client
            .create_conversation(&customer, &new_conversation("tieline:hq:a1"))
            .await
            .unwrap()
            .id
    }

    fn fault(&self, path: &str, kind: FaultKind) {
        assert!(self.sandbox.add_fault(Fault::on(path, kind)));
    }
}

fn status(status: u16, headers: &[(&str, &str)], body: Option<Value>) -> FaultKind {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    FaultKind::Status {
        status,
        body,
        headers,
    }
}

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

    let note = world
        .client
        .create_note(
            &created.id,
            &new_note("tieline:hq:a1:note", &"ä".repeat(40_000)),
        )
        .await
        .unwrap();
    let notes = world.client.notes_of(&created.id).await.unwrap();
    assert_eq!(notes, std::slice::from_ref(&note));
    assert_eq!(note.external_id.as_deref(), Some("tieline:hq:a1:note"));
    assert_eq!(note.body.unwrap().chars().count(), 10_000);

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
        .create_message(&created.id, &message)
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
        .create_message(&created.id, &sms)
        .await
        .unwrap();
    let meta = &world.sandbox.messages()[0]["attributes"]["meta"];
    assert_eq!(meta["endedAt"], "2026-10-21T14:05:34.000Z");
    assert!(meta.get("answeredAt").is_none());

    world
        .client
        .update_conversation(&created.id, Status::Done)
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

/// Asks for one thing and gives its fault, checking what must hold for each.
async fn fault_of<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, KustomerFault>>,
) -> KustomerFault {
    let fault = call.await.unwrap_err();
    let text = fault.to_string();
    assert!(
        !text.contains(SANDBOX_KEY) && !text.contains('\n') && !text.contains("/v1/"),
        "{text}"
    );
    fault
}

#[tokio::test]
async fn no_connection_is_certainly_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = Client::new(&settings(&format!("http://{free}"), folder.path()), 0).unwrap();
    let world = world().await;
    let tls = Client::new(
        &settings(&world.sandbox.url().replace("http", "https"), folder.path()),
        0,
    )
    .unwrap();
    let unknown_host = Client::new(&settings("https://tieline.invalid", folder.path()), 0).unwrap();
    for client in [refused, tls, unknown_host] {
        let fault = fault_of(client.create_customer(&NewCustomer::default())).await;
        assert!(matches!(fault, KustomerFault::Unreachable(_)), "{fault}");
        assert!(fault.certain_not_done());
        assert_eq!(fault.next(), Next::Backoff);
    }
    assert_eq!(world.sandbox.counts().customers, 0);
}

#[tokio::test]
async fn a_wrong_key_or_a_missing_role_pauses() {
    let mut options = SandboxOptions::empty();
    options.keys.push(ApiKey {
        key: "poor".into(),
        roles: vec!["org.permission.note".into()],
    });
    for (key, status) in [("wrong", 401), ("poor", 403)] {
        let world = world_with(options.clone(), |settings| {
            std::fs::write(&settings.api_key_file, key).unwrap()
        })
        .await;
        let fault = fault_of(world.client.create_customer(&NewCustomer::default())).await;
        assert!(
            matches!(fault, KustomerFault::Unauthorized { status: other, .. } if other == status),
            "{fault}"
        );
        assert!(fault.certain_not_done());
        assert_eq!(fault.next(), Next::Pause);
        assert_eq!(world.sandbox.requests().total, 1);
    }
}

#[tokio::test]
async fn a_rotated_key_is_read_again_after_a_401() {
    let world = world_with(SandboxOptions::empty(), |settings| {
        std::fs::write(&settings.api_key_file, "old").unwrap()
    })
    .await;
    fault_of(world.client.current_user()).await;
    std::fs::write(world.folder.path().join("key"), SANDBOX_KEY).unwrap();
    world.client.current_user().await.unwrap();
    world.client.current_user().await.unwrap();
    assert_eq!(world.sandbox.requests().total, 4);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_is_a_fault_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings("http://127.0.0.1:1", folder.path());
    for content in ["", " \n", "two words", "ü", &"x".repeat(20_000)] {
        std::fs::write(&settings.api_key_file, content).unwrap();
        let fault = Client::new(&settings, 0).unwrap_err();
        assert!(
            matches!(&fault, KustomerFault::Key(text) if text.contains("key")),
            "{fault}"
        );
        assert_eq!(fault.next(), Next::Pause);
    }
    std::fs::remove_file(&settings.api_key_file).unwrap();
    assert!(matches!(
        Client::new(&settings, 0).unwrap_err(),
        KustomerFault::Key(_)
    ));
}

#[tokio::test]
async fn a_429_pauses_the_whole_client_until_the_reset_or_for_a_window() {
    let in_20_seconds = (Timestamp::now().as_second() + 20).to_string();
    for (headers, least, most) in [
        (vec![("x-ratelimit-reset", in_20_seconds.as_str())], 15, 22),
        (vec![], 59, 62),
    ] {
        let world = world().await;
        world.fault("/v1/customers", status(429, &headers, None));
        let fault = fault_of(world.client.create_customer(&NewCustomer::default())).await;
        assert!(
            matches!(fault, KustomerFault::TooMany { .. }) && fault.certain_not_done(),
            "{fault}"
        );
        let Next::After(wait) = fault.next() else {
            panic!("{fault}")
        };
        let paused = world.client.requests().paused_for.unwrap();
        for span in [wait, paused] {
            assert!(
                (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&span),
                "{span:?}"
            );
        }
    }
}

#[tokio::test]
async fn little_left_of_the_shared_budget_pauses_after_a_success_too() {
    let world = world().await;
    let headers = [
        ("x-ratelimit-limit", "1000"),
        ("x-ratelimit-remaining", "40"),
    ];
    world.fault(
        "/v1/users",
        status(200, &headers, Some(json!({"data": []}))),
    );
    assert_eq!(world.client.users("a@example.org").await.unwrap(), []);
    assert!(world.client.requests().paused_for.is_some());
}

#[tokio::test]
async fn what_may_have_been_done_is_unclear_and_what_was_done_is_found() {
    let long = 60_000;
    let cases = [
        ("500 before", status(500, &[], None), 0),
        (
            "503 with a hint",
            status(
                503,
                &[("retry-after", "7")],
                Some(json!({"errors": [{"code": "busy"}]})),
            ),
            0,
        ),
        ("500 after", FaultKind::CommitThenStatus { status: 500 }, 1),
        ("close before", FaultKind::CloseBefore, 0),
        ("close after", FaultKind::CommitThenClose, 1),
        (
            "HTML instead",
            FaultKind::Garbage {
                status: 200,
                commit: false,
            },
            0,
        ),
        (
            "HTML after",
            FaultKind::Garbage {
                status: 201,
                commit: true,
            },
            1,
        ),
        (
            "HTML 404",
            FaultKind::Garbage {
                status: 404,
                commit: false,
            },
            0,
        ),
        ("cut", FaultKind::Cut, 1),
        ("stall before", FaultKind::Delay { ms: long }, 0),
        ("stall after", FaultKind::CommitThenDelay { ms: long }, 1),
        (
            "redirect",
            status(
                302,
                &[("location", "http://127.0.0.1:1/v1/customers")],
                None,
            ),
            0,
        ),
        (
            "no record",
            status(201, &[], Some(json!({"data": null}))),
            0,
        ),
        (
            "too large",
            status(201, &[], Some(json!({"data": "x".repeat(REPLY_BYTES_MAX)}))),
            0,
        ),
    ];
    for (what, kind, conversations) in cases {
        let is_stall = what.starts_with("stall");
        let timeout = if is_stall {
            Duration::from_millis(300)
        } else {
            Duration::from_secs(30)
        };
        let world = world_with(SandboxOptions::empty(), |settings| {
            settings.timeout = timeout
        })
        .await;
        let customer = CustomerId(world.sandbox.seed_customer(json!({})).unwrap());
        assert!(
            world
                .sandbox
                .add_fault(Fault::on("/v1/customers/*/conversations", kind).times(1))
        );
        let fault = fault_of(
            world
                .client
                .create_conversation(&customer, &new_conversation("a")),
        )
        .await;
        assert!(!fault.certain_not_done(), "{what}: {fault}");
        assert_eq!(
            matches!(fault, KustomerFault::Timeout(_)),
            is_stall,
            "{what}: {fault}"
        );
        let next = if what == "503 with a hint" {
            Next::After(Duration::from_secs(7))
        } else {
            Next::Backoff
        };
        assert_eq!(fault.next(), next, "{what}: {fault}");
        assert_eq!(
            world.sandbox.counts().conversations,
            conversations,
            "{what}: {fault}"
        );
        let found = world.client.conversation_by_external_id("a").await.unwrap();
        assert_eq!(found.is_some(), conversations == 1, "{what}");
    }
}

#[tokio::test]
async fn what_kustomer_rejects_is_certain_and_says_why() {
    let world = world().await;
    let customer = world.customer().await;
    let custom = Map::from_iter([("notDefinedNum".to_owned(), json!(1))]);
    let bad = NewConversation {
        custom,
        ..new_conversation("a")
    };
    let fault = fault_of(world.client.create_conversation(&customer, &bad)).await;
    let KustomerFault::Rejected {
        status: 400,
        ref code,
        ref detail,
    } = fault
    else {
        panic!("{fault}")
    };
    assert!(!code.is_empty() && !detail.is_empty());
    assert!(fault.certain_not_done());
    assert_eq!(fault.next(), Next::Never);
    for code in [413, 415, 422] {
        world.sandbox.clear_faults();
        world.fault("/v1/customers", status(code, &[], None));
        let fault = fault_of(world.client.create_customer(&NewCustomer::default())).await;
        assert!(
            matches!(fault, KustomerFault::Rejected { status, .. } if status == code),
            "{fault}"
        );
    }
    let nowhere = ConversationId("a".repeat(24));
    let fault = fault_of(world.client.create_note(&nowhere, &new_note("n", "x"))).await;
    assert!(fault == KustomerFault::NotFound && fault.certain_not_done());
}

#[tokio::test]
async fn a_404_that_is_not_kustomers_never_means_not_there() {
    let world = world().await;
    world.fault(
        "/v1/",
        FaultKind::Garbage {
            status: 404,
            commit: false,
        },
    );
    assert!(matches!(
        fault_of(world.client.by_phone(&number("+4915112345678"))).await,
        KustomerFault::Garbled { .. }
    ));
    let lookup = world.client.conversation_by_external_id("a");
    assert!(matches!(
        fault_of(lookup).await,
        KustomerFault::Garbled { status: 404, .. }
    ));
}

#[tokio::test]
async fn a_reply_for_another_external_id_is_not_taken() {
    let world = world().await;
    let other = json!({"data": {"id": "a".repeat(24), "attributes": {"externalId": "b"}}});
    world.fault(
        "/v1/conversations/externalId=",
        status(200, &[], Some(other)),
    );
    let lookup = world.client.conversation_by_external_id("a");
    assert!(matches!(
        fault_of(lookup).await,
        KustomerFault::Garbled { status: 200, .. }
    ));
}

#[tokio::test]
async fn the_key_never_goes_to_another_origin() {
    let world = world().await;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", elsewhere.local_addr().unwrap());
    let conversation = world.conversation().await;
    for next in [
        format!("{origin}/v1/notes?page=2"),
        format!("//{}/v1", elsewhere.local_addr().unwrap()),
    ] {
        world.sandbox.clear_faults();
        let page = json!({"data": [{"id": "n"}], "links": {"next": next}});
        world.fault("/v1/conversations/*/notes", status(200, &[], Some(page)));
        assert_eq!(
            fault_of(world.client.notes_of(&conversation)).await,
            KustomerFault::ForeignLink
        );
    }
    world.sandbox.clear_faults();
    let location = format!("{origin}/v1/users/current");
    world.fault(
        "/v1/users/current",
        status(307, &[("location", &location)], None),
    );
    assert!(matches!(
        fault_of(world.client.current_user()).await,
        KustomerFault::Server { status: 307, .. }
    ));
    let nobody = std::future::poll_fn(|context| {
        std::task::Poll::Ready(elsewhere.poll_accept(context).is_pending())
    })
    .await;
    assert!(nobody, "somebody connected");
}

#[tokio::test]
async fn a_list_without_end_stops() {
    let world = world().await;
    let conversation = world.conversation().await;
    let page = json!({"data": [{"id": "n"}], "links": {"next": format!("/v1/conversations/{}/notes?page=1", conversation.0)}});
    world.fault("/v1/conversations/*/notes", status(200, &[], Some(page)));
    assert_eq!(
        fault_of(world.client.notes_of(&conversation)).await,
        KustomerFault::TooManyPages(10)
    );
}

#[tokio::test]
async fn no_window_at_the_server_sees_more_than_the_budget() {
    let window = Duration::from_millis(400);
    let world = world_with(SandboxOptions::empty(), |settings| {
        settings.requests_per_minute = 10;
        settings.budget_window = window;
    })
    .await;
    let tasks: Vec<_> = (0..25)
        .map(|count| {
            let client = world.client.lane(if count % 2 == 0 {
                Lane::Live
            } else {
                Lane::Sync
            });
            tokio::spawn(async move { client.current_user().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let requests = world.sandbox.requests();
    assert_eq!(requests.total, 25);
    assert!(
        requests.most_within(window) <= 10,
        "{}",
        requests.most_within(window)
    );
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
