//! Kustomer's outbound webhooks: what it posts to us of its own accord. Source: Kustomer: Outbound webhooks.

use super::client::{Ask, Client, PAGE_ROWS, one, segment};
use super::fault::KustomerFault;
use super::wire::Record;
use hyper::Method;
use secrecy::SecretString;
use serde_json::json;

/// An organisation has five of its own, and those of apps.
const PAGES_MAX: u32 = 5;

/// Reading webhooks needs one of these.
pub const READ_ROLE: &str = "org.permission.outbound_webhook.read";
/// Creating one needs this.
pub const CREATE_ROLE: &str = "org.permission.outbound_webhook.create";
/// Removing one needs this.
pub const DELETE_ROLE: &str = "org.permission.outbound_webhook.delete";
/// Webhooks that an organisation may create (Kustomer: Application limits).
pub const WEBHOOKS_MAX: usize = 5;

/// One of them.
#[derive(Clone, Debug)]
pub struct OutboundWebhook {
    pub id: String,
    pub name: String,
    pub url: String,
    pub events: Vec<String>,
    /// False only if Kustomer says so: it turned it off, or somebody did.
    pub enabled: bool,
    /// What it signs with; lists may leave it out.
    pub token: Option<SecretString>,
}

impl Client {
    /// All of the organisation.
    pub async fn outbound_webhooks(&self) -> Result<Vec<OutboundWebhook>, KustomerFault> {
        let path = format!("/v1/outbound-webhooks?page=1&pageSize={PAGE_ROWS}");
        let records = self
            .list("GET /v1/outbound-webhooks", path, PAGES_MAX)
            .await?;
        Ok(records.iter().map(webhook).collect())
    }

    /// One, with its token.
    pub async fn outbound_webhook(&self, id: &str) -> Result<OutboundWebhook, KustomerFault> {
        let path = format!("/v1/outbound-webhooks/{}", segment(id));
        let reply = self.get("GET /v1/outbound-webhooks/{id}", path).await?;
        one(reply).map(|record| webhook(&record))
    }

    /// Creates one; sent once, for it has nothing that would show a double.
    pub async fn create_outbound_webhook(
        &self,
        name: &str,
        url: &str,
        events: &[&str],
    ) -> Result<OutboundWebhook, KustomerFault> {
        let body = json!({"name": name, "url": url, "events": events});
        let path = "/v1/outbound-webhooks".to_owned();
        let record = self.post("POST /v1/outbound-webhooks", path, body).await?;
        Ok(webhook(&record))
    }

    /// Removes one; nothing to do if it is gone already.
    pub async fn delete_outbound_webhook(&self, id: &str) -> Result<(), KustomerFault> {
        let ask = Ask {
            route: "DELETE /v1/outbound-webhooks/{id}",
            method: Method::DELETE,
            path: format!("/v1/outbound-webhooks/{}", segment(id)),
            body: None,
            search: false,
        };
        match self.send(&ask).await {
            // What a removal answers with isn't documented.
            Ok(_)
            | Err(
                KustomerFault::NotFound
                | KustomerFault::Garbled {
                    status: 200..=299, ..
                },
            ) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

fn webhook(record: &Record) -> OutboundWebhook {
    let text = |name: &str| record.text(name).unwrap_or_default().to_owned();
    let events = record.items("events");
    OutboundWebhook {
        id: record.id.clone(),
        name: text("name"),
        url: text("url"),
        events: events
            .filter_map(|event| event.as_str().map(str::to_owned))
            .collect(),
        enabled: !record.denies("enabled"),
        token: record.text("token").map(SecretString::from),
    }
}
