//! How events lie on disk: many in one record, for the store's work is per record and not per byte. Pure; written by
//! `scribe`, read through `journal.rs`.
//!
//! ```text
//! page   version u8, then for each event: head bytes u32, head JSON, body bytes u32, body as it was sent
//! ids    version u8, then for each event: its number u64, its id of 16 bytes
//! ```
//! Numbers are big-endian. A removed event leaves a head of no bytes, so that a place in a page always is the same
//! event's.

use super::{Entry, Posted};
use crate::store::{StoreFault, Stored};
use crate::terms::ids::EventId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Bytes after which no further event is added to a page, so that a page of small events is one value of the store; an
/// event that is larger has a page of its own.
pub(super) const PAGE_BYTES_MAX: usize = crate::store::WHOLE_BYTES_MAX;
const VERSION: u8 = 1;
const REMOVED: [u8; 4] = [0; 4];
/// A number and an id.
const ID_BYTES: usize = 8 + 16;

/// What is kept of a post beside its body.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    pbx: Cow<'a, str>,
    received: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

/// One event as it lies in a page.
///
/// # Errors
/// `BadRecord` if it is larger than a page can say (4 GiB).
pub(super) fn event(posted: &Posted) -> Result<Vec<u8>, StoreFault> {
    let mut bytes = Vec::with_capacity(posted.body.len() + 192);
    bytes.extend_from_slice(&REMOVED);
    let head = Head {
        pbx: Cow::Borrowed(&posted.pbx),
        received: posted.received,
        content_type: posted.content_type.clone(),
        query: posted.query.clone(),
    };
    serde_json::to_writer(&mut bytes, &head).map_err(|error| bad(error.to_string()))?;
    let length = length(bytes.len() - REMOVED.len())?;
    for (to, from) in bytes.iter_mut().zip(length) {
        *to = from;
    }
    bytes.extend_from_slice(&self::length(posted.body.len())?);
    bytes.extend_from_slice(&posted.body);
    Ok(bytes)
}

/// Events with numbers that follow each other; the first one's is the record's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page(Vec<u8>);

impl Page {
    pub(super) fn empty() -> Self {
        Self(vec![VERSION])
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Adds what `event` gave.
    pub(super) fn add(&mut self, event: &[u8]) {
        self.0.extend_from_slice(event);
    }

    /// How many numbers the page covers, removed events included.
    pub(super) fn len(&self) -> Result<u64, StoreFault> {
        self.raw().try_fold(0, |count, raw| raw.map(|_| count + 1))
    }

    /// The event with this number; none if it was removed or isn't in here.
    pub(super) fn entry(&self, first: u64, seq: u64) -> Result<Option<Entry>, StoreFault> {
        let Some(place) = seq
            .checked_sub(first)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return Ok(None);
        };
        self.raw()
            .nth(place)
            .map_or(Ok(None), |raw| raw?.entry(seq))
    }

    /// All events that are left, in order.
    pub(super) fn entries(&self, first: u64) -> impl Iterator<Item = Result<Entry, StoreFault>> {
        let numbered = (first..).zip(self.raw());
        numbered.filter_map(|(seq, raw)| raw.and_then(|raw| raw.entry(seq)).transpose())
    }

    /// The page without these numbers; none once it holds no event any more.
    pub(super) fn without(&self, first: u64, gone: &[u64]) -> Result<Option<Self>, StoreFault> {
        let (mut page, mut left) = (Self::empty(), false);
        for (seq, raw) in (first..).zip(self.raw()) {
            let raw = raw?;
            if raw.head.is_empty() || gone.contains(&seq) {
                page.add(&REMOVED);
            } else {
                page.add(raw.whole);
                left = true;
            }
        }
        Ok(left.then_some(page))
    }

    fn raw(&self) -> impl Iterator<Item = Result<Raw<'_>, StoreFault>> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let raw = Raw::read(rest);
            rest = match &raw {
                Ok((_, rest)) => rest,
                Err(_) => &[],
            };
            Some(raw.map(|(raw, _)| raw))
        })
    }
}

impl Stored for Page {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        Ok(self.0.clone())
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        check_version(tree, bytes)?;
        Ok(Self(bytes.to_vec()))
    }
}

/// One event's bytes within a page.
struct Raw<'a> {
    /// Lengths included.
    whole: &'a [u8],
    /// No bytes if the event was removed.
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// The first event and what follows it.
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), StoreFault> {
        let (head, mut rest) = sized(bytes)?;
        let mut body: &[u8] = &[];
        if !head.is_empty() {
            (body, rest) = sized(rest)?;
        }
        let (whole, _) = bytes
            .split_at_checked(bytes.len() - rest.len())
            .ok_or_else(cut)?;
        Ok((Self { whole, head, body }, rest))
    }

    fn entry(&self, seq: u64) -> Result<Option<Entry>, StoreFault> {
        if self.head.is_empty() {
            return Ok(None);
        }
        let head: Head<'_> =
            serde_json::from_slice(self.head).map_err(|error| bad(error.to_string()))?;
        let posted = Posted {
            pbx: head.pbx.into_owned(),
            received: head.received,
            content_type: head.content_type,
            query: head.query,
            body: bytes::Bytes::copy_from_slice(self.body),
        };
        Ok(Some(Entry {
            seq,
            id: posted.id(),
            posted,
        }))
    }
}

/// Events' numbers and ids, in order: a start reads these and not the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids(pub Vec<(u64, EventId)>);

impl Stored for Ids {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * ID_BYTES);
        bytes.push(VERSION);
        for (seq, id) in &self.0 {
            bytes.extend_from_slice(&seq.to_be_bytes());
            bytes.extend_from_slice(&id.0);
        }
        Ok(bytes)
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        check_version(tree, bytes)?;
        let mut ids = Vec::new();
        let mut rest = bytes.get(1..).unwrap_or_default();
        while !rest.is_empty() {
            let (seq, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let (id, after) = after.split_first_chunk::<16>().ok_or_else(cut)?;
            ids.push((u64::from_be_bytes(*seq), EventId(*id)));
            rest = after;
        }
        Ok(Self(ids))
    }
}

fn check_version(tree: &'static str, bytes: &[u8]) -> Result<(), StoreFault> {
    match bytes.first() {
        Some(&VERSION) => Ok(()),
        Some(&found) => Err(StoreFault::NewerRecord {
            tree,
            found: u16::from(found),
            known: u16::from(VERSION),
        }),
        None => Err(cut()),
    }
}

/// What a length and that many bytes hold, and what follows.
fn sized(bytes: &[u8]) -> Result<(&[u8], &[u8]), StoreFault> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
    rest.split_at_checked(length).ok_or_else(cut)
}

fn length(bytes: usize) -> Result<[u8; 4], StoreFault> {
    let length = u32::try_from(bytes).map_err(|error| bad(error.to_string()))?;
    Ok(length.to_be_bytes())
}

fn cut() -> StoreFault {
    bad("a page of events is cut short".to_owned())
}

fn bad(why: String) -> StoreFault {
    StoreFault::BadRecord {
        tree: super::TREE,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(body: &str) -> Posted {
        Posted {
            pbx: "hq \"ü\"".to_owned(),
            received: Timestamp::from_second(1_795_177_469).unwrap(),
            content_type: None,
            query: Some("uuid=1".to_owned()),
            body: body.to_owned().into(),
        }
    }

    fn page(bodies: &[&str]) -> Page {
        let mut page = Page::empty();
        for body in bodies {
            page.add(&event(&posted(body)).unwrap());
        }
        page
    }

    #[test]
    fn events_come_back_by_number_and_in_order() {
        let page = page(&["a", "", "c"]);
        assert_eq!(page.len().unwrap(), 3);
        for (seq, body) in [(7, "a"), (8, ""), (9, "c")] {
            let entry = page.entry(7, seq).unwrap().unwrap();
            assert_eq!((entry.seq, entry.posted), (seq, posted(body)));
        }
        assert_eq!(page.entry(7, 6).unwrap(), None);
        assert_eq!(page.entry(7, 10).unwrap(), None);
        let all: Vec<u64> = page.entries(7).map(|entry| entry.unwrap().seq).collect();
        assert_eq!(all, [7, 8, 9]);
        let read = Page::from_bytes("journal", &page.to_bytes("journal").unwrap()).unwrap();
        assert_eq!(read, page);
    }

    #[test]
    fn a_removed_event_keeps_its_place_and_leaves_nothing_of_itself() {
        let page = page(&["first", "secret", "third"]);
        let left = page.without(1, &[2]).unwrap().unwrap();
        assert_eq!(left.len().unwrap(), 3);
        assert_eq!(left.entry(1, 2).unwrap(), None);
        assert_eq!(left.entry(1, 3).unwrap(), page.entry(1, 3).unwrap());
        assert!(!left.0.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(left.without(1, &[1, 3]).unwrap(), None);
    }

    #[test]
    fn ids_come_back_and_a_cut_is_a_fault() {
        let ids = Ids(vec![(1, EventId([1; 16])), (9, EventId([2; 16]))]);
        let bytes = ids.to_bytes("journal").unwrap();
        assert_eq!(Ids::from_bytes("journal", &bytes).unwrap(), ids);
        assert!(Ids::from_bytes("journal", bytes.get(..30).unwrap()).is_err());
    }

    #[test]
    fn a_page_that_is_cut_short_is_a_fault_wherever_the_cut() {
        let whole = page(&["one", "two"]);
        let starts = [1, 1 + event(&posted("one")).unwrap().len()];
        for at in 1..whole.bytes() {
            let cut = Page(whole.0.get(..at).unwrap().to_vec());
            let read: Result<Vec<_>, _> = cut.entries(1).collect();
            assert_eq!(read.is_ok(), starts.contains(&at), "cut at {at}");
        }
        assert!(Page::from_bytes("journal", &[]).is_err());
        assert!(matches!(
            Page::from_bytes("journal", &[2]),
            Err(StoreFault::NewerRecord { found: 2, .. })
        ));
    }
}
