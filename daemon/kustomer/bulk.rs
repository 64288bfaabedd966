//! Many creates in one request, done later (Kustomer: Bulk operations). `client` sends; the items' bodies are those of
//! the single creates. The courier of a backlog uses it.
//!
//! Bulk is neither idempotent nor answered at once: 201 only says that a job was queued, the job tells per item what
//! became of it, and a lost reply leaves nothing to ask for. Who calls this keeps what was intended, and looks.

use super::client::{Client, PAGE_ROWS, one, segment};
use super::conversations::{
    NewConversation, NewMessage, NewNote, conversation_body, message_body, note_body,
};
use super::customers::{NewCustomer, customer_body};
use super::fault::{KustomerFault, scrub};
use super::wire::Record;
use crate::terms::ids::{ConversationId, CustomerId};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Most items of one request. Source: Kustomer: Bulk operations.
pub const ITEMS_MAX: usize = 100;

/// Largest body. Kustomer refuses more than 100 kB without saying which kB: this is below either, brackets included.
pub const BODY_BYTES_MAX: usize = 96_000;

/// A job of 100 items has one batch or a few; this many pages of them are something else's.
const BATCH_PAGES_MAX: u32 = 3;

/// What a bulk request creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Customers,
    Conversations,
    Notes,
    Messages,
}

impl Kind {
    /// Route for counters, and path.
    const fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("POST /v1/customers/bulk", "/v1/customers/bulk"),
            Self::Conversations => ("POST /v1/conversations/bulk", "/v1/conversations/bulk"),
            Self::Notes => ("POST /v1/notes/bulk", "/v1/notes/bulk"),
            Self::Messages => ("POST /v1/messages/bulk", "/v1/messages/bulk"),
        }
    }
}

/// One create of a bulk request, as it is sent.
#[derive(Clone, Debug)]
pub struct Item {
    body: Value,
    bytes: usize,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not begun, or not done.
    Running,
    /// Done; "complete" doesn't mean success (Kustomer: Bulk operations).
    Complete,
    /// In a state that isn't documented: nothing more is to be learned of it.
    Odd(String),
}

/// What a job says of one of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The new record's id.
    Created(String),
    /// In Kustomer's words, made fit for logs.
    Failed(String),
}

impl Item {
    pub fn customer(number: usize, new: &NewCustomer) -> Self {
        Self::customer_as(number, customer_body(new))
    }

    /// Of a body made elsewhere.
    pub fn customer_as(number: usize, body: Value) -> Self {
        Self::new(number, body, None)
    }

    pub fn conversation(number: usize, customer: &CustomerId, new: &NewConversation) -> Self {
        let of = Some(("customer", customer.0.as_str()));
        Self::new(number, conversation_body(new), of)
    }

    pub fn note(number: usize, conversation: &ConversationId, new: &NewNote) -> Self {
        let of = Some(("conversation", conversation.0.as_str()));
        Self::new(number, note_body(new), of)
    }

    pub fn message(number: usize, conversation: &ConversationId, new: &NewMessage) -> Self {
        let of = Some(("conversation", conversation.0.as_str()));
        Self::new(number, message_body(new), of)
    }

    /// `of` names whose it is: a single create has that in its path.
    fn new(number: usize, mut body: Value, of: Option<(&str, &str)>) -> Self {
        if let Value::Object(fields) = &mut body {
            fields.insert("_clientRef".to_owned(), json!(number.to_string()));
            if let Some((name, id)) = of {
                fields.insert(name.to_owned(), json!(id));
            }
        }
        // With the comma that follows it.
        let bytes = body.to_string().len() + 1;
        Self { body, bytes }
    }

    /// What it takes up in a request.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Client {
    /// Starts a job that creates these items, `ITEMS_MAX` and `BODY_BYTES_MAX` at most; the job's id. Refused as a whole
    /// if one item breaks the schema.
    pub async fn start_bulk(&self, kind: Kind, items: &[Item]) -> Result<String, KustomerFault> {
        let (route, path) = kind.path();
        let body = items.iter().map(|item| item.body.clone()).collect();
        Ok(self.post(route, path.to_owned(), body).await?.id)
    }

    /// How far a job is.
    pub async fn bulk_job(&self, job: &str) -> Result<JobState, KustomerFault> {
        let path = format!("/v1/bulk/{}", segment(job));
        let reply = self.get("GET /v1/bulk/{id}", path).await?;
        one(reply).map(|record| state(&record))
    }

    /// What a job says of its items, by their number; an item that isn't there wasn't mentioned. One request for each
    /// 100 batches.
    pub async fn bulk_results(&self, job: &str) -> Result<HashMap<usize, Told>, KustomerFault> {
        let path = format!(
            "/v1/bulk/{}/batches?page=1&pageSize={PAGE_ROWS}",
            segment(job)
        );
        let batches = self
            .list("GET /v1/bulk/{id}/batches", path, BATCH_PAGES_MAX)
            .await?;
        Ok(results(&batches))
    }
}

fn state(record: &Record) -> JobState {
    match record.text("status") {
        Some("complete") => JobState::Complete,
        _ if record.flag("completed") => JobState::Complete,
        None | Some("queued" | "scheduled" | "running") => JobState::Running,
        Some(other) => JobState::Odd(scrub(other)),
    }
}

/// An item told twice counts as created if one of the two says so: looking for it would find it.
fn results(batches: &[Record]) -> HashMap<usize, Told> {
    let mut told: HashMap<usize, Told> = HashMap::new();
    for result in batches.iter().flat_map(|batch| batch.items("results")) {
        let text = |name: &str| result.get(name).and_then(Value::as_str);
        let Some(number) = text("_clientRef").and_then(|number| number.parse().ok()) else {
            continue;
        };
        let id = text("objectId").filter(|id| !id.is_empty());
        match (text("status"), id) {
            (Some("created"), Some(id)) => {
                told.insert(number, Told::Created(id.to_owned()));
            }
            (Some("error"), _) => {
                let why = scrub(text("error").unwrap_or("no reason given"));
                told.entry(number).or_insert(Told::Failed(why));
            }
            // Neither an id nor an error: as good as not mentioned.
            (Some(_) | None, _) => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kustomer::wire;

    fn records(body: &Value) -> Vec<Record> {
        wire::read(body.to_string().as_bytes()).unwrap().records
    }

    #[test]
    fn a_job_is_complete_only_when_it_says_so() {
        for (attributes, wanted) in [
            (json!({"status": "queued"}), JobState::Running),
            (
                json!({"status": "running", "completed": false}),
                JobState::Running,
            ),
            (json!({"status": "complete"}), JobState::Complete),
            (json!({"completed": true}), JobState::Complete),
            (json!({}), JobState::Running),
            (json!({"status": 7}), JobState::Running),
            (json!({"status": "failed"}), JobState::Odd("failed".into())),
        ] {
            let job =
                records(&json!({"data": {"type": "bulk", "id": "b", "attributes": attributes}}));
            assert_eq!(state(&job[0]), wanted, "{attributes}");
        }
    }

    #[test]
    fn results_are_read_over_batches_and_only_what_is_said_counts() {
        let batches = records(&json!({"data": [
            {"id": "1", "attributes": {"results": [
                {"_clientRef": "0", "objectId": "a", "status": "created"},
                {"_clientRef": "1", "status": "error", "error": "phone +4915112345678 taken"},
                {"_clientRef": "2", "status": "created"},
                {"_clientRef": "3", "objectId": "d", "status": "updated"},
                {"_clientRef": "x", "objectId": "e", "status": "created"},
                {"objectId": "f", "status": "created"}, 7,
            ]}},
            {"id": "2", "attributes": {"results": [
                {"_clientRef": "1", "objectId": "b", "status": "created"},
                {"_clientRef": "0", "status": "error"},
                {"_clientRef": "4", "status": "error"},
                {"_clientRef": "5", "status": "error", "error": "phone +4915112345678 taken"},
            ]}},
            {"id": "3", "attributes": {"objectIds": ["z"]}},
        ]}));
        let told = results(&batches);
        let failed = |why: &str| Told::Failed(why.into());
        assert_eq!(
            told,
            [
                (0, Told::Created("a".into())),
                (1, Told::Created("b".into())),
                (4, failed("no reason given")),
                (5, failed("phone … taken")),
            ]
            .into()
        );
    }

    #[test]
    fn an_item_is_the_single_body_with_a_reference_and_an_owner() {
        let note = NewNote {
            external_id: "tieline:hq:a1:note".into(),
            body: "n".into(),
        };
        let item = Item::note(3, &ConversationId("c".into()), &note);
        let wanted = json!({"externalId": "tieline:hq:a1:note", "body": "n", "conversation": "c", "_clientRef": "3"});
        assert_eq!(item.body, wanted);
        assert_eq!(item.bytes(), wanted.to_string().len() + 1);
    }
}
