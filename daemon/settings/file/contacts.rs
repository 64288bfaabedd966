//! The keys of the contact side: the sync of an integration, who may use the contacts API, and contact servers. A part
//! of [`super::File`].

use super::super::types::{MergeBy, Policy, Right, SkipShared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The contact sync.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContactsFile {
    /// Customers become phone contacts.
    pub import: bool,
    /// Phone contacts become customers.
    pub export: bool,
    /// What makes two customers one contact.
    pub merge_by: Vec<MergeBy>,
    /// The built-in "directory", or the name of a `[[carddav]]`.
    pub phonebook: String,
    /// How often Kustomer is asked for changes.
    pub poll: String,
    /// How long a change stays invisible to Kustomer's searches.
    pub search_lag: String,
    /// A sync that would change more stops and asks.
    pub max_changes: MaxChangesFile,
    /// Which side counts where both changed a name, a website or an address: the later change, one side, or nobody until
    /// somebody decides; for all of them, or for each.
    pub conflicts: ConflictsFile,
    /// What is left out where a number or e-mail is shared, or a number a WhatsApp one: the value, or the whole customer.
    pub skip_shared: SkipShared,
    /// Website and address go to Kustomer too.
    pub extra_fields: bool,
}

/// One policy for all fields, or one for each.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConflictsFile {
    All(Policy),
    Each(EachConflictFile),
}

impl Default for ConflictsFile {
    fn default() -> Self {
        Self::All(Policy::Newest)
    }
}

/// Which side counts, field by field.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EachConflictFile {
    pub name: Policy,
    pub website: Policy,
    pub address: Policy,
}

impl Default for ContactsFile {
    fn default() -> Self {
        Self {
            import: true,
            export: true,
            merge_by: vec![MergeBy::Phone, MergeBy::Name],
            phonebook: "directory".to_owned(),
            poll: "1min".to_owned(),
            search_lag: "1min".to_owned(),
            max_changes: MaxChangesFile::default(),
            conflicts: ConflictsFile::default(),
            skip_shared: SkipShared::Value,
            extra_fields: false,
        }
    }
}

/// How much one sync may change before it stops and asks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaxChangesFile {
    /// Contacts.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// Of all contacts.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u32,
}

impl Default for MaxChangesFile {
    fn default() -> Self {
        Self {
            count: 500,
            percent: 10,
        }
    }
}

/// Kustomer tells of changed customers at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookFile {
    /// File with the webhook's token alone; `tieline webhook install` writes it. Without it no webhooks are taken.
    pub secret_file: Option<String>,
    /// Where Kustomer reaches this machine: an https address, with or without a path.
    pub url: Option<String>,
}

/// Who may use the contacts API.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientFile {
    /// Name in logs: a-z, 0-9, _ and -.
    #[schemars(required)]
    pub name: Option<String>,
    /// File with the token alone.
    #[schemars(required)]
    pub token_file: Option<String>,
    /// What it may do.
    #[schemars(required)]
    pub may: Option<Vec<Right>>,
}

/// A contact server (CardDAV).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CardDavFile {
    /// Name that `phonebook` refers to: a-z, 0-9, _ and -.
    #[schemars(required)]
    pub name: Option<String>,
    /// Address of the address book, or of the server if the user has one address book there.
    #[schemars(required)]
    pub url: Option<String>,
    /// The user's name.
    #[schemars(required)]
    pub user: Option<String>,
    /// File with the password alone.
    #[schemars(required)]
    pub password_file: Option<String>,
    /// Certificates (PEM) of whoever signed the server's; unset: those that this machine trusts.
    pub ca_file: Option<String>,
    /// How long an answer may take.
    pub timeout: String,
}

impl Default for CardDavFile {
    fn default() -> Self {
        Self {
            name: None,
            url: None,
            user: None,
            password_file: None,
            ca_file: None,
            timeout: "1min".to_owned(),
        }
    }
}
