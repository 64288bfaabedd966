//! The files as they are written: every key with its type and, for entries, its default. Owns the list of keys: the
//! JSON schema is made from here (`schema.rs`), each file is held against that schema (`shape.rs`), and the comments
//! become its descriptions. The defaults of `[daemon]` are in config/tieline.toml, which is the lowest layer.

pub mod auth;
mod contacts;
mod numbers;
mod otel;
mod per_type;
mod proxy;

pub use contacts::{CardDavFile, ClientFile, ConflictsFile, ContactsFile, WebhookFile};
pub use numbers::{NumberFile, NumberList};
pub use otel::OtelFile;
pub use per_type::{TypeFile, TypesFile};
pub use proxy::ProxyFile;

use super::types::{AssignTo, Dialect, LateFacts, LogAs, SeveralPolicy, UnknownPolicy};
use auth::AuthFile;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of tieline. Files are read in the order tieline.toml, conf.d/*.toml, environment, --config; later ones
/// override key by key, and entries of the same name are one entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = without_default)]
pub struct File {
    /// The process: where it listens and what it keeps.
    pub daemon: DaemonFile,
    /// Phone systems that post events.
    #[schemars(with = "Vec<PbxFile>")]
    pub pbx: BTreeMap<String, PbxFile>,
    /// Kustomer organisations that calls and texts are logged in; each takes events by its own filters.
    #[schemars(with = "Vec<KustomerFile>")]
    pub kustomer: BTreeMap<String, KustomerFile>,
    /// Extension or login at the phone system, and the e-mail of the Kustomer user who sits there.
    pub agents: BTreeMap<String, String>,
    /// Who may use the contacts API.
    #[schemars(with = "Vec<ClientFile>")]
    pub client: BTreeMap<String, ClientFile>,
    /// Contact servers that the contact sync can use as its phone book.
    #[schemars(with = "Vec<CardDavFile>")]
    pub carddav: BTreeMap<String, CardDavFile>,
}

/// The defaults are those of the parts; repeated at the root they would only be in the way.
fn without_default(schema: &mut Schema) {
    if let Some(properties) = schema
        .get_mut("properties")
        .and_then(|all| all.as_object_mut())
    {
        for property in properties
            .values_mut()
            .filter_map(|one| one.as_object_mut())
        {
            property.remove("default");
        }
    }
}

/// The process: where it listens and what it keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = without_default)]
pub struct DaemonFile {
    /// Folder of the store.
    pub state_dir: String,
    /// Address for phone systems and Kustomer's webhooks.
    pub listen: String,
    /// Address for health, metrics, status and the command line: "unix:" and a path, or a loopback address.
    pub admin: String,
    /// Region of numbers written without +, two capital letters (ISO 3166).
    pub default_region: String,
    /// Area code of local numbers, if phone systems send such.
    pub area_code: Option<String>,
    /// Zone of the times in notes, and of phone systems that send local time (IANA name).
    pub time_zone: String,
    /// Space to leave free on the store's disk; with less, events are refused and phone systems try again.
    pub disk_reserve: String,
    /// How long raw events and settled calls are kept, for explain and replay.
    pub keep: String,
    /// How long a stop may take.
    pub grace: String,
    /// Limits of the listener.
    pub intake: IntakeFile,
    /// What the listener for phone systems shows; unset: it speaks plain HTTP.
    pub tls: TlsFile,
    /// Where traces go; unset: nowhere.
    pub otel: OtelFile,
}

/// Certificate and key of the listener, read again at a reload.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = without_default)]
pub struct TlsFile {
    /// File of the certificate (PEM), followed by those of who signed it.
    pub certificate_file: Option<String>,
    /// File of its private key (PEM), without a passphrase.
    pub key_file: Option<String>,
}

/// Limits of the listener.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = without_default)]
pub struct IntakeFile {
    /// Largest body of a post.
    pub body_bytes: String,
    /// Open connections.
    #[schemars(range(min = 1, max = 65536))]
    pub connections: usize,
    /// From the connection to the end of a request's head.
    pub header_timeout: String,
    /// From the head's end to the body's last byte.
    pub body_timeout: String,
    /// A connection without a request is closed after this.
    pub idle_timeout: String,
    /// Events waiting for the disk; beyond it phone systems are told to try again.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue: usize,
}

/// A phone system.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PbxFile {
    /// Name in addresses (/v1/pbx/NAME/events) and ids: a-z, 0-9, _ and -.
    #[schemars(required)]
    pub name: Option<String>,
    /// In whose words it posts.
    #[schemars(required)]
    pub dialect: Option<Dialect>,
    /// How it proves itself when it posts; needed unless connect or pickup_dir is set.
    pub auth: Option<AuthFile>,
    /// Networks that it may post from; empty: all.
    pub allow_from: Vec<String>,
    /// Our own phones: single ones, ranges such as "100-199", names; empty: every number of two to five digits.
    pub extensions: Vec<String>,
    /// How long to wait after the last leg's end for late facts.
    pub settle: String,
    /// Region of its numbers; default: that of `[daemon]`.
    pub region: Option<String>,
    /// Area code of its local numbers; default: that of `[daemon]`, if the region is too.
    pub area_code: Option<String>,
    /// Zone of its times, if it sends local ones; default: that of `[daemon]`.
    pub time_zone: Option<String>,
    /// Where to fetch live events: "ami://host:5038", "amis://host:5039" (TLS) or "esl://host:8021".
    pub connect: Option<String>,
    /// The manager's user, for connect.
    pub user: Option<String>,
    /// File with the password alone, for connect.
    pub secret_file: Option<String>,
    /// File with the certificates (PEM) that sign the phone system's own; default: those of this machine.
    pub ca_file: Option<String>,
    /// Whether the password may be sent as it is to a manager that knows no MD5 challenge.
    pub plain_login: bool,
    /// How often a connection is pinged; it is given up after not quite three times as long without a word.
    pub keep_alive: String,
    /// Asterisk's CSV file of call records, whose rows are read back after a gap of the connection.
    pub gap_csv: Option<String>,
    /// Folder of call records that could not be posted (FreeSWITCH's err-log-dir); they are taken from there.
    pub pickup_dir: Option<String>,
}

impl Default for PbxFile {
    fn default() -> Self {
        Self {
            name: None,
            dialect: None,
            auth: None,
            allow_from: Vec::new(),
            extensions: Vec::new(),
            settle: "5s".to_owned(),
            region: None,
            area_code: None,
            time_zone: None,
            connect: None,
            user: None,
            secret_file: None,
            ca_file: None,
            plain_login: false,
            keep_alive: "15s".to_owned(),
            gap_csv: None,
            pickup_dir: None,
        }
    }
}

/// A Kustomer organisation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KustomerFile {
    /// Name in explain, status and logs: a-z, 0-9, _ and -.
    #[schemars(required)]
    pub name: Option<String>,
    /// The organisation, as in `https://ORG.kustomerapp.com`. Either this or url.
    pub org: Option<String>,
    /// The API's origin, for another host or a sandbox. Either this or org.
    pub url: Option<String>,
    /// File with the API key alone.
    #[schemars(required)]
    pub api_key_file: Option<String>,
    /// Certificates (PEM) of whoever signed the server's; unset: those that this machine trusts.
    pub ca_file: Option<String>,
    /// Through whom it is reached; unset: directly.
    pub proxy: ProxyFile,
    /// Whether it takes new events.
    pub active: bool,
    /// Names of the phone systems it takes events of; empty: all.
    pub pbx: Vec<String>,
    /// Tag of the customers that become phone contacts.
    pub contact_tag: String,
    /// Requests in a minute; Kustomer's smallest plan has 1,000 for all tools together.
    #[schemars(range(min = 1, max = 1000))]
    pub requests_per_minute: u32,
    /// Searches in a minute; Kustomer takes 100.
    #[schemars(range(min = 1, max = 100))]
    pub searches_per_minute: u32,
    /// Length of the window that both limits count in; shorter than a minute only against a sandbox on loopback.
    pub budget_window: String,
    /// A whole request, connecting included.
    pub timeout: String,
    /// How long a request whose outcome is unclear may still be on its way before it is looked for.
    pub land_time: String,
    /// The same for a bulk request, which Kustomer does some time after it took it.
    pub bulk_land_time: String,
    /// Waits before the second try, the third and so on; the last one repeats.
    #[schemars(length(min = 1, max = 20))]
    pub retry: Vec<String>,
    /// After this a call that can't be logged is given up (`tieline dead`).
    pub retry_for: String,
    /// Requests at once.
    #[schemars(range(min = 1, max = 32))]
    pub parallel: usize,
    /// What becomes of calls.
    pub calls: CallsFile,
    /// What becomes of texts.
    pub texts: TextsFile,
    /// The contact sync.
    pub contacts: ContactsFile,
    /// Kustomer tells of changed customers at once.
    pub webhook: WebhookFile,
}

impl Default for KustomerFile {
    fn default() -> Self {
        Self {
            name: None,
            org: None,
            url: None,
            api_key_file: None,
            ca_file: None,
            proxy: ProxyFile::default(),
            active: true,
            pbx: Vec::new(),
            contact_tag: "phone".to_owned(),
            requests_per_minute: 500,
            searches_per_minute: 100,
            budget_window: "60s".to_owned(),
            timeout: "30s".to_owned(),
            land_time: "2s".to_owned(),
            bulk_land_time: "10min".to_owned(),
            retry: ["5s", "30s", "2min", "10min", "30min", "1h"]
                .map(str::to_owned)
                .into(),
            retry_for: "72h".to_owned(),
            parallel: 4,
            calls: CallsFile::default(),
            texts: TextsFile::default(),
            contacts: ContactsFile::default(),
            webhook: WebhookFile::default(),
        }
    }
}

/// What becomes of calls.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallsFile {
    /// Our own numbers whose calls are logged; empty: all.
    pub connected_numbers: NumberList,
    /// Calls from and to these are not logged.
    pub ignore: NumberList,
    /// Answered calls with less talk time are not logged.
    pub min_talk: String,
    /// Callers who hide their number: "skip", or the id of one customer who gets them all.
    pub anonymous: String,
    /// A number that no customer has.
    pub unknown: UnknownPolicy,
    /// A number that several customers have.
    pub several: SeveralPolicy,
    /// Also post a voice message, so that reports see a phone conversation.
    pub voice_message: bool,
    /// A recording or another fact that comes after the call: put into the note ("staged"), or waited for.
    pub late: LateFacts,
    /// How long "all_at_once" waits for an announced recording or voicemail.
    pub late_wait: String,
    /// Per kind of call the conversation's status, or "off" for no log.
    pub log: LogFile,
    /// Tags of the conversations.
    #[schemars(length(max = 20))]
    pub tags: Vec<String>,
    /// Template of the note (minijinja), in place of the built-in one.
    pub note_template_file: Option<String>,
    /// Names shown beside our numbers.
    pub labels: BTreeMap<String, String>,
    /// Custom attributes of the conversations, and templates (minijinja) of their values.
    pub custom: BTreeMap<String, String>,
    /// Whom conversations are assigned to: the first of these who is a user or team of Kustomer's.
    pub assign: Vec<AssignTo>,
    /// For "default" in assign: the e-mail of a Kustomer user, or the name of a team.
    pub assign_default: Option<String>,
    /// For "queue_agent" in assign: a queue's name, and the e-mail of a Kustomer user or the name of a team.
    pub queues: BTreeMap<String, String>,
    /// What is otherwise for single types of calls.
    pub types: TypesFile,
}

impl Default for CallsFile {
    fn default() -> Self {
        Self {
            connected_numbers: NumberList::default(),
            ignore: NumberList::default(),
            min_talk: "0s".to_owned(),
            anonymous: "skip".to_owned(),
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            voice_message: false,
            late: LateFacts::Staged,
            late_wait: "10min".to_owned(),
            log: LogFile::default(),
            tags: Vec::new(),
            note_template_file: None,
            labels: BTreeMap::new(),
            custom: BTreeMap::new(),
            assign: vec![AssignTo::Agent],
            assign_default: None,
            queues: BTreeMap::new(),
            types: TypesFile::default(),
        }
    }
}

/// The status of a conversation per kind of call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogFile {
    pub incoming_answered: LogAs,
    pub incoming_missed: LogAs,
    pub outgoing_answered: LogAs,
    pub outgoing_unanswered: LogAs,
    pub voicemail: LogAs,
    pub internal: LogAs,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            incoming_answered: LogAs::Done,
            incoming_missed: LogAs::Open,
            outgoing_answered: LogAs::Done,
            outgoing_unanswered: LogAs::Done,
            voicemail: LogAs::Open,
            internal: LogAs::Off,
        }
    }
}

/// What becomes of texts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextsFile {
    /// Our own numbers whose texts are logged; empty: all.
    pub connected_numbers: NumberList,
    /// Texts from and to these are not logged.
    pub ignore: NumberList,
    /// The conversation's status, or "off" for no log.
    pub log: TextLogFile,
    /// Texts with the same person, each within this time of the one before, share a conversation; 0s: one each.
    pub window: String,
    /// Also post an sms message, so that reports see a text conversation.
    pub text_message: bool,
    /// A number that no customer has.
    pub unknown: UnknownPolicy,
    /// A number that several customers have.
    pub several: SeveralPolicy,
    /// Tags of the conversations.
    #[schemars(length(max = 20))]
    pub tags: Vec<String>,
    /// Custom attributes of the conversations, as for calls.
    pub custom: BTreeMap<String, String>,
}

impl Default for TextsFile {
    fn default() -> Self {
        Self {
            connected_numbers: NumberList::default(),
            ignore: NumberList::default(),
            log: TextLogFile::default(),
            window: "0s".to_owned(),
            text_message: false,
            unknown: UnknownPolicy::Create,
            several: SeveralPolicy::Newest,
            tags: Vec::new(),
            custom: BTreeMap::new(),
        }
    }
}

/// The status of a conversation per direction of the text, and for those that didn't arrive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextLogFile {
    pub received: LogAs,
    pub sent: LogAs,
    /// What was sent and didn't arrive, as far as the phone system reports it.
    pub failed: LogAs,
}

impl Default for TextLogFile {
    fn default() -> Self {
        Self {
            received: LogAs::Open,
            sent: LogAs::Done,
            failed: LogAs::Open,
        }
    }
}
