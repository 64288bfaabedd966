//! Somebody forgotten before their time, in a store that nobody has open: noted in the ledger of erasures, removed, and the
//! store written anew and put in the old one's place, because sled keeps removed bytes in its file until it needs the room.

use super::TREES;
use super::erasures::{self, Done, LedgerFault};
use super::person::Person;
use super::restore::{give_to_owner, sync};
use super::shelves::{Erased, ShelfFault, Shelves};
use crate::clock;
use crate::settings::types::Settings;
use crate::store::{Store, StoreFault, StoreOptions, hold, in_use, released};
use crate::terms::number::NumberPlan;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Where the store is written anew, and where the old one is until it is removed.
pub(super) const UNFINISHED: &str = "store.erasing";

/// Why nobody was forgotten. What was removed before a fault stays removed; the same command again goes on.
#[derive(Debug, thiserror::Error)]
pub enum EraseFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Shelf(#[from] ShelfFault),
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error("there is no store in {0}")]
    NoStore(String),
    #[error(
        "some events were taken and not read yet: start tieline, wait until `tieline status` shows none unread, stop it, \
         and try again"
    )]
    Unread,
    #[error(
        "the file system of {0} can't exchange two folders in one step (RENAME_EXCHANGE), which `erase` needs; nothing was \
         changed. Move the folder to one that can (ext4, XFS, Btrfs, tmpfs), or make a backup and restore it there"
    )]
    NoExchange(String),
    #[error("{place}: {source}")]
    Folder { place: String, source: io::Error },
}

/// Forgets somebody, and whoever stands in the ledger and is in the store nevertheless: an erasure was ended before its end,
/// or an older store was put back by hand. With `dry_run` only counts. The daemon must not run.
///
/// # Errors
/// `InUse` if it does; see [`EraseFault`].
pub async fn erase(settings: &Settings, who: Person, dry_run: bool) -> Result<Erased, EraseFault> {
    let state_dir = &settings.daemon.state_dir;
    let (place, unfinished) = (state_dir.join("store"), state_dir.join(UNFINISHED));
    if !place.join("db").exists() {
        return Err(EraseFault::NoStore(state_dir.display().to_string()));
    }
    if in_use(&place)? {
        return Err(StoreFault::InUse { dir: place }.into());
    }
    let ledger = erasures::read(state_dir)?;
    let store = Store::open(&place, StoreOptions::default())?;
    remove(&unfinished)?;
    let (shelves, done) = (Shelves::open(&store)?, Done::open(&store));
    if !shelves.are_read()? {
        return Err(EraseFault::Unread);
    }
    let had = done.read()?;
    let mut person = who.and_noted(ledger.without(&had));
    let plans = plans(settings);
    let all = shelves.find(&mut person, &plans)?;
    let erased = Shelves::told(&all, &person);
    if dry_run {
        return Ok(erased);
    }
    can_exchange(state_dir)?;
    // Known for good before anything goes: if this is ended in between, whoever comes next knows whom to remove.
    let ledger = erasures::note(state_dir, &had, person.identifiers(), clock::now())?;
    shelves.erase(all, &person, &plans).await?;
    done.note(ledger).await?;
    drop((shelves, done));
    write_anew(store, &place, &unfinished).await?;
    // A daemon that is started now would write into the store that goes.
    let _held = hold(&place)?;
    swap(state_dir, &place, &unfinished)?;
    Ok(erased)
}

/// How numbers are read: as people write them, and as each phone system does.
pub(super) fn plans(settings: &Settings) -> Vec<&NumberPlan> {
    let of_pbxs = settings.pbxs.iter().map(|pbx| &pbx.plan);
    [&settings.daemon.plan].into_iter().chain(of_pbxs).collect()
}

/// How many identifiers stand in the ledger whose erasure this store hasn't had.
///
/// # Errors
/// See [`EraseFault`].
pub fn not_done(store: &Store, state_dir: &Path) -> Result<usize, EraseFault> {
    let ledger = erasures::read(state_dir)?;
    Ok(ledger.without(&Done::open(store).read()?).len())
}

/// Writes what a store holds into a new one, and lets go of both.
pub(super) async fn write_anew(store: Store, place: &Path, anew: &Path) -> Result<(), StoreFault> {
    let other = Store::open(anew, StoreOptions::default())?;
    store.copy_into(&other, &TREES).await?;
    drop((store, other));
    released(place)?;
    released(anew)
}

/// What an erasure left that was ended before its end: a half store, or an old one with what was erased.
///
/// # Errors
/// `Folder` if it can't be removed.
pub fn remove_unfinished(state_dir: &Path) -> Result<(), EraseFault> {
    remove(&state_dir.join(UNFINISHED))
}

pub(super) fn remove(folder: &Path) -> Result<(), EraseFault> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at(place: &Path) -> impl FnOnce(io::Error) -> EraseFault + use<> {
    let place = place.display().to_string();
    move |source| EraseFault::Folder { place, source }
}

/// Sees that the exchange at the end will do, before anything is removed.
fn can_exchange(state_dir: &Path) -> Result<(), EraseFault> {
    let folder = state_dir.join(UNFINISHED);
    let (one, other) = (folder.join("one"), folder.join("other"));
    for place in [&one, &other] {
        fs::create_dir_all(place).map_err(at(place))?;
    }
    exchange(state_dir, &one, &other)?;
    remove(&folder)
}

fn exchange(state_dir: &Path, one: &Path, other: &Path) -> Result<(), EraseFault> {
    let done = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    done.map_err(|errno| match errno {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
            EraseFault::NoExchange(state_dir.display().to_string())
        }
        errno => at(other)(errno.into()),
    })
}

/// The new store takes the old one's place in one step: there is a whole store at any time.
fn swap(state_dir: &Path, place: &Path, unfinished: &Path) -> Result<(), EraseFault> {
    let dressed = give_to_owner(state_dir, unfinished);
    dressed
        .and_then(|()| sync(unfinished))
        .map_err(at(unfinished))?;
    exchange(state_dir, unfinished, place)?;
    let synced = File::open(state_dir).and_then(|dir| dir.sync_all());
    synced.map_err(at(state_dir))?;
    remove(unfinished)
}
