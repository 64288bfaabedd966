//! The whole store as lines of JSON: what a backup file is, and what a later store engine reads. Written by `backup.rs`,
//! read by `restore.rs`, and by whoever only checks a file.
//!
//! ```text
//! {"tieline_store":2,"taken":"2026-11-28T02:15:00Z","version":"0.1.0"}
//! {"tree":"calls","key":"<base64>","value":"<base64>"}     a record; a later line of the same key counts, not this one
//! {"tree":"calls","gone":"<base64>"}                       it was removed after that line
//! {"records":2,"sha256":"<of all lines before>"}           records and removals
//! ```
//! Format 1 had neither `taken` nor `gone`.

use super::{StoreFault, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufWriter, Read, Write};

/// Raised when the lines change in a way that an older tieline cannot read.
const FORMAT: u32 = 2;
/// The longest line read: the largest event body, as base64, with its header.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Written at once: few system calls, or parts of an answer.
const BUFFER_BYTES: usize = 64 * 1024;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Lines of records and removals; a record that was written meanwhile has several.
    pub records: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    tieline_store: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Record {
        tree: String,
        key: String,
        value: String,
    },
    Gone {
        tree: String,
        gone: String,
    },
    Trailer {
        records: u64,
        sha256: String,
    },
}

/// Writes the lines.
pub(super) struct Lines<W: Write> {
    out: BufWriter<W>,
    sum: Sha256,
    records: u64,
}

impl<W: Write> Lines<W> {
    pub(super) fn begin(out: W, taken: Timestamp) -> Result<Self, StoreFault> {
        let mut lines = Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, out),
            sum: Sha256::new(),
            records: 0,
        };
        lines.write(&Header {
            tieline_store: FORMAT,
            taken: Some(taken),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        })?;
        Ok(lines)
    }

    pub(super) fn record(
        &mut self,
        tree: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreFault> {
        self.records += 1;
        self.write(&Line::Record {
            tree: tree.to_owned(),
            key: BASE64.encode(key),
            value: BASE64.encode(value),
        })
    }

    /// What a stored key holds now; none: nothing any more.
    pub(super) fn put(&mut self, stored: &[u8], value: Option<&[u8]>) -> Result<(), StoreFault> {
        let Some((tree, key)) = tree::parse_key(stored) else {
            return Ok(());
        };
        match value {
            Some(value) => self.record(tree, key, value),
            None => {
                self.records += 1;
                self.write(&Line::Gone {
                    tree: tree.to_owned(),
                    gone: BASE64.encode(key),
                })
            }
        }
    }

    pub(super) fn end(mut self) -> Result<Exported, StoreFault> {
        let (records, sha256) = (self.records, hex(&self.sum.finalize_reset()));
        self.write(&Line::Trailer { records, sha256 })?;
        self.out.flush().map_err(|error| export(&error))?;
        Ok(Exported { records })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), StoreFault> {
        let mut text = serde_json::to_vec(line).map_err(|error| export(&error))?;
        text.push(b'\n');
        self.sum.update(&text);
        self.out.write_all(&text).map_err(|error| export(&error))
    }
}

/// A line of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Record {
        tree: String,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Gone {
        tree: String,
        key: Vec<u8>,
    },
}

/// Reads the lines of a backup. What it gave counts only once it answered that there is no more: the checksum stands at
/// the end.
pub struct BackupReader<R> {
    from: R,
    sum: Sha256,
    records: u64,
    /// When the backup was begun; none in format 1.
    pub taken: Option<Timestamp>,
}

impl<R: BufRead> BackupReader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// `Export` if it is no backup, or one of a later format.
    pub fn open(from: R) -> Result<Self, StoreFault> {
        let mut reader = Self {
            from,
            sum: Sha256::new(),
            records: 0,
            taken: None,
        };
        let text = reader.line()?;
        let header: Header = serde_json::from_slice(&text)
            .map_err(|_| export("its first line isn't that of a backup of tieline"))?;
        if header.tieline_store > FORMAT || header.tieline_store == 0 {
            let by = header.version.as_deref().unwrap_or("a newer one");
            return Err(export(&format!(
                "it has format {}, written by tieline {by}; this tieline knows formats up to {FORMAT}: use that one",
                header.tieline_store
            )));
        }
        reader.sum.update(&text);
        reader.taken = header.taken;
        Ok(reader)
    }

    /// The next line; none at the end of a whole backup.
    ///
    /// # Errors
    /// `Export` if the file is cut, changed or can't be read.
    pub fn read(&mut self) -> Result<Option<Item>, StoreFault> {
        let text = self.line()?;
        if text.is_empty() {
            return Err(export("its last line is missing: the file is cut short"));
        }
        let number = self.records.saturating_add(2);
        let wrong = |why: String| export(&format!("line {number}: {why}"));
        let decode = |text: String| {
            BASE64
                .decode(text)
                .map_err(|error| wrong(error.to_string()))
        };
        // The parser's words would quote personal data.
        let line = serde_json::from_slice(&text)
            .map_err(|_| wrong("it is no line of a backup: the file was changed".to_owned()))?;
        let item = match line {
            Line::Record { tree, key, value } => Item::Record {
                tree,
                key: decode(key)?,
                value: decode(value)?,
            },
            Line::Gone { tree, gone } => Item::Gone {
                tree,
                key: decode(gone)?,
            },
            Line::Trailer { records, sha256 } => {
                if records != self.records || sha256 != hex(&self.sum.finalize_reset()) {
                    return Err(export(
                        "the checksum does not match: the file was changed or cut",
                    ));
                }
                if !self.line()?.is_empty() {
                    return Err(export(
                        "something follows its last line: the file was changed",
                    ));
                }
                return Ok(None);
            }
        };
        self.sum.update(&text);
        self.records = self.records.saturating_add(1);
        Ok(Some(item))
    }

    /// Lines read so far.
    pub const fn exported(&self) -> Exported {
        Exported {
            records: self.records,
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, StoreFault> {
        let mut text = Vec::new();
        Read::take(&mut self.from, LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)
            .map_err(|error| export(&error))?;
        Ok(text)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn export(why: &(impl ToString + ?Sized)) -> StoreFault {
    StoreFault::Export {
        why: why.to_string(),
    }
}
