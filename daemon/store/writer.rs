//! The one thread that writes (invariant 1). It takes all waiting jobs as a group, lets each stage its writes, applies
//! them as one batch, flushes sled, syncs the file, and only then answers all of them. Started and fed by `mod.rs`.
//!
//! ```text
//! commit() ──> queue (bounded) ──> group: space? ─> run each job ─> one batch ─> flush ─> sync_data ─> answer all
//! ```
//! sled's `flush` alone ends in `sync_file_range`, which survives a killed process but not a power cut; its
//! `flush_async` hangs under concurrency (spacejam/sled#1308) and is never used.

use super::Shared;
use super::engine::{self, Engine};
use super::fault::StoreFault;
use super::memory::{self, Moment};
use super::record::Stored;
use super::tree::{
    Head, Pieces, Tree, WHOLE_BYTES_MAX, parse_head, piece_key, read, stored_key, whole,
};
use crate::clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, oneshot};

/// Jobs in one group: enough for every connection of a busy listener, few enough that the first waits no longer than
/// a few milliseconds for the last.
const GROUP_JOBS_MAX: usize = 1024;
/// A group with this many staged bytes is written before further jobs run: bounds memory and the space that one group
/// can take from the disk's reserve.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Writes of one job, applied with its whole group or not at all (but for `append`). A job sees its own writes and those
/// of the jobs before it.
pub struct Writes<'a> {
    group: &'a mut Staged,
    own: Own,
}

/// What one job has staged.
#[derive(Default)]
struct Own {
    together: engine::Writes,
    alone: Vec<(Vec<u8>, sled::IVec)>,
}

impl Writes<'_> {
    /// # Errors
    /// As `Tree::get`.
    pub fn get<V: Stored>(&self, tree: &Tree<V>, key: &[u8]) -> Result<Option<V>, StoreFault> {
        let key = stored_key(tree.name, key);
        let Some(value) = self.found(&key)? else {
            return Ok(None);
        };
        let pieces = match parse_head(tree.name, &value)? {
            Head::Whole(bytes) => return V::from_bytes(tree.name, bytes).map(Some),
            Head::Pieces(pieces) => pieces,
        };
        if self.staged(&key).is_none() {
            let value = read(&self.group.db, tree.name, &key, Some(value))?;
            return value
                .map(|bytes| V::from_bytes(tree.name, &bytes))
                .transpose();
        }
        let mut all = Vec::new();
        for index in 0..pieces.count()? {
            if let Some(Some(piece)) = self.staged(&piece_key(pieces.number, index)) {
                all.extend_from_slice(piece);
            }
        }
        V::from_bytes(tree.name, &all).map(Some)
    }

    /// Writes or replaces a record.
    ///
    /// # Errors
    /// `BadRecord` if the value cannot be written down, `Broken` if the disk fails.
    pub fn put<V: Stored>(
        &mut self,
        tree: &Tree<V>,
        key: &[u8],
        value: &V,
    ) -> Result<(), StoreFault> {
        self.put_bytes(tree.name, key, &value.to_bytes(tree.name)?)
    }

    /// Writes a record under a key that holds none, which the caller knows. It needs nothing else that is written with
    /// it: after a crash it may be there alone, or without what was appended after it, never without what was appended
    /// before. Spares sled the bookkeeping of a batch, which costs as much again as a small write. Not seen by `get`.
    ///
    /// # Errors
    /// `BadRecord` if the value cannot be written down.
    pub fn append<V: Stored>(
        &mut self,
        tree: &Tree<V>,
        key: &[u8],
        value: &V,
    ) -> Result<(), StoreFault> {
        let rows = self.rows(stored_key(tree.name, key), &value.to_bytes(tree.name)?);
        self.own.alone.extend(rows);
        Ok(())
    }

    /// Removes a record if it is there.
    ///
    /// # Errors
    /// `Broken` if the disk fails.
    pub fn remove<V: Stored>(&mut self, tree: &Tree<V>, key: &[u8]) -> Result<(), StoreFault> {
        self.remove_bytes(tree.name, key)
    }

    pub(super) fn remove_bytes(
        &mut self,
        name: &'static str,
        key: &[u8],
    ) -> Result<(), StoreFault> {
        let key = stored_key(name, key);
        self.remove_pieces(name, &key)?;
        self.own.together.insert(key, None);
        Ok(())
    }

    pub(super) fn put_bytes(
        &mut self,
        name: &'static str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StoreFault> {
        let key = stored_key(name, key);
        self.remove_pieces(name, &key)?;
        let rows = self.rows(key, value);
        let rows = rows.into_iter().map(|(key, value)| (key, Some(value)));
        self.own.together.extend(rows);
        Ok(())
    }

    /// What sled holds for a value: itself, or its pieces and then what names them.
    fn rows(&mut self, key: Vec<u8>, value: &[u8]) -> Vec<(Vec<u8>, sled::IVec)> {
        if value.len() <= WHOLE_BYTES_MAX {
            return vec![(key, whole(value).into())];
        }
        let number = self.group.next_piece;
        self.group.next_piece = number.saturating_add(1);
        let pieces = (0_u32..).zip(value.chunks(WHOLE_BYTES_MAX));
        let mut rows: Vec<(Vec<u8>, sled::IVec)> = pieces
            .map(|(index, piece)| (piece_key(number, index), piece.into()))
            .collect();
        let bytes = u64::try_from(value.len()).unwrap_or(u64::MAX);
        rows.push((key, Pieces { number, bytes }.to_bytes().into()));
        rows
    }

    fn remove_pieces(&mut self, name: &'static str, key: &[u8]) -> Result<(), StoreFault> {
        let Some(old) = self.found(key)? else {
            return Ok(());
        };
        if let Head::Pieces(pieces) = parse_head(name, &old)? {
            for index in 0..pieces.count()? {
                self.own
                    .together
                    .insert(piece_key(pieces.number, index), None);
            }
        }
        Ok(())
    }

    fn staged(&self, key: &[u8]) -> Option<Option<&sled::IVec>> {
        let own = self.own.together.get(key);
        own.or_else(|| self.group.writes.get(key))
            .map(Option::as_ref)
    }

    fn found(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreFault> {
        match self.staged(key) {
            Some(staged) => Ok(staged.cloned()),
            None => Ok(self.group.db.get(key)?),
        }
    }
}

/// What a group is about to write.
struct Staged {
    db: Engine,
    writes: engine::Writes,
    /// Written before the others, each for itself.
    alone: Vec<(Vec<u8>, sled::IVec)>,
    bytes: usize,
    /// Something is applied that may not be on disk.
    unsynced: bool,
    next_piece: u64,
}

impl Staged {
    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.alone.is_empty()
    }

    fn keep(&mut self, own: Own) {
        for (key, value) in own.together {
            self.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            self.writes.insert(key, value);
        }
        let appended = own.alone.iter().map(|(key, value)| key.len() + value.len());
        self.bytes += appended.sum::<usize>();
        self.alone.extend(own.alone);
    }
}

/// Something to do in the writer thread and somebody who waits for it to be on disk.
pub(super) trait Job: Send {
    fn run(&mut self, writes: &mut Writes<'_>) -> Result<(), ()>;
    fn answer(self: Box<Self>, group: Result<(), StoreFault>);
}

pub(super) struct Work<T, F> {
    pub work: Option<F>,
    pub result: Option<Result<T, StoreFault>>,
    pub reply: oneshot::Sender<Result<T, StoreFault>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Writes<'_>) -> Result<T, StoreFault> + Send,
{
    fn run(&mut self, writes: &mut Writes<'_>) -> Result<(), ()> {
        let Some(work) = self.work.take() else {
            return Err(());
        };
        let result = work(writes);
        let outcome = if result.is_ok() { Ok(()) } else { Err(()) };
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, group: Result<(), StoreFault>) {
        let result = match (group, self.result) {
            (Err(fault), _) => Err(fault),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreFault::Broken {
                why: "a write was not run".to_owned(),
            }),
        };
        // Nobody waits any more when a phone system hung up; the write stands.
        let _ = self.reply.send(result);
    }
}

/// A group that is on disk (or isn't), to be answered.
pub(super) struct Written {
    jobs: Vec<Box<dyn Job>>,
    verdict: Result<(), StoreFault>,
}

/// Answers the groups. A task of the runtime and not the writer thread, because waking hundreds of waiting tasks from
/// outside the runtime costs a lock and often a system call each. Never more than the queue and one group wait here.
pub(super) async fn answer(mut written: mpsc::UnboundedReceiver<Written>) {
    while let Some(group) = written.recv().await {
        for job in group.jobs {
            job.answer(group.verdict.clone());
        }
    }
}

/// Makes groups of the jobs, writes and answers them.
pub(super) struct Writer {
    shared: Arc<Shared>,
    staged: Staged,
    /// Taken from the queue, the last one first.
    waiting: Vec<Box<dyn Job>>,
    /// Those of the group.
    ran: Vec<Box<dyn Job>>,
    written: mpsc::UnboundedSender<Written>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        next_piece: u64,
        written: mpsc::UnboundedSender<Written>,
    ) -> Self {
        let staged = Staged {
            db: shared.engine.clone(),
            writes: HashMap::new(),
            alone: Vec::new(),
            bytes: 0,
            unsynced: false,
            next_piece,
        };
        Self {
            shared,
            staged,
            waiting: Vec::with_capacity(GROUP_JOBS_MAX),
            ran: Vec::with_capacity(GROUP_JOBS_MAX),
            written,
        }
    }

    /// The thread's life: ends when every `Store` is gone and the queue is empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        while queue.blocking_recv_many(&mut self.waiting, GROUP_JOBS_MAX) > 0 {
            self.waiting.reverse();
            while !self.waiting.is_empty() {
                let mut verdict = self.gather();
                if verdict.is_ok() {
                    verdict = self.apply().and_then(|()| self.sync());
                }
                self.answer(verdict);
            }
        }
    }

    /// The same as a task, for a disk in memory, which is asked at each moment whether it goes on.
    pub async fn run_in_memory(
        mut self,
        mut queue: mpsc::Receiver<Box<dyn Job>>,
        disk: memory::Handle,
    ) {
        while queue.recv_many(&mut self.waiting, GROUP_JOBS_MAX).await > 0 {
            self.waiting.reverse();
            while !self.waiting.is_empty() {
                let mut verdict = self.gather();
                if verdict.is_ok() && !self.staged.is_empty() {
                    disk.reach(Moment::Staged).await;
                    verdict = self.apply();
                    disk.reach(Moment::Applied).await;
                    verdict = verdict.and_then(|()| self.sync());
                    disk.reach(Moment::Synced).await;
                }
                self.answer(verdict);
            }
        }
    }

    /// Runs jobs until the group is large enough; all of them are refused when nothing may be written.
    fn gather(&mut self) -> Result<(), StoreFault> {
        self.shared.begin();
        if let Err(fault) = admit(&self.shared) {
            self.ran.append(&mut self.waiting);
            return Err(fault);
        }
        while self.staged.bytes < GROUP_BYTES_MAX {
            let Some(mut job) = self.waiting.pop() else {
                break;
            };
            let mut writes = Writes {
                group: &mut self.staged,
                own: Own::default(),
            };
            if job.run(&mut writes).is_ok() {
                let own = writes.own;
                self.staged.keep(own);
            }
            self.ran.push(job);
        }
        Ok(())
    }

    /// Applies what is staged. After a fault what is on disk isn't known, so the store stays broken.
    fn apply(&mut self) -> Result<(), StoreFault> {
        let staged = &mut self.staged;
        staged.bytes = 0;
        let alone = staged.alone.iter().map(|(key, _)| key);
        let keys = alone.chain(staged.writes.keys());
        let _until_applied = self.shared.changed.note(keys);
        // In this order: sled's log is read back up to its first gap.
        for (key, value) in staged.alone.drain(..) {
            staged.db.append(key, value)?;
            staged.unsynced = true;
        }
        if !staged.writes.is_empty() {
            staged.db.apply(&mut staged.writes)?;
            staged.unsynced = true;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreFault> {
        if !std::mem::take(&mut self.staged.unsynced) {
            return Ok(());
        }
        let start = clock::monotonic();
        self.staged.db.sync()?;
        let took = clock::monotonic().saturating_duration_since(start);
        let stats = &self.shared.stats;
        stats.syncs.fetch_add(1, Relaxed);
        stats
            .last_sync_micros
            .store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        Ok(())
    }

    fn answer(&mut self, verdict: Result<(), StoreFault>) {
        let stats = &self.shared.stats;
        stats.commits.fetch_add(1, Relaxed);
        stats
            .jobs
            .fetch_add(u64::try_from(self.ran.len()).unwrap_or(0), Relaxed);
        self.shared.end(&verdict);
        // Gone only when the runtime is: then nobody waits.
        let _ = self.written.send(Written {
            jobs: std::mem::take(&mut self.ran),
            verdict,
        });
    }
}

/// Whether a group may be written now. Nothing has been applied when it may not.
fn admit(shared: &Shared) -> Result<(), StoreFault> {
    if let Some(why) = shared.broken() {
        return Err(StoreFault::Broken { why });
    }
    let reserve = shared.disk_reserve;
    match shared.engine.free() {
        Ok(free) if free < reserve => Err(StoreFault::DiskFull { free, reserve }),
        Ok(_) => Ok(()),
        Err(error) => Err(StoreFault::Broken {
            why: error.to_string(),
        }),
    }
}
