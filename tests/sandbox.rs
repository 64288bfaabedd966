//! The sandbox's rules over real sockets: envelope, keys, validation, uniqueness. `Api` is also what
//! the other sandbox tests speak through.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tieline::sandbox::{ApiKey, SANDBOX_KEY, Sandbox, SandboxOptions};

/// A sandbox and a plain HTTP client for it.
pub struct Api {
    pub sandbox: Sandbox,
    http: Client,
    pub key: String,
}

impl Api {
    pub async fn start(options: SandboxOptions) -> Api {
        Api {
            sandbox: Sandbox::start(options).await.expect("a sandbox"),
            http: Client::builder().no_proxy().build().expect("a client"),
            key: SANDBOX_KEY.to_owned(),
        }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.sandbox.url()))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    }

    /// Status and body; null when there is none.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await.expect("a reply");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        (status, body)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(body)).await
    }

    /// Creates, and returns the id.
    pub async fn id(&self, path: &str, body: Value) -> String {
        let (status, body) = self.post(path, body).await;
        assert_eq!(status, 201, "{body}");
        text(&body["data"]["id"])
    }

    pub async fn customer(&self, phone: &str) -> String {
        self.id("/v1/customers", json!({ "phones": [{ "phone": phone }] }))
            .await
    }

    pub async fn conversation(&self, customer: &str, external_id: &str) -> String {
        self.id(
            &format!("/v1/customers/{customer}/conversations"),
            json!({ "externalId": external_id }),
        )
        .await
    }
}

pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

pub fn error(body: &Value) -> &Value {
    &body["errors"][0]
}

#[tokio::test]
async fn only_a_known_key_with_the_role_gets_in() {
    let mut options = SandboxOptions::empty();
    options.keys.push(ApiKey {
        key: "reader".to_owned(),
        roles: vec![
            "org.permission.customer".to_owned(),
            "org.user.note.read".to_owned(),
        ],
    });
    let mut api = Api::start(options).await;
    assert_eq!(api.get("/v1/users/current").await.0, 200);
    api.key = "wrong".to_owned();
    assert_eq!(api.get("/v1/users/current").await.0, 401);
    api.key = "reader".to_owned();
    let (status, me) = api.get("/v1/users/current").await;
    assert_eq!(
        (status, &me["data"]["attributes"]["userType"]),
        (200, &json!("machine"))
    );
    let customer = api.customer("+491711234567").await;
    assert_eq!(api.get("/v1/notes").await.0, 200);
    let (status, body) = api
        .post(
            &format!("/v1/customers/{customer}/conversations"),
            json!({}),
        )
        .await;
    assert_eq!(status, 403);
    assert!(
        text(&error(&body)["detail"]).contains("org.permission.conversation.create"),
        "{body}"
    );
}

#[tokio::test]
async fn customers_are_found_updated_and_deleted() {
    let api = Api::start(SandboxOptions::empty()).await;
    let body = json!({
        "name": "Max Muster", "externalId": "crm 1/2", "company": "5f8481c6a22ab5b9d5f2dd00", "tags": ["phone"],
        "phones": [{ "type": "mobile", "phone": "+491711234567" }], "emails": [{ "email": "Max@Example.org" }],
    });
    let id = api.id("/v1/customers", body).await;
    for selector in [
        "phone=%2B491711234567",
        "email=max%40example.org",
        "externalId=crm%201%2F2",
        &id,
    ] {
        let (status, found) = api.get(&format!("/v1/customers/{selector}")).await;
        assert_eq!(
            (status, text(&found["data"]["id"])),
            (200, id.clone()),
            "{selector}"
        );
        let data = &found["data"];
        assert_eq!(data["attributes"]["rev"], 1);
        assert_eq!(
            data["attributes"]["phones"][0],
            json!({ "type": "mobile", "phone": "+491711234567", "verified": false, "id": null })
        );
        assert_eq!(
            data["relationships"]["company"]["data"]["id"],
            "5f8481c6a22ab5b9d5f2dd00"
        );
        assert_eq!(text(&data["attributes"]["tags"][0]).len(), 24);
    }
    let (status, body) = api.get("/v1/customers/phone=491711234567").await;
    assert_eq!((status, &error(&body)["code"]), (404, &json!("notfound")));

    let path = format!("/v1/customers/{id}");
    let (status, body) = api
        .ask("PATCH", &path, Some(json!({ "name": "Max M.", "rev": 1 })))
        .await;
    assert_eq!(
        (status, &body["data"]["attributes"]["rev"]),
        (200, &json!(2))
    );
    assert!(
        body["data"]["relationships"]["company"].is_null(),
        "an update without the company unlinks it"
    );
    assert_eq!(
        body["data"]["attributes"]["phones"][0]["phone"],
        "+491711234567"
    );
    assert_eq!(
        api.ask("PUT", &path, Some(json!({ "name": "Old", "rev": 1 })))
            .await
            .0,
        409
    );
    assert_eq!(api.ask("DELETE", &path, None).await, (204, Value::Null));
    assert_eq!(api.get(&path).await.0, 404);
    api.customer("+491711234567").await;
}

#[tokio::test]
async fn contact_values_are_unique_in_the_organisation() {
    for status in [400, 409] {
        let options = SandboxOptions {
            duplicate_status: status,
            ..SandboxOptions::empty()
        };
        let api = Api::start(options).await;
        let values = [
            json!({ "phones": [{ "phone": "+4915112345678" }] }),
            json!({ "emails": [{ "email": "ada@example.org" }] }),
            json!({ "whatsapps": [{ "phone": "+4915112345678" }] }),
            json!({ "externalId": "crm:1" }),
        ];
        for value in values {
            api.id("/v1/customers", value.clone()).await;
            assert_eq!(api.post("/v1/customers", value).await.0, status);
        }
        let shared = json!({ "sharedPhones": [{ "phone": "+4915112345678" }] });
        api.id("/v1/customers", shared.clone()).await;
        let other = api.id("/v1/customers", shared).await;
        let steal = json!({ "externalIds": [{ "externalId": "crm:1" }] });
        assert_eq!(
            api.ask("PUT", &format!("/v1/customers/{other}"), Some(steal))
                .await
                .0,
            status
        );
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_in_the_recorded_shape() {
    let options = SandboxOptions {
        custom: json!({ "conversation": { "callDurationNum": { "type": "number" }, "lineStr": { "type": "string", "enumeration": ["a"] } } }),
        ..SandboxOptions::empty()
    };
    let api = Api::start(options).await;
    let customer = api.customer("+491711234567").await;
    let path = format!("/v1/customers/{customer}/conversations");
    let (status, body) = api
        .post(&path, json!({ "custom": { "notAnActualAttribute": 1 } }))
        .await;
    assert_eq!(status, 400);
    let recorded = json!({ "errors": [{ "status": 400, "source": { "parameter": "notAnActualAttribute" }, "code": "badparam",
        "title": "Additional properties not allowed", "detail": "/properties/custom/additionalProperties" }] });
    assert_eq!(body, recorded);
    let conversation = api
        .id(
            &path,
            json!({ "custom": { "callDurationNum": 194, "lineStr": "a" } }),
        )
        .await;
    let notes = format!("/v1/conversations/{conversation}/notes");
    for (path, body) in [
        (
            path.as_str(),
            json!({ "custom": { "callDurationNum": "194" } }),
        ),
        (path.as_str(), json!({ "custom": { "lineStr": "b" } })),
        (path.as_str(), json!({ "status": "snoozed" })),
        (
            path.as_str(),
            json!({ "assignedUsers": ["5f8481c6a22ab5b9d5f2dd8a"] }),
        ),
        (path.as_str(), json!({ "customer": customer })),
        (path.as_str(), json!(["no object"])),
        (notes.as_str(), json!({ "body": "" })),
        (notes.as_str(), json!({ "body": "x".repeat(10_241) })),
        (notes.as_str(), json!({ "body": "x", "tags": [] })),
        ("/v1/customers", json!({ "phones": ["+491711234567"] })),
        (
            "/v1/customers",
            json!({ "phones": [{ "phone": "0171 1234567" }] }),
        ),
        (
            "/v1/messages",
            json!({ "channel": "voice", "app": "x", "direction": "in" }),
        ),
    ] {
        let (status, answer) = api.post(path, body.clone()).await;
        assert_eq!(status, 400, "{body}: {answer}");
    }
    let (_, metadata) = api.get("/v1/metadata/conversation").await;
    assert_eq!(
        metadata["data"]["attributes"]["properties"]["callDurationNum"]["type"],
        "number"
    );
}

#[tokio::test]
async fn bodies_that_are_no_proper_json_are_refused() {
    let api = Api::start(SandboxOptions::empty()).await;
    let long = json!({ "body": "x", "externalId": "y".repeat(110_000) });
    assert_eq!(api.post("/v1/notes", long).await.0, 413);
    let raw = api
        .http
        .post(format!("{}/v1/customers", api.sandbox.url()))
        .bearer_auth(&api.key);
    let no_type = raw
        .try_clone()
        .expect("no stream")
        .body("{}")
        .send()
        .await
        .expect("a reply");
    assert_eq!(no_type.status(), 400);
    let half = raw
        .header("content-type", "application/json")
        .body("{\"name\":")
        .send()
        .await
        .expect("a reply");
    assert_eq!(half.status(), 400);
    assert_eq!(api.get("/v1/nothing").await.0, 404);
}
