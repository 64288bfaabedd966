//! The sandbox's faults, budgets and counters over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use tieline::sandbox::{Fault, FaultKind, LimitOptions, Sandbox, SandboxOptions, serve};

use crate::sandbox::{Api, text};

async fn with(fault: Fault) -> (Api, String) {
    let api = Api::start(SandboxOptions::empty()).await;
    let customer = api.customer("+491711234567").await;
    assert!(api.sandbox.add_fault(fault));
    let path = format!("/v1/customers/{customer}/conversations");
    (api, path)
}

fn on_create(kind: FaultKind) -> Fault {
    Fault::on("/v1/customers/*/conversations", kind)
        .method("POST")
        .times(1)
}

#[tokio::test]
async fn a_status_fault_does_nothing_and_says_what_it_is_told() {
    let kind = FaultKind::Status {
        status: 503,
        body: Some(json!({ "errors": [] })),
        headers: [("Retry-After".to_owned(), "7".to_owned())].into(),
    };
    let (api, path) = with(on_create(kind).after(1)).await;
    assert_eq!(api.post(&path, json!({})).await.0, 201, "the first passes");
    let reply = api
        .send("POST", &path, Some(json!({})))
        .await
        .expect("a reply");
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["retry-after"]),
        (503, &"7".parse().expect("a value"))
    );
    assert_eq!(reply.text().await.expect("a body"), r#"{"errors":[]}"#);
    assert_eq!(api.post(&path, json!({})).await.0, 201, "once only");
    assert_eq!(api.sandbox.conversations().len(), 2);
}

#[tokio::test]
async fn closing_before_does_nothing_and_closing_after_has_done_it() {
    for (kind, done) in [(FaultKind::CloseBefore, 0), (FaultKind::CommitThenClose, 1)] {
        let (api, path) = with(on_create(kind)).await;
        let error = api
            .send("POST", &path, Some(json!({})))
            .await
            .expect_err("no reply");
        assert!(error.is_request(), "{error:?}");
        assert_eq!(api.sandbox.conversations().len(), done);
    }
}

#[tokio::test]
async fn an_error_after_the_commit_has_done_it() {
    let (api, path) = with(on_create(FaultKind::CommitThenStatus { status: 500 })).await;
    assert_eq!(api.post(&path, json!({})).await, (500, Value::Null));
    assert_eq!(api.sandbox.conversations().len(), 1);
}

#[tokio::test]
async fn a_delayed_request_lands_even_when_its_sender_has_left() {
    let (api, path) = with(on_create(FaultKind::Delay { ms: 100 })).await;
    tokio::select! {
        biased;
        _ = api.sandbox.wait_until(|counts| counts.requests == 2) => {}
        reply = api.send("POST", &path, Some(json!({}))) => panic!("not delayed: {reply:?}"),
    }
    api.sandbox
        .wait_until(|counts| counts.conversations == 1)
        .await;
}

#[tokio::test]
async fn a_delayed_reply_comes_after_the_commit() {
    let (api, path) = with(on_create(FaultKind::CommitThenDelay { ms: 100 })).await;
    let reply = api.send("POST", &path, Some(json!({})));
    let (reply, counts) = tokio::join!(
        reply,
        api.sandbox.wait_until(|counts| counts.conversations == 1)
    );
    assert_eq!(counts.conversations, 1);
    assert_eq!(reply.expect("a late reply").status(), 201);
}

#[tokio::test]
async fn garbage_is_a_web_page_with_any_status() {
    for (status, commit) in [(200, false), (502, true)] {
        let (api, path) = with(on_create(FaultKind::Garbage { status, commit })).await;
        let reply = api
            .send("POST", &path, Some(json!({})))
            .await
            .expect("a reply");
        assert_eq!(reply.status().as_u16(), status);
        assert_eq!(reply.headers()["content-type"], "text/html");
        assert!(reply.text().await.expect("a body").starts_with("<html>"));
        assert_eq!(api.sandbox.conversations().len(), usize::from(commit));
    }
}

#[tokio::test]
async fn a_cut_reply_breaks_off_inside_its_body() {
    let (api, path) = with(on_create(FaultKind::Cut)).await;
    let reply = api
        .send("POST", &path, Some(json!({})))
        .await
        .expect("a head");
    assert_eq!(reply.status(), 201);
    assert!(reply.content_length().is_some_and(|length| length > 100));
    assert!(reply.text().await.is_err());
    assert_eq!(api.sandbox.conversations().len(), 1);
}

#[tokio::test]
async fn budgets_are_told_and_enforced_per_window() {
    let limits = LimitOptions {
        requests: 3,
        searches: 1,
        ..LimitOptions::default()
    };
    let api = Api::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await;
    let search = json!({ "queryContext": "customer" });
    assert_eq!(
        api.post("/v1/customers/search", search.clone()).await.0,
        200
    );
    assert_eq!(api.post("/v1/customers/search", search).await.0, 429);
    let last = api.send("GET", "/v1/nothing", None).await.expect("a reply");
    assert_eq!(
        (
            &last.headers()["x-ratelimit-limit"],
            &last.headers()["x-ratelimit-remaining"]
        ),
        (
            &"3".parse().expect("a value"),
            &"0".parse().expect("a value")
        )
    );
    let over = api
        .send("GET", "/v1/customers", None)
        .await
        .expect("a reply");
    assert_eq!(over.status(), 429);
    let reset: i64 = over.headers()["x-ratelimit-reset"]
        .to_str()
        .expect("text")
        .parse()
        .expect("epoch seconds");
    let now = tieline::clock::now().as_second();
    assert!((now..=now + 61).contains(&reset), "{reset} at {now}");
    let requests = api.sandbox.requests();
    assert_eq!((requests.total, requests.limited), (4, 2));
    assert_eq!(requests.most_within(Duration::from_secs(60)), 4);
}

#[tokio::test]
async fn a_window_ends_and_the_reset_header_may_be_missing() {
    let limits = LimitOptions {
        window: Duration::from_millis(50),
        requests: 1,
        ..LimitOptions::default()
    };
    let api = Api::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await;
    assert_eq!(api.get("/v1/customers").await.0, 200);
    while api.get("/v1/customers").await.0 != 200 {}

    let limits = LimitOptions {
        requests: 0,
        send_reset: false,
        ..limits
    };
    let api = Api::start(SandboxOptions {
        limits,
        ..SandboxOptions::empty()
    })
    .await;
    let over = api
        .send("GET", "/v1/customers", None)
        .await
        .expect("a reply");
    assert_eq!(
        (
            over.status().as_u16(),
            over.headers().get("x-ratelimit-reset")
        ),
        (429, None)
    );
}

#[tokio::test]
async fn administrators_set_faults_and_read_counters_over_http() {
    let api = Api::start(SandboxOptions::empty()).await;
    let seed = json!({ "users": [{ "name": "Alan", "email": "alan@example.org" }], "customers": [{ "name": "Ada" }] });
    let (status, seeded) = api.post("/_sandbox/seed", seed).await;
    assert_eq!(status, 201, "{seeded}");
    let customer = text(&seeded["customers"][0]);
    let faults = json!([
        { "method": "GET", "path": "/v1/customers", "count": 1, "kind": "status", "status": 500 },
        { "path": "/v1/notes", "kind": "close_before" },
    ]);
    let (status, faults) = api.post("/_sandbox/faults", faults).await;
    assert_eq!(status, 201, "{faults}");
    assert_eq!(api.get(&format!("/v1/customers/{customer}")).await.0, 500);
    assert_eq!(api.get(&format!("/v1/customers/{customer}")).await.0, 200);
    assert_eq!(api.get("/_sandbox/faults").await.1[0]["fired"], 1);
    assert!(api.send("GET", "/v1/notes", None).await.is_err());
    assert_eq!(api.ask("DELETE", "/_sandbox/faults", None).await.0, 204);
    assert_eq!(api.get("/v1/notes").await.0, 200);
    for bad in [
        json!({ "path": "/", "kind": "explode" }),
        json!({ "path": "/", "kind": "delay" }),
    ] {
        assert_eq!(api.post("/_sandbox/faults", bad).await.0, 400);
    }
    let (_, requests) = api.get("/_sandbox/requests").await;
    assert_eq!(requests["by_route"]["GET /v1/customers/{id}"], 2);
    assert_eq!(
        api.sandbox.requests().count("GET /v1/notes"),
        requests["by_route"]["GET /v1/notes"]
            .as_u64()
            .expect("a count")
    );
    assert_eq!(
        api.get("/_sandbox/dump").await.1["customers"][0]["id"],
        customer
    );
    assert_eq!(api.get("/_sandbox/counts").await.1["customers"], 1);
    api.ask("DELETE", "/_sandbox/requests", None).await;
    assert_eq!(api.sandbox.requests().total, 0);
}

#[tokio::test]
async fn a_sandbox_ends_with_its_handle() {
    let sandbox = Sandbox::start(SandboxOptions {
        listen: "127.0.0.1:0".to_owned(),
        ..SandboxOptions::default()
    })
    .await
    .expect("a sandbox");
    assert_eq!(sandbox.customers()[1]["attributes"]["name"], "Max Muster");
    let listen = sandbox.url().trim_start_matches("http://").to_owned();
    let taken = serve(SandboxOptions {
        listen: listen.clone(),
        ..SandboxOptions::empty()
    })
    .await;
    assert!(taken.is_err(), "the address is in use");
    let open = SandboxOptions {
        listen: "0.0.0.0:0".to_owned(),
        ..SandboxOptions::empty()
    };
    assert!(serve(open).await.is_err(), "loopback only");
    sandbox.shutdown().await;
    assert!(tokio::net::TcpStream::connect(&listen).await.is_err());
}

#[tokio::test]
async fn a_bulk_job_goes_wrong_where_its_request_was_struck() {
    let items = || json!([{ "_clientRef": "0", "name": "A" }, { "_clientRef": "1", "name": "B" }, { "_clientRef": "2", "name": "C" }]);
    // What the job tells: how many created, how many failed; and how many customers there are.
    for (kind, told, made) in [
        (
            FaultKind::BulkItems {
                every: 2,
                commit: false,
            },
            Some((1, 2)),
            1,
        ),
        (
            FaultKind::BulkItems {
                every: 2,
                commit: true,
            },
            Some((1, 2)),
            3,
        ),
        (FaultKind::BulkSilent, Some((0, 0)), 3),
        (FaultKind::BulkVanish, None, 3),
    ] {
        let api = Api::start(SandboxOptions::empty()).await;
        let shown = format!("{kind:?}");
        api.sandbox
            .add_fault(Fault::on("/v1/customers/bulk", kind).times(1));
        let (status, job) = api.post("/v1/customers/bulk", items()).await;
        assert_eq!(status, 201, "{shown}");
        api.sandbox
            .wait_until(|counts| counts.customers == made)
            .await;
        let path = format!("/v1/bulk/{}", text(&job["data"]["id"]));
        let seen = api.get(&path).await.0;
        assert_eq!(seen, if told.is_some() { 200 } else { 404 }, "{shown}");
        let batches = api.get(&format!("{path}/batches")).await.1;
        let results = batches["data"][0]["attributes"]["results"].as_array();
        let of = |status: &str| {
            let results = results.into_iter().flatten();
            results.filter(|result| result["status"] == status).count()
        };
        assert_eq!(
            (of("created"), of("error")),
            told.unwrap_or_default(),
            "{shown}"
        );
    }
    let api = Api::start(SandboxOptions::empty()).await;
    api.sandbox.add_fault(Fault::on(
        "/v1/customers/bulk",
        FaultKind::BulkDelay { ms: 60_000 },
    ));
    let (_, job) = api.post("/v1/customers/bulk", items()).await;
    let path = format!("/v1/bulk/{}", text(&job["data"]["id"]));
    let shown = api.get(&path).await.1;
    assert_eq!(shown["data"]["attributes"]["completed"], false);
    assert_eq!(api.sandbox.counts().customers, 0);
}
