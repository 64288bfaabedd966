//! Finds the address book behind a contact server's address (RFC 6764): the address itself, or by way of the user's
//! principal and its address books' home. Asked by `carddav`.

use super::http::{Ask, Http, Kind, refused};
use super::report::{Multistatus, PROPFIND_SELF, Part};
use crate::phonebook::PhonebookFault;

/// Where a server that is known by its host alone tells more (RFC 6764, section 5).
const WELL_KNOWN: &str = "/.well-known/carddav";

/// Names of address books that are listed when there are several.
const NAMED_MAX: usize = 10;

/// Where the contacts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressBook {
    /// With a slash at its end.
    pub path: String,
    /// It understands sync-collection.
    pub syncs: bool,
}

/// Finds it.
///
/// # Errors
/// `Refused` where there is none, or several; `Unreachable`.
pub async fn discover(http: &Http) -> Result<AddressBook, PhonebookFault> {
    let given = http.start.path();
    let bare = given.is_empty() || given == "/";
    let starts: &[&str] = if bare {
        &[WELL_KNOWN, "/"]
    } else {
        &[given, WELL_KNOWN]
    };
    let mut first_fault = None;
    for start in starts {
        match look(http, start).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // A wrong password stays wrong, and a server that is away too.
            Err(PhonebookFault::Refused(why)) => {
                first_fault.get_or_insert(PhonebookFault::Refused(why));
            }
            Err(other) => return Err(other),
        }
    }
    Err(first_fault.unwrap_or_else(|| {
        refused(
            "there is no address book of this user: put the address book's own address into url",
        )
    }))
}

/// From one address on. None if it leads nowhere.
async fn look(http: &Http, start: &str) -> Result<Option<AddressBook>, PhonebookFault> {
    let (path, told) = myself(http, start, "0").await?;
    let Some(here) = about(http, &path, &told) else {
        return Ok(None);
    };
    if here.address_book {
        return Ok(Some(address_book(&path, here)));
    }
    let mut homes = own(http, &path, &here.homes);
    if homes.is_empty()
        && let Some(principal) = &here.principal
    {
        let principal = http
            .own_path(&path, principal)
            .ok_or_else(|| refused("the contact server's user is on another server"))?;
        let (path, told) = myself(http, &principal, "0").await?;
        homes = about(http, &path, &told)
            .map(|there| own(http, &path, &there.homes))
            .unwrap_or_default();
    }
    let mut found = Vec::new();
    for home in homes {
        let (path, told) = myself(http, &home, "1").await?;
        let books = told.parts.iter().filter(|part| part.address_book);
        found.extend(books.filter_map(|part| {
            let path = http.own_path(&path, &part.href)?;
            Some(address_book(&path, part))
        }));
    }
    found.dedup();
    if found.len() > 1 {
        let names = found.iter().take(NAMED_MAX).map(|book| book.path.as_str());
        let names: Vec<&str> = names.collect();
        let names = names.join(", ");
        return Err(refused(format!(
            "there are {} address books: put the one for contacts into url: {names}",
            found.len()
        )));
    }
    Ok(found.pop())
}

async fn myself(
    http: &Http,
    path: &str,
    depth: &'static str,
) -> Result<(String, Multistatus), PhonebookFault> {
    let kind = Kind::Propfind(depth, PROPFIND_SELF);
    http.multistatus(Ask { kind, path }).await
}

/// What was told of `path` itself.
fn about<'a>(http: &Http, path: &str, told: &'a Multistatus) -> Option<&'a Part> {
    let path = http.own_path(path, "")?;
    let same = |part: &&Part| {
        let href = http.own_path(&path, &part.href);
        href.is_some_and(|href| href.trim_end_matches('/') == path.trim_end_matches('/'))
    };
    // Some servers call it by another name, such as the principal's.
    told.parts.iter().find(same).or_else(|| told.parts.first())
}

fn own(http: &Http, path: &str, hrefs: &[String]) -> Vec<String> {
    let hrefs = hrefs.iter();
    hrefs.filter_map(|href| http.own_path(path, href)).collect()
}

fn address_book(path: &str, part: &Part) -> AddressBook {
    let path = super::http::spelled(path);
    AddressBook {
        path: format!("{}/", path.trim_end_matches('/')),
        syncs: part.syncs,
    }
}
