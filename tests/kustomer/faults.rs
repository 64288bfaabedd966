//! Every fault of Kustomer and of what is between, with what it must mean: certainly not done, or unclear.

use super::{fault_of, new_conversation, new_note, number, settings, status, world, world_with};
use serde_json::{Map, json};
use std::time::Duration;
use tieline::kustomer::client::{Client, Past};
use tieline::kustomer::conversations::NewConversation;
use tieline::kustomer::customers::NewCustomer;
use tieline::kustomer::fault::{KustomerFault, Next};
use tieline::kustomer::http::REPLY_BYTES_MAX;
use tieline::pace::Lane;
use tieline::sandbox::{ApiKey, Fault, FaultKind, SANDBOX_KEY, SandboxOptions};
use tieline::terms::ids::{ConversationId, CustomerId};

#[tokio::test]
async fn no_connection_is_certainly_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = Client::new(
        &settings(&format!("http://{free}"), folder.path()),
        Past::default(),
    )
    .unwrap();
    let world = world().await;
    let tls = Client::new(
        &settings(&world.sandbox.url().replace("http", "https"), folder.path()),
        Past::default(),
    )
    .unwrap();
    let unknown_host = Client::new(
        &settings("https://tieline.invalid", folder.path()),
        Past::default(),
    )
    .unwrap();
    for client in [refused, tls, unknown_host] {
        let fault = fault_of(client.create_customer(&NewCustomer::default())).await;
        assert!(matches!(fault, KustomerFault::Unreachable(_)), "{fault}");
        assert!(fault.certain_not_done() && fault.unreachable());
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
            std::fs::write(&settings.api_key_file, key).unwrap();
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
        std::fs::write(&settings.api_key_file, "old").unwrap();
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
        let fault = Client::new(&settings, Past::default()).unwrap_err();
        assert!(
            matches!(&fault, KustomerFault::Key(text) if text.contains("key")),
            "{fault}"
        );
        assert_eq!(fault.next(), Next::Pause);
    }
    std::fs::remove_file(&settings.api_key_file).unwrap();
    assert!(matches!(
        Client::new(&settings, Past::default()).unwrap_err(),
        KustomerFault::Key(_)
    ));
}

#[tokio::test]
async fn a_429_pauses_the_whole_client_until_the_reset_or_for_a_window() {
    let in_20_seconds = (tieline::clock::now().as_second() + 20).to_string();
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

/// What happens to a create, and how many conversations there are afterwards.
fn unclear_faults() -> Vec<(&'static str, FaultKind, usize)> {
    let long = 60_000;
    vec![
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
    ]
}

#[tokio::test]
async fn what_may_have_been_done_is_unclear_and_what_was_done_is_found() {
    for (what, kind, conversations) in unclear_faults() {
        let is_stall = what.starts_with("stall");
        let timeout = if is_stall {
            Duration::from_millis(300)
        } else {
            Duration::from_secs(30)
        };
        let world = world_with(SandboxOptions::empty(), |settings| {
            settings.timeout = timeout;
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
        match what {
            "too large" => assert!(fault.to_string().contains("larger than"), "{fault}"),
            "cut" => assert!(fault.to_string().contains("cut short"), "{fault}"),
            _ => {}
        }
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
async fn a_request_on_a_reused_connection_is_never_sent_twice() {
    for kind in [FaultKind::CommitThenClose, FaultKind::CloseBefore] {
        let world = world().await;
        let customer = world.customer().await;
        world.fault("/v1/customers/*/conversations", kind);
        let new = new_conversation("a");
        let create = world.client.create_conversation(&customer, &new);
        assert!(matches!(fault_of(create).await, KustomerFault::Lost(_)));
        assert_eq!(
            world
                .sandbox
                .requests()
                .count("POST /v1/customers/{id}/conversations"),
            1
        );
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
    world.sandbox.clear_faults();
    let gateway = json!({"message": "no route matched"});
    world.fault("/v1/", status(404, &[], Some(gateway)));
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
async fn at_a_stop_what_has_to_wait_is_refused_and_what_need_not_goes() {
    let world = world_with(SandboxOptions::empty(), |settings| {
        settings.requests_per_minute = 2;
    })
    .await;
    world.client.current_user().await.unwrap();
    world.client.close();
    world.client.current_user().await.unwrap();
    let fault = fault_of(world.client.current_user()).await;
    assert_eq!(fault, KustomerFault::Stopping);
    assert!(fault.certain_not_done());
    assert_eq!(world.sandbox.requests().total, 2);
}

#[tokio::test]
async fn a_stop_reaches_who_waits_already() {
    let world = world_with(SandboxOptions::empty(), |settings| {
        settings.requests_per_minute = 1;
    })
    .await;
    world.client.current_user().await.unwrap();
    let client = world.client.clone();
    let waits = tokio::spawn(async move { client.current_user().await });
    let view = || world.client.requests().waiting.iter().sum::<usize>();
    while view() == 0 {
        tokio::task::yield_now().await;
    }
    world.client.close();
    assert_eq!(waits.await.unwrap().unwrap_err(), KustomerFault::Stopping);
}
