//! The store: every record of the daemon, on embedded sled, on disk before anybody hears yes. The only folder that
//! names sled. Opened once by `app.rs`; each tree is written by the one module that owns it.

mod backup;
mod changed;
mod engine;
mod fault;
mod lines;
mod memory;
mod record;
mod restore;
mod tree;
mod unfinished;
mod writer;

pub use fault::StoreFault;
pub use lines::{BackupReader, Exported, Item};
pub use memory::{MemoryDisk, Moment, OnMoment};
pub use record::{Record, Stored, readable, unknown_kind};
pub use restore::{hold, in_use, released, unknown};
pub use tree::{Tree, WHOLE_BYTES_MAX};
pub use unfinished::CONFIGURATION;
pub use writer::Writes;

use crate::clock;
use engine::{Engine, OnDisk};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use writer::{Job, Work, Writer};

/// sled's page cache. Small, because what is read often (the end of the journal, calls in flight) is little.
pub const CACHE_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;
/// Jobs waiting for the writer: those of every courier and of the journal's readers, many times over. Who finds it full
/// waits.
const QUEUE_JOBS_MAX: usize = 1024;
/// Never write closer to a full disk than this, whatever is set: one group and the segments sled opens for it.
const DISK_RESERVE_MIN: u64 = 8 * 1024 * 1024;
/// Part of the format on disk; a quarter of it is the largest page (see `tree.rs`).
const SEGMENT_BYTES: usize = 512 * 1024;

/// How long an open waits for an earlier handle of this process to be let go: 5 s in all.
const RELEASE_LOOKS_MAX: usize = 500;
const RELEASE_LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    pub cache_bytes: u64,
    /// Bytes that must stay free on the disk; below it every write answers `DiskFull`.
    pub disk_reserve: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES_DEFAULT,
            disk_reserve: DISK_RESERVE_MIN,
        }
    }
}

/// A handle to the one open store. Cheap to clone; the last one to go waits for the writer to finish.
#[derive(Clone)]
pub struct Store(Arc<Open>);

/// For a task that must not hold the store open by itself.
#[derive(Clone)]
pub struct WeakStore(Weak<Open>);

impl WeakStore {
    /// None once every `Store` is gone.
    pub fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

struct Open {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<Writing>,
    /// Held as long as the store is open; a disk in memory has none.
    _lock: Option<File>,
}

/// What runs the writer.
enum Writing {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

/// Counters for metrics, since the store was opened.
#[derive(Debug, Default)]
pub struct StoreStats {
    /// Groups of jobs.
    pub commits: AtomicU64,
    pub jobs: AtomicU64,
    /// Groups that wrote something.
    pub syncs: AtomicU64,
    pub last_sync_micros: AtomicU64,
}

/// What the watchdog asks.
#[derive(Clone, Debug)]
pub struct StoreHealth {
    /// A write failed half-way: the process must end and start again.
    pub broken: Option<String>,
    /// How long the group being written has taken so far; none between groups.
    pub writing_for: Option<Duration>,
    /// Since the last group was written (or the store opened).
    pub last_written: Duration,
    /// The last group was refused for lack of space.
    pub disk_full: bool,
}

struct Shared {
    engine: Engine,
    disk_reserve: u64,
    stats: StoreStats,
    pulse: Mutex<Pulse>,
    /// For a backup that runs.
    changed: changed::Changed,
}

struct Pulse {
    began: Option<Instant>,
    ended: Instant,
    broken: Option<String>,
    disk_full: bool,
}

impl Store {
    /// Opens the store in `dir`, which is created (mode 0700) if missing, and starts the writer thread. Call it inside
    /// a tokio runtime, whose task answers the jobs.
    ///
    /// # Errors
    /// `InUse`, `NotWritable` or `Damaged`, each with what to do.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreFault> {
        let not_writable = |error: io::Error| StoreFault::NotWritable {
            dir: dir.to_owned(),
            why: error.to_string(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(not_writable)?;
        let lock = lock(dir)?;
        unfinished::remove_snapshots(dir).map_err(not_writable)?;
        unfinished::remove_configuration(dir).map_err(not_writable)?;
        let db = open_sled(dir, options.cache_bytes)?;
        let file = File::open(dir.join("db")).map_err(not_writable)?;
        unfinished::sync_configuration(dir).map_err(not_writable)?;
        sync_folders(dir).map_err(not_writable)?;
        let dir = dir.to_owned();
        let engine = Engine::Sled(Arc::new(OnDisk { db, file, dir }));
        Self::start(engine, options, Some(lock))
    }

    /// Opens the store that a disk in memory holds. Call it inside a tokio runtime, whose task is the writer; what is
    /// still queued when the last handle goes may be lost.
    ///
    /// # Errors
    /// `BadRecord` if what it holds isn't a store's.
    pub fn open_in_memory(disk: &MemoryDisk, options: StoreOptions) -> Result<Self, StoreFault> {
        Self::start(Engine::memory(disk), options, None)
    }

    fn start(
        engine: Engine,
        options: StoreOptions,
        lock: Option<File>,
    ) -> Result<Self, StoreFault> {
        let next_piece = tree::next_piece_number(&engine)?;
        let shared = Arc::new(Shared {
            engine,
            disk_reserve: options.disk_reserve.max(DISK_RESERVE_MIN),
            stats: StoreStats::default(),
            pulse: Mutex::new(Pulse {
                began: None,
                ended: clock::monotonic(),
                broken: None,
                disk_full: false,
            }),
            changed: changed::Changed::default(),
        });
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let (written, answers) = mpsc::unbounded_channel();
        tokio::spawn(writer::answer(answers));
        let writer = Writer::new(Arc::clone(&shared), next_piece, written);
        let writer = Writing::start(writer, jobs, &shared.engine)?;
        Ok(Self(Arc::new(Open {
            shared,
            queue: Some(queue),
            writer: Some(writer),
            _lock: lock,
        })))
    }

    /// A typed view of the tree of that name. Only the tree's owner calls this.
    pub fn tree<V: Stored>(&self, name: &'static str) -> Tree<V> {
        Tree::new(name, self.0.shared.engine.clone())
    }

    /// Runs `work` in the writer thread and answers once its writes are on disk. Waits for a place in the queue.
    /// If `work` fails nothing of it is written.
    ///
    /// # Errors
    /// `DiskFull`, `Broken`, or what `work` answered.
    pub async fn commit<T, F>(&self, work: F) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writes<'_>) -> Result<T, StoreFault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Work {
            work: Some(work),
            result: None,
            reply,
        });
        self.queue()?.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Returns when everything that was asked to be written before has its answer, whoever asked; also where a task that
    /// asked is gone meanwhile.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn settled(&self) -> Result<(), StoreFault> {
        match self.commit(|_| Ok(())).await {
            Err(fault) if !fault.passes() => Err(fault),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A handle that doesn't keep the store open.
    pub fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    pub fn stats(&self) -> &StoreStats {
        &self.0.shared.stats
    }

    pub fn health(&self) -> StoreHealth {
        let now = clock::monotonic();
        let pulse = self.0.shared.pulse();
        StoreHealth {
            broken: pulse.broken.clone().or_else(|| {
                let ended = self.0.writer.as_ref().is_none_or(Writing::is_finished);
                ended.then(|| "the writer thread has ended".to_owned())
            }),
            writing_for: pulse
                .began
                .map(|began| now.saturating_duration_since(began)),
            last_written: now.saturating_duration_since(pulse.ended),
            disk_full: pulse.disk_full,
        }
    }

    /// Bytes of the store's files.
    ///
    /// # Errors
    /// `Broken` if the disk cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StoreFault> {
        self.0.shared.engine.size_on_disk()
    }

    /// Bytes that the store's disk has left for those who aren't root.
    ///
    /// # Errors
    /// What the file system says.
    pub fn disk_free(&self) -> io::Result<u64> {
        self.0.shared.engine.free()
    }

    fn queue(&self) -> Result<&mpsc::Sender<Box<dyn Job>>, StoreFault> {
        self.0.queue.as_ref().ok_or_else(gone)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(Writing::Thread(writer)) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

impl Writing {
    fn start(
        writer: Writer,
        jobs: mpsc::Receiver<Box<dyn Job>>,
        engine: &Engine,
    ) -> Result<Self, StoreFault> {
        match engine {
            Engine::Memory(disk) => {
                let disk = disk.clone();
                Ok(Self::Task(tokio::spawn(writer.run_in_memory(jobs, disk))))
            }
            Engine::Sled(disk) => {
                let thread = std::thread::Builder::new().name("store writer".to_owned());
                let thread = thread.spawn(move || writer.run(jobs));
                let thread = thread.map_err(|error| StoreFault::NotWritable {
                    dir: disk.dir.clone(),
                    why: error.to_string(),
                })?;
                Ok(Self::Thread(thread))
            }
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            Self::Task(task) => task.is_finished(),
        }
    }
}

impl Shared {
    fn pulse(&self) -> std::sync::MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self) -> Option<String> {
        self.pulse().broken.clone()
    }

    fn begin(&self) {
        self.pulse().began = Some(clock::monotonic());
    }

    fn end(&self, verdict: &Result<(), StoreFault>) {
        let mut pulse = self.pulse();
        pulse.began = None;
        let was_full = pulse.disk_full;
        pulse.disk_full = matches!(verdict, Err(StoreFault::DiskFull { .. }));
        match verdict {
            Ok(()) => {
                pulse.ended = clock::monotonic();
                if was_full {
                    tracing::info!("the store's disk has space again");
                }
            }
            Err(StoreFault::DiskFull { .. }) if was_full => {}
            Err(fault @ StoreFault::DiskFull { .. }) => {
                tracing::error!(%fault, "nothing is taken until there is space");
            }
            Err(fault) => {
                if pulse.broken.is_none() {
                    tracing::error!(%fault, "the store is broken");
                    // Never let go of: sled would write once more then, and panics where it can't.
                    let _kept = ManuallyDrop::new(self.engine.clone());
                    pulse.broken = Some(match fault {
                        StoreFault::Broken { why } => why.clone(),
                        other => other.to_string(),
                    });
                }
            }
        }
    }
}

fn gone() -> StoreFault {
    StoreFault::Broken {
        why: "the writer thread has ended".to_owned(),
    }
}

/// Our own lock, because sled's fault for a second owner cannot be told from other I/O errors.
fn lock(dir: &Path) -> Result<File, StoreFault> {
    let not_writable = |error: io::Error| StoreFault::NotWritable {
        dir: dir.to_owned(),
        why: error.to_string(),
    };
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join("lock"));
    let file = file.map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreFault::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(not_writable(error)),
    }
}

fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, StoreFault> {
    let damaged = |why: String| StoreFault::Damaged {
        dir: dir.to_owned(),
        why,
    };
    // No flush by time: every group is flushed. sled's `mode` is left alone: 0.34.7 never reads it.
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    for _ in 0..RELEASE_LOOKS_MAX {
        // sled panics on some damaged files; a person needs a sentence instead.
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            // Ours is the only handle, we hold our own lock: it is the last one of this process, whose threads sled
            // lets go of a moment after it was dropped.
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("acquire lock") => {
                std::thread::park_timeout(RELEASE_LOOK_EVERY);
            }
            Ok(Err(sled::Error::Io(error))) => {
                return Err(StoreFault::NotWritable {
                    dir: dir.to_owned(),
                    why: error.to_string(),
                });
            }
            Ok(Err(error)) => return Err(damaged(fault::words(&error))),
            Err(_) => return Err(damaged("nobody can make sense of them".to_owned())),
        }
    }
    Err(StoreFault::InUse {
        dir: dir.to_owned(),
    })
}

/// A new file is only safe once its folder is synced too.
fn sync_folders(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}
