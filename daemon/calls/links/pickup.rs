//! Folders in which a phone system leaves the records that it could not post (FreeSWITCH's `err-log-dir`): each file is
//! journaled like a post, and moved to `taken/` once it is on disk. A crash in between reads it again, which is a repeat.

use super::life::stopped;
use super::pen::Pen;
use super::status::Links;
use crate::calls::decode::{self, Malformed, RawEvent};
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
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often to look. These records are late anyway; a look at an empty folder costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A file that was written to within this may not be whole.
const AGE_MIN: Duration = Duration::from_secs(2);

/// A file that isn't whole, or no record, after this long will never be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files read before they are journaled: together they share a sync, and their bytes are in memory.
const FILES_AT_ONCE_MAX: usize = 32;

/// Files listed in one look: those of a day of a busy switch. The rest is listed in the next.
const FILES_A_LOOK_MAX: usize = 10_000;

/// How often files that are older than `daemon.keep` are removed from `taken/`.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

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
    /// When old files were last removed.
    swept: Option<Instant>,
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

/// Why a file isn't taken.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it is larger than intake.body_bytes")]
    Oversized,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Unfit {
    /// Whether a file of this age will never be a record.
    fn is_final(&self, age: Duration) -> bool {
        match self {
            Self::Oversized => true,
            Self::Malformed(_) => age >= PATIENCE,
        }
    }
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
            swept: None,
        })
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// A fault of the store that doesn't pass.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        loop {
            self.look(&stop).await?;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    }

    /// Takes the files that are due.
    async fn look(&mut self, stop: &watch::Receiver<bool>) -> Result<(), StoreFault> {
        self.sweep().await;
        let (folder, stuck, now) = (self.folder.clone(), self.stuck.clone(), clock::now());
        let found = tokio::task::spawn_blocking(move || due(&folder, &stuck, now));
        let files = match found.await.map_err(io::Error::other).flatten() {
            Ok(files) => files,
            Err(error) => {
                self.complain(&error);
                return Ok(());
            }
        };
        self.said = None;
        for some in files.chunks(FILES_AT_ONCE_MAX) {
            if *stop.borrow() {
                break;
            }
            let (some, bytes_max) = (some.to_vec(), self.bytes_max);
            let read = tokio::task::spawn_blocking(move || {
                let each = some.into_iter();
                each.filter_map(|(written, path)| read(path, written, bytes_max))
                    .collect::<Vec<Due>>()
            });
            // A read that panicked ends with nothing; the next look tries again.
            self.take(read.await.unwrap_or_default(), now).await?;
        }
        Ok(())
    }

    /// Journals what is whole, together; one that isn't whole yet stays.
    async fn take(&mut self, files: Vec<Due>, now: Timestamp) -> Result<(), StoreFault> {
        let mut writing = JoinSet::new();
        for file in files {
            match self.look_into(&file, now) {
                Ok(body) => {
                    let (pen, bytes) = (self.pen.clone(), body.len());
                    writing.spawn(async move { (file, bytes, pen.write(body).await) });
                }
                Err(why) if why.is_final(age(file.written, now)) => {
                    tracing::warn!(pbx = self.pen.pbx, %why, "a file in pickup_dir is refused");
                    self.put_away(file.path, file.written, REFUSED).await;
                    self.stats.refused.fetch_add(1, Relaxed);
                }
                Err(_) => {}
            }
        }
        while let Some(written) = writing.join_next().await {
            let (file, bytes, accepted) = written.map_err(|error| StoreFault::Broken {
                why: format!("a write into the journal ended: {error}"),
            })?;
            let accepted = accepted?;
            let (event, repeat) = (accepted.id, accepted.repeat);
            tracing::info!(pbx = self.pen.pbx, %event, bytes, repeat, "event taken from a file");
            self.put_away(file.path, file.written, TAKEN).await;
            let counter = if repeat {
                &self.stats.repeated
            } else {
                &self.stats.taken
            };
            counter.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// The record in a file, as the intake would take it.
    fn look_into(&self, file: &Due, now: Timestamp) -> Result<Bytes, Unfit> {
        let Content::Whole(body) = &file.content else {
            return Err(Unfit::Oversized);
        };
        let raw = RawEvent {
            content_type: None,
            query: None,
            body,
            received: now,
        };
        decode::admit(self.dialect, &raw)?;
        Ok(body.clone())
    }

    /// Removes, once an hour, what was taken longer ago than events are kept.
    async fn sweep(&mut self) {
        let now = clock::monotonic();
        if self
            .swept
            .is_some_and(|swept| now.duration_since(swept) < SWEEP_EVERY)
        {
            return;
        }
        self.swept = Some(now);
        let (folder, keep, now) = (self.folder.join(TAKEN), self.keep, clock::now());
        // A sweep that failed is made again in an hour.
        let _ = tokio::task::spawn_blocking(move || forget_old(&folder, now, keep)).await;
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

/// The files that are due, the oldest first.
fn due(
    folder: &Path,
    stuck: &BTreeSet<(PathBuf, Timestamp)>,
    now: Timestamp,
) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            continue;
        }
        // Gone again, or a link to somewhere else: none of ours.
        let meta = fs::symlink_metadata(&path).ok();
        let Some(written) = meta.and_then(|meta| written(&meta)) else {
            continue;
        };
        if age(written, now) >= AGE_MIN && !stuck.contains(&(path.clone(), written)) {
            found.push((written, path));
        }
        if found.len() >= FILES_A_LOOK_MAX {
            break;
        }
    }
    found.sort();
    Ok(found)
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
