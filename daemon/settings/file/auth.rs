//! `[[pbx]] auth` as written: how a phone system proves itself. Part of `file.rs`.

use super::super::types::HmacAlgorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a phone system proves itself. Secrets stand in files, never here.
// Unknown keys are refused by the schema alone: where a later file changes the kind, keys of the former kind remain.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[schemars(deny_unknown_fields)]
pub enum AuthFile {
    /// HTTP Basic.
    Basic {
        /// The user's name.
        #[schemars(required)]
        user: Option<String>,
        /// File with the password alone.
        #[schemars(required)]
        password_file: Option<String>,
    },
    /// A token in the Authorization header.
    Bearer {
        /// File with the token alone.
        #[schemars(required)]
        token_file: Option<String>,
    },
    /// HMAC over the raw body, as hex or base64.
    Hmac {
        /// File with the secret alone.
        #[schemars(required)]
        secret_file: Option<String>,
        /// Header that carries the HMAC.
        #[schemars(required)]
        header: Option<String>,
        /// Hash of the HMAC.
        #[schemars(required)]
        algorithm: Option<HmacAlgorithm>,
    },
    /// A token in the query, for systems that can do nothing else.
    Query {
        /// Name of the query's parameter.
        #[schemars(required)]
        name: Option<String>,
        /// File with the token alone.
        #[schemars(required)]
        token_file: Option<String>,
    },
    /// A token in a header of its own.
    Header {
        /// Name of the header.
        #[schemars(required)]
        name: Option<String>,
        /// File with the token alone.
        #[schemars(required)]
        token_file: Option<String>,
    },
    /// A token in a field of the JSON body.
    Body {
        /// Name of the field.
        #[schemars(required)]
        field: Option<String>,
        /// File with the token alone.
        #[schemars(required)]
        token_file: Option<String>,
    },
    /// The body is a token (JWT) signed with HS256.
    Jwt {
        /// File with the secret alone.
        #[schemars(required)]
        secret_file: Option<String>,
    },
    /// Twilio's signature of address and form.
    Twilio {
        /// File with the account's auth token alone.
        #[schemars(required)]
        token_file: Option<String>,
        /// The events' address as Twilio calls it, without a query.
        #[schemars(required)]
        url: Option<String>,
    },
    /// No proof: for a loopback listener only.
    None {},
}
