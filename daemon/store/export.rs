//! The whole store as lines of JSON, for `tieline backup` and `restore` and for a later store engine: one header, one
//! line a record, one trailer with the count and a checksum over all lines before it.

use super::{Store, StoreFault, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{BufRead, Write};

/// Raised when the lines change in a way that an older tieline cannot read.
const FORMAT: u32 = 1;
/// Records in one group on import: few waits, little memory.
const IMPORT_RECORDS: usize = 512;
/// The longest line read: the largest event body, as base64, with its header.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What an export or import moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Header {
        tieline_store: u32,
    },
    Record {
        tree: String,
        key: String,
        value: String,
    },
    Trailer {
        records: u64,
        sha256: String,
    },
}

impl Store {
    /// Writes every record as of now; writes that happen meanwhile may or may not be in it. Blocks: call it off the
    /// runtime.
    ///
    /// # Errors
    /// `Export` if the writer fails, `Broken` or `BadRecord` if the store cannot be read.
    pub fn export(&self, mut out: impl Write) -> Result<Exported, StoreFault> {
        let mut sum = Sha256::new();
        let mut records = 0_u64;
        put(
            &mut out,
            &mut sum,
            &Line::Header {
                tieline_store: FORMAT,
            },
        )?;
        for entry in self.0.shared.engine.prefix(&[]) {
            let (stored, head) = entry?;
            let Some((name, key)) = tree::parse_key(&stored) else {
                continue;
            };
            let Some(value) = tree::read(&self.0.shared.engine, "export", &stored, Some(head))?
            else {
                continue;
            };
            let line = Line::Record {
                tree: name.to_owned(),
                key: BASE64.encode(key),
                value: BASE64.encode(&value),
            };
            put(&mut out, &mut sum, &line)?;
            records += 1;
        }
        let trailer = Line::Trailer {
            records,
            sha256: hex(&sum.finalize_reset()),
        };
        put(&mut out, &mut sum, &trailer)?;
        out.flush().map_err(|error| export(&error))?;
        Ok(Exported { records })
    }

    /// Reads an export into this store, which must be empty. `names` are the trees this tieline knows; a record of
    /// another is a fault. The checksum is only known at the end: after a fault, throw the store away.
    ///
    /// # Errors
    /// `NotEmpty`, `Export` if the file is cut, changed or of another version, or a fault of the store.
    pub async fn import(
        &self,
        mut from: impl BufRead,
        names: &[&'static str],
    ) -> Result<Exported, StoreFault> {
        if !self.0.shared.engine.is_empty() {
            return Err(StoreFault::NotEmpty);
        }
        let mut sum = Sha256::new();
        let mut records = 0_u64;
        let mut group = Vec::new();
        loop {
            let mut text = Vec::new();
            let read = std::io::Read::take(&mut from, LINE_BYTES_MAX)
                .read_until(b'\n', &mut text)
                .map_err(|error| export(&error))?;
            if read == 0 {
                return Err(export("the trailer is missing: the file is cut short"));
            }
            match serde_json::from_slice(&text)
                .map_err(|error| export(&format!("line {}: {error}", records + 2)))?
            {
                Line::Header {
                    tieline_store: FORMAT,
                } if records == 0 => {}
                Line::Header { tieline_store } => {
                    return Err(export(&format!("format {tieline_store} is not known")));
                }
                Line::Record { tree, key, value } => {
                    let name = names.iter().find(|name| **name == tree);
                    let name = *name.ok_or_else(|| {
                        export(&format!("tree {tree:?} is not known to this tieline"))
                    })?;
                    group.push((
                        name,
                        BASE64.decode(key).map_err(|error| export(&error))?,
                        BASE64.decode(value).map_err(|error| export(&error))?,
                    ));
                    records += 1;
                }
                Line::Trailer {
                    records: said,
                    sha256,
                } => {
                    if said != records || sha256 != hex(&sum.finalize()) {
                        return Err(export(
                            "the checksum does not match: the file was changed or cut",
                        ));
                    }
                    self.put_all(group).await?;
                    return Ok(Exported { records });
                }
            }
            sum.update(&text);
            if group.len() >= IMPORT_RECORDS {
                self.put_all(std::mem::take(&mut group)).await?;
            }
        }
    }

    async fn put_all(
        &self,
        group: Vec<(&'static str, Vec<u8>, Vec<u8>)>,
    ) -> Result<(), StoreFault> {
        self.commit(move |writes| {
            group
                .iter()
                .try_for_each(|(name, key, value)| writes.put_bytes(name, key, value))
        })
        .await
    }
}

fn put(out: &mut impl Write, sum: &mut Sha256, line: &Line) -> Result<(), StoreFault> {
    let mut text = serde_json::to_vec(line).map_err(|error| export(&error))?;
    text.push(b'\n');
    sum.update(&text);
    out.write_all(&text).map_err(|error| export(&error))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn export(why: &(impl ToString + ?Sized)) -> StoreFault {
    StoreFault::Export {
        why: why.to_string(),
    }
}
