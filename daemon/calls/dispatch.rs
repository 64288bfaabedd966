//! Which delivery is next: due times, pauses, outages and backlogs of one integration; has its `crew` try a few at a
//! time, or many together.
//!
//! Reads what is owed from the outbox at start, then listens to `line`. A pause (401, 403) or an outage holds everything
//! back but one probe at a time; the first success lets all of it go at once (invariant 10). New calls go before what
//! waits, in the budget too (invariant 7).

mod behind;

use super::crew::{Crew, Happened};
use super::due::{self, after};
use super::group::{self, Candidate, Experience, Shares};
use super::line::{Notice, Order};
use super::log::Courier;
use super::outbox::{DeliveryEnd, Step};
use super::queue::{Probe, Queue};
pub use super::work::Hold;
use super::work::{self, News, Outcome, Way};
use crate::clock;
use crate::pace::Lane;
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// While Kustomer is unreachable or the key is refused, one delivery probes this often, or as often as the retry
/// schedule's longest wait if that is shorter.
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// Between two writes of one note: Kustomer limits updates of one object, it doesn't say how (Kustomer: Rate limits).
const REWRITE_PAUSE: Duration = Duration::from_secs(2);

/// A store that refuses (disk full) is tried again after this.
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(2);

/// What `status` says of an integration.
#[derive(Clone, Debug, Default)]
pub struct DispatchStatus {
    pub owed: usize,
    pub in_flight: usize,
    /// Texts that wait for the conversation of the one before.
    pub behind: usize,
    pub logged: u64,
    pub dead: u64,
    /// Why everything waits; none when all is well.
    pub held: Option<Hold>,
    /// Groups that go through bulk requests at this moment.
    pub groups: usize,
    /// Why bulk requests aren't used, and until when; none when they may be.
    pub bulk_rests: Option<String>,
}

pub struct Dispatch {
    courier: Courier,
    orders: mpsc::UnboundedReceiver<Order>,
    notices: mpsc::UnboundedSender<Notice>,
    status: Arc<Mutex<DispatchStatus>>,
    queue: Queue,
    shares: Shares,
    experience: Experience,
    hold: Option<Hold>,
    probe_at: Timestamp,
    logged: u64,
    dead: u64,
}

impl Dispatch {
    pub fn open(
        courier: Courier,
        orders: mpsc::UnboundedReceiver<Order>,
        notices: mpsc::UnboundedSender<Notice>,
        status: Arc<Mutex<DispatchStatus>>,
    ) -> Result<Self, StoreFault> {
        let pending = courier.outbox.pending(&courier.settings.name)?;
        let now = clock::now();
        let mut queue = Queue::default();
        for delivery in pending {
            let way = work::way_of(&delivery);
            let land = (way == Way::Alone).then(|| work::lands_by(&courier.settings, now));
            let at = match way {
                Way::Job(_) => now,
                Way::Together | Way::Alone => delivery.next_try,
            };
            queue.put(delivery.key, at, land, way);
        }
        Ok(Self {
            courier,
            orders,
            notices,
            status,
            queue,
            shares: Shares::default(),
            experience: Experience::default(),
            hold: None,
            probe_at: now,
            logged: 0,
            dead: 0,
        })
    }

    /// Runs until `stop` turns true, then lets what is in flight finish (the caller bounds how long).
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        let mut crew = Crew::new(self.courier.clone(), stop.clone());
        loop {
            while let Some(news) = crew.more_news() {
                self.learn(news)?;
            }
            let stopping = *stop.borrow();
            if stopping && crew.is_idle() {
                return Ok(());
            }
            let now = clock::now();
            if !stopping {
                self.start_due(now, &mut crew)?;
            }
            self.show(now, &crew);
            let nap = self.nap(now, &crew);
            tokio::select! {
                biased;
                _ = stop.changed(), if !stopping => {}
                happened = crew.happened() => match happened {
                    Happened::News(news) => self.learn(news)?,
                    Happened::Ended => {}
                },
                Some(order) = self.orders.recv(), if !stopping => self.hear(order, &crew),
                () = tokio::time::sleep(nap), if !stopping => {}
            }
        }
    }

    fn hear(&mut self, order: Order, crew: &Crew) {
        let (key, at) = match order {
            Order::Owed(key) | Order::Retry(key) => (key, None),
            Order::Later(key, at) => (key, Some(at)),
        };
        // Who is at work on it looks for what came late before it ends.
        if !crew.is_busy_with(&key) {
            match at {
                None => self.queue.order(key, clock::now()),
                Some(at) => self.queue.put(key, at, None, Way::Together),
            }
        }
        if self.hold.is_some() {
            // New calls that have to wait are a backlog like the rest.
            self.queue.overflow(0);
        }
    }

    /// Starts what is due, as many as may run at once; one probe at a time while held.
    fn start_due(&mut self, now: Timestamp, crew: &mut Crew) -> Result<(), StoreFault> {
        if self.hold.is_some() {
            self.start_probe(now, crew);
            return Ok(());
        }
        // More new calls than the window's rest takes are a backlog themselves.
        let rest = self.courier.client.requests().rest(Lane::Live);
        if group::worth(self.queue.fresh_len(), rest) {
            self.queue.overflow(group::singles(rest));
        }
        let parallel = self.courier.settings.parallel;
        while crew.lives() < parallel
            && let Some(key) = self.queue.take_fresh(now)
        {
            self.starts(now);
            crew.start_live(key);
        }
        while crew.groups() < group::GROUPS_MAX
            && let Some(keys) = self.queue.take_due_job(now)
        {
            self.starts(now);
            crew.start_job(keys);
        }
        while crew.laters() < parallel
            && let Some(key) = self.queue.take_alone(now)
        {
            self.starts(now);
            crew.start_later(key);
        }
        self.start_crowd(now, crew)
    }

    /// What waits: in groups if going alone would wait for the next window, else one by one.
    fn start_crowd(&mut self, now: Timestamp, crew: &mut Crew) -> Result<(), StoreFault> {
        let rest = self.courier.client.requests().rest(Lane::Backlog);
        let enough = group::singles(rest).saturating_add(group::MEMBERS_MIN);
        let ready = self.queue.crowd_ready(now, enough);
        let parallel = self.courier.settings.parallel;
        if !group::worth(ready, rest) || self.experience.rests(now).is_some() {
            while crew.laters() < parallel
                && let Some(key) = self.queue.take_crowd(now)
            {
                self.starts(now);
                crew.start_later(key);
            }
            return Ok(());
        }
        while crew.groups() < group::GROUPS_MAX {
            let mut picked = self.pick(now, crew)?;
            let few = picked.len() < group::MEMBERS_MIN;
            if few {
                // With no group under way nobody will make them more.
                let free = parallel.saturating_sub(crew.laters());
                picked.truncate(if crew.groups() == 0 { free } else { 0 });
            }
            self.shares.note(&picked, now);
            for one in &picked {
                self.queue.remove(&one.key);
                self.starts(now);
            }
            if few {
                picked.into_iter().for_each(|one| crew.start_later(one.key));
                break;
            }
            crew.start_group(picked);
        }
        Ok(())
    }

    /// Somebody asks Kustomer: a probe isn't needed so soon.
    fn starts(&mut self, now: Timestamp) {
        let longest = self.courier.settings.retry.iter().max();
        let every = longest.map_or(PROBE_EVERY, |longest| PROBE_EVERY.min(*longest));
        self.probe_at = after(now, every);
    }

    fn pick(&mut self, now: Timestamp, crew: &Crew) -> Result<Vec<Candidate>, StoreFault> {
        let settings = Arc::clone(&self.courier.settings);
        let window = SignedDuration::try_from(settings.budget_window);
        self.shares
            .prune(now, window.unwrap_or(SignedDuration::MAX));
        let mut candidates = Vec::new();
        for key in self.queue.crowd(now, group::LOOKED_AT_MAX) {
            let delivery = self.courier.outbox.get(&settings.name, &key)?;
            let Some(delivery) = delivery.filter(|one| one.end.is_none()) else {
                // Ended or erased meanwhile: its worker finds that out.
                self.queue.put(key, now, None, Way::Alone);
                continue;
            };
            if delivery.next() == Step::Join && !self.may_join(&delivery, now)? {
                continue;
            }
            let joins = delivery.joins.is_some();
            let (customer, number) = (delivery.customer, delivery.number);
            let known = match (&customer, &number) {
                (None, Some(number)) if !joins => {
                    let directory = &self.courier.directory;
                    directory.find(&settings.name, number, now)?.is_some()
                }
                (Some(_) | None, _) => true,
            };
            let number = number.map(|number| number.to_string());
            let whose = number.or(customer).unwrap_or_default();
            candidates.push(Candidate { key, whose, known });
        }
        Ok(group::pick(candidates, crew.looked_up(), &self.shares))
    }

    /// Who asks next whether Kustomer is back, and when; nobody while somebody asks already.
    fn probe(&self, crew: &Crew) -> Option<(Timestamp, Probe)> {
        if crew.lives() + crew.laters() > 0 {
            return None;
        }
        let probe = self.queue.probe(self.probe_at);
        // Another group's job waits until none is at work.
        probe.filter(|(_, probe)| crew.groups() == 0 || matches!(probe, Probe::One(_)))
    }

    fn start_probe(&mut self, now: Timestamp, crew: &mut Crew) {
        let Some((_, probe)) = self.probe(crew).filter(|(at, _)| *at <= now) else {
            return;
        };
        match probe {
            Probe::One(key) => {
                self.queue.remove(&key);
                self.starts(now);
                crew.start_live(key);
            }
            Probe::Job(job) => {
                self.starts(now);
                crew.start_job(self.queue.take_job(&job).unwrap_or_default());
            }
        }
    }

    fn learn(&mut self, news: News) -> Result<(), StoreFault> {
        match news {
            News::Tried { key, outcome } => {
                self.settle(key.clone(), outcome)?;
                if self.queue.is_waited_for(&key) && !self.is_awaited(&key)? {
                    self.queue.free(&key, clock::now());
                }
                Ok(())
            }
            News::Bulk(news) => {
                let now = clock::now();
                if self.experience.learn(news, now)
                    && let Some((why, until)) = self.experience.rests(now)
                {
                    let integration = &self.courier.settings.name;
                    tracing::warn!(%integration, why, %until, "bulk requests rest; calls go one by one");
                }
                Ok(())
            }
        }
    }

    fn settle(&mut self, key: String, outcome: Outcome) -> Result<(), StoreFault> {
        match outcome {
            Outcome::Ended(end) => {
                self.release();
                self.count(&key, &end)?;
                self.finish(key, end)?;
            }
            Outcome::Over(end) => {
                self.release();
                self.finish(key, end)?;
            }
            Outcome::Again {
                at,
                land,
                hold,
                way,
            } => {
                self.queue.put(key, at, land, way);
                match hold {
                    Some(hold) => self.hold_back(hold),
                    None => self.release(),
                }
            }
            Outcome::Gone => {}
            // What it waits for may have come about meanwhile, and was told before this.
            Outcome::Behind(before) if self.is_awaited(&before)? => self.queue.park(key, before),
            Outcome::Behind(_) => self.queue.put(key, clock::now(), None, Way::Alone),
            Outcome::Store { fault, land } if fault.passes() => {
                self.queue
                    .put(key, clock::now() + STORE_RETRY, land, Way::Alone);
            }
            Outcome::Store { fault, .. } => return Err(fault),
        }
        Ok(())
    }

    /// One that was logged before and is taken up for late facts is no new one.
    fn count(&mut self, key: &str, end: &DeliveryEnd) -> Result<(), StoreFault> {
        match end {
            DeliveryEnd::Dead { .. } => self.dead += 1,
            DeliveryEnd::Logged | DeliveryEnd::Skipped { .. } | DeliveryEnd::Dropped => {
                let name = &self.courier.settings.name;
                let delivery = self.courier.outbox.get(name, key)?;
                let again = delivery.is_some_and(|one| one.logged_before);
                self.logged += u64::from(!again);
            }
        }
        Ok(())
    }

    /// Tells the line of an end, unless facts came between the last look for them and it.
    fn finish(&mut self, key: String, end: DeliveryEnd) -> Result<(), StoreFault> {
        if self.is_amended(&key)? {
            let at = after(clock::now(), REWRITE_PAUSE);
            self.queue.put(key, at, None, Way::Together);
            return Ok(());
        }
        let integration = self.courier.settings.name.clone();
        tracing::info!(integration, call = key, end = end.word(), "delivered");
        // A line that is gone means that the process stops; it finds the end in the outbox at the next start.
        let _ = self.notices.send(Notice::Settled {
            integration,
            key,
            end,
        });
        Ok(())
    }

    fn is_amended(&self, key: &str) -> Result<bool, StoreFault> {
        let outbox = &self.courier.outbox;
        let delivery = outbox.get(&self.courier.settings.name, key)?;
        let Some(delivery) = delivery.filter(|one| one.end == Some(DeliveryEnd::Logged)) else {
            return Ok(false);
        };
        Ok(outbox.amendment(&delivery)?.is_some())
    }

    fn hold_back(&mut self, hold: Hold) {
        if self.hold.as_ref() != Some(&hold) {
            let (Hold::Paused(why) | Hold::Outage(why)) = &hold;
            tracing::warn!(integration = %self.courier.settings.name, why, "deliveries wait; nothing is lost");
        }
        self.hold = Some(hold);
        self.queue.overflow(0);
    }

    /// Kustomer answered: whatever waited for that goes now, spread by the budget alone.
    fn release(&mut self) {
        if self.hold.take().is_none() {
            return;
        }
        tracing::info!(integration = %self.courier.settings.name, waiting = self.queue.len(), "Kustomer answers again");
        self.queue.hurry(clock::now());
    }

    /// Until something more is due, at most `TURN_MAX`; news or an order wake earlier.
    fn nap(&self, now: Timestamp, crew: &Crew) -> Duration {
        due::nap(match &self.hold {
            None => self.queue.after(now),
            Some(_) => self.probe(crew).map(|(at, _)| at.max(now)),
        })
    }

    fn show(&self, now: Timestamp, crew: &Crew) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.owed = self.queue.len() + crew.busy();
        status.in_flight = crew.busy();
        status.behind = self.queue.parked();
        status.logged = self.logged;
        status.dead = self.dead;
        status.held.clone_from(&self.hold);
        status.groups = crew.groups();
        let rests = self.experience.rests(now);
        status.bulk_rests = rests.map(|(why, until)| format!("until {until:.0}: {why}"));
    }
}
