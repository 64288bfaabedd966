//! The ledger of erasures as a file: in the state folder, where `erase` and `restore` keep it, and beside the backups.

use super::{Erasures, ErasuresFault, Identifier, Key};
use crate::recovery::restore::give_to_owner;
use jiff::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What it is called, wherever it lies.
const FILE: &str = "tieline.erasures";
/// As long as it isn't whole.
const PARTIAL: &str = "tieline.erasures.partial";

/// Why a ledger wasn't read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFault {
    #[error(
        "the ledger of erasures {place}: {why}. It knows who was erased and must not come back: put a copy in its place \
         (one lies beside the backups), or, if there is none, move it away and erase again whom you know"
    )]
    Unusable { place: String, why: ErasuresFault },
    #[error("the ledger of erasures {place}: {why}. Nothing was erased")]
    Full { place: String, why: ErasuresFault },
    #[error("the ledger of erasures {place}: {source}")]
    File { place: String, source: io::Error },
}

/// The folder's ledger; an empty one if there is none.
///
/// # Errors
/// See [`LedgerFault`].
pub fn read(folder: &Path) -> Result<Erasures, LedgerFault> {
    let place = folder.join(FILE);
    let text = match fs::read(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Erasures::default()),
        text => text.map_err(failed(&place))?,
    };
    let text = String::from_utf8(text);
    let text = text.map_err(|_| ErasuresFault::Damaged("it is no text"));
    let read = text.and_then(|text| Erasures::parse(&text));
    read.map_err(unusable(&place))
}

/// Adds these to the folder's ledger, on disk when it answers; what is there stays. Answers what is there now.
///
/// # Errors
/// See [`LedgerFault`]. Nothing was changed.
pub fn add(folder: &Path, erasures: &Erasures) -> Result<Erasures, LedgerFault> {
    let old = read(folder)?;
    let all = old.clone().and(erasures);
    let all = all.map_err(unusable(&folder.join(FILE)))?;
    if all != old {
        write(folder, &all.to_text()).map_err(failed(&folder.join(FILE)))?;
    }
    Ok(all)
}

/// Adds what a store has `had`, and these until their times, now at the latest, as [`add`] does.
///
/// # Errors
/// See [`LedgerFault`]. Nothing was changed.
pub fn note<'a>(
    folder: &Path,
    had: &Erasures,
    erased: impl Iterator<Item = (Identifier<'a>, Timestamp)>,
    now: Timestamp,
) -> Result<Erasures, LedgerFault> {
    let (place, fresh) = (folder.join(FILE), fresh_key()?);
    let all = read(folder)?.and(had);
    let mut all = all.map_err(unusable(&place))?;
    for (who, until) in erased {
        let noted = all.note(who, until.min(now), &fresh);
        noted.map_err(unusable(&place))?;
    }
    add(folder, &all)
}

fn fresh_key() -> Result<Key, LedgerFault> {
    let mut key = [0; 64];
    // The system gives so little at once, or nothing.
    let given = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    given.map_err(|errno| failed(Path::new("getrandom"))(errno.into()))?;
    Ok(key)
}

fn write(folder: &Path, text: &str) -> io::Result<()> {
    let (place, partial) = (folder.join(FILE), folder.join(PARTIAL));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = options.open(&partial)?;
    to.write_all(text.as_bytes())?;
    to.sync_all()?;
    match give_to_owner(folder, &partial) {
        // Who isn't root keeps it.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::rename(&partial, &place)?;
    File::open(folder)?.sync_all()
}

fn unusable(place: &Path) -> impl FnOnce(ErasuresFault) -> LedgerFault + use<> {
    let place = place.display().to_string();
    move |why| match why {
        ErasuresFault::Full => LedgerFault::Full { place, why },
        ErasuresFault::Damaged(_) | ErasuresFault::Newer(_) => LedgerFault::Unusable { place, why },
    }
}

fn failed(place: &Path) -> impl FnOnce(io::Error) -> LedgerFault + use<> {
    let place = place.display().to_string();
    move |source| LedgerFault::File { place, source }
}
