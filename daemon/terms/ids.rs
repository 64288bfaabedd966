//! Identifiers, each its own type, built only by parsing, so that a call key cannot be passed where an event id is meant.

use std::fmt;

/// Longest id taken from a phone system, in bytes: Kustomer's externalId holds 256 characters, of which
/// `tieline:<pbx>:` and `:note` need a part.
pub const VENDOR_ID_BYTES_MAX: usize = 160;

/// Names one accepted raw event: the first 16 bytes of SHA-256 over phone system name and payload, as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Reads the 32 hex digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Once for each event taken: a formatter call for each byte would show.
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        let mut text = [0_u8; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0x0f)]);
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a key names a call or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Call,
    Text,
}

/// Names one call or text over all phone systems: `<pbx>:<the system's own call or text id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    pub kind: Kind,
    pub pbx: String,
    pub id: String,
}

impl CallKey {
    /// The key as stored and as administrators write it: `call:hq:a1` or `text:hq:m1`.
    pub fn stored(&self) -> String {
        let kind = match self.kind {
            Kind::Call => "call",
            Kind::Text => "text",
        };
        format!("{kind}:{}:{}", self.pbx, self.id)
    }

    /// Reads what `stored` writes; phone system names hold no colon, ids may.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let kind = match kind {
            "call" => Kind::Call,
            "text" => Kind::Text,
            _ => return None,
        };
        let (pbx, id) = rest.split_once(':')?;
        if pbx.is_empty() || id.is_empty() {
            return None;
        }
        Some(Self {
            kind,
            pbx: pbx.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The externalId of the Kustomer conversation: `tieline:<pbx>:<id>`. The note's is the same with `:note`.
    pub fn external_id(&self) -> String {
        format!("tieline:{}:{}", self.pbx, self.id)
    }
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pbx, self.id)
    }
}

/// A Kustomer customer's id, as Kustomer sent it or as an administrator configured it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(pub String);

/// A Kustomer conversation's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub String);

/// A Kustomer team's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamId(pub String);

/// A Kustomer user's id: a person who may be assigned, or the machine user of an API key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub String);
