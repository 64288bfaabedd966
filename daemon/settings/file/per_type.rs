//! `[kustomer.calls.types.…]` as it is written: what is otherwise for one type of call.

use super::super::types::AssignTo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is otherwise for single types of calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = super::without_default)]
pub struct TypesFile {
    pub incoming_answered: TypeFile,
    pub incoming_missed: TypeFile,
    pub outgoing_answered: TypeFile,
    pub outgoing_unanswered: TypeFile,
    pub voicemail: TypeFile,
    pub internal: TypeFile,
}

/// What is otherwise for one type of call.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TypeFile {
    /// Tags, in place of those of all calls.
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<String>>,
    /// Template of the note, in place of that of all calls.
    pub note_template_file: Option<String>,
    /// Custom attributes, beside those of all calls; an empty text takes one away.
    pub custom: BTreeMap<String, String>,
    /// Whom the conversation is assigned to, in place of what holds for all calls.
    pub assign: Option<Vec<AssignTo>>,
}
