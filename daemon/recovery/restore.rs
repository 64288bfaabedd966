//! A store made of a backup: beside its place first, checked, and only then in it, so that whatever ends this in between
//! leaves nothing half.

use super::{TREES, check};
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::phonebook::directory::ContactBook;
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
    pub store: PathBuf,
}

/// Why there is no restored store. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(
        "{store} has files in it; a backup is restored where no store is. Stop tieline, move that folder away and keep it \
         (`mv {store} {store}.old`), then try again"
    )]
    Occupied { store: String },
    #[error("{place}: {source}")]
    Folder { place: String, source: io::Error },
}

/// Puts the backup into `state_dir`, which must have no store. The file is read twice: a faulty one costs nothing.
///
/// # Errors
/// `Occupied`; `Folder` if the folder can't be written; a fault of the file (`Export`, `NewerRecord`, `BadRecord`) or of
/// the store.
pub async fn restore(file: &mut File, state_dir: &Path) -> Result<Restored, RestoreFault> {
    let (store, unfinished) = (state_dir.join("store"), state_dir.join(UNFINISHED));
    let folder = |place: &Path| {
        let place = place.display().to_string();
        move |source| RestoreFault::Folder { place, source }
    };
    vacant(&store)?;
    if in_use(&unfinished)? {
        return Err(StoreFault::InUse { dir: unfinished }.into());
    }
    check(BufReader::new(&mut *file))?;
    file.rewind().map_err(|source| RestoreFault::Folder {
        place: "the backup".to_owned(),
        source,
    })?;
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(folder(&unfinished)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let (lines, taken, doubted) = fill(file, &unfinished).await?;
    released(&unfinished)?;
    // What was written can be opened.
    drop(Store::open(&unfinished, StoreOptions::default())?);
    released(&unfinished)?;
    let dressed = give_to_owner(state_dir, &unfinished);
    dressed
        .and_then(|()| sync(&unfinished))
        .map_err(folder(&unfinished))?;
    // A daemon that was started meanwhile has a store there by now: a folder with files is never replaced.
    fs::rename(&unfinished, &store).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => occupied(&store),
        _ => folder(&store)(error),
    })?;
    let synced = File::open(state_dir).and_then(|dir| dir.sync_all());
    synced.map_err(folder(state_dir))?;
    Ok(Restored {
        lines,
        taken,
        doubted,
        store,
    })
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

/// Reads the backup into a fresh store and has it know that it is one of the past.
async fn fill(file: &File, at: &Path) -> Result<(Exported, Option<Timestamp>, usize), StoreFault> {
    let store = Store::open(at, StoreOptions::default())?;
    let mut reader = BackupReader::open(BufReader::new(file))?;
    let lines = store.import(&mut reader, &TREES).await?;
    let doubted = Outbox::open(&store).note_restored(clock::now()).await?;
    ContactBook::open(&store)?.note_restored().await?;
    Ok((lines, reader.taken, doubted))
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
