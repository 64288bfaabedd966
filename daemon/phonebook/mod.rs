//! The phone side's port: what the contact sync asks of a phone book, whichever it is. Called by `contacts`.
//!
//! Two engines: `directory`, the built-in one in the store, and `carddav`, an address book on a contact server. Every
//! method is one step that may be repeated: a create of an id that is there answers `Exists`, an update or removal of a
//! contact that changed meanwhile answers `Changed`, and then the sync reads it again and plans anew.
//!
//! ```text
//! changes(since: Option<&Token>) -> Changes          one part of what changed, or of everything
//! get(id)                        -> Option<Entry>
//! create(id, &Draft)             -> Etag             Exists if the id is taken
//! update(id, &Etag, &Draft)      -> Etag             Changed, Gone
//! remove(id, &Etag)              -> ()               Changed, Gone
//! ```

pub mod api;
pub mod carddav;
pub mod directory;
pub mod transfer;
pub mod vcard;
pub mod wire;

use crate::terms::contact::{Contact, ContactId, Fields, Source};
use carddav::CardDav;
use directory::ContactBook;
use serde::{Deserialize, Serialize};

/// Says which version of a contact was read; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etag(pub String);

/// A place in a phone book's history; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub String);

/// A contact as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub etag: Etag,
    pub contact: Contact,
}

/// What changed in a phone book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub changed: Vec<Entry>,
    /// Said to be gone; with `complete` everything that isn't in `changed` is gone too.
    pub removed: Vec<ContactId>,
    /// `changed` is the whole phone book: there was no token, or the phone book lost it.
    pub complete: bool,
    /// Whence to ask on.
    pub token: Token,
    /// There is more at once, from `token` on. A complete list counts only when its last part was read.
    pub more: bool,
}

/// What the sync writes: its own fields. Whatever else the entry holds stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub fields: Fields,
    pub link: Option<String>,
    /// Put beside the tags that people gave.
    pub tag: Option<String>,
    pub sources: Vec<Source>,
}

/// Why a phone book didn't do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhonebookFault {
    /// A create found the id taken: by ourselves before a crash, or by somebody.
    #[error("there is a contact with this id already")]
    Exists(Box<Entry>),
    /// Somebody changed the contact since it was read.
    #[error("the contact was changed meanwhile")]
    Changed,
    #[error("the contact is gone")]
    Gone,
    /// The operator's: wrong address, user, password, or no right to write.
    #[error("{0}")]
    Refused(String),
    /// The phone book says that this contact can't be stored; others may.
    #[error("{0}")]
    Rejected(String),
    /// No connection, a timeout, a server's fault; `unclear`: it may have been done.
    #[error("{why}")]
    Unreachable { why: String, unclear: bool },
    #[error(transparent)]
    Store(#[from] crate::store::StoreFault),
}

/// The phone book of one integration.
pub enum Phonebook {
    Directory(ContactBook),
    CardDav(Box<CardDav>),
}

impl Phonebook {
    /// # Errors
    /// As the engine's.
    pub async fn changes(&self, since: Option<&Token>) -> Result<Changes, PhonebookFault> {
        match self {
            Self::Directory(book) => book.changes(since).await,
            Self::CardDav(book) => book.changes(since).await,
        }
    }

    /// # Errors
    /// As the engine's.
    pub async fn get(&self, id: &ContactId) -> Result<Option<Entry>, PhonebookFault> {
        match self {
            Self::Directory(book) => book.get(id).await,
            Self::CardDav(book) => book.get(id).await,
        }
    }

    /// # Errors
    /// As the engine's.
    pub async fn create(&self, id: &ContactId, draft: &Draft) -> Result<Etag, PhonebookFault> {
        match self {
            Self::Directory(book) => book.create(id, draft).await,
            Self::CardDav(book) => book.create(id, draft).await,
        }
    }

    /// # Errors
    /// As the engine's.
    pub async fn update(
        &self,
        id: &ContactId,
        etag: &Etag,
        draft: &Draft,
    ) -> Result<Etag, PhonebookFault> {
        match self {
            Self::Directory(book) => book.update(id, etag, draft).await,
            Self::CardDav(book) => book.update(id, etag, draft).await,
        }
    }

    /// # Errors
    /// As the engine's.
    pub async fn remove(&self, id: &ContactId, etag: &Etag) -> Result<(), PhonebookFault> {
        match self {
            Self::Directory(book) => book.remove(id, etag).await,
            Self::CardDav(book) => book.remove(id, etag).await,
        }
    }
}
