//! What the sandbox gives in numbers, over real sockets: lists, search and its lag, bulk jobs, creations per customer.

use std::time::Duration;

use serde_json::{Value, json};
use tieline::sandbox::{LimitOptions, SandboxOptions};

use crate::sandbox::{Api, text};

#[tokio::test]
async fn lists_come_in_pages_with_links() {
    let api = Api::start(SandboxOptions::empty()).await;
    for number in 0..5 {
        api.customer(&format!("+49171123456{number}")).await;
    }
    let (_, page) = api
        .get("/v1/customers?page=2&pageSize=2&sort=-updatedAt")
        .await;
    assert_eq!(
        (&page["meta"]["total"], &page["meta"]["totalPages"]),
        (&json!(5), &json!(3))
    );
    let next = text(&page["links"]["next"]);
    assert_eq!(next, "/v1/customers?sort=-updatedAt&page=3&pageSize=2");
    let (_, last) = api.get(&next).await;
    assert_eq!(last["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(last["links"]["next"], Value::Null);
    assert_eq!(api.get("/v1/customers?pageSize=101").await.0, 400);
    let (_, none) = api
        .get("/v1/customers?filter[updatedAt][gt]=2999-01-01T00:00:00Z")
        .await;
    assert_eq!(none["meta"]["total"], 0);
}

#[tokio::test]
async fn search_filters_sorts_and_pages() {
    let api = Api::start(SandboxOptions::empty()).await;
    for (name, phone, at) in [
        ("Ada", "+4915112345678", "2026-03-01"),
        ("Bob", "+491711234567", "2026-02-01"),
        ("Cid", "+33612345678", "2026-01-01"),
    ] {
        let at = format!("{at}T00:00:00.000Z");
        api.sandbox.seed_customer(json!({ "name": name, "phones": [{ "phone": phone }], "createdAt": at, "updatedAt": at })).expect("a customer");
    }
    let old = json!({ "name": "Old", "updatedAt": "2001-01-01T00:00:00.000Z" });
    api.sandbox.seed_customer(old).expect("a customer");
    for (and, names) in [
        (
            json!([{ "customer_updated_at": { "gte": "2026-02-01T00:00:00Z" } }]),
            vec!["Bob", "Ada"],
        ),
        (
            json!([{ "customer_updated_at": { "gt": "2026-01-15", "lt": "2026-02-15" } }]),
            vec!["Bob"],
        ),
        (
            json!({ "customer_phone": { "equals": "+33612345678" } }),
            vec!["Cid"],
        ),
        (
            json!([{ "customer_name": { "in": ["ada", "cid"] } }]),
            vec!["Cid", "Ada"],
        ),
        (
            json!([{ "customer_any_text": { "contains": "171123" } }]),
            vec!["Bob"],
        ),
        (
            json!([{ "customer_gender": { "not_set": true } }]),
            vec!["Cid", "Bob", "Ada"],
        ),
    ] {
        let body = json!({ "queryContext": "customer", "and": and, "sort": [{ "customer_updated_at": "asc" }] });
        let (status, found) = api.post("/v1/customers/search?pageSize=500", body).await;
        assert_eq!(status, 200, "{found}");
        let got: Vec<String> = found["data"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| text(&row["attributes"]["name"]))
            .collect();
        assert_eq!(got, names, "{and}");
    }
    let all = json!({ "queryContext": "customer", "not": [{ "customer_name": { "equals": "Ada" } }], "or": [{ "customer_name": { "equals": "Ada" } }, { "customer_name": { "equals": "Bob" } }] });
    assert_eq!(
        api.post("/v1/customers/search?idsOnly=true", all.clone())
            .await
            .1["meta"]["total"],
        1
    );
    assert_eq!(api.post("/v1/customers/search?page=101", all).await.0, 400);
}

#[tokio::test]
async fn a_search_by_what_is_not_documented_is_refused() {
    let api = Api::start(SandboxOptions::empty()).await;
    for bad in [
        json!({ "queryContext": "customer", "and": [{ "customer_nickname": { "equals": "x" } }] }),
        json!({ "queryContext": "conversation", "and": [{ "conversation_external_id": { "equals": "x" } }] }),
        json!({ "queryContext": "customer", "and": [{ "customer_name": { "like": "x" } }] }),
        json!({ "queryContext": "customer", "size": 3 }),
        json!({ "and": [] }),
    ] {
        assert_eq!(
            api.post("/v1/customers/search", bad.clone()).await.0,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn search_sees_a_write_after_the_lag_only() {
    let options = SandboxOptions {
        search_lag: Duration::from_secs(3600),
        ..SandboxOptions::empty()
    };
    let api = Api::start(options).await;
    let customer = api.customer("+491711234567").await;
    api.conversation(&customer, "c").await;
    let query = json!({ "queryContext": "conversation", "and": [{ "conversation_customer_id": { "equals": customer } }] });
    assert_eq!(
        api.post("/v1/customers/search", query.clone()).await.1["meta"]["total"],
        0
    );

    let api = Api::start(SandboxOptions::empty()).await;
    let customer = api.customer("+491711234567").await;
    let conversation = api.conversation(&customer, "c").await;
    let note = api
        .id(
            &format!("/v1/conversations/{conversation}/notes"),
            json!({ "body": "b", "externalId": "n" }),
        )
        .await;
    let query = json!({ "queryContext": "note", "and": [{ "note_external_id": { "equals": "n" } }, { "customer_phone": { "equals": "+491711234567" } }] });
    assert_eq!(
        api.post("/v1/customers/search", query).await.1["data"][0]["id"],
        note
    );
}

#[tokio::test]
async fn bulk_jobs_are_taken_run_and_told_per_item() {
    let options = SandboxOptions {
        bulk_delay: Duration::from_millis(50),
        ..SandboxOptions::empty()
    };
    let api = Api::start(options).await;
    let phone = json!([{ "phone": "+491711234567" }]);
    let items = json!([{ "_clientRef": "1", "name": "A", "phones": phone }, { "_clientRef": "2", "name": "B", "phones": phone }]);
    let (status, job) = api.post("/v1/customers/bulk", items).await;
    assert_eq!(
        (status, &job["data"]["attributes"]["status"]),
        (201, &json!("queued"))
    );
    api.sandbox.wait_until(|counts| counts.customers == 1).await;
    let path = format!("/v1/bulk/{}", text(&job["data"]["id"]));
    let (_, done) = api.get(&path).await;
    assert_eq!(done["data"]["attributes"]["status"], "complete");
    let (_, batches) = api.get(&format!("{path}/batches")).await;
    let results = &batches["data"][0]["attributes"]["results"];
    assert_eq!(
        (&results[0]["status"], &results[1]["error"]),
        (&json!("created"), &json!("duplicate detected"))
    );
    let customer = text(&results[0]["objectId"]);

    api.post(
        "/v1/conversations/bulk",
        json!([{ "customer": customer, "externalId": "c" }]),
    )
    .await;
    api.sandbox
        .wait_until(|counts| counts.conversations == 1)
        .await;
    let conversation = text(&api.sandbox.conversations()[0]["id"]);
    api.post(
        "/v1/notes/bulk",
        json!([{ "conversation": conversation, "body": "n" }]),
    )
    .await;
    api.post(
        "/v1/messages/bulk",
        json!([{ "conversation": conversation, "channel": "sms", "app": "x", "direction": "out" }]),
    )
    .await;
    api.sandbox
        .wait_until(|counts| counts.notes == 1 && counts.messages == 1)
        .await;
    for bad in [
        json!([]),
        Value::Array(vec![json!({}); 101]),
        json!([{ "_clientRef": "1" }, {}]),
        json!([{ "_clientRef": "" }]),
        json!([{ "_clientRef": "1" }, { "_clientRef": "1" }]),
        json!([{ "surname": "x" }]),
    ] {
        assert_eq!(api.post("/v1/customers/bulk", bad).await.0, 400);
    }
}

#[tokio::test]
async fn one_customer_takes_so_many_creations_a_window() {
    let limits = LimitOptions {
        creations_per_customer: 2,
        ..LimitOptions::default()
    };
    let api = Api::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await;
    let (customer, other) = (
        api.customer("+491711234567").await,
        api.customer("+4915112345678").await,
    );
    let conversation = api.conversation(&customer, "1").await;
    api.conversation(&customer, "2").await;
    let path = format!("/v1/customers/{customer}/conversations");
    assert_eq!(api.post(&path, json!({})).await.0, 429);
    api.id(&path, json!({ "importedAt": "2026-01-01T00:00:00Z" }))
        .await;
    api.conversation(&other, "3").await;
    let notes = format!("/v1/conversations/{conversation}/notes");
    api.id(&notes, json!({ "body": "1" })).await;
    api.id(&notes, json!({ "body": "2" })).await;
    let imported = json!({ "body": "3", "importedAt": "2026-01-01T00:00:00Z" });
    assert_eq!(
        api.post(&notes, imported).await.0,
        429,
        "importedAt does not lift it for notes"
    );
}
