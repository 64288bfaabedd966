//! What `[kustomer.calls]` says for all types of calls and `[kustomer.calls.types.…]` for one: tags, the note's template,
//! custom attributes, whom the conversation is assigned to.

use super::{CallRules, CallTypeKey};
use crate::terms::call::CallType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of a Kustomer conversation's custom attribute -> minijinja source of its value.
pub type CustomRules = BTreeMap<String, String>;

/// One way to find out whom a conversation is assigned to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AssignTo {
    /// Who talked; on an outgoing call that nobody took, who placed it.
    Agent,
    /// Whom `queues` names for the call's queue, else whose phone rang last while the call was in a queue.
    QueueAgent,
    /// Whose mailbox took the call, else whose phone rang last, if the call was in no queue.
    VoicemailOwner,
    /// Who talked last with this number before.
    LastAgent,
    /// `assign_default`.
    Default,
}

impl AssignTo {
    /// The word in the settings, and in `explain`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::QueueAgent => "queue_agent",
            Self::VoicemailOwner => "voicemail_owner",
            Self::LastAgent => "last_agent",
            Self::Default => "default",
        }
    }
}

/// Whom conversations are assigned to; the first link of the chain that leads to a Kustomer user or team wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignRules {
    pub chain: Vec<AssignTo>,
    /// A user's e-mail or a team's name.
    pub default: Option<String>,
    /// Queue -> a user's e-mail or a team's name.
    pub queues: BTreeMap<String, String>,
}

impl Default for AssignRules {
    fn default() -> Self {
        Self {
            chain: vec![AssignTo::Agent],
            default: None,
            queues: BTreeMap::new(),
        }
    }
}

/// What is otherwise for one type of call; none: as for all calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeRules {
    pub tags: Option<Vec<String>>,
    pub note_template: Option<String>,
    /// All of them: those of all calls, with this type's own over them.
    pub custom: Option<CustomRules>,
    pub assign: Option<Vec<AssignTo>>,
}

impl CallRules {
    fn of<T: ?Sized>(
        &self,
        call_type: CallType,
        own: impl Fn(&TypeRules) -> Option<&T>,
    ) -> Option<&T> {
        own(self.types.get(&CallTypeKey::from(call_type))?)
    }

    /// Tags of the conversations of this type of call.
    pub fn tags_of(&self, call_type: CallType) -> &[String] {
        self.of(call_type, |own| own.tags.as_deref())
            .unwrap_or(&self.tags)
    }

    /// Its note's template; none: the built-in one.
    pub fn template_of(&self, call_type: CallType) -> Option<&str> {
        self.of(call_type, |own| own.note_template.as_deref())
            .or(self.note_template.as_deref())
    }

    /// Its custom attributes.
    pub fn custom_of(&self, call_type: CallType) -> &CustomRules {
        self.of(call_type, |own| own.custom.as_ref())
            .unwrap_or(&self.custom)
    }

    /// Whom it is assigned to.
    pub fn chain_of(&self, call_type: CallType) -> &[AssignTo] {
        self.of(call_type, |own| own.assign.as_deref())
            .unwrap_or(&self.assign.chain)
    }

    /// Whether a type of call is assigned to whoever talked last with its number: only then that is remembered.
    pub fn asks_last_agent(&self) -> bool {
        CallType::ALL
            .into_iter()
            .any(|one| self.chain_of(one).contains(&AssignTo::LastAgent))
    }
}
