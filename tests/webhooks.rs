//! Kustomer's outbound webhooks over real sockets: the sandbox posts, the program takes, repeats and strangers change nothing.

use super::support::{Config, PATIENCE, World};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tieline::cli::ask;
use tieline::sandbox::{ApiKey, SANDBOX_KEY, SandboxOptions, WebhookOptions};
use tokio::net::TcpStream;

fn config() -> Config {
    Config::kustomer("webhook = { secret_file = \"hook\" }\nretry = [\"20ms\"]")
}

fn options(webhooks: WebhookOptions) -> SandboxOptions {
    SandboxOptions {
        webhooks,
        ..SandboxOptions::empty()
    }
}

fn quick() -> WebhookOptions {
    WebhookOptions {
        minute: Duration::from_millis(20),
        ..WebhookOptions::default()
    }
}

fn url(world: &World) -> String {
    format!("http://{}", world.place.listen)
}

fn event(id: &str, customer: &str) -> String {
    json!({"id": id, "name": "kustomer.customer.update", "data": {"id": customer}}).to_string()
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let digits = mac.finalize().into_bytes();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn post(world: &World, name: &str, signature: Option<&str>, body: &str) -> u16 {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/kustomer/{name}/webhook"))
        .header("host", "tieline");
    if let Some(signature) = signature {
        request = request.header("x-kustomer-webhook-signature", signature);
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let stream = TcpStream::connect(world.place.listen).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, ask::send(stream, request)).await;
    answer.unwrap().unwrap().status.as_u16()
}

fn hook(status: &Value) -> &Value {
    &status["integrations"][0]["webhook"]
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_events_are_taken_once_and_wait_over_a_restart() {
    let world = World::start(&config()).await;
    fs::write(world.place.folder.join("hook"), "s3cret\n").unwrap();
    let daemon = world.place.start().await;
    let body = event("e1", "c1");
    let good = sign("s3cret", &body);
    for (name, signature, body, status) in [
        ("support", None, body.as_str(), 401),
        ("support", Some(sign("other", &body)), &body, 401),
        ("support", Some(good.clone()), &event("e1", "c2"), 401),
        ("support", Some("zz".to_owned()), &body, 401),
        ("nobody", Some(good.clone()), &body, 404),
    ] {
        let answered = post(&world, name, signature.as_deref(), body).await;
        assert_eq!(answered, status, "{name} {signature:?} {body}");
    }
    let status = world.place.status().await;
    assert_eq!(hook(&status)["waiting"], 0);
    assert_eq!(hook(&status)["since_start"]["unproven"], 4);
    // Taken once, however often it comes; another event of the same customer doesn't make it wait twice.
    for (id, customer) in [("e1", "c1"), ("e1", "c1"), ("e2", "c1"), ("e3", "c3")] {
        let body = event(id, customer);
        let signature = sign("s3cret", &body);
        assert_eq!(post(&world, "support", Some(&signature), &body).await, 202);
    }
    let other =
        json!({"id": "e4", "name": "kustomer.user.update", "data": {"id": "u"}}).to_string();
    for body in [other.as_str(), "no JSON"] {
        let signature = sign("s3cret", body);
        assert_eq!(post(&world, "support", Some(&signature), body).await, 202);
    }
    let status = world.place.status().await;
    let counts = &hook(&status)["since_start"];
    assert_eq!(
        (&counts["accepted"], &counts["repeated"], &counts["other"]),
        (&json!(3), &json!(1), &json!(2))
    );
    assert_eq!(hook(&status)["waiting"], 2);
    daemon.kill();
    let _daemon = world.place.start().await;
    assert_eq!(hook(&world.place.status().await)["waiting"], 2);
    assert_eq!(post(&world, "support", Some(&good), &body).await, 202);
    let status = world.place.status().await;
    assert_eq!(hook(&status)["since_start"]["repeated"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_it_takes_what_kustomer_posts_twice_and_in_any_order() {
    let webhooks = WebhookOptions {
        duplicate: true,
        reorder: true,
        ..quick()
    };
    let world = World::with(&config(), options(webhooks)).await;
    let url = url(&world);
    let install = ["webhook", "install", "--url", &url];
    let done = world.place.cli(&install).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let registered = world.sandbox.webhooks();
    let token = registered[0]["attributes"]["token"].as_str().unwrap();
    let file = world.place.folder.join("hook");
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{done:?}").contains(token));
    // Again changes nothing.
    assert_eq!(world.place.cli(&install).await.code, Some(0));
    assert_eq!(world.sandbox.webhooks(), registered);
    let daemon = world.place.start().await;
    for name in ["Ann One", "Ben Two"] {
        world.sandbox.seed_customer(json!({"name": name})).unwrap();
    }
    let status = daemon
        .until("two customers wait, each told twice", |status| {
            let counts = &hook(status)["since_start"];
            counts["accepted"] == 2 && counts["repeated"] == 2
        })
        .await;
    assert_eq!(hook(&status)["waiting"], 2);
    let posts = world.sandbox.webhook_posts();
    assert!(
        posts.iter().all(|post| post.status == Some(202)),
        "{posts:?}"
    );
    let gone = world.place.cli(&["webhook", "remove"]).await;
    assert_eq!(gone.code, Some(0), "{gone:?}");
    assert!(world.sandbox.webhooks().is_empty());
    assert_eq!(world.place.cli(&["webhook", "show"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_kustomer_turned_off_is_seen_and_turned_on_again() {
    let webhooks = WebhookOptions {
        failures_max: 3,
        ..quick()
    };
    let world = World::with(&config(), options(webhooks)).await;
    let url = url(&world);
    let install = ["webhook", "install", "--url", &url];
    assert_eq!(world.place.cli(&install).await.code, Some(0));
    // Nobody listens.
    world
        .sandbox
        .seed_customer(json!({"name": "Ann One"}))
        .unwrap();
    world
        .sandbox
        .wait_until(|counts| counts.webhook_posts == 3)
        .await;
    let daemon = world.place.start().await;
    daemon
        .until("the webhook is seen to be off", |status| {
            hook(status)["at_kustomer"] == "disabled"
        })
        .await;
    let shown = world.place.cli(&["status"]).await;
    assert!(
        shown.out.contains("turned the webhook off"),
        "{}",
        shown.out
    );
    assert_eq!(world.place.cli(&install).await.code, Some(0));
    assert_eq!(world.place.cli(&["webhook", "show"]).await.code, Some(0));
    assert_eq!(world.sandbox.webhooks().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let mut sandbox = options(quick());
    sandbox.keys = vec![ApiKey {
        key: SANDBOX_KEY.to_owned(),
        roles: vec!["org.permission.outbound_webhook.read".to_owned()],
    }];
    let world = World::with(&config(), sandbox).await;
    let no_url = world.place.cli(&["webhook", "install"]).await;
    assert_eq!(no_url.code, Some(78), "{no_url:?}");
    let url = url(&world);
    let refused = world
        .place
        .cli(&["webhook", "install", "--url", &url])
        .await;
    assert_eq!(refused.code, Some(1));
    let role = "org.permission.outbound_webhook.create";
    assert!(refused.err.contains(role), "{refused:?}");
    assert!(!world.place.folder.join("hook").exists());
}
