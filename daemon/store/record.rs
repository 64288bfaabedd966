//! How values are written: JSON with a leading version, readable in an incident and upgradable by a later tieline.
//! Each owner of a tree implements `Record` for its type; the journal, whose bodies are raw bytes, implements `Stored`.

use super::fault::StoreFault;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value with a version, stored as `<version, 2 bytes big-endian><JSON>`.
pub trait Record: Serialize + DeserializeOwned {
    /// Raised when the JSON's meaning changes.
    const VERSION: u16;

    /// Reads the JSON of an older version.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn upgrade(version: u16, _old: serde_json::Value) -> Result<Self, String> {
        Err(format!("version {version} is no longer known"))
    }
}

/// A value as bytes. Every `Record` is one.
pub trait Stored: Sized {
    /// # Errors
    /// `BadRecord` if the value cannot be written down.
    fn to_bytes(&self, tree: &'static str) -> Result<Vec<u8>, StoreFault>;

    /// # Errors
    /// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault>;
}

impl<T: Record> Stored for T {
    fn to_bytes(&self, tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        let mut bytes = T::VERSION.to_be_bytes().to_vec();
        serde_json::to_writer(&mut bytes, self).map_err(|error| bad(tree, error.to_string()))?;
        Ok(bytes)
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        let Some((version, json)) = bytes.split_first_chunk::<2>() else {
            return Err(bad(tree, "it is empty"));
        };
        let version = u16::from_be_bytes(*version);
        if version > T::VERSION {
            return Err(StoreFault::NewerRecord {
                tree,
                found: version,
                known: T::VERSION,
            });
        }
        if version == T::VERSION {
            return serde_json::from_slice(json).map_err(|error| bad(tree, error.to_string()));
        }
        let old = serde_json::from_slice(json).map_err(|error| bad(tree, error.to_string()))?;
        T::upgrade(version, old).map_err(|why| bad(tree, why))
    }
}

/// Whether a value can be read as what it should be.
///
/// # Errors
/// `NewerRecord`, `BadRecord`.
pub fn readable<V: Stored>(tree: &'static str, bytes: &[u8]) -> Result<(), StoreFault> {
    V::from_bytes(tree, bytes).map(drop)
}

/// A record under a key that nobody of this tieline writes.
pub fn unknown_kind(tree: &'static str, kind: Option<u8>) -> StoreFault {
    let why = match kind {
        None => "its key is empty".to_owned(),
        Some(kind) => format!("nothing is known of records whose key begins with {kind}"),
    };
    bad(tree, why)
}

pub(super) fn bad(tree: &'static str, why: impl Into<String>) -> StoreFault {
    StoreFault::BadRecord {
        tree,
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Name {
        full: String,
    }

    impl Record for Name {
        const VERSION: u16 = 2;

        fn upgrade(version: u16, old: serde_json::Value) -> Result<Self, String> {
            if version != 1 {
                return Err(format!("version {version} was never written"));
            }
            let first = old
                .get("first")
                .and_then(|v| v.as_str())
                .ok_or("no first name")?;
            Ok(Self {
                full: first.to_owned(),
            })
        }
    }

    #[test]
    fn a_record_comes_back_and_an_old_one_is_upgraded() {
        let name = Name {
            full: "Grace".to_owned(),
        };
        let bytes = name.to_bytes("names").unwrap();
        assert_eq!(Name::from_bytes("names", &bytes).unwrap(), name);
        assert_eq!(
            Name::from_bytes("names", b"\x00\x01{\"first\":\"Grace\"}").unwrap(),
            name
        );
    }

    #[test]
    fn a_newer_or_broken_record_is_a_fault_that_says_so() {
        let newer = Name::from_bytes("names", b"\x00\x03{}").unwrap_err();
        assert_eq!(
            newer,
            StoreFault::NewerRecord {
                tree: "names",
                found: 3,
                known: 2
            }
        );
        for broken in [
            &b""[..],
            b"\x00",
            b"\x00\x02{",
            b"\x00\x01{}",
            b"\x00\x00{}",
        ] {
            assert!(matches!(
                Name::from_bytes("names", broken),
                Err(StoreFault::BadRecord { .. })
            ));
        }
    }
}
