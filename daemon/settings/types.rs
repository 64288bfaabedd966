//! What can be set, after checking: every value parsed, every file named by an absolute path, no secret inside.
//! `load.rs` reads the layers, `check.rs` builds these or lists every fault. The closed words (`newest`, `done`) are read
//! straight from the files, so that each is spelled in one place.

mod contacts;
mod otel;
mod per_type;
mod proxy;

pub use crate::contacts::agree::{Policies, Policy};
pub use contacts::{
    CardDavSettings, ClientSettings, ContactRules, MergeBy, Right, SkipShared, WebhookSettings,
    webhook_address,
};
pub use otel::OtelSettings;
pub use per_type::{AssignRules, AssignTo, CustomRules, TypeRules};
pub use proxy::{ProxyLogin, ProxySettings};

use crate::terms::call::CallType;
use crate::terms::number::{E164, NumberPlan};
use crate::terms::party::Extensions;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub daemon: DaemonSettings,
    pub pbxs: Vec<PbxSettings>,
    pub kustomers: Vec<KustomerSettings>,
    /// Extension or PBX login -> Kustomer user's e-mail.
    pub agents: BTreeMap<String, String>,
    pub clients: Vec<ClientSettings>,
    pub carddavs: Vec<CardDavSettings>,
    /// Things that work but that the administrator should look at, in words; printed by `check`.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct DaemonSettings {
    pub state_dir: PathBuf,
    pub listen: SocketAddr,
    pub admin: AdminAddress,
    pub plan: NumberPlan,
    pub time_zone: TimeZone,
    /// `Europe/Berlin`, for notes.
    pub time_zone_name: String,
    /// Bytes that must stay free on the store's disk; below it events are answered 503.
    pub disk_reserve: u64,
    /// How long raw events and settled calls are kept.
    pub keep: Duration,
    /// How long a stop may take to drain.
    pub grace: Duration,
    /// Limits of the listener.
    pub intake: IntakeLimits,
    /// What the listener shows; none: it speaks plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Where traces go; none: nowhere, as in every tieline that was built without the feature `otel`.
    pub otel: Option<OtelSettings>,
}

/// Files of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The listener's own certificate first, then those of who signed it.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    Unix(PathBuf),
    /// Loopback only.
    Tcp(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    pub body_bytes: usize,
    pub connections: usize,
    /// From accept to the end of the request's head.
    pub header_timeout: Duration,
    /// From the head's end to the body's last byte.
    pub body_timeout: Duration,
    /// A kept-alive connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// Events waiting for the writer; beyond it 503.
    pub queue: usize,
}

#[derive(Clone, Debug)]
pub struct PbxSettings {
    pub name: String,
    pub dialect: Dialect,
    /// None: it posts nothing; its events are fetched.
    pub auth: Option<Auth>,
    /// Source networks; empty: all.
    pub allow_from: Vec<ipnet::IpNet>,
    pub extensions: Extensions,
    pub settle: Duration,
    /// Region, area code and zone of this system; those of `[daemon]` unless set.
    pub plan: NumberPlan,
    pub time_zone: TimeZone,
    /// Where its live events are fetched.
    pub link: Option<LinkSettings>,
    /// Folder that it leaves records in which it could not post.
    pub pickup_dir: Option<PathBuf>,
}

/// A live connection that we open to the phone system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    pub protocol: Protocol,
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Empty where the protocol needs none.
    pub user: String,
    pub secret_file: PathBuf,
    /// Who signs its certificate; none: whom this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// The password may go over the wire as it is.
    pub plain_login: bool,
    /// Between two pings.
    pub keep_alive: Duration,
    /// Call records that are read back after a gap.
    pub gap_csv: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Asterisk's manager interface.
    Ami,
    /// FreeSWITCH's event socket.
    Esl,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    Tieline,
    Freeswitch,
    Asterisk,
    Aircall,
    Cloudtalk,
    Dialpad,
    Ringcentral,
    Twilio,
    Yeastar,
    #[serde(rename = "3cx")]
    ThreeCx,
    Gammu,
    Grandstream,
    Jasmin,
    Kamailio,
    Kannel,
    PlaySms,
    Zammad,
}

impl Dialect {
    pub const ALL: [Self; 17] = [
        Self::Tieline,
        Self::Freeswitch,
        Self::Asterisk,
        Self::Aircall,
        Self::Cloudtalk,
        Self::Dialpad,
        Self::Ringcentral,
        Self::Twilio,
        Self::Yeastar,
        Self::ThreeCx,
        Self::Gammu,
        Self::Grandstream,
        Self::Jasmin,
        Self::Kamailio,
        Self::Kannel,
        Self::PlaySms,
        Self::Zammad,
    ];

    /// The name in the settings and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tieline => "tieline",
            Self::Freeswitch => "freeswitch",
            Self::Asterisk => "asterisk",
            Self::Aircall => "aircall",
            Self::Cloudtalk => "cloudtalk",
            Self::Dialpad => "dialpad",
            Self::Ringcentral => "ringcentral",
            Self::Twilio => "twilio",
            Self::Yeastar => "yeastar",
            Self::ThreeCx => "3cx",
            Self::Gammu => "gammu",
            Self::Grandstream => "grandstream",
            Self::Jasmin => "jasmin",
            Self::Kamailio => "kamailio",
            Self::Kannel => "kannel",
            Self::PlaySms => "playsms",
            Self::Zammad => "zammad",
        }
    }
}

/// How a phone system proves itself. Secrets stay in files until the listener is built.
#[derive(Clone, Debug)]
pub enum Auth {
    Basic {
        user: String,
        password_file: PathBuf,
    },
    Bearer {
        token_file: PathBuf,
    },
    /// HMAC over the raw body, in `header`, as hex or base64.
    Hmac {
        secret_file: PathBuf,
        header: String,
        algorithm: HmacAlgorithm,
    },
    /// A shared secret in the query, for systems that can do nothing else.
    Query {
        name: String,
        token_file: PathBuf,
    },
    /// A shared secret in a header of its own, as RingCentral's `Verification-Token`.
    Header {
        name: String,
        token_file: PathBuf,
    },
    /// A shared secret in a field of the JSON body, as Aircall's `token`.
    Body {
        field: String,
        token_file: PathBuf,
    },
    /// The body is a token signed with HS256 (RFC 7519), as Dialpad's.
    Jwt {
        secret_file: PathBuf,
    },
    /// `X-Twilio-Signature`: over the address as Twilio calls it, and the form.
    Twilio {
        token_file: PathBuf,
        /// Without a query.
        url: String,
    },
    /// Loopback listeners only.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HmacAlgorithm {
    Sha256,
    Sha1,
}

#[derive(Clone, Debug)]
pub struct KustomerSettings {
    pub name: String,
    /// Origin without a path: `https://acme.api.kustomerapp.com`; http only on loopback.
    pub url: String,
    /// For links to records: `https://acme.kustomerapp.com`; none with `url` instead of `org`.
    pub web_url: Option<String>,
    pub api_key_file: PathBuf,
    /// Who signed the server's certificate; none: whom this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// None: reached directly.
    pub proxy: Option<ProxySettings>,
    pub active: bool,
    /// Names of phone systems; empty: all.
    pub pbx: Vec<String>,
    pub contact_tag: String,
    pub requests_per_minute: u32,
    pub searches_per_minute: u32,
    /// Length of the budgets' window: 60 s, shorter only against a sandbox (loopback).
    pub budget_window: Duration,
    /// Whole request, connect included.
    pub timeout: Duration,
    /// Between an unclear create and the look that settles it, so that a request still on its way can land first.
    pub land_time: Duration,
    /// The same for a bulk request, which Kustomer does some time after it took it.
    pub bulk_land_time: Duration,
    /// Waits before attempt 2, 3, …; the last one repeats until `retry_for` is over.
    pub retry: Vec<Duration>,
    pub retry_for: Duration,
    /// Requests in flight at once.
    pub parallel: usize,
    pub calls: CallRules,
    pub texts: TextRules,
    pub contacts: ContactRules,
    /// None: it takes no webhooks.
    pub webhook: Option<WebhookSettings>,
}

impl KustomerSettings {
    /// Whether this integration takes events of that phone system.
    pub fn takes(&self, pbx: &str) -> bool {
        self.pbx.is_empty() || self.pbx.iter().any(|name| name == pbx)
    }
}

/// `[kustomer.calls]`
#[derive(Clone, Debug)]
pub struct CallRules {
    /// Empty: all.
    pub connected_numbers: Vec<NumberPattern>,
    pub ignore: Vec<NumberPattern>,
    pub min_talk: Duration,
    pub anonymous: AnonymousPolicy,
    pub unknown: UnknownPolicy,
    pub several: SeveralPolicy,
    pub voice_message: bool,
    pub late: LateFacts,
    /// How long an announced recording is waited for with `LateFacts::AllAtOnce`, from the call's end.
    pub late_wait: Duration,
    /// What to do with each type of call; all six are there.
    pub log: BTreeMap<CallTypeKey, LogAs>,
    pub tags: Vec<String>,
    /// minijinja source of the note; none: the built-in one.
    pub note_template: Option<String>,
    /// Names shown beside our numbers: `+4921155500100 (Support)`.
    pub labels: BTreeMap<E164, String>,
    /// Custom attributes of the conversations.
    pub custom: CustomRules,
    pub assign: AssignRules,
    /// What is otherwise for single types of calls.
    pub types: BTreeMap<CallTypeKey, TypeRules>,
}

/// What becomes of facts that come after a call was logged: a recording, a voicemail, tags, an agent's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LateFacts {
    /// Logged at once; what comes later is put into the same note.
    Staged,
    /// Logged when what the phone system announced has come, or the wait is over: for keys that may create notes but not
    /// change them.
    AllAtOnce,
}

/// A call type as an ordered map key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallTypeKey(pub &'static str);

impl From<CallType> for CallTypeKey {
    fn from(call_type: CallType) -> Self {
        Self(call_type.key())
    }
}

/// The conversation's status at the end, or no log at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogAs {
    Open,
    Done,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnonymousPolicy {
    Skip,
    /// The id of one customer that gets every anonymous call.
    Customer(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPolicy {
    Create,
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeveralPolicy {
    Newest,
    Oldest,
    Skip,
}

/// One line of a number list, kept as written for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPattern {
    pub written: String,
    pub matcher: Matcher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    Number(E164),
    /// `+` and digits that an E.164 number starts with: `+4930555*`.
    Prefix(String),
    /// Both ends with the same number of digits: `+4930555100..+4930555199`.
    Range {
        first: String,
        last: String,
    },
    /// An extension or a range of them: `101`, `100-199`.
    Extensions(Extensions),
}

/// `[kustomer.texts]`
#[derive(Clone, Debug)]
pub struct TextRules {
    pub connected_numbers: Vec<NumberPattern>,
    pub ignore: Vec<NumberPattern>,
    pub received: LogAs,
    pub sent: LogAs,
    /// What was sent and didn't arrive.
    pub failed: LogAs,
    /// Zero: one conversation per text.
    pub window: Duration,
    pub text_message: bool,
    pub unknown: UnknownPolicy,
    pub several: SeveralPolicy,
    pub tags: Vec<String>,
    /// Custom attributes of the conversations.
    pub custom: CustomRules,
}
