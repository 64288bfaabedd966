//! What the sandbox keeps, over real sockets: a call's conversation, note and message, the switches, tags, merges.

use serde_json::{Value, json};
use tieline::sandbox::{ApiKey, SandboxOptions};

use crate::sandbox::{Api, error, text};

#[tokio::test]
async fn a_call_becomes_a_conversation_with_a_note() {
    let api = Api::start(SandboxOptions::empty()).await;
    let grace = api
        .sandbox
        .seed_user(json!({ "name": "Grace", "email": "grace@example.org" }))
        .expect("a user");
    let (_, users) = api.get("/v1/users?email=grace@example.org").await;
    assert_eq!(users["data"][0]["id"], grace);
    let customer = api.customer("+491711234567").await;
    let body = json!({ "customer": customer, "externalId": "tieline:hq:a1", "name": "Incoming call", "status": "done", "direction": "in",
        "createdAt": "2026-11-20T12:24:29.009Z", "assignedUsers": [grace], "tags": ["phone"] });
    let conversation = api.id("/v1/conversations", body).await;
    let (_, found) = api
        .get("/v1/conversations/externalId=tieline%3Ahq%3Aa1")
        .await;
    let attributes = &found["data"]["attributes"];
    assert_eq!(attributes["createdAt"], "2026-11-20T12:24:29.009Z");
    assert_eq!(
        (&attributes["channels"], &attributes["status"]),
        (&json!([]), &json!("done"))
    );
    let (_, list) = api
        .get(&format!(
            "/v1/conversations/{conversation},aaaaaaaaaaaaaaaaaaaaaaaa"
        ))
        .await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));

    let notes = format!("/v1/conversations/{conversation}/notes");
    let note = api
        .id(
            &notes,
            json!({ "externalId": "tieline:hq:a1:note", "body": "From: +491711234567" }),
        )
        .await;
    let (_, listed) = api.get(&notes).await;
    assert_eq!(listed["data"][0]["id"], note);
    assert_eq!(
        listed["data"][0]["relationships"]["customer"]["data"]["id"],
        customer
    );
    assert_eq!(listed["links"]["next"], Value::Null);
    assert_eq!(
        api.ask(
            "PUT",
            &format!("/v1/notes/{note}"),
            Some(json!({ "body": "new" }))
        )
        .await
        .1["data"]["attributes"]["body"],
        "new"
    );
}

#[tokio::test]
async fn what_is_deleted_or_never_was_is_not_found() {
    let api = Api::start(SandboxOptions::empty()).await;
    let customer = api.customer("+491711234567").await;
    let conversation = api.conversation(&customer, "c").await;
    let notes = format!("/v1/conversations/{conversation}/notes");
    let note = api.id(&notes, json!({ "body": "n" })).await;
    assert_eq!(
        api.ask("DELETE", &format!("/v1/notes/{note}"), None)
            .await
            .0,
        204
    );
    assert_eq!(
        api.ask("DELETE", &format!("/v1/conversations/{conversation}"), None)
            .await
            .0,
        204
    );
    assert_eq!(
        api.get(&format!("/v1/conversations/{conversation}"))
            .await
            .0,
        404
    );
    assert_eq!(api.post(&notes, json!({ "body": "late" })).await.0, 404);
    let (status, _) = api
        .post(
            "/v1/customers/5f8481c6a22ab5b9d5f2dd8a/conversations",
            json!({}),
        )
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_message_gives_its_conversation_a_channel_and_opens_it() {
    let options = SandboxOptions {
        reopen_on_inbound: true,
        ..SandboxOptions::empty()
    };
    let api = Api::start(options).await;
    let customer = api.customer("+491711234567").await;
    let done = json!({ "customer": customer, "status": "done" });
    let conversation = api.id("/v1/conversations", done).await;
    let voice = json!({ "channel": "voice", "app": "tieline", "direction": "in", "externalId": "<a1@pbx>", "meta": { "from": "+491711234567" } });
    let message = api
        .id(
            &format!("/v1/conversations/{conversation}/messages"),
            voice.clone(),
        )
        .await;
    assert_eq!(
        api.get("/v1/messages/externalid=%3Ca1%40pbx%3E").await.1["data"]["id"],
        message
    );
    let (_, after) = api.get(&format!("/v1/conversations/{conversation}")).await;
    let attributes = &after["data"]["attributes"];
    assert_eq!(
        (&attributes["status"], &attributes["channels"]),
        (&json!("open"), &json!(["voice"]))
    );
    assert_eq!(
        (&attributes["noteCount"], &attributes["messageCount"]),
        (&json!(0), &json!(1))
    );
    api.id(&format!("/v1/customers/{customer}/messages"), voice)
        .await;
    assert_eq!(
        api.sandbox.conversations().len(),
        2,
        "a message without conversation gets one"
    );
    assert_eq!(
        api.get(&format!("/v1/customers/{customer}")).await.1["data"]["attributes"]["conversationCounts"]
            ["all"],
        2
    );
}

#[tokio::test]
async fn switches_decide_what_is_not_documented() {
    let api = Api::start(SandboxOptions::empty()).await;
    let customer = api.customer("+491711234567").await;
    let first = api.conversation(&customer, "same").await;
    assert_ne!(api.conversation(&customer, "same").await, first);
    assert_eq!(
        api.get("/v1/conversations/externalId=same").await.1["data"]["id"],
        first
    );

    let mut options = SandboxOptions {
        unique_external_ids: true,
        reopen_on_inbound: false,
        check_rev: false,
        ..SandboxOptions::empty()
    };
    options.keys.push(ApiKey {
        key: "agent".to_owned(),
        roles: vec!["org.permission".to_owned()],
    });
    let mut api = Api::start(options).await;
    let customer = api.customer("+491711234567").await;
    let id = "5f8481c6a22ab5b9d5f2dd77";
    let path = format!("/v1/customers/{customer}/conversations");
    assert_eq!(
        api.id(
            &path,
            json!({ "id": id, "externalId": "same", "status": "done" })
        )
        .await,
        id
    );
    assert_eq!(
        api.post(&path, json!({ "externalId": "same" })).await.0,
        409
    );
    assert_eq!(api.post(&path, json!({ "id": id })).await.0, 409);
    api.id(
        &format!("/v1/conversations/{id}/messages"),
        json!({ "channel": "sms", "app": "x", "direction": "in" }),
    )
    .await;
    let (_, after) = api
        .ask(
            "PATCH",
            &format!("/v1/conversations/{id}"),
            Some(json!({ "priority": 5, "rev": 77 })),
        )
        .await;
    assert_eq!(
        (
            &after["data"]["attributes"]["status"],
            &after["data"]["attributes"]["priority"]
        ),
        (&json!("done"), &json!(5))
    );
    let backdated = json!({ "body": "x", "createdAt": "2020-01-01T00:00:00.000Z" });
    api.id(&format!("/v1/conversations/{id}/notes"), backdated.clone())
        .await;
    api.key = "agent".to_owned();
    let (status, body) = api
        .post(&format!("/v1/conversations/{id}/notes"), backdated)
        .await;
    assert_eq!(status, 403);
    assert!(text(&error(&body)["detail"]).contains("org.admin"));
}

#[tokio::test]
async fn tags_are_added_and_removed_by_name() {
    let api = Api::start(SandboxOptions::empty()).await;
    let customer = api.customer("+491711234567").await;
    let conversation = api.conversation(&customer, "c").await;
    let path = format!("/v1/conversations/{conversation}/tags");
    let (_, body) = api.post(&path, json!(["a", "b"])).await;
    assert_eq!(
        body["data"]["attributes"]["tags"].as_array().map(Vec::len),
        Some(2)
    );
    let (_, body) = api.ask("DELETE", &path, Some(json!(["a"]))).await;
    let left = text(&body["data"]["attributes"]["tags"][0]);
    assert_eq!(
        api.get(&format!("/v1/tags/{left}")).await.1["data"]["attributes"]["name"],
        "b"
    );
    assert_eq!(
        api.get("/v1/tags").await.1["data"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(api.post(&path, json!(["#no"])).await.0, 400);
}

#[tokio::test]
async fn a_merge_moves_everything_to_the_target() {
    let api = Api::start(SandboxOptions::empty()).await;
    let (source, target) = (
        api.customer("+491711234567").await,
        api.customer("+4915112345678").await,
    );
    let conversation = api.conversation(&source, "c").await;
    api.id(
        "/v1/customers/merges",
        json!({ "source": source, "target": target }),
    )
    .await;
    assert_eq!(api.get(&format!("/v1/customers/{source}")).await.0, 404);
    assert_eq!(
        api.get("/v1/customers/phone=%2B491711234567").await.1["data"]["id"],
        target
    );
    let (_, moved) = api
        .get(&format!("/v1/customers/{target}/conversations"))
        .await;
    assert_eq!(moved["data"][0]["id"], conversation);
    let (_, merges) = api.get(&format!("/v1/customers/{source}/merges")).await;
    assert_eq!(
        merges["data"][0]["relationships"]["target"]["data"]["id"],
        target
    );
    let other = api.customer("+33612345678").await;
    let (status, _) = api
        .ask(
            "PUT",
            &format!("/v1/conversations/{conversation}"),
            Some(json!({ "customer": other, "name": "x" })),
        )
        .await;
    assert_eq!(status, 400, "the customer alone");
    api.ask(
        "PUT",
        &format!("/v1/conversations/{conversation}"),
        Some(json!({ "customer": other })),
    )
    .await;
    assert_eq!(
        api.get(&format!("/v1/customers/{other}/conversations"))
            .await
            .1["data"][0]["id"],
        conversation
    );
}
