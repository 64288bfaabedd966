//! Conversations, their notes and messages: what a logged call or text becomes. Each method is one request unless it
//! says otherwise. Source: Kustomer: Conversations; Notes; Messages.

use super::client::{Client, PAGE_ROWS, found, one, segment, time};
use super::fault::KustomerFault;
use super::text;
use super::wire::Record;
use crate::terms::call::Direction;
use crate::terms::ids::{ConversationId, CustomerId, TeamId, UserId};
use crate::terms::number::E164;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Names this integration in messages. Source: Kustomer: Create message (`app`, one stable name).
const APP: &str = "tieline";
/// A conversation of ours has one note; this many pages are somebody else's.
const NOTE_PAGES_MAX: u32 = 10;
/// Of users, and of teams.
const ASSIGNED_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Open,
    Done,
}

impl Status {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}

/// What is read of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub external_id: Option<String>,
    pub customer: Option<CustomerId>,
    /// `open`, `snoozed` or `done`, as sent.
    pub status: Option<String>,
    pub deleted: bool,
}

/// A conversation to create. Names, tags and users are cut to what Kustomer takes; `external_id` (at most 256
/// characters) is sent as it is, a shortened one would name something else.
#[derive(Clone, Debug, PartialEq)]
pub struct NewConversation {
    pub external_id: String,
    pub name: String,
    /// `Internal` is sent as none.
    pub direction: Direction,
    pub status: Status,
    pub created_at: Option<Timestamp>,
    pub assigned_users: Vec<UserId>,
    pub assigned_teams: Vec<TeamId>,
    pub tags: Vec<String>,
    /// Defined custom attributes only: an unknown one gets the whole conversation rejected.
    pub custom: Map<String, Value>,
}

/// What is read of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub id: String,
    pub external_id: Option<String>,
    pub body: Option<String>,
}

/// A note to create; its body is cut to 10,000 characters and 30,000 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNote {
    pub external_id: String,
    pub body: String,
}

/// A message to create, which only records it: nothing is delivered to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub external_id: String,
    pub direction: Direction,
    pub sent_at: Timestamp,
    /// The text that agents see.
    pub preview: String,
    pub from: Option<E164>,
    pub to: Option<E164>,
    pub channel: Channel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    Sms,
    /// Work-force and survey tools compute waiting time from these.
    Voice {
        placed_at: Timestamp,
        /// None: nobody answered.
        answered_at: Option<Timestamp>,
        ended_at: Timestamp,
        recording: Option<String>,
    },
}

impl Client {
    pub async fn create_conversation(
        &self,
        customer: &CustomerId,
        new: &NewConversation,
    ) -> Result<Conversation, KustomerFault> {
        let path = format!("/v1/customers/{}/conversations", segment(&customer.0));
        let record = self
            .post(
                "POST /v1/customers/{id}/conversations",
                path,
                conversation_body(new),
            )
            .await?;
        Ok(conversation(&record))
    }

    /// `None` only when Kustomer itself says that there is none.
    ///
    /// # Errors
    /// `Garbled` also when the conversation that came back has another externalId.
    pub async fn conversation_by_external_id(
        &self,
        external_id: &str,
    ) -> Result<Option<Conversation>, KustomerFault> {
        let path = format!("/v1/conversations/externalId={}", segment(external_id));
        let record = found(self.get("GET /v1/conversations/externalId=", path).await)?;
        record
            .map(|record| asked_for(&record, external_id).map(|()| conversation(&record)))
            .transpose()
    }

    pub async fn conversation(
        &self,
        id: &ConversationId,
    ) -> Result<Option<Conversation>, KustomerFault> {
        let path = format!("/v1/conversations/{}", segment(&id.0));
        Ok(found(self.get("GET /v1/conversations/{id}", path).await)?
            .as_ref()
            .map(conversation))
    }

    pub async fn update_conversation(
        &self,
        id: &ConversationId,
        status: Status,
    ) -> Result<(), KustomerFault> {
        let path = format!("/v1/conversations/{}", segment(&id.0));
        self.put(
            "PUT /v1/conversations/{id}",
            path,
            json!({"status": status.word()}),
        )
        .await?;
        Ok(())
    }

    /// Adds tags to those that a conversation has; ones that aren't known yet are made (Kustomer: Conversations). The
    /// same twice adds them once.
    pub async fn add_tags(
        &self,
        id: &ConversationId,
        tags: &[String],
    ) -> Result<(), KustomerFault> {
        let path = format!("/v1/conversations/{}/tags", segment(&id.0));
        let body = json!(text::tags(tags));
        self.post("POST /v1/conversations/{id}/tags", path, body)
            .await?;
        Ok(())
    }

    pub async fn create_note(
        &self,
        id: &ConversationId,
        new: &NewNote,
    ) -> Result<Note, KustomerFault> {
        let path = format!("/v1/conversations/{}/notes", segment(&id.0));
        let route = "POST /v1/conversations/{id}/notes";
        Ok(note(&self.post(route, path, note_body(new)).await?))
    }

    /// One note; `NotFound` if somebody deleted it.
    pub async fn note(&self, id: &str) -> Result<Note, KustomerFault> {
        let path = format!("/v1/notes/{}", segment(id));
        Ok(note(&one(self.get("GET /v1/notes/{id}", path).await?)?))
    }

    /// Replaces a note's text.
    pub async fn update_note(&self, id: &str, text: &str) -> Result<(), KustomerFault> {
        let path = format!("/v1/notes/{}", segment(id));
        let body = json!({"body": text::body(text)});
        self.put("PUT /v1/notes/{id}", path, body).await?;
        Ok(())
    }

    /// All notes of a conversation, one request for each 100.
    ///
    /// # Errors
    /// Never a part: `TooManyPages` past 1,000 notes, `ForeignLink` when the next page is elsewhere.
    pub async fn notes_of(&self, id: &ConversationId) -> Result<Vec<Note>, KustomerFault> {
        let path = format!(
            "/v1/conversations/{}/notes?page=1&pageSize={PAGE_ROWS}",
            segment(&id.0)
        );
        let records = self
            .list("GET /v1/conversations/{id}/notes", path, NOTE_PAGES_MAX)
            .await?;
        Ok(records.iter().map(note).collect())
    }

    /// Records a message in a conversation; its id. An inbound one may reopen a conversation that is done.
    pub async fn create_message(
        &self,
        id: &ConversationId,
        new: &NewMessage,
    ) -> Result<String, KustomerFault> {
        let path = format!("/v1/conversations/{}/messages", segment(&id.0));
        Ok(self
            .post(
                "POST /v1/conversations/{id}/messages",
                path,
                message_body(new),
            )
            .await?
            .id)
    }

    /// The id of the message with this externalId; `None` only when Kustomer itself says that there is none.
    pub async fn message_by_external_id(
        &self,
        external_id: &str,
    ) -> Result<Option<String>, KustomerFault> {
        // Kustomer spells this one in lower case.
        let path = format!("/v1/messages/externalid={}", segment(external_id));
        let record = found(self.get("GET /v1/messages/externalid=", path).await)?;
        record
            .map(|record| asked_for(&record, external_id).map(|()| record.id))
            .transpose()
    }
}

/// Guards against a reply for something else; a record without an externalId passes, the server found it by that.
fn asked_for(record: &Record, external_id: &str) -> Result<(), KustomerFault> {
    match record.text("externalId") {
        Some(other) if other != external_id => Err(KustomerFault::Garbled {
            status: 200,
            what: "another externalId than asked for".to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn conversation(record: &Record) -> Conversation {
    Conversation {
        id: ConversationId(record.id.clone()),
        external_id: record.text("externalId").map(str::to_owned),
        customer: record.related("customer").map(CustomerId),
        status: record.text("status").map(str::to_owned),
        deleted: record.flag("deleted"),
    }
}

fn note(record: &Record) -> Note {
    Note {
        id: record.id.clone(),
        external_id: record.text("externalId").map(str::to_owned),
        body: record.text("body").map(str::to_owned),
    }
}

pub(super) fn conversation_body(new: &NewConversation) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("externalId", json!(new.external_id));
    put("name", json!(text::name(&new.name)));
    put("status", json!(new.status.word()));
    if new.direction != Direction::Internal {
        put("direction", json!(new.direction.word()));
    }
    if let Some(at) = new.created_at {
        put("createdAt", json!(time(at)));
    }
    if !new.assigned_users.is_empty() {
        put(
            "assignedUsers",
            new.assigned_users
                .iter()
                .take(ASSIGNED_MAX)
                .map(|user| json!(user.0))
                .collect(),
        );
    }
    if !new.assigned_teams.is_empty() {
        let teams = new.assigned_teams.iter().take(ASSIGNED_MAX);
        put("assignedTeams", teams.map(|team| json!(team.0)).collect());
    }
    let tags = text::tags(&new.tags);
    if !tags.is_empty() {
        put("tags", json!(tags));
    }
    if !new.custom.is_empty() {
        put("custom", Value::Object(new.custom.clone()));
    }
    Value::Object(body)
}

pub(super) fn note_body(new: &NewNote) -> Value {
    json!({"externalId": new.external_id, "body": text::body(&new.body)})
}

pub(super) fn message_body(new: &NewMessage) -> Value {
    let mut meta = Map::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            meta.insert(key.to_owned(), json!(value));
        }
    };
    put("from", new.from.as_ref().map(E164::to_string));
    put("to", new.to.as_ref().map(E164::to_string));
    let channel = match &new.channel {
        Channel::Sms => "sms",
        Channel::Voice {
            placed_at,
            answered_at,
            ended_at,
            recording,
        } => {
            put("placedAt", Some(time(*placed_at)));
            put("answeredAt", answered_at.map(time));
            put("endedAt", Some(time(*ended_at)));
            put("externalRecordingUrl", recording.clone());
            "voice"
        }
    };
    let (direction, status) = match new.direction {
        Direction::In => ("in", "received"),
        Direction::Out | Direction::Internal => ("out", "sent"),
    };
    json!({
        "externalId": new.external_id, "channel": channel, "app": APP, "direction": direction, "status": status,
        "sentAt": time(new.sent_at), "preview": text::body(&new.preview), "meta": meta,
    })
}
