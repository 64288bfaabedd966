//! The contact side: the sync of an integration, who may use the contacts API, contact servers.

use super::Policies;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `[kustomer.contacts]`
#[derive(Clone, Debug)]
pub struct ContactRules {
    /// The section is there: contacts are synced.
    pub active: bool,
    pub import: bool,
    pub export: bool,
    pub merge_by: Vec<MergeBy>,
    pub phonebook: String,
    pub poll: Duration,
    /// How long a change stays invisible to Kustomer's searches.
    pub search_lag: Duration,
    pub max_changes_count: u32,
    pub max_changes_percent: u32,
    pub conflicts: Policies,
    pub skip_shared: SkipShared,
    pub extra_fields: bool,
}

/// What is left out where a value is nobody's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SkipShared {
    Value,
    Customer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MergeBy {
    Phone,
    Name,
}

impl MergeBy {
    /// The name in the settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Name => "name",
        }
    }
}

/// `[[client]]`: who may use the contacts API.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    pub name: String,
    pub token_file: PathBuf,
    pub may: Vec<Right>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    Lookup,
    #[serde(rename = "contacts:read")]
    ContactsRead,
    #[serde(rename = "contacts:write")]
    ContactsWrite,
}

impl Right {
    /// The name in the settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::ContactsRead => "contacts:read",
            Self::ContactsWrite => "contacts:write",
        }
    }
}

/// `[[carddav]]`: a contact server for the contact sync.
#[derive(Clone, Debug)]
pub struct CardDavSettings {
    pub name: String,
    pub url: String,
    pub user: String,
    pub password_file: PathBuf,
    /// Who signed the server's certificate; unset: whom this machine trusts.
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
}

/// `[kustomer.webhook]`: Kustomer tells of changed customers at once.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub secret_file: PathBuf,
    /// Where Kustomer reaches this machine; for `tieline webhook install`.
    pub url: Option<String>,
}

impl WebhookSettings {
    /// The address that Kustomer posts to, as `url` gives it.
    pub fn address(&self, integration: &str) -> Option<String> {
        self.url
            .as_deref()
            .map(|url| webhook_address(url, integration))
    }
}

/// The address that Kustomer posts to: `url` itself if it has a path, else our path on it.
pub fn webhook_address(url: &str, integration: &str) -> String {
    let bare = url.trim().trim_end_matches('/');
    let host = bare.split_once("://").map_or(bare, |(_, host)| host);
    if host.contains('/') {
        url.trim().to_owned()
    } else {
        format!("{bare}/v1/kustomer/{integration}/webhook")
    }
}
