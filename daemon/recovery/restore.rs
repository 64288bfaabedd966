//! A store made of a backup: beside its place first, checked, without whoever was erased since, and only then in it, so that
//! whatever ends this in between leaves nothing half.

use super::erase::{self, EraseFault, plans, write_anew};
use super::erasures::{self, Done, Erasures, LedgerFault};
use super::person::Person;
use super::shelves::{Erased, Shelves};
use super::{TREES, check};
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::phonebook::directory::ContactBook;
use crate::settings::types::Settings;
use crate::store::{BackupReader, Exported, Store, StoreFault, StoreOptions, in_use, released};
use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

/// Where the store grows, beside its place. One that is there is of a restore that was ended before its end.
const UNFINISHED: &str = "store.restoring";

/// What was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub lines: Exported,
    pub taken: Option<Timestamp>,
    /// Deliveries that will look before they create.
    pub doubted: usize,
    /// Numbers, e-mail addresses and customers of the ledger whose erasure the backup hadn't had.
    pub erasures: usize,
    /// What they were found to have in it, and is gone.
    pub erased: Erased,
    pub store: PathBuf,
}

/// Why there is no restored store. Nothing was changed but that the ledger of the state folder may know more.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error("whoever was erased since can't be erased again: {0}")]
    Erase(#[from] EraseFault),
    #[error(
        "{store} has files in it; a backup is restored where no store is. Stop tieline, move that folder away and keep it \
         (`mv {store} {store}.old`), then try again"
    )]
    Occupied { store: String },
    #[error("{place}: {source}")]
    Folder { place: String, source: io::Error },
}

/// Puts the backup into the state folder, which must have no store. The file is read twice: a faulty one costs nothing.
/// `beside` is the folder that it lies in, with its ledger of erasures.
///
/// # Errors
/// `Occupied`; `Folder` if the folder can't be written; a fault of the file (`Export`, `NewerRecord`, `BadRecord`), of a
/// ledger, or of the store.
pub async fn restore(
    file: &mut File,
    beside: &Path,
    settings: &Settings,
) -> Result<Restored, RestoreFault> {
    let state_dir = &settings.daemon.state_dir;
    let (store, unfinished) = (state_dir.join("store"), state_dir.join(UNFINISHED));
    vacant(&store)?;
    if in_use(&unfinished)? {
        return Err(StoreFault::InUse { dir: unfinished }.into());
    }
    let ledger = erasures::add(state_dir, &erasures::read(beside)?)?;
    check(BufReader::new(&mut *file))?;
    file.rewind().map_err(|source| RestoreFault::Folder {
        place: "the backup".to_owned(),
        source,
    })?;
    erase::remove(&unfinished)?;
    let restored = fill(file, &unfinished, &ledger, settings).await?;
    // What was written can be opened.
    drop(Store::open(&unfinished, StoreOptions::default())?);
    released(&unfinished)?;
    let dressed = give_to_owner(state_dir, &unfinished);
    dressed
        .and_then(|()| sync(&unfinished))
        .map_err(at(&unfinished))?;
    // A daemon that was started meanwhile has a store there by now: a folder with files is never replaced.
    fs::rename(&unfinished, &store).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => occupied(&store),
        _ => at(&store)(error),
    })?;
    let synced = File::open(state_dir).and_then(|dir| dir.sync_all());
    synced.map_err(at(state_dir))?;
    Ok(Restored { store, ..restored })
}

fn at(place: &Path) -> impl FnOnce(io::Error) -> RestoreFault + use<> {
    let place = place.display().to_string();
    move |source| RestoreFault::Folder { place, source }
}

fn occupied(store: &Path) -> RestoreFault {
    RestoreFault::Occupied {
        store: store.display().to_string(),
    }
}

fn vacant(store: &Path) -> Result<(), RestoreFault> {
    match fs::read_dir(store) {
        Ok(mut files) => match files.next() {
            None => Ok(()),
            Some(_) if in_use(store)? => Err(StoreFault::InUse {
                dir: store.to_owned(),
            }
            .into()),
            Some(_) => Err(occupied(store)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreFault::Folder {
            place: store.display().to_string(),
            source,
        }),
    }
}

/// Reads the backup into a fresh store, erases from it who was erased since, and has it know that it is one of the past.
async fn fill(
    file: &File,
    place: &Path,
    ledger: &Erasures,
    settings: &Settings,
) -> Result<Restored, RestoreFault> {
    let store = Store::open(place, StoreOptions::default())?;
    let mut reader = BackupReader::open(BufReader::new(file))?;
    let lines = store.import(&mut reader, &TREES).await?;
    let (erasures, erased) = erase_again(&store, ledger, settings).await?;
    let doubted = Outbox::open(&store).note_restored(clock::now()).await?;
    ContactBook::open(&store)?.note_restored().await?;
    let restored = Restored {
        lines,
        taken: reader.taken,
        doubted,
        erasures,
        erased,
        store: place.to_owned(),
    };
    if erasures == 0 {
        drop(store);
        released(place)?;
        return Ok(restored);
    }
    let anew = settings.daemon.state_dir.join(erase::UNFINISHED);
    erase::remove(&anew)?;
    write_anew(store, place, &anew).await?;
    erase::remove(place)?;
    fs::rename(&anew, place).map_err(at(place))?;
    Ok(restored)
}

/// Removes from a backup's store what is of people who were erased since it was taken, as far as it is older than that:
/// they may have called again. Answers how many identifiers that were, and what went.
async fn erase_again(
    store: &Store,
    ledger: &Erasures,
    settings: &Settings,
) -> Result<(usize, Erased), RestoreFault> {
    let done = Done::open(store);
    let had = done.read()?;
    let since = ledger.without(&had);
    let erasures = since.len();
    let mut person = Person::default().and_noted(since);
    let mut erased = Erased::default();
    if erasures > 0 {
        let (shelves, plans) = (Shelves::open(store)?, plans(settings));
        let all = shelves.find(&mut person, &plans)?;
        erased = Shelves::told(&all, &person);
        let gone = shelves.erase(all, &person, &plans).await;
        gone.map_err(EraseFault::from)?;
    }
    let state_dir = &settings.daemon.state_dir;
    let all = erasures::note(state_dir, &had, person.identifiers(), clock::now())?;
    if all != had {
        done.note(all).await?;
    }
    Ok((erasures, erased))
}

/// Restored by root, read by the daemon's user: the files get the owner of the folder that they are in.
pub(super) fn give_to_owner(state_dir: &Path, made: &Path) -> io::Result<()> {
    let owner = fs::metadata(state_dir)?;
    let (uid, gid) = (owner.uid(), owner.gid());
    for path in all_below(made)? {
        let now = fs::metadata(&path)?;
        if (now.uid(), now.gid()) != (uid, gid) {
            chown(&path, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

pub(super) fn sync(made: &Path) -> io::Result<()> {
    for path in all_below(made)? {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// The folder and all that is in it.
fn all_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(path) = all.get(seen).cloned() {
        seen += 1;
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                all.push(entry?.path());
            }
        }
    }
    Ok(all)
}
