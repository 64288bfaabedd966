//! Typed trees over one sled tree: keys, reads, and values too large for one sled page. Written through `writer.rs`,
//! read from any thread by the module that owns the tree.
//!
//! ```text
//! 0x01 name 0x00 key              -> 0x00 value                    a value of up to WHOLE_BYTES_MAX
//!                                 -> 0x01 number u64, bytes u64    a larger one, in pieces
//! 0x02 number u64, index u32      -> piece
//! ```
//! All trees share one sled tree so that one batch is atomic over all of them (and costs one write, not one per tree).
//! Pieces keep sled from moving a page into its `blobs` folder: it never syncs those files, so that a value there
//! could be acknowledged and lost in a power cut (invariant 1). The page limit is a quarter of the segment (128 KiB),
//! a leaf holds up to 17 values.

use super::engine::{Engine, Row, Rows};
use super::fault::StoreFault;
use super::record::{Stored, bad};
use std::marker::PhantomData;
use std::ops::Bound;

/// A longer value is stored in pieces of this size.
pub const WHOLE_BYTES_MAX: usize = 6 * 1024;
const ENTRY: u8 = 0x01;
const PIECE: u8 = 0x02;
const WHOLE: u8 = 0x00;
const PIECES: u8 = 0x01;
/// A reader that finds pieces gone because the value was just replaced looks again this often.
const READS_MAX: usize = 8;

/// One aggregate's records by key, in key order. Cheap to clone. Each tree is written by one module.
pub struct Tree<V> {
    pub(super) name: &'static str,
    pub(super) db: Engine,
    _value: PhantomData<fn() -> V>,
}

impl<V> Clone for Tree<V> {
    fn clone(&self) -> Self {
        Self::new(self.name, self.db.clone())
    }
}

impl<V> Tree<V> {
    pub(super) fn new(name: &'static str, db: Engine) -> Self {
        Self {
            name,
            db,
            _value: PhantomData,
        }
    }
}

impl<V: Stored> Tree<V> {
    /// Reads one record as of the last applied group, which is on disk or about to be.
    ///
    /// # Errors
    /// `Broken` if the disk fails, `NewerRecord` or `BadRecord` if the record cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<V>, StoreFault> {
        let stored = stored_key(self.name, key);
        let value = read(&self.db, self.name, &stored, self.db.get(&stored)?)?;
        value
            .map(|bytes| V::from_bytes(self.name, &bytes))
            .transpose()
    }

    /// All records whose key starts so, in key order, from both ends.
    pub fn prefix(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, V), StoreFault>> + use<V> {
        self.records(self.db.prefix(&stored_key(self.name, prefix)))
    }

    /// The records from `first` on, below `end`, in key order, from both ends.
    pub fn range(
        &self,
        first: &[u8],
        end: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, V), StoreFault>> + use<V> {
        let first = Bound::Included(stored_key(self.name, first));
        let end = match end {
            Bound::Included(key) => Bound::Included(stored_key(self.name, key)),
            Bound::Excluded(key) => Bound::Excluded(stored_key(self.name, key)),
            Bound::Unbounded => {
                let mut after_all = stored_key(self.name, &[]);
                after_all.pop();
                after_all.push(0x01);
                Bound::Excluded(after_all)
            }
        };
        self.records(self.db.range((first, end)))
    }

    fn records(
        &self,
        found: Rows,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, V), StoreFault>> + use<V> {
        let tree = self.clone();
        let key_start = stored_key(self.name, &[]).len();
        found.filter_map(move |entry| tree.record(key_start, entry).transpose())
    }

    fn record(
        &self,
        key_start: usize,
        entry: Result<Row, StoreFault>,
    ) -> Result<Option<(Vec<u8>, V)>, StoreFault> {
        let (stored, head) = entry?;
        let Some(value) = read(&self.db, self.name, &stored, Some(head))? else {
            return Ok(None);
        };
        let key = stored.get(key_start..).unwrap_or_default().to_vec();
        Ok(Some((key, V::from_bytes(self.name, &value)?)))
    }
}

/// Splits a stored key into tree name and key; none for pieces.
pub(super) fn parse_key(stored: &[u8]) -> Option<(&str, &[u8])> {
    let rest = stored.strip_prefix(&[ENTRY])?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, key) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(name).ok()?, key.get(1..)?))
}

pub(super) fn stored_key(name: &str, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(name.len() + key.len() + 2);
    stored.push(ENTRY);
    stored.extend_from_slice(name.as_bytes());
    stored.push(0);
    stored.extend_from_slice(key);
    stored
}

pub(super) fn piece_key(number: u64, index: u32) -> Vec<u8> {
    let mut stored = vec![PIECE];
    stored.extend_from_slice(&number.to_be_bytes());
    stored.extend_from_slice(&index.to_be_bytes());
    stored
}

/// The first number that no piece has.
pub(super) fn next_piece_number(db: &Engine) -> Result<u64, StoreFault> {
    let Some(last) = db.prefix(&[PIECE]).next_back() else {
        return Ok(0);
    };
    let (key, _) = last?;
    let number = key.get(1..).and_then(|rest| rest.first_chunk::<8>());
    let number = number.ok_or_else(|| bad("pieces", "its key is too short"))?;
    Ok(u64::from_be_bytes(*number).saturating_add(1))
}

/// What a stored value is, by its first byte.
pub(super) enum Head<'a> {
    Whole(&'a [u8]),
    Pieces(Pieces),
}

#[derive(Clone, Copy)]
pub(super) struct Pieces {
    pub number: u64,
    pub bytes: u64,
}

impl Pieces {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut head = vec![PIECES];
        head.extend_from_slice(&self.number.to_be_bytes());
        head.extend_from_slice(&self.bytes.to_be_bytes());
        head
    }

    pub(super) fn count(self) -> Result<u32, StoreFault> {
        let piece =
            u64::try_from(WHOLE_BYTES_MAX).map_err(|error| bad("pieces", error.to_string()))?;
        u32::try_from(self.bytes.div_ceil(piece)).map_err(|error| bad("pieces", error.to_string()))
    }
}

pub(super) fn whole(value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + 1);
    stored.push(WHOLE);
    stored.extend_from_slice(value);
    stored
}

pub(super) fn parse_head<'a>(name: &'static str, value: &'a [u8]) -> Result<Head<'a>, StoreFault> {
    match value.split_first() {
        Some((&WHOLE, value)) => Ok(Head::Whole(value)),
        Some((&PIECES, head)) => {
            let (number, rest) = head
                .split_first_chunk::<8>()
                .ok_or_else(|| bad(name, "its head is cut short"))?;
            let bytes = rest
                .first_chunk::<8>()
                .ok_or_else(|| bad(name, "its head is cut short"))?;
            Ok(Head::Pieces(Pieces {
                number: u64::from_be_bytes(*number),
                bytes: u64::from_be_bytes(*bytes),
            }))
        }
        Some((kind, _)) => Err(bad(name, format!("its kind {kind} is not known"))),
        None => Err(bad(name, "it is empty")),
    }
}

/// The whole value behind a stored one; none if it was removed meanwhile.
pub(super) fn read(
    db: &Engine,
    name: &'static str,
    stored_key: &[u8],
    mut found: Option<sled::IVec>,
) -> Result<Option<sled::IVec>, StoreFault> {
    for _ in 0..READS_MAX {
        let Some(value) = found else {
            return Ok(None);
        };
        let pieces = match parse_head(name, &value)? {
            Head::Whole(whole) => return Ok(Some(value.subslice(1, whole.len()))),
            Head::Pieces(pieces) => pieces,
        };
        let mut all = Vec::new();
        for index in 0..pieces.count()? {
            let Some(piece) = db.get(&piece_key(pieces.number, index))? else {
                break;
            };
            all.extend_from_slice(&piece);
        }
        if u64::try_from(all.len()) == Ok(pieces.bytes) {
            return Ok(Some(sled::IVec::from(all)));
        }
        found = db.get(stored_key)?;
    }
    Err(bad(name, "its pieces are missing"))
}
