//! The workers of one integration: who is at work on what, and what they tell. `dispatch` starts them and waits here.

use super::bulk;
use super::group::Candidate;
use super::log::Courier;
use super::outbox::{Delivery, DeliveryEnd};
use super::work::{self, News, Outcome};
use crate::clock;
use crate::pace::Lane;
use crate::trace;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

/// Workers at this moment, and what they share.
pub struct Crew {
    courier: Arc<Courier>,
    /// The same for what waited: in the budget it goes behind new calls.
    later: Arc<Courier>,
    stop: watch::Receiver<bool>,
    workers: JoinSet<Worker>,
    tell: mpsc::UnboundedSender<News>,
    news: mpsc::UnboundedReceiver<News>,
    /// Keys of deliveries that somebody is at work on.
    busy: HashSet<String>,
    looked_up: HashSet<String>,
    lives: usize,
    laters: usize,
    groups: usize,
}

/// What a worker is on.
enum Worker {
    Live,
    Later,
    /// With the numbers that it looks up.
    Group(Vec<String>),
}

/// Something happened.
pub enum Happened {
    News(News),
    /// A place is free.
    Ended,
}

impl Crew {
    pub fn new(courier: Courier, stop: watch::Receiver<bool>) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            later: Arc::new(courier.lane(Lane::Backlog)),
            courier: Arc::new(courier),
            stop,
            workers: JoinSet::new(),
            tell,
            news,
            busy: HashSet::new(),
            looked_up: HashSet::new(),
            lives: 0,
            laters: 0,
            groups: 0,
        }
    }

    /// A worker for one new call.
    pub fn start_live(&mut self, key: String) {
        self.lives += 1;
        self.start_one(key, Arc::clone(&self.courier), Worker::Live);
    }

    /// A worker for one that waited.
    pub fn start_later(&mut self, key: String) {
        self.laters += 1;
        self.start_one(key, Arc::clone(&self.later), Worker::Later);
    }

    fn start_one(&mut self, key: String, courier: Arc<Courier>, worker: Worker) {
        self.busy.insert(key.clone());
        let (tell, stop) = (self.tell.clone(), self.stop.clone());
        let span = trace::delivery(&courier.settings.name, &key);
        let work = async move {
            one(&courier, key, &tell, stop).await;
            worker
        };
        self.workers.spawn(work.instrument(span));
    }

    /// A worker for a group that was picked.
    pub fn start_group(&mut self, members: Vec<Candidate>) {
        let new = members.iter().filter(|one| !one.known);
        let looked_up: HashSet<String> = new.map(|one| one.whose.clone()).collect();
        self.looked_up.extend(looked_up.iter().cloned());
        let keys = members.into_iter().map(|one| one.key).collect();
        self.start_together(keys, looked_up.into_iter().collect());
    }

    /// A worker for the deliveries of a bulk job.
    pub fn start_job(&mut self, keys: Vec<String>) {
        self.start_together(keys, Vec::new());
    }

    fn start_together(&mut self, keys: Vec<String>, looked_up: Vec<String>) {
        self.groups += 1;
        self.busy.extend(keys.iter().cloned());
        let (courier, tell) = (Arc::clone(&self.later), self.tell.clone());
        let stop = self.stop.clone();
        let span = trace::integration("group", &courier.settings.name);
        let work = async move {
            bulk::work(&courier, keys, &tell, stop).await;
            Worker::Group(looked_up)
        };
        self.workers.spawn(work.instrument(span));
    }

    /// The next news, or a worker's end; waits for ever while nobody works. A worker's panic goes on here.
    pub async fn happened(&mut self) -> Happened {
        tokio::select! {
            biased;
            Some(news) = self.news.recv() => Happened::News(self.heard(news)),
            Some(ended) = self.workers.join_next(), if !self.workers.is_empty() => match ended {
                Ok(worker) => {
                    self.ended(worker);
                    Happened::Ended
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
        }
    }

    /// News that are there already.
    pub fn more_news(&mut self) -> Option<News> {
        let news = self.news.try_recv().ok()?;
        Some(self.heard(news))
    }

    fn heard(&mut self, news: News) -> News {
        if let News::Tried { key, .. } = &news {
            self.busy.remove(key);
        }
        news
    }

    fn ended(&mut self, worker: Worker) {
        match worker {
            Worker::Live => self.lives = self.lives.saturating_sub(1),
            Worker::Later => self.laters = self.laters.saturating_sub(1),
            Worker::Group(looked_up) => {
                self.groups = self.groups.saturating_sub(1);
                for number in looked_up {
                    self.looked_up.remove(&number);
                }
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.workers.is_empty()
    }

    pub fn is_busy_with(&self, key: &str) -> bool {
        self.busy.contains(key)
    }

    /// How many deliveries are worked on.
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    pub const fn lives(&self) -> usize {
        self.lives
    }

    pub const fn laters(&self) -> usize {
        self.laters
    }

    pub const fn groups(&self) -> usize {
        self.groups
    }

    /// Numbers that groups look up.
    pub const fn looked_up(&self) -> &HashSet<String> {
        &self.looked_up
    }
}

/// One try at one delivery; one that a bulk job has is a group of its own.
async fn one(
    courier: &Courier,
    key: String,
    tell: &mpsc::UnboundedSender<News>,
    stop: watch::Receiver<bool>,
) {
    let outcome = match courier.outbox.get(&courier.settings.name, &key) {
        Ok(Some(delivery)) if delivery.end.is_some() => ended(courier, delivery).await,
        Ok(Some(delivery)) if delivery.job().is_some() => {
            return bulk::work(courier, vec![key], tell, stop).await;
        }
        Ok(Some(delivery)) => work::try_one(courier, delivery).await,
        Ok(None) => Outcome::Gone,
        Err(fault) => Outcome::Store { fault, land: None },
    };
    // A dispatch that is gone means that the process stops; the outbox has the outcome.
    let _ = tell.send(News::Tried { key, outcome });
}

/// One that has its end is only gone on with if facts came late for its note.
async fn ended(courier: &Courier, mut delivery: Delivery) -> Outcome {
    let late = match courier.outbox.amendment(&delivery) {
        Ok(late) => late.is_some(),
        Err(fault) => return Outcome::Store { fault, land: None },
    };
    match delivery.end.clone() {
        Some(end) if !late || end != DeliveryEnd::Logged => Outcome::Over(end),
        Some(_) | None => {
            delivery.revive(clock::now());
            delivery.logged_before = true;
            work::try_one(courier, delivery).await
        }
    }
}
