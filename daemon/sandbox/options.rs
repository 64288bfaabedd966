//! What can be chosen about a sandbox, and the counts that can be waited for. Read by all of the sandbox; made by
//! tests, the demo and the command line.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::limits::LimitOptions;
use super::webhooks::WebhookOptions;

/// An API key and what it may do; a broad role (`org`, `org.permission`) holds all below it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub key: String,
    pub roles: Vec<String>,
}

/// How a sandbox is set up. Where the real Kustomer's behaviour is not documented there is a switch.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: String,
    pub keys: Vec<ApiKey>,
    pub limits: LimitOptions,
    /// How long a write stays invisible to search; about a minute at Kustomer.
    pub search_lag: Duration,
    /// From a bulk request to its job being complete.
    pub bulk_delay: Duration,
    /// Status for a phone, e-mail, externalId or id that is taken: 400 or 409.
    pub duplicate_status: u16,
    /// Whether conversations, notes and messages may not share an externalId within their kind.
    pub unique_external_ids: bool,
    /// Whether an inbound message opens a done conversation.
    pub reopen_on_inbound: bool,
    /// Whether a `rev` that is not the current one is refused with 409.
    pub check_rev: bool,
    /// Whether `GET /v1/customers` obeys `filter[updatedAt]…`; when not, it ignores it.
    pub list_filters: bool,
    pub webhooks: WebhookOptions,
    /// Whether there is an archive search, for what wasn't updated in the last two years.
    pub archive: bool,
    /// What reading a customer gives that was merged into another.
    pub merged_read: MergedRead,
    /// Whether a list in an update replaces the one that is held; when not, it is added to it.
    pub lists_replace: bool,
    /// Whether search tells how many rows there are.
    pub search_totals: bool,
    /// Custom attributes: `{"customer": {"planStr": {"type": "string", "enumeration": [...]}}, ...}`.
    pub custom: Value,
    /// Users and customers to begin with, as their create bodies.
    pub users: Vec<Value>,
    pub customers: Vec<Value>,
    /// Seed of ids and of the faults' chances.
    pub seed: u64,
    /// The time of day at its start; none: that of this machine. Goes on with the runtime's clock.
    pub started_at: Option<Timestamp>,
    /// Whether replies tell the time (`Date`), as HTTP wants it of those that have a clock.
    pub tells_time: bool,
}

/// How a customer reads that was merged into another: not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedRead {
    /// 404, as a deleted one.
    NotFound,
    /// The customer it was merged into.
    Target,
    /// Itself, with `deleted`.
    Deleted,
}

/// The key of a default sandbox.
pub const SANDBOX_KEY: &str = "sandbox-key";

impl SandboxOptions {
    /// A free loopback port, one key with every role, nothing inside, no search lag, bulk jobs done at once: for tests.
    pub fn empty() -> SandboxOptions {
        SandboxOptions {
            listen: "127.0.0.1:0".to_owned(),
            keys: vec![ApiKey {
                key: SANDBOX_KEY.to_owned(),
                roles: vec!["org".to_owned()],
            }],
            limits: LimitOptions::default(),
            search_lag: Duration::ZERO,
            bulk_delay: Duration::ZERO,
            duplicate_status: 409,
            unique_external_ids: false,
            reopen_on_inbound: false,
            check_rev: true,
            list_filters: true,
            webhooks: WebhookOptions::default(),
            archive: true,
            merged_read: MergedRead::NotFound,
            lists_replace: true,
            search_totals: true,
            custom: json!({}),
            users: Vec::new(),
            customers: Vec::new(),
            seed: 1,
            started_at: None,
            tells_time: true,
        }
    }
}

impl Default for SandboxOptions {
    /// 127.0.0.1:9000 with a few people in it: for the demo and for trying things out.
    fn default() -> SandboxOptions {
        let customer = |name: &str, phone: &str, email: &str| {
            json!({
                "name": name,
                "phones": [{ "type": "mobile", "phone": phone }],
                "emails": [{ "type": "work", "email": email }],
            })
        };
        SandboxOptions {
            listen: "127.0.0.1:9000".to_owned(),
            search_lag: Duration::from_secs(1),
            bulk_delay: Duration::from_secs(1),
            users: vec![
                json!({ "name": "Grace", "email": "grace@example.org" }),
                json!({ "name": "Alan", "email": "alan@example.org" }),
            ],
            customers: vec![
                customer("Ada Example", "+4915112345678", "ada@example.org"),
                customer("Max Muster", "+491711234567", "max@example.org"),
                customer("Erika Beispiel", "+493012345678", "erika@example.org"),
                customer("Jean Exemple", "+33612345678", "jean@example.org"),
            ],
            ..SandboxOptions::empty()
        }
    }
}

/// How much a sandbox holds; what `Sandbox::wait_until` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub requests: u64,
    pub customers: usize,
    pub conversations: usize,
    pub notes: usize,
    pub messages: usize,
    /// Tries to deliver a webhook.
    pub webhook_posts: usize,
}
