//! The one loop that joins the stages: journal -> decode -> assemble -> filter -> entry -> outbox, and back from the
//! couriers to every event's end. Only this loop writes the ledger; what changes is `book`'s to say.

use super::book::{Book, Turn, Whose};
use super::due;
use super::journal::Journal;
use super::judge::Judge;
use super::ledger::Ledger;
use super::outbox::DeliveryEnd;
use crate::clock;
use crate::store::StoreFault;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Events decoded between two commits: large enough to share a sync, small enough that due calls don't wait.
const BATCH_EVENTS_MAX: usize = 256;

/// A turn is committed after this, however little is in it: what was decided goes out, and a process that is stopped
/// again and again gets on all the same.
const TURN_TIME_MAX: Duration = Duration::from_millis(20);

/// So long events are read while calls are due and ends are to be written down. After a restart some ten thousand, so that
/// a call is seldom decided before all that is known of it was read; in a flood that never ends nothing waits longer.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// A store that refuses (disk full) is tried again after this.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What other parts tell the line.
#[derive(Debug)]
pub enum Notice {
    /// A courier is done with a delivery.
    Settled {
        integration: String,
        key: String,
        end: DeliveryEnd,
    },
    /// A dead delivery is tried again: its events are in flight until it ends.
    Revived { integration: String, key: String },
    /// Take these events up again as if they had just come; answers how many were.
    Replay {
        events: Vec<u64>,
        answer: oneshot::Sender<usize>,
    },
    /// A dead event is given up for good: its end stays visible as erased.
    Drop {
        event: u64,
        answer: oneshot::Sender<bool>,
    },
}

/// What a courier is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A delivery of this call is in the outbox.
    Owed(String),
    /// The same, not before that time: something of the call may still come.
    Later(String, Timestamp),
    /// A dead delivery was revived.
    Retry(String),
}

/// Figures for `status` and metrics.
#[derive(Debug, Default)]
pub struct LineStats {
    pub open_calls: AtomicU64,
    pub open_events: AtomicU64,
    /// Whose counts aren't what the open calls hold (invariant 2). Looked at after each turn.
    differs: Mutex<BTreeSet<Whose>>,
    /// Unix second of the loop's last turn, for the watchdog.
    pub turned_at: AtomicI64,
}

impl LineStats {
    /// Whose counts aren't what the open calls hold (invariant 2), after the last turn.
    pub fn differs(&self) -> MutexGuard<'_, BTreeSet<Whose>> {
        self.differs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Line {
    journal: Journal,
    ledger: Ledger,
    book: Book,
    couriers: HashMap<String, mpsc::UnboundedSender<Order>>,
    notices: mpsc::UnboundedReceiver<Notice>,
    stats: Arc<LineStats>,
}

impl Line {
    pub fn open(
        journal: Journal,
        ledger: Ledger,
        judge: Judge,
        couriers: HashMap<String, mpsc::UnboundedSender<Order>>,
        notices: mpsc::UnboundedReceiver<Notice>,
        stats: Arc<LineStats>,
    ) -> Result<Self, StoreFault> {
        let book = Book::open(journal.clone(), ledger.clone(), judge)?;
        Ok(Self {
            journal,
            ledger,
            book,
            couriers,
            notices,
            stats,
        })
    }

    /// Runs until `stop` turns true; what is unfinished is found again at the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        let mut arrivals = self.journal.watch();
        let mut turn = Turn::default();
        self.book.settle_missed(&mut turn)?;
        self.commit(turn).await?;
        loop {
            self.read_new(&stop).await?;
            self.decide_due().await?;
            self.show();
            if *stop.borrow() {
                return Ok(());
            }
            if self.is_behind() {
                while let Ok(notice) = self.notices.try_recv() {
                    self.hear(notice).await?;
                }
                continue;
            }
            let nap = due::nap(self.book.due.first().map(|(at, _)| *at));
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                Some(notice) = self.notices.recv() => self.hear(notice).await?,
                _ = arrivals.changed() => {}
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    /// Reads every event that is journaled and not yet decoded, batch by batch; not for longer than others may wait.
    async fn read_new(&mut self, stop: &watch::Receiver<bool>) -> Result<(), StoreFault> {
        let start = clock::monotonic();
        while self.is_behind() && !*stop.borrow() {
            if clock::monotonic().duration_since(start) >= READ_TIME_MAX {
                break;
            }
            let events = self
                .journal
                .after(self.book.counts.cursor, BATCH_EVENTS_MAX)?;
            let (mut turn, began) = (Turn::default(), clock::monotonic());
            if events.is_empty() {
                // Numbers up to the last one are read, also where old ones were removed.
                self.book.counts.cursor = self.journal.last_seq();
            }
            for event in &events {
                self.book.read(event, &mut turn)?;
                if clock::monotonic().duration_since(began) >= TURN_TIME_MAX {
                    break;
                }
            }
            self.commit(turn).await?;
            self.show();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether events wait to be read.
    fn is_behind(&self) -> bool {
        self.book.counts.cursor < self.journal.last_seq()
    }

    async fn decide_due(&mut self) -> Result<(), StoreFault> {
        let now = clock::now();
        let (mut turn, mut began) = (Turn::default(), clock::monotonic());
        while self.book.look_at_due(now, &mut turn)? {
            let over = clock::monotonic().duration_since(began) >= TURN_TIME_MAX;
            if over || turn.changes.records.len() >= BATCH_EVENTS_MAX {
                self.commit(std::mem::take(&mut turn)).await?;
                began = clock::monotonic();
            }
        }
        self.commit(turn).await
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), StoreFault> {
        let mut turn = Turn::default();
        self.apply(notice, &mut turn)?;
        // Couriers settle many at once after an outage: one sync for all that wait.
        for _ in 1..BATCH_EVENTS_MAX {
            let Ok(notice) = self.notices.try_recv() else {
                break;
            };
            self.apply(notice, &mut turn)?;
        }
        self.commit(turn).await
    }

    fn apply(&mut self, notice: Notice, turn: &mut Turn) -> Result<(), StoreFault> {
        match notice {
            Notice::Settled {
                integration,
                key,
                end,
            } => self.book.settle(&integration, &key, end, turn)?,
            Notice::Revived { integration, key } => self.book.revive(&integration, &key, turn)?,
            Notice::Replay { events, answer } => {
                let mut replayed = 0;
                for seq in events {
                    replayed += usize::from(self.book.replay(seq, turn)?);
                }
                // Nobody waiting any more is fine: the replay itself is done.
                let _ = answer.send(replayed);
            }
            Notice::Drop { event, answer } => {
                let _ = answer.send(self.book.give_up(event, turn)?);
            }
        }
        Ok(())
    }

    /// Writes a turn, then lets the world know. A full disk is waited out: nothing is lost, nothing goes on.
    async fn commit(&mut self, mut turn: Turn) -> Result<(), StoreFault> {
        if turn.changes.records.is_empty() && turn.changes.marks.is_empty() {
            return Ok(());
        }
        self.book.amend(&mut turn)?;
        self.book.count_deliveries(&turn)?;
        turn.changes.counts = self.book.counts.clone();
        let mut said = false;
        loop {
            match self.ledger.write(turn.changes.clone()).await {
                Ok(()) => break,
                Err(fault) if fault.passes() => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(%fault, "the store refuses; waiting");
                    }
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(fault) => return Err(fault),
            }
        }
        self.book.written(turn.changes);
        for (integration, key, at) in turn.orders {
            if let Some(courier) = self.couriers.get(&integration) {
                let order = if at > clock::now() {
                    Order::Later(key, at)
                } else {
                    Order::Owed(key)
                };
                // A courier that is gone means that the process stops; the outbox has the delivery.
                let _ = courier.send(order);
            }
        }
        Ok(())
    }

    /// What came, by its ends and by the calls that hold it: both count the same, of all events, of each phone system's, and
    /// of each integration's deliveries.
    fn check_sums(&self) {
        let differences = self.book.differences();
        let mut known = self.stats.differs();
        for one in &differences {
            if !known.contains(&one.whose) {
                tracing::error!(
                    whose = %one.whose,
                    all = one.all,
                    ended = one.ended,
                    open = one.open,
                    "the accounting doesn't add up; please report it"
                );
            }
        }
        *known = differences.into_iter().map(|one| one.whose).collect();
    }

    fn show(&self) {
        self.check_sums();
        self.journal.tell_ended(self.book.counts.ended());
        self.stats
            .open_calls
            .store(self.book.open_calls(), Ordering::Relaxed);
        self.stats
            .open_events
            .store(self.book.open_events(), Ordering::Relaxed);
        self.stats
            .turned_at
            .store(clock::now().as_second(), Ordering::Relaxed);
    }
}
