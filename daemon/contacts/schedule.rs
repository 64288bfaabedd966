//! The loop of one integration: when something may have changed both sides are read, plans are made and guarded, and carried
//! out. There is one loop for an integration, and it alone writes what the sync knows.

mod reading;
mod status;

pub use status::{Stopped, SyncStatus, Task, Work};

use super::apply::{Group, Halt, Hands, WORTH, Written};
use super::closure::Closure;
use super::guard::{MaxChanges, Sizes, guard};
use super::memory::{Batch, Meta, Node};
use super::rounds::{PlanId, Scope, Survey, everybody, name_of, survey};
use super::unmerge::unmerge;
use super::webhooks::Webhooks;
use crate::clock;
use crate::offload::off_the_runtime;
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use crate::trace;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

/// Wishes of the command line that wait for the loop.
pub const NUDGES_MAX: usize = 64;

/// Plans in one run: the second finds nothing unless somebody was faster; after the last the next run goes on.
const ROUNDS_MAX: usize = 4;

/// First wait after a fault that passes; it doubles up to the longest.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// Somebody has to act first: looked at again this often, or at once with `tieline sync now`.
const OPERATOR_WAIT: Duration = Duration::from_secs(10 * 60);

/// A refused write is tried once more after this: what was in its way may be gone without a word.
const REFUSED_KEEP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Refusals looked through at once.
const REFUSALS_PAGE: usize = 500;

/// A wish to the loop.
#[derive(Debug)]
pub enum Nudge {
    /// Both sides are read and brought together now; told when that is done.
    Now {
        approve: Option<PlanId>,
        done: oneshot::Sender<()>,
    },
    /// Both sides are read, nothing is written; told when that is done, or why it can't be.
    Read {
        done: oneshot::Sender<Result<(), String>>,
    },
    /// The customers of a contact are parted; told which contacts they get.
    Unmerge {
        contact: ContactId,
        done: oneshot::Sender<Vec<ContactId>>,
    },
}

/// What a loop runs with.
pub struct Sync {
    pub name: String,
    pub hands: Hands,
    pub max: MaxChanges,
    pub poll: Duration,
    /// Moves when the built-in phone book changes.
    pub revisions: Option<watch::Receiver<u64>>,
    /// What Kustomer tells of its own accord, where it does.
    pub told: Option<Webhooks>,
    pub nudges: mpsc::Receiver<Nudge>,
    pub status: Arc<Mutex<SyncStatus>>,
}

/// Why the loop wakes.
enum Wake {
    Stop,
    Due,
    Phone,
    Told,
    Nudge(Nudge),
}

/// How far a run reads and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The phone book moved, or Kustomer told of single customers.
    Phone,
    Both,
}

impl Sync {
    /// Runs until `stop` turns true.
    ///
    /// # Errors
    /// A fault of the store that doesn't pass.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        self.hands.stop = stop.clone();
        let mut due = clock::monotonic();
        let mut told = self.told.as_ref().map(Webhooks::told);
        let mut faults: u32 = 0;
        loop {
            let wake = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wake::Stop,
                nudge = self.nudges.recv() => nudge.map_or(Wake::Stop, Wake::Nudge),
                () = tokio::time::sleep_until(due) => Wake::Due,
                () = moved(&mut self.revisions) => Wake::Phone,
                () = moved(&mut told) => Wake::Told,
            };
            let span = trace::integration("sync", &self.name);
            let ended = match wake {
                Wake::Stop => return Ok(()),
                Wake::Due => self.turn(Reach::Both, None).instrument(span).await,
                // While something is in the way the schedule says when to go on.
                Wake::Phone | Wake::Told if faults > 0 => continue,
                Wake::Phone | Wake::Told => self.turn(Reach::Phone, None).instrument(span).await,
                Wake::Nudge(nudge) => self.nudged(nudge).instrument(span).await,
            };
            let wait = match ended {
                Ok(Reach::Both) => {
                    faults = 0;
                    Some(self.poll)
                }
                Ok(Reach::Phone) => None,
                Err(Halt::Stop) => return Ok(()),
                Err(Halt::Store(fault)) if !fault.passes() => return Err(fault),
                Err(halt) => {
                    faults = faults.saturating_add(1);
                    Some(self.wait_after(&halt, faults))
                }
            };
            if let Some(wait) = wait {
                due = clock::monotonic() + wait;
            }
        }
    }

    fn wait_after(&self, halt: &Halt, faults: u32) -> Duration {
        let doublings = faults.saturating_sub(1).min(16);
        let retry = RETRY_MIN.saturating_mul(1 << doublings).min(RETRY_MAX);
        let wait = match halt {
            Halt::Operator(_) => OPERATOR_WAIT,
            Halt::Later { after, .. } => retry.max(*after),
            Halt::Stop | Halt::Store(_) => retry,
        };
        let (integration, why) = (&self.name, halt.to_string());
        match halt {
            Halt::Operator(_) => {
                tracing::error!(integration, why, "the contact sync waits for somebody");
            }
            Halt::Stop | Halt::Later { .. } | Halt::Store(_) => {
                tracing::warn!(integration, why, wait = ?wait, "the contact sync goes on later");
            }
        }
        self.show(|status| status.fault(halt, clock::now()));
        wait
    }

    async fn nudged(&mut self, nudge: Nudge) -> Result<Reach, Halt> {
        match nudge {
            Nudge::Now { approve, done } => {
                let ended = self.turn(Reach::Both, approve).await;
                // Whoever asked may be gone.
                let _ = done.send(());
                ended
            }
            Nudge::Read { done } => {
                let ended = self.read(Reach::Both).await;
                let told = ended.as_ref().copied().map_err(ToString::to_string);
                let _ = done.send(told);
                ended.map(|()| Reach::Both)
            }
            Nudge::Unmerge { contact, done } => {
                let links = self.part(&contact).await?;
                let _ = done.send(links);
                self.turn(Reach::Phone, None).await
            }
        }
    }

    /// One run.
    async fn turn(&mut self, reach: Reach, approve: Option<PlanId>) -> Result<Reach, Halt> {
        let before = self.hands.written;
        self.read(reach).await?;
        let meta = self.hands.memory.meta()?;
        if !(meta.customers_known && meta.contacts_known) {
            return Ok(reach);
        }
        self.lift_old_refusals().await?;
        let stopped = self.rounds(approve).await;
        self.show(|status| status.work = None);
        let written = self.hands.written;
        self.show(|status| status.written = written);
        let stopped = stopped?;
        if let Some(stopped) = &stopped {
            let why = &stopped.why;
            tracing::error!(why, plan = %stopped.plan, "the contact sync waits for approval");
        }
        self.show(|status| status.ended(clock::now(), stopped));
        if written != before {
            let (phone, kustomer) = (
                written.phone.saturating_sub(before.phone),
                written.kustomer.saturating_sub(before.kustomer),
            );
            tracing::info!(phone, kustomer, "contacts synced");
        }
        Ok(reach)
    }

    /// Plans, guards and carries out, until there is nothing left.
    async fn rounds(&mut self, mut approve: Option<PlanId>) -> Result<Option<Stopped>, Halt> {
        for _ in 0..ROUNDS_MAX {
            let (memory, rules) = (self.hands.memory.clone(), self.hands.rules.clone());
            let count = move || survey(&memory, &rules, clock::now(), Scope::Dirty, |_| {});
            let counted: Survey = aside(count).await?;
            let sizes = sizes(&self.hands.memory.meta()?);
            if let Err(stop) = guard(counted.changes, sizes, self.max)
                && approve.take() != Some(counted.id)
            {
                return Ok(Some(Stopped {
                    why: stop.to_string(),
                    plan: counted.id,
                    counts: counted.counts,
                }));
            }
            if counted.changes.created > 0 {
                let mut batch = Batch::open(&self.hands.memory)?;
                batch.meta().exported_before = true;
                batch.commit().await?;
            }
            let (before, writes) = (self.hands.written, counted.counts.writes());
            if counted.counts.create_customers >= WORTH as u64 {
                let mut last = None;
                while self.hands.export(&mut last).await? {
                    self.show_written(before, writes);
                }
            }
            self.carry_out(before, writes).await?;
            if self.hands.memory.dirty(None, 1)?.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// Every closed world that has somebody who is to be looked at, once.
    async fn carry_out(&mut self, before: Written, writes: u64) -> Result<(), Halt> {
        let by_name = self.hands.rules.merge_by_name;
        let at_once = self.hands.book().is_some();
        let mut last: Option<Node> = None;
        loop {
            let (memory, rules) = (self.hands.memory.clone(), self.hands.rules.clone());
            let gather =
                move || Group::gather(&memory, &rules, clock::now(), last.as_ref(), at_once);
            let Some(group) = aside(gather).await? else {
                return Ok(());
            };
            last = Some(group.last.clone());
            self.heed_stop()?;
            let others = self.hands.settle(group).await?;
            for node in others {
                self.heed_stop()?;
                // Another one's turn may have been its turn too.
                if self.hands.memory.is_dirty(&node)? {
                    let closure = Closure::around(&self.hands.memory, &node, by_name)?;
                    self.hands.carry_out(&closure, &node).await?;
                }
            }
            self.show_written(before, writes);
        }
    }

    fn heed_stop(&self) -> Result<(), Halt> {
        let stops = *self.hands.stop.borrow();
        if stops { Err(Halt::Stop) } else { Ok(()) }
    }

    /// With other rules than the last time everybody is looked at again.
    async fn heed_rules(&self) -> Result<(), Halt> {
        let (memory, rules) = (&self.hands.memory, name_of(&self.hands.rules));
        let mut after = None;
        while memory.meta()?.rules != rules {
            let nodes = everybody(memory, after.as_ref())?;
            let mut batch = Batch::open(memory)?;
            match nodes.last() {
                Some(last) => after = Some(last.clone()),
                None => batch.meta().rules = rules,
            }
            nodes.into_iter().for_each(|node| batch.mark(node));
            batch.commit().await?;
        }
        Ok(())
    }

    fn show_written(&self, before: Written, writes: u64) {
        let written = self.hands.written;
        let done = written.all().saturating_sub(before.all());
        self.show(|status| {
            status.written = written;
            let work = Work::at(status.work, Task::Write, done, Some(writes), clock::now());
            status.work = Some(work);
        });
    }

    async fn lift_old_refusals(&self) -> Result<(), Halt> {
        let (memory, now) = (&self.hands.memory, clock::now());
        let mut batch = Batch::open(memory)?;
        let mut old: usize = 0;
        for (link, refusal) in memory.refusals(REFUSALS_PAGE)? {
            if now.duration_since(refusal.at) > REFUSED_KEEP {
                batch.refuse(&link, None);
                batch.mark(Node::Contact(link));
                old = old.saturating_add(1);
            }
        }
        if old > 0 {
            batch.commit().await?;
        }
        Ok(())
    }

    /// Parts a contact that several customers were merged into, or forgets that it was removed; answers the contacts that
    /// come of it, none if there is nothing to part.
    async fn part(&self, contact: &ContactId) -> Result<Vec<ContactId>, Halt> {
        let memory = &self.hands.memory;
        let Some(link) = memory.link(contact)? else {
            return Ok(Vec::new());
        };
        if link.is_removed() {
            // Forgotten, its customers are new to the phone side.
            let mut batch = Batch::open(memory)?;
            batch.link(contact, None);
            batch.commit().await?;
            return Ok(vec![contact.clone()]);
        }
        let taken = |id: &ContactId| {
            let known = memory.contact(id).map(|row| row.is_some());
            known.unwrap_or(true) || memory.link(id).map_or(true, |link| link.is_some())
        };
        let links = unmerge(&link, taken);
        let mut batch = Batch::open(memory)?;
        for link in &links {
            batch.mark(Node::Contact(link.contact.clone()));
            batch.link(&link.contact, Some(link.clone()));
        }
        batch.commit().await?;
        Ok(links.into_iter().map(|link| link.contact).collect())
    }

    fn show(&self, change: impl FnOnce(&mut SyncStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Ends when there is something new; never where nothing tells.
async fn moved<T>(news: &mut Option<watch::Receiver<T>>) {
    if let Some(news) = news
        && news.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Millions of reads when everything is new: not on the runtime's threads.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    let done = off_the_runtime(work).await;
    done.map_err(|error| StoreFault::Broken {
        why: error.to_string(),
    })?
}

/// What the guard looks at.
pub fn sizes(meta: &Meta) -> Sizes {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Sizes {
        customers: size(meta.customers),
        contacts: size(meta.contacts),
        linked: size(meta.linked),
        exported_before: meta.exported_before,
    }
}

impl Written {
    /// All of both sides.
    pub const fn all(&self) -> u64 {
        self.phone.saturating_add(self.kustomer)
    }
}
