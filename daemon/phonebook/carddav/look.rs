//! One look at an address book: what is there, what changed, and the cards of it. `carddav` calls it.

use super::card::{self, Reading};
use super::discovery::AddressBook;
use super::http::{Ask, Http, Kind, garbled, refusal, refused};
use super::memory::{Memory, Seen};
use super::report::{self, Part};
use crate::clock;
use crate::phonebook::{Changes, Entry, Etag, PhonebookFault, Token};
use crate::terms::contact::ContactId;
use crate::terms::number::NumberPlan;
use std::collections::{BTreeMap, BTreeSet};

/// Cards asked for at once: with a picture of a megabyte in each the answer fits what is read.
pub const BATCH: usize = 30;

/// Entries of an address book: a list of their etags is some 240 bytes each, a third of what is read of one answer.
pub const CARDS_MAX: usize = 50_000;

/// Parts that one look may come in, where a server cuts its answers.
const SYNC_PARTS_MAX: usize = 1_000;

/// Who looks, and where.
pub struct Look<'a> {
    pub http: &'a Http,
    pub plan: &'a NumberPlan,
    pub book: &'a AddressBook,
}

/// What a look found at which paths.
#[derive(Default)]
struct Found {
    /// All that is there, or what changed.
    etags: BTreeMap<String, String>,
    gone: BTreeSet<String>,
    sync_token: String,
}

impl Look<'_> {
    /// Looks at the address book and says what is different from `before`, or everything.
    pub async fn changes(
        &self,
        before: &Memory,
        known: bool,
    ) -> Result<(Memory, Changes), PhonebookFault> {
        if known && let Some(told) = self.look_on(before).await? {
            return Ok(told);
        }
        let found = if self.book.syncs {
            // Without a token nothing can be wrong with it.
            self.synced("").await?.unwrap_or_default()
        } else {
            self.listed().await?
        };
        let (mut after, entries) = self.read(&found, Memory::default()).await?;
        let owners: BTreeSet<String> = after.owners().into_values().map(str::to_owned).collect();
        after.token = Some(token(self.book, &found, None));
        let changes = changes(&after, entries, &owners, Vec::new(), true);
        Ok((after, changes))
    }

    /// What is different from `before`. None where only everything tells.
    async fn look_on(&self, before: &Memory) -> Result<Option<(Memory, Changes)>, PhonebookFault> {
        let mut found = if self.book.syncs && !before.sync_token.is_empty() {
            match self.synced(&before.sync_token).await? {
                Some(found) => found,
                None => return Ok(None),
            }
        } else if self.book.syncs {
            return Ok(None);
        } else {
            let mut all = self.listed().await?;
            let gone = before
                .cards
                .paths()
                .filter(|path| !all.etags.contains_key(*path));
            all.gone = gone.cloned().collect();
            all
        };
        let same = |path: &String, etag: &String| {
            before.cards.at(path).is_some_and(|seen| &seen.etag == etag)
        };
        found.etags.retain(|path, etag| !same(path, etag));
        let mut kept = before.clone();
        for path in &found.gone {
            kept.cards.remove(path);
        }
        let (mut after, entries) = self.read(&found, kept).await?;
        let read = found.etags.keys().cloned().collect();
        let Some(difference) = before.difference(&after, &read) else {
            return Ok(None);
        };
        let idle = found.etags.is_empty() && found.gone.is_empty();
        after.token = Some(token(
            self.book,
            &found,
            before.token.as_ref().filter(|_| idle),
        ));
        let changes = changes(
            &after,
            entries,
            &difference.changed,
            difference.removed,
            false,
        );
        Ok(Some((after, changes)))
    }

    /// sync-collection, all its parts. None if the server lost the token.
    async fn synced(&self, since: &str) -> Result<Option<Found>, PhonebookFault> {
        let mut found = Found {
            sync_token: since.to_owned(),
            ..Found::default()
        };
        for _ in 0..SYNC_PARTS_MAX {
            let body = report::sync_collection(&found.sync_token);
            let kind = Kind::Report("0", &body);
            let path = self.book.path.as_str();
            let answer = self.http.send(Ask { kind, path }).await?;
            let lost = matches!(answer.status, 400 | 403 | 409 | 410 | 412);
            if lost && !since.is_empty() {
                return Ok(None);
            }
            if answer.status != 207 {
                return Err(refusal(&answer, false));
            }
            let told = report::multistatus(&String::from_utf8_lossy(&answer.body));
            let told = told.map_err(garbled)?;
            let more = self.take(&told.parts, &mut found)?;
            let token = told.sync_token.filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| garbled("it has no sync-token"))?;
            let stuck = token == found.sync_token;
            found.sync_token = token;
            if !more {
                return Ok(Some(found));
            }
            if stuck {
                return Err(garbled("it is cut, and has no token to go on with"));
            }
        }
        Err(garbled("it comes in too many parts"))
    }

    /// Every path with its etag, for servers without sync-collection.
    async fn listed(&self) -> Result<Found, PhonebookFault> {
        let kind = Kind::Propfind("1", report::PROPFIND_ETAGS);
        let path = self.book.path.as_str();
        let (_, told) = self.http.multistatus(Ask { kind, path }).await?;
        let mut found = Found::default();
        if self.take(&told.parts, &mut found)? {
            return Err(garbled("the list is cut"));
        }
        Ok(found)
    }

    /// Adds what was told of entries. True if there is more.
    fn take(&self, parts: &[Part], found: &mut Found) -> Result<bool, PhonebookFault> {
        let mut more = false;
        for part in parts {
            let Some(path) = self.http.own_path(&self.book.path, &part.href) else {
                continue;
            };
            let itself = path.trim_end_matches('/') == self.book.path.trim_end_matches('/');
            match (part.status, &part.etag) {
                (Some(507), _) if itself => more = true,
                _ if itself || part.collection || path.ends_with('/') => {}
                (Some(404 | 410), _) => {
                    found.etags.remove(&path);
                    found.gone.insert(path);
                }
                (Some(200..=299) | None, Some(etag)) => {
                    found.gone.remove(&path);
                    found.etags.insert(path, etag.clone());
                }
                // Something is there, and it isn't told what: to leave it out would mean that it is gone.
                (Some(_) | None, _) => return Err(garbled("it says nothing of an entry")),
            }
        }
        if found.etags.len() > CARDS_MAX {
            let why = format!("the address book has more than {CARDS_MAX} entries");
            return Err(refused(why));
        }
        Ok(more)
    }

    /// Reads the cards of a look, in batches, and puts them into `memory`.
    async fn read(
        &self,
        found: &Found,
        mut memory: Memory,
    ) -> Result<(Memory, BTreeMap<String, Entry>), PhonebookFault> {
        memory.sync_token.clone_from(&found.sync_token);
        let mut entries = BTreeMap::new();
        let paths: Vec<&str> = found.etags.keys().map(String::as_str).collect();
        for batch in paths.chunks(BATCH) {
            let mut asked: BTreeSet<&str> = batch.iter().copied().collect();
            let body = report::multiget(batch.iter().copied());
            let kind = Kind::Report("0", &body);
            let path = self.book.path.as_str();
            let (_, told) = self.http.multistatus(Ask { kind, path }).await?;
            for part in told.parts {
                let Some(path) = self.http.own_path(&self.book.path, &part.href) else {
                    continue;
                };
                if !asked.remove(path.as_str()) {
                    continue;
                }
                match (part.status, part.card, part.etag) {
                    // It went meanwhile.
                    (Some(404 | 410), _, _) => memory.cards.remove(&path),
                    (Some(200..=299) | None, Some(text), Some(etag)) => {
                        let now = clock::now();
                        let reading = card::read(&text, self.plan, part.modified, now);
                        let (is, contact) = match reading {
                            Reading::Contact(contact) => (Ok(contact.id.clone()), Some(contact)),
                            Reading::Other(other) => (Err(other), None),
                        };
                        if let Some(contact) = contact {
                            let contact = *contact;
                            let etag = Etag(etag.clone());
                            entries.insert(path.clone(), Entry { etag, contact });
                        }
                        memory.cards.put(path, Seen { etag, is });
                    }
                    (Some(_) | None, _, _) => return Err(garbled("it lacks a card")),
                }
            }
            if !asked.is_empty() {
                return Err(garbled("it lacks cards that were asked for"));
            }
        }
        Ok((memory, entries))
    }
}

/// The port's answer: the entries at these paths.
fn changes(
    after: &Memory,
    mut entries: BTreeMap<String, Entry>,
    paths: &BTreeSet<String>,
    removed: Vec<ContactId>,
    complete: bool,
) -> Changes {
    entries.retain(|path, _| paths.contains(path));
    Changes {
        changed: entries.into_values().collect(),
        removed,
        complete,
        token: after.token.clone().unwrap_or(Token(String::new())),
        more: false,
    }
}

/// The server's token, or a new one of ours where it has none; `last` if nothing changed.
fn token(book: &AddressBook, found: &Found, last: Option<&Token>) -> Token {
    match last {
        _ if book.syncs => Token(found.sync_token.clone()),
        Some(last) => last.clone(),
        None => Token(format!("listed:{:016x}", fastrand::u64(..))),
    }
}
