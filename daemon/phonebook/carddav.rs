//! The phone side on a contact server: an address book over CardDAV (RFC 6352), with the port's methods. Called by
//! `contacts`, through the port.
//!
//! ```text
//! changes   sync-collection (RFC 6578), or a listing of etags -> memory: what is new -> multiget -> cards to contacts
//! update    GET -> the draft put onto the card -> PUT with If-Match
//! create    PUT with If-None-Match: * to UID.vcf
//! remove    DELETE with If-Match
//! ```
//!
//! Nothing of it is on disk: after a restart, or with a token that isn't the last one given, everything is read and said to
//! be complete. Nothing is repeated by itself: that is the caller's.

mod card;
mod discovery;
mod http;
mod lines;
mod look;
mod memory;
mod patch;
mod report;
mod xml;

pub use look::{BATCH, CARDS_MAX};
pub use memory::LeftAlone;

use super::{Changes, Draft, Entry, Etag, PhonebookFault, Token};
use crate::clock;
use crate::settings::types::CardDavSettings;
use crate::terms::contact::ContactId;
use crate::terms::number::NumberPlan;
use card::Reading;
use discovery::AddressBook;
use http::{Answer, Ask, Http, Kind, garbled, refusal, refused};
use look::Look;
use memory::{Memory, Seen};
use patch::Patched;
use report::Part;
use tokio::sync::Mutex;

/// An address book on a contact server.
#[derive(Debug)]
pub struct CardDav {
    name: String,
    http: Http,
    plan: NumberPlan,
    state: Mutex<State>,
    /// One look at a time: the later one would forget what the earlier found.
    looking: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    book: Option<AddressBook>,
    memory: Memory,
}

/// A card as it lies on the server.
struct Stored {
    path: String,
    etag: Etag,
    text: String,
    reading: Reading,
}

impl CardDav {
    /// Reads the password file, speaks to nobody yet. `plan`: how numbers are written where the phones stand.
    ///
    /// # Errors
    /// `Refused` if a file or the address can't be used.
    pub fn new(settings: &CardDavSettings, plan: NumberPlan) -> Result<Self, PhonebookFault> {
        Ok(Self {
            name: settings.name.clone(),
            http: Http::new(settings)?,
            plan,
            state: Mutex::default(),
            looking: Mutex::default(),
        })
    }

    /// What changed since `since`, in one part.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub async fn changes(&self, since: Option<&Token>) -> Result<Changes, PhonebookFault> {
        let _alone = self.looking.lock().await;
        let book = self.book().await?;
        let memory = self.state.lock().await.memory.clone();
        let known = since.is_some() && since == memory.token.as_ref();
        let before = if known { memory } else { Memory::default() };
        let look = Look {
            http: &self.http,
            plan: &self.plan,
            book: &book,
        };
        let found = look.changes(&before, known).await;
        if matches!(found, Err(PhonebookFault::Refused(_))) {
            // It may have been moved: then it is found anew the next time.
            self.state.lock().await.book = None;
        }
        let (memory, changes) = found?;
        let left = memory.left_alone();
        let mut state = self.state.lock().await;
        if left != state.memory.left_alone() {
            tracing::warn!(
                carddav = self.name,
                groups = left.groups,
                nameless = left.nameless,
                without_uid = left.without_uid,
                broken = left.broken,
                doubled = left.doubled.len(),
                "entries of the address book that are no contacts are left alone"
            );
        }
        state.memory = memory;
        Ok(changes)
    }

    /// The contact, if it is there.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub async fn get(&self, id: &ContactId) -> Result<Option<Entry>, PhonebookFault> {
        Ok(self.stored(id).await?.and_then(Stored::entry))
    }

    /// Writes a new contact.
    ///
    /// # Errors
    /// `Exists` if the id is taken; `Refused`, `Rejected`, `Unreachable`.
    pub async fn create(&self, id: &ContactId, draft: &Draft) -> Result<Etag, PhonebookFault> {
        if draft.fields.name.trim().is_empty() {
            let why = "a contact without a name can't be stored: the card needs one";
            return Err(PhonebookFault::Rejected(why.to_owned()));
        }
        let book = self.book().await?;
        let (known, blind) = {
            let memory = &self.state.lock().await.memory;
            (memory.path(id).is_some(), memory.token.is_none())
        };
        if (known || blind)
            && let Some(entry) = self.get(id).await?
        {
            return Err(PhonebookFault::Exists(Box::new(entry)));
        }
        let path = format!("{}{}.vcf", book.path, http::segment(&id.0));
        let text = patch::create(id, draft, &self.plan, clock::now());
        let kind = Kind::Create(&text);
        let path = path.as_str();
        let answer = self.http.send(Ask { kind, path }).await?;
        match answer.status {
            200..=299 => self.written(path, &answer, &text).await,
            404 | 410 => Err(refused("the address book is gone")),
            412 => self.taken(id, self.fetch(path).await?),
            409 | 403 if says(&answer, "no-uid-conflict") => self.taken(id, self.find(id).await?),
            _ => Err(refusal(&answer, true)),
        }
    }

    /// Puts a draft onto the contact that was read as `etag`. What the card says already isn't written.
    ///
    /// # Errors
    /// `Changed`, `Gone`; `Refused`, `Rejected`, `Unreachable`.
    pub async fn update(
        &self,
        id: &ContactId,
        etag: &Etag,
        draft: &Draft,
    ) -> Result<Etag, PhonebookFault> {
        let stored = self.stored(id).await?.ok_or(PhonebookFault::Gone)?;
        if !same(&stored.etag, etag) {
            return Err(PhonebookFault::Changed);
        }
        let text = match patch::patch(&stored.text, draft, &self.plan, clock::now()) {
            Patched::Same => return Ok(stored.etag),
            Patched::Text(text) => text,
            Patched::Broken => {
                let why = "the card on the server is none that could be changed";
                return Err(PhonebookFault::Rejected(why.to_owned()));
            }
        };
        let kind = Kind::Replace(&stored.etag, &text);
        let path = stored.path.as_str();
        let answer = self.http.send(Ask { kind, path }).await?;
        match answer.status {
            200..=299 => self.written(path, &answer, &text).await,
            _ => Err(refusal(&answer, true)),
        }
    }

    /// Removes the contact that was read as `etag`.
    ///
    /// # Errors
    /// `Changed`, `Gone`; `Refused`, `Unreachable`.
    pub async fn remove(&self, id: &ContactId, etag: &Etag) -> Result<(), PhonebookFault> {
        let stored = self.stored(id).await?.ok_or(PhonebookFault::Gone)?;
        if !same(&stored.etag, etag) {
            return Err(PhonebookFault::Changed);
        }
        let kind = Kind::Delete(&stored.etag);
        let path = stored.path.as_str();
        let answer = self.http.send(Ask { kind, path }).await?;
        match answer.status {
            200..=299 => Ok(()),
            _ => Err(refusal(&answer, true)),
        }
    }

    /// Entries of the address book that are no contacts, as of the last look.
    pub async fn left_alone(&self) -> LeftAlone {
        self.state.lock().await.memory.left_alone()
    }

    async fn book(&self) -> Result<AddressBook, PhonebookFault> {
        if let Some(book) = &self.state.lock().await.book {
            return Ok(book.clone());
        }
        let book = discovery::discover(&self.http).await?;
        self.state.lock().await.book = Some(book.clone());
        Ok(book)
    }

    /// A contact's card as it is now: where it was last seen, else wherever it is.
    async fn stored(&self, id: &ContactId) -> Result<Option<Stored>, PhonebookFault> {
        let seen = {
            let state = self.state.lock().await;
            state.memory.path(id).map(str::to_owned)
        };
        if let Some(path) = seen
            && let Some(stored) = self.fetch(&path).await?
            && stored.is(id)
        {
            return Ok(Some(stored));
        }
        self.find(id).await
    }

    /// Looks for the card with that UID; of several the first by path.
    async fn find(&self, id: &ContactId) -> Result<Option<Stored>, PhonebookFault> {
        let book = self.book().await?;
        let body = report::by_uid(&id.0);
        let kind = Kind::Report("1", &body);
        let path = book.path.as_str();
        let (_, told) = self.http.multistatus(Ask { kind, path }).await?;
        let now = clock::now();
        let named = |part: &Part| {
            let text = part.card.as_deref()?;
            let reading = card::read(text, &self.plan, part.modified, now);
            let ours = matches!(&reading, Reading::Contact(contact) if contact.id == *id);
            ours.then(|| self.http.own_path(&book.path, &part.href))?
        };
        let Some(path) = told.parts.iter().filter_map(named).min() else {
            return Ok(None);
        };
        Ok(self.fetch(&path).await?.filter(|stored| stored.is(id)))
    }

    /// The card at a path, its bytes as they are: XML would change its line breaks.
    async fn fetch(&self, path: &str) -> Result<Option<Stored>, PhonebookFault> {
        let kind = Kind::Get;
        let answer = self.http.send(Ask { kind, path }).await?;
        match answer.status {
            200 => {}
            404 | 410 => return Ok(None),
            _ => return Err(refusal(&answer, false)),
        }
        let etag = answer.etag.ok_or_else(|| garbled("a card has no etag"))?;
        let text = String::from_utf8(answer.body).unwrap_or_default();
        let reading = card::read(&text, &self.plan, answer.modified, clock::now());
        Ok(Some(Stored {
            path: path.to_owned(),
            etag,
            text,
            reading,
        }))
    }

    /// The etag of what was just written: the server's, or that of what is read back if it says the same.
    async fn written(
        &self,
        path: &str,
        answer: &Answer,
        text: &str,
    ) -> Result<Etag, PhonebookFault> {
        let now = clock::now();
        let wrote = card::read(text, &self.plan, None, now);
        if let Reading::Contact(contact) = &wrote {
            let is = Ok(contact.id.clone());
            // Its etag is not kept: the next look reports our own write, as it does elsewhere.
            let etag = String::new();
            let mut state = self.state.lock().await;
            let cards = &mut state.memory.cards;
            if cards.at(path).is_none() {
                cards.put(path.to_owned(), Seen { etag, is });
            }
        }
        if let Some(etag) = &answer.etag {
            return Ok(etag.clone());
        }
        let stored = self.fetch(path).await?.ok_or(PhonebookFault::Gone)?;
        let told = |reading: &Reading| match reading {
            Reading::Contact(contact) => Some((
                contact.fields.clone(),
                contact.link.clone(),
                contact.sources.clone(),
            )),
            Reading::Other(_) => None,
        };
        if told(&wrote) == told(&stored.reading) {
            Ok(stored.etag)
        } else {
            Err(PhonebookFault::Changed)
        }
    }

    /// A create found something.
    fn taken(&self, id: &ContactId, found: Option<Stored>) -> Result<Etag, PhonebookFault> {
        match found {
            Some(stored) if stored.is(id) => match stored.entry() {
                Some(entry) => Err(PhonebookFault::Exists(Box::new(entry))),
                None => Err(garbled("it changed meanwhile")),
            },
            Some(_) => {
                let why = "another card has the place of this contact on the server";
                Err(PhonebookFault::Rejected(why.to_owned()))
            }
            None => Err(garbled("a card is said to be there and can't be read")),
        }
    }
}

impl Stored {
    fn is(&self, id: &ContactId) -> bool {
        matches!(&self.reading, Reading::Contact(contact) if contact.id == *id)
    }

    fn entry(self) -> Option<Entry> {
        match self.reading {
            Reading::Contact(contact) => Some(Entry {
                etag: self.etag,
                contact: *contact,
            }),
            Reading::Other(_) => None,
        }
    }
}

/// The same version, also where something on the way calls it a weak one (RFC 9110, section 8.8.3).
fn same(one: &Etag, other: &Etag) -> bool {
    let strong = |etag: &Etag| etag.0.trim_start_matches("W/").to_owned();
    strong(one) == strong(other)
}

fn says(answer: &Answer, condition: &str) -> bool {
    let named = report::conditions(&String::from_utf8_lossy(&answer.body));
    named.iter().any(|name| name == condition)
}
