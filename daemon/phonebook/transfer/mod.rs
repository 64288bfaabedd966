//! Import and export of whole phone books, CSV or vCard, a record at a time: files of any size pass through. Good records
//! are taken, the others are reported with their line. Used by the admin interface; `tieline contacts` is its reader.

mod split;
mod table;

use super::directory::limits::is_id;
use super::directory::{ContactBook, Content, Outcome, Row, WriteFault, fresh_id};
use super::{Entry, vcard};
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use crate::terms::number::NumberPlan;
use sha2::{Digest, Sha256};
use split::{Piece, Splitter};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use table::Header;

/// Records written together: a group of these holds up no event for long.
const BATCH: usize = 100;
/// Refused records that are listed; the others are counted. More than a person mends by hand.
const REFUSED_SHOWN_MAX: usize = 1000;
/// Bytes of an id made of a UID that can't be one.
const UID_BYTES: usize = 16;

/// How contacts are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Vcard,
}

impl Format {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "csv" => Some(Self::Csv),
            "vcard" => Some(Self::Vcard),
            _ => None,
        }
    }
}

/// A record that wasn't taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it begins.
    pub line: u64,
    /// The contact's name, if it has one.
    pub what: String,
    pub why: String,
}

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub created: u64,
    pub updated: u64,
    /// Was there already, with all of it.
    pub same: u64,
    pub refused: u64,
    /// The first ones.
    pub refusals: Vec<Refused>,
}

/// Why the whole file isn't taken on.
#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    #[error("line {line}: {why}")]
    Header { line: u64, why: String },
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// An import under way.
pub struct Import {
    book: ContactBook,
    plan: NumberPlan,
    format: Format,
    dry: bool,
    splitter: Splitter,
    header: Option<Header>,
    waiting: Vec<(u64, Row)>,
    report: Report,
    /// In a dry run, which line a number or e-mail was in: the phone book doesn't know those of the file. Hashes, because
    /// there may be a million.
    claimed: HashMap<u64, u64>,
}

impl Import {
    /// With `dry` nothing is written.
    pub fn new(book: ContactBook, plan: NumberPlan, format: Format, dry: bool) -> Self {
        Self {
            book,
            plan,
            format,
            dry,
            splitter: Splitter::new(format),
            header: None,
            waiting: Vec::new(),
            report: Report::default(),
            claimed: HashMap::new(),
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// A header row that can't be used, a fault of the store. What was taken before stays.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), ImportFault> {
        self.splitter.push(bytes);
        self.pieces().await
    }

    /// Takes what is left.
    ///
    /// # Errors
    /// As `take`.
    pub async fn finish(mut self) -> Result<Report, ImportFault> {
        self.splitter.end();
        self.pieces().await?;
        self.write().await?;
        Ok(self.report)
    }

    async fn pieces(&mut self) -> Result<(), ImportFault> {
        while let Some(piece) = self.splitter.next() {
            match piece {
                Piece::TooLong { line, max } => {
                    self.refuse(line, String::new(), format!("longer than {max} bytes"));
                }
                Piece::Record { line, bytes } => self.record(line, &bytes)?,
            }
            if self.waiting.len() >= BATCH {
                self.write().await?;
            }
        }
        Ok(())
    }

    fn record(&mut self, line: u64, bytes: &[u8]) -> Result<(), ImportFault> {
        let read = match (self.format, &self.header) {
            (Format::Csv, None) => {
                let header = Header::read(bytes);
                self.header = Some(header.map_err(|why| ImportFault::Header { line, why })?);
                return Ok(());
            }
            (Format::Csv, Some(header)) => header.contact(bytes, &self.plan),
            (Format::Vcard, _) => match std::str::from_utf8(bytes) {
                Ok(text) => vcard::read(text, &self.plan).map(|card| (card.uid, card.content)),
                Err(_) => Err("this is no UTF-8".to_owned()),
            },
        };
        match read {
            Ok((id, content)) => {
                let id = id_of(id);
                match self.claimed_before(line, &content) {
                    Some(before) => {
                        let why = format!("a number or e-mail of it is in line {before}, too");
                        self.refuse(line, content.fields.name, why);
                    }
                    None => self.waiting.push((line, Row { id, content })),
                }
            }
            Err(why) => self.refuse(line, String::new(), why),
        }
        Ok(())
    }

    fn claimed_before(&mut self, line: u64, content: &Content) -> Option<u64> {
        if !self.dry {
            return None;
        }
        let numbers = content.fields.phones.iter().map(|one| one.number.as_str());
        let emails = content.fields.emails.iter().map(|one| one.email.as_str());
        let mut before = None;
        for claim in numbers.chain(emails) {
            let mut hasher = DefaultHasher::new();
            claim.hash(&mut hasher);
            let first = *self.claimed.entry(hasher.finish()).or_insert(line);
            before = before.or(Some(first).filter(|first| *first != line));
        }
        before
    }

    async fn write(&mut self) -> Result<(), ImportFault> {
        let waiting = std::mem::take(&mut self.waiting);
        let rows = waiting.iter().map(|(_, row)| row.clone()).collect();
        let outcomes = self.book.put_all(rows, self.dry).await?;
        for ((line, row), outcome) in waiting.into_iter().zip(outcomes) {
            match outcome {
                Ok(Outcome::Created(_)) => self.report.created += 1,
                Ok(Outcome::Updated(_)) => self.report.updated += 1,
                Ok(Outcome::Same(_) | Outcome::Removed(_)) => self.report.same += 1,
                Err(WriteFault::Store(fault)) => return Err(ImportFault::Store(fault)),
                Err(
                    fault @ (WriteFault::Condition(_)
                    | WriteFault::Missing
                    | WriteFault::Taken { .. }
                    | WriteFault::Invalid(_)),
                ) => self.refuse(line, row.content.fields.name, fault.to_string()),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, what: String, why: String) {
        self.report.refused += 1;
        if self.report.refusals.len() < REFUSED_SHOWN_MAX {
            self.report.refusals.push(Refused { line, what, why });
        }
    }
}

/// The same id for the same UID, so that a file can be imported again; a new one without.
fn id_of(uid: Option<String>) -> ContactId {
    match uid {
        None => fresh_id(),
        Some(uid) if is_id(&uid) => ContactId(uid),
        Some(uid) => {
            let digest = Sha256::digest(uid.as_bytes());
            let hex = digest.iter().take(UID_BYTES);
            ContactId(hex.map(|byte| format!("{byte:02x}")).collect())
        }
    }
}

/// What an export begins with.
pub fn head(format: Format) -> String {
    match format {
        Format::Csv => table::header(),
        Format::Vcard => String::new(),
    }
}

/// Some contacts of an export.
pub fn body(format: Format, entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        match format {
            Format::Csv => text.push_str(&table::write(entry)),
            Format::Vcard => vcard::write(entry, &mut text),
        }
    }
    text
}
