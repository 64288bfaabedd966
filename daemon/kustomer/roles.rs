//! The roles of an API key that tieline may need, and a question for each that only a key with it is let ask. Nothing
//! is changed by any of them: they address what nobody has, and what would create something is empty, which Kustomer
//! doesn't take. Source: Kustomer: API keys and roles. Asked by `check --online`.

use super::client::{Ask, Client, PAGE_ROWS, PAGE_ROWS_LARGE};
use super::fault::KustomerFault;
use hyper::Method;
use serde_json::{Value, json};

/// An id of Kustomer's form that nobody has.
const NOBODY: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

/// One role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    CustomerRead,
    CustomerCreate,
    CustomerUpdate,
    CustomerMergeRead,
    SearchCreate,
    ConversationRead,
    ConversationCreate,
    ConversationUpdate,
    NoteRead,
    NoteCreate,
    NoteUpdate,
    MessageRead,
    MessageCreate,
    UserRead,
    TeamRead,
    MetadataRead,
    BulkRead,
    WebhookRead,
    WebhookCreate,
    WebhookDelete,
}

impl Role {
    pub const ALL: [Self; 20] = [
        Self::CustomerRead,
        Self::CustomerCreate,
        Self::CustomerUpdate,
        Self::CustomerMergeRead,
        Self::SearchCreate,
        Self::ConversationRead,
        Self::ConversationCreate,
        Self::ConversationUpdate,
        Self::NoteRead,
        Self::NoteCreate,
        Self::NoteUpdate,
        Self::MessageRead,
        Self::MessageCreate,
        Self::UserRead,
        Self::TeamRead,
        Self::MetadataRead,
        Self::BulkRead,
        Self::WebhookRead,
        Self::WebhookCreate,
        Self::WebhookDelete,
    ];

    /// The name in Kustomer's settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CustomerRead => "org.permission.customer.read",
            Self::CustomerCreate => "org.permission.customer.create",
            Self::CustomerUpdate => "org.permission.customer.update",
            Self::CustomerMergeRead => "org.permission.customer_merge.read",
            Self::SearchCreate => "org.permission.search.create",
            Self::ConversationRead => "org.permission.conversation.read",
            Self::ConversationCreate => "org.permission.conversation.create",
            Self::ConversationUpdate => "org.permission.conversation.update",
            Self::NoteRead => "org.permission.note.read",
            Self::NoteCreate => "org.permission.note.create",
            Self::NoteUpdate => "org.permission.note.update",
            Self::MessageRead => "org.permission.message.read",
            Self::MessageCreate => "org.permission.message.create",
            Self::UserRead => "org.permission.user.read",
            Self::TeamRead => "org.permission.team.read",
            Self::MetadataRead => "org.permission.metadata.read",
            Self::BulkRead => "org.permission.bulk.read",
            Self::WebhookRead => super::webhooks::READ_ROLE,
            Self::WebhookCreate => super::webhooks::CREATE_ROLE,
            Self::WebhookDelete => super::webhooks::DELETE_ROLE,
        }
    }

    /// Method, path and body of its question.
    fn question(self) -> (Method, String, Option<Value>) {
        let of_nobody = |kind: &str, what: &str| format!("/v1/{kind}/{NOBODY}{what}");
        let rows = |kind: &str, rows: u32| format!("/v1/{kind}?page=1&pageSize={rows}");
        let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
        let nothing = || Some(json!({}));
        match self {
            Self::CustomerRead => (get, of_nobody("customers", ""), None),
            // A list without an item creates nothing, whoever takes it.
            Self::CustomerCreate => (post, "/v1/customers/bulk".to_owned(), Some(json!([]))),
            Self::CustomerUpdate => (put, of_nobody("customers", ""), nothing()),
            Self::CustomerMergeRead => (get, of_nobody("customers", "/merges"), None),
            Self::SearchCreate => {
                let query = json!({"queryContext": "customer", "and": []});
                let path = "/v1/customers/search?page=1&pageSize=1";
                (post, path.to_owned(), Some(query))
            }
            Self::ConversationRead => (get, of_nobody("conversations", ""), None),
            Self::ConversationCreate => (post, of_nobody("customers", "/conversations"), nothing()),
            Self::ConversationUpdate => (put, of_nobody("conversations", ""), nothing()),
            Self::NoteRead => (get, of_nobody("conversations", "/notes"), None),
            Self::NoteCreate => (post, of_nobody("conversations", "/notes"), nothing()),
            Self::NoteUpdate => (put, of_nobody("notes", ""), nothing()),
            Self::MessageRead => (get, of_nobody("messages", ""), None),
            Self::MessageCreate => (post, of_nobody("conversations", "/messages"), nothing()),
            Self::UserRead => (get, rows("users", PAGE_ROWS_LARGE), None),
            Self::TeamRead => (get, rows("teams", PAGE_ROWS_LARGE), None),
            Self::MetadataRead => (get, "/v1/metadata/conversation".to_owned(), None),
            Self::BulkRead => (get, of_nobody("bulk", ""), None),
            Self::WebhookRead => (get, rows("outbound-webhooks", PAGE_ROWS), None),
            Self::WebhookCreate => (post, "/v1/outbound-webhooks".to_owned(), nothing()),
            Self::WebhookDelete => (Method::DELETE, of_nobody("outbound-webhooks", ""), None),
        }
    }
}

impl Client {
    /// Asks the role's question: one request.
    ///
    /// # Errors
    /// `Unauthorized` without the role, for a key that works; else what kept it from being answered. That nobody has
    /// what is asked for, or that it is refused for what is in it (400, 422), is said to those who may ask.
    pub async fn try_role(&self, role: Role) -> Result<(), KustomerFault> {
        let (method, path, body) = role.question();
        let ask = Ask {
            route: role.name(),
            method,
            path,
            body,
            search: role == Role::SearchCreate,
        };
        match self.send(&ask).await {
            Ok(_)
            | Err(
                KustomerFault::NotFound
                | KustomerFault::Rejected { .. }
                | KustomerFault::Conflict { .. }
                | KustomerFault::Garbled {
                    status: 200..=299, ..
                },
            ) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}
