//! Folders in which a phone system leaves the records that it could not post (FreeSWITCH's `err-log-dir`): each file is
//! journaled like a post, and moved to `taken/` once it is on disk. A crash in between reads it again, which is a repeat.

use super::life::stopped;
use super::pen::Pen;
use super::status::Links;
use crate::calls::decode::{self, RawEvent};
use crate::calls::journal::Journal;
use crate::clock;
use crate::settings::types::{Dialect, PbxSettings};
use crate::store::StoreFault;
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// How often to look. These records are late anyway; a look at an empty folder costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A file that was written to within this may not be whole.
const AGE_MIN: Duration = Duration::from_secs(2);

/// A file that isn't whole, or no record, after this long will never be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files read before they are journaled: together they share a sync, and their bytes are in memory.
const FILES_AT_ONCE_MAX: usize = 32;

/// How records are named; other files are left alone.
const ENDINGS: [&str; 2] = ["json", "xml"];

/// Where files go that were journaled; removed from there when events are (`daemon.keep`).
const TAKEN: &str = "taken";

/// Where files go that are no records.
const REFUSED: &str = "refused";

/// What became of the files, since the start.
#[derive(Debug, Default)]
pub struct PickupStats {
    pub taken: AtomicU64,
    /// Held already: posted before, or taken before.
    pub repeated: AtomicU64,
    /// No record, or too large.
    pub refused: AtomicU64,
    /// Journaled, but they couldn't be moved out of the way.
    pub stuck: AtomicU64,
}

/// One folder.
pub struct Pickup {
    folder: PathBuf,
    dialect: Dialect,
    bytes_max: usize,
    keep: Duration,
    pen: Pen,
    stats: Arc<PickupStats>,
    /// Files that couldn't be moved, by name and time: not read again.
    stuck: BTreeSet<(PathBuf, Timestamp)>,
    /// Why the folder can't be read, as last said.
    said: Option<String>,
}

/// A file that is due.
struct Due {
    path: PathBuf,
    written: Timestamp,
    content: Content,
}

enum Content {
    Whole(Bytes),
    Oversized,
}

impl Pickup {
    /// The phone system's folder, if it has one; what becomes of its files is added to `links`.
    pub fn open(
        pbx: &PbxSettings,
        bytes_max: usize,
        keep: Duration,
        journal: &Journal,
        links: &mut Links,
    ) -> Option<Self> {
        let folder = pbx.pickup_dir.clone()?;
        let stats = Arc::new(PickupStats::default());
        links.pickups.push((pbx.name.clone(), Arc::clone(&stats)));
        Some(Self {
            folder,
            dialect: pbx.dialect,
            bytes_max,
            keep,
            pen: Pen {
                journal: journal.clone(),
                pbx: pbx.name.clone(),
            },
            stats,
            stuck: BTreeSet::new(),
            said: None,
        })
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// A fault of the store that doesn't pass.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        loop {
            while self.look().await? > 0 && !*stop.borrow() {}
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// Takes some files; answers how many are done with.
    async fn look(&mut self) -> Result<usize, StoreFault> {
        let (folder, bytes_max, stuck) = (self.folder.clone(), self.bytes_max, self.stuck.clone());
        let (now, keep) = (clock::now(), self.keep);
        let found = tokio::task::spawn_blocking(move || {
            forget_old(&folder.join(TAKEN), now, keep);
            due(&folder, bytes_max, &stuck, now)
        });
        let found = found.await.map_err(io::Error::other).flatten();
        let files = match found {
            Ok(files) => files,
            Err(error) => {
                self.complain(&error);
                return Ok(0);
            }
        };
        self.said = None;
        let mut done = 0;
        for file in files {
            done += usize::from(self.take(file, now).await?);
        }
        Ok(done)
    }

    /// Whether it is done with: one that isn't whole yet stays.
    async fn take(&mut self, file: Due, now: Timestamp) -> Result<bool, StoreFault> {
        let pbx = self.pen.pbx.clone();
        let body = match file.content {
            Content::Whole(body) => body,
            Content::Oversized => {
                tracing::warn!(
                    pbx,
                    "a file in pickup_dir is larger than intake.body_bytes; it is refused"
                );
                self.stats.refused.fetch_add(1, Relaxed);
                self.put_away(file.path, file.written, REFUSED).await;
                return Ok(true);
            }
        };
        let raw = RawEvent {
            content_type: None,
            query: None,
            body: &body,
            received: now,
        };
        if let Err(fault) = decode::admit(self.dialect, &raw) {
            if age(file.written, now) < PATIENCE {
                return Ok(false);
            }
            tracing::warn!(pbx, %fault, "a file in pickup_dir is no record; it is refused");
            self.stats.refused.fetch_add(1, Relaxed);
            self.put_away(file.path, file.written, REFUSED).await;
            return Ok(true);
        }
        let bytes = body.len();
        let accepted = self.pen.write(body).await?;
        tracing::info!(pbx, event = %accepted.id, bytes, repeat = accepted.repeat, "event taken from a file");
        let counter = if accepted.repeat {
            &self.stats.repeated
        } else {
            &self.stats.taken
        };
        counter.fetch_add(1, Relaxed);
        self.put_away(file.path, file.written, TAKEN).await;
        Ok(true)
    }

    /// Moves a file into a folder beside it. Where that can't be, it stays and isn't read again by this process.
    async fn put_away(&mut self, path: PathBuf, written: Timestamp, folder: &'static str) {
        let (from, to) = (path.clone(), self.folder.join(folder));
        let moved = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&to)?;
            match from.file_name() {
                Some(name) => fs::rename(&from, to.join(name)),
                None => Ok(()),
            }
        });
        if let Err(error) = moved.await.map_err(io::Error::other).flatten() {
            tracing::warn!(pbx = self.pen.pbx, %error, folder = %self.folder.display(), "a file of pickup_dir can't be moved: the service's user must be able to write there");
            self.stats.stuck.fetch_add(1, Relaxed);
            self.stuck.insert((path, written));
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let why = error.to_string();
        if self.said.as_ref() != Some(&why) {
            tracing::warn!(pbx = self.pen.pbx, folder = %self.folder.display(), %why, "pickup_dir can't be read");
            self.said = Some(why);
        }
    }
}

/// The oldest files that are due.
fn due(
    folder: &Path,
    bytes_max: usize,
    stuck: &BTreeSet<(PathBuf, Timestamp)>,
    now: Timestamp,
) -> io::Result<Vec<Due>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            continue;
        }
        // Gone again, or a link to somewhere else: none of ours.
        let Some(written) = fs::symlink_metadata(&path)
            .ok()
            .and_then(|meta| written(&meta))
        else {
            continue;
        };
        if age(written, now) >= AGE_MIN && !stuck.contains(&(path.clone(), written)) {
            found.push((written, path));
        }
    }
    found.sort();
    // What isn't whole yet must not hold up the others.
    let (fresh, old): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(written, _)| age(*written, now) < PATIENCE);
    let files = old.into_iter().chain(fresh).take(FILES_AT_ONCE_MAX);
    Ok(files
        .filter_map(|(written, path)| read(path, written, bytes_max))
        .collect())
}

/// None if it can't be read (any more); the next look tells.
fn read(path: PathBuf, written: Timestamp, bytes_max: usize) -> Option<Due> {
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .ok()?
        .take(limit)
        .read_to_end(&mut bytes)
        .ok()?;
    let content = if bytes.len() > bytes_max {
        Content::Oversized
    } else {
        Content::Whole(Bytes::from(bytes))
    };
    Some(Due {
        path,
        written,
        content,
    })
}

/// Removes what was taken longer ago than events are kept: it holds numbers and names.
fn forget_old(folder: &Path, now: Timestamp, keep: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = entry.metadata().ok().and_then(|meta| written(&meta));
        if old.is_some_and(|written| age(written, now) > keep) {
            // What can't be removed is tried again with the next look.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// When a regular file was last written to.
fn written(meta: &fs::Metadata) -> Option<Timestamp> {
    let written = meta.modified().ok().filter(|_| meta.is_file())?;
    Timestamp::try_from(written).ok()
}

fn age(written: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(written)).unwrap_or_default()
}
