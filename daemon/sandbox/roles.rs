//! Which roles an operation needs (Kustomer: API keys and roles) and who is calling.
//! Used by `routes.rs` before every operation.

use super::reply::Refusal;

/// Any one of these roles is enough.
pub type Roles = &'static [&'static str];

pub const CUSTOMER_READ: Roles = &["org.permission.customer.read", "org.user.customer.read"];
pub const CUSTOMER_CREATE: Roles = &["org.permission.customer.create", "org.user.customer.write"];
pub const CUSTOMER_UPDATE: Roles = &["org.permission.customer.update", "org.user.customer.write"];
pub const CUSTOMER_DELETE: Roles = &["org.permission.customer.delete", "org.user.customer.delete"];
pub const MERGE_CREATE: Roles = &[
    "org.permission.customer_merge.create",
    "org.user.customer.write",
    "org.admin.customer.merge.write",
];
pub const MERGE_READ: Roles = &[
    "org.permission.customer_merge.read",
    "org.permission.customer_merge.create",
    "org.user.customer.read",
    "org.admin.customer.merge.read",
];
pub const SEARCH: Roles = &[
    "org.permission.search.create",
    "org.permission.search.update",
    "org.permission.search_global.create",
    "org.permission.search_preview.create",
    "org.user.search.read",
    "org.admin.search.read",
];
pub const CONVERSATION_READ: Roles = &[
    "org.permission.conversation.read",
    "org.user.conversation.read",
];
pub const CONVERSATION_CREATE: Roles = &[
    "org.permission.conversation.create",
    "org.user.conversation.write",
];
pub const CONVERSATION_UPDATE: Roles = &[
    "org.permission.conversation.update",
    "org.user.conversation.write",
];
pub const CONVERSATION_UNTAG: Roles = &[
    "org.permission.conversation.delete",
    "org.user.conversation.write",
];
pub const CONVERSATION_DELETE: Roles = &[
    "org.permission.conversation.delete",
    "org.user.conversation.delete",
];
pub const NOTE_READ: Roles = &["org.permission.note.read", "org.user.note.read"];
pub const NOTE_CREATE: Roles = &["org.permission.note.create", "org.user.note.write"];
pub const NOTE_UPDATE: Roles = &["org.permission.note.update", "org.user.note.write"];
pub const NOTE_DELETE: Roles = &["org.permission.note.delete", "org.user.note.write"];
pub const MESSAGE_READ: Roles = &["org.permission.message.read", "org.user.message.read"];
pub const MESSAGE_CREATE: Roles = &["org.permission.message.create", "org.user.message.write"];
pub const MESSAGE_UPDATE: Roles = &["org.permission.message.update", "org.user.message.write"];
pub const USER_READ: Roles = &["org.permission.user.read", "org.user.read"];
pub const TEAM_READ: Roles = &["org.permission.team.read"];
pub const TAG_READ: Roles = &["org.permission.tag.read", "org.admin.tag.read"];
pub const METADATA_READ: Roles = &["org.permission.metadata.read", "org.user.metadata.read"];
pub const BULK_READ: Roles = &["org.permission.bulk.read", "org.user.bulk.read"];
/// For `createdAt`, `createdBy`, `modifiedAt`, `modifiedBy` on notes and messages.
pub const BACKDATE: Roles = &["org.admin"];

/// An API key's machine user and roles.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user: String,
    pub roles: Vec<String>,
}

impl Caller {
    /// Refuses with 403 unless one role of `needed` is held, itself or through a broader one (`org.permission` holds
    /// every `org.permission.…`).
    pub fn needs(&self, needed: Roles) -> Result<(), Refusal> {
        let holds = |role: &str| {
            self.roles.iter().any(|held| {
                role.strip_prefix(held.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        if needed.iter().any(|role| holds(role)) {
            Ok(())
        } else {
            Err(Refusal::missing_role(needed))
        }
    }
}
