//! What waits at one integration, and in which of four lines: new calls, what goes alone, the crowd, bulk jobs.
//!
//! Pure but for being changed; `dispatch` owns it and says what may start.

use super::due::Due;
use super::work::Way;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Each key is in one line at most.
#[derive(Debug, Default)]
pub struct Queue {
    /// Calls that just came: nothing goes before them.
    fresh: Due,
    /// Deliveries that start by themselves: unclear ones, and those that a bulk job said no to.
    alone: Due,
    /// Everything else that had to wait; many of them may go together.
    crowd: Due,
    /// Bulk jobs by id, and whose they are.
    jobs: Due,
    members: HashMap<String, BTreeSet<String>>,
    /// Deliveries with an unclear create: not before then, whatever else would start them, or the look that settles it
    /// could miss what is still on its way (invariant 3).
    landing: HashMap<String, Timestamp>,
    /// Texts that wait for the conversation of another delivery, by its key.
    behind: HashMap<String, BTreeSet<String>>,
}

/// What is tried while everything else waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    One(String),
    Job(String),
}

impl Queue {
    /// A call is owed: next, unless it has to be left alone for a while.
    pub fn order(&mut self, key: String, now: Timestamp) {
        if self.landing.contains_key(&key) || self.members.values().any(|keys| keys.contains(&key))
        {
            return;
        }
        self.remove(&key);
        self.fresh.set(key, now);
    }

    /// Puts a delivery that was tried, or found at the start, where it belongs. `land`: an unclear create, which must
    /// not be looked for before then.
    pub fn put(&mut self, key: String, at: Timestamp, land: Option<Timestamp>, way: Way) {
        self.remove(&key);
        match way {
            Way::Together => self.crowd.set(key, at),
            Way::Alone => {
                let at = land.map_or(at, |land| at.max(land));
                if let Some(land) = land {
                    self.landing.insert(key.clone(), land);
                }
                self.alone.set(key, at);
            }
            Way::Job(job) => {
                let soonest = self.jobs.time(&job).map_or(at, |known| known.min(at));
                self.jobs.set(job.clone(), soonest);
                self.members.entry(job).or_default().insert(key);
            }
        }
    }

    /// Takes a key out, wherever it is.
    pub fn remove(&mut self, key: &str) {
        self.fresh.remove(key);
        self.alone.remove(key);
        self.crowd.remove(key);
        self.landing.remove(key);
        self.behind.retain(|_, keys| {
            keys.remove(key);
            !keys.is_empty()
        });
    }

    /// Takes a text out of all lines until `free` is told of the delivery that it waits for.
    pub fn park(&mut self, key: String, behind: String) {
        self.remove(&key);
        self.behind.entry(behind).or_default().insert(key);
    }

    pub fn is_waited_for(&self, key: &str) -> bool {
        self.behind.contains_key(key)
    }

    /// Who waited for this delivery goes on.
    pub fn free(&mut self, key: &str, now: Timestamp) {
        for key in self.behind.remove(key).unwrap_or_default() {
            self.crowd.set(key, now);
        }
    }

    /// How many wait for another.
    pub fn parked(&self) -> usize {
        self.behind.values().map(BTreeSet::len).sum()
    }

    pub fn take_fresh(&mut self, now: Timestamp) -> Option<String> {
        self.fresh.pop(now)
    }

    pub fn take_alone(&mut self, now: Timestamp) -> Option<String> {
        let key = self.alone.pop(now)?;
        self.landing.remove(&key);
        Some(key)
    }

    pub fn take_crowd(&mut self, now: Timestamp) -> Option<String> {
        self.crowd.pop(now)
    }

    /// The deliveries of a bulk job that is to be asked about.
    pub fn take_due_job(&mut self, now: Timestamp) -> Option<Vec<String>> {
        let job = self.jobs.pop(now)?;
        self.take_job(&job)
    }

    pub fn take_job(&mut self, job: &str) -> Option<Vec<String>> {
        self.jobs.remove(job);
        Some(self.members.remove(job)?.into_iter().collect())
    }

    /// The first `most` of the crowd that are due, in order; they stay.
    pub fn crowd(&self, now: Timestamp, most: usize) -> Vec<String> {
        ready(&self.crowd, now)
            .take(most)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// How many of the crowd are due, counted up to `most`.
    pub fn crowd_ready(&self, now: Timestamp, most: usize) -> usize {
        ready(&self.crowd, now).take(most).count()
    }

    pub fn fresh_len(&self) -> usize {
        self.fresh.len()
    }

    /// All but the first `stay` of the new calls join the crowd.
    pub fn overflow(&mut self, stay: usize) {
        let late: Vec<_> = self.fresh.rows().skip(stay).cloned().collect();
        for (at, key) in late {
            self.fresh.remove(&key);
            self.crowd.set(key, at);
        }
    }

    /// What is tried while all others wait, and from when; it stays where it is. It needn't be due: an outage of hours
    /// leaves everything on hourly retries.
    pub fn probe(&self, from: Timestamp) -> Option<(Timestamp, Probe)> {
        let clear = |(_, key): &&(Timestamp, String)| !self.landing.contains_key(key);
        let rows = self.crowd.rows().chain(self.fresh.rows());
        if let Some((_, key)) = rows.chain(self.alone.rows()).find(clear) {
            return Some((from, Probe::One(key.clone())));
        }
        if let Some((_, job)) = self.jobs.first() {
            return Some((from, Probe::Job(job.clone())));
        }
        let landing = self.landing.iter().min_by_key(|(_, at)| **at);
        landing.map(|(key, at)| (from.max(*at), Probe::One(key.clone())))
    }

    /// Everything is due, but for what has to land first.
    pub fn hurry(&mut self, now: Timestamp) {
        for due in [
            &mut self.fresh,
            &mut self.alone,
            &mut self.crowd,
            &mut self.jobs,
        ] {
            due.hurry(now);
        }
        for (key, at) in &self.landing {
            self.alone.set(key.clone(), *at);
        }
    }

    /// When something is due next that isn't yet.
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let lines = [&self.fresh, &self.alone, &self.crowd, &self.jobs];
        lines.iter().filter_map(|due| due.after(now)).min()
    }

    pub fn len(&self) -> usize {
        let in_jobs: usize = self.members.values().map(BTreeSet::len).sum();
        self.fresh.len() + self.alone.len() + self.crowd.len() + in_jobs + self.parked()
    }
}

fn ready(due: &Due, now: Timestamp) -> impl Iterator<Item = &(Timestamp, String)> {
    due.rows().take_while(move |(at, _)| *at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn queue(rows: &[(&str, i64, Option<i64>, Way)]) -> Queue {
        let mut queue = Queue::default();
        for (key, due, land, way) in rows {
            queue.put((*key).to_owned(), at(*due), land.map(at), way.clone());
        }
        queue
    }

    #[test]
    fn a_new_call_passes_the_crowd_and_an_order_moves_one_forward() {
        let mut queue = queue(&[
            ("old", 1, None, Way::Together),
            ("hourly", 99, None, Way::Together),
        ]);
        queue.order("new".to_owned(), at(5));
        queue.order("hourly".to_owned(), at(6));
        assert_eq!(queue.take_fresh(at(7)).as_deref(), Some("new"));
        assert_eq!(queue.take_fresh(at(7)).as_deref(), Some("hourly"));
        assert_eq!(queue.take_fresh(at(7)), None);
        assert_eq!(queue.take_crowd(at(7)).as_deref(), Some("old"));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_has_to_land_is_started_by_nothing_else() {
        let mut queue = queue(&[("unclear", 1, Some(9), Way::Alone)]);
        queue.order("unclear".to_owned(), at(2));
        queue.hurry(at(3));
        assert_eq!(
            (queue.take_fresh(at(8)), queue.take_alone(at(8))),
            (None, None)
        );
        assert_eq!(queue.after(at(3)), Some(at(9)));
        assert_eq!(
            queue.probe(at(4)),
            Some((at(9), Probe::One("unclear".to_owned())))
        );
        assert_eq!(queue.take_alone(at(9)).as_deref(), Some("unclear"));
        queue.order("unclear".to_owned(), at(10));
        assert_eq!(queue.take_fresh(at(10)).as_deref(), Some("unclear"));
    }

    #[test]
    fn a_job_is_one_thing_whoever_it_is_of() {
        let job = || Way::Job("j".to_owned());
        let mut queue = queue(&[("b", 7, None, job()), ("a", 5, None, job())]);
        queue.order("a".to_owned(), at(1));
        assert_eq!((queue.len(), queue.take_fresh(at(9))), (2, None));
        assert_eq!(queue.take_due_job(at(4)), None);
        assert_eq!(
            queue.probe(at(2)),
            Some((at(2), Probe::Job("j".to_owned())))
        );
        assert_eq!(
            queue.take_due_job(at(5)),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn probes_need_not_be_due_and_leave_what_lands() {
        let queue = queue(&[
            ("unclear", 1, Some(9), Way::Alone),
            ("hourly", 99, None, Way::Together),
        ]);
        assert_eq!(
            queue.probe(at(2)),
            Some((at(2), Probe::One("hourly".to_owned())))
        );
    }

    #[test]
    fn too_many_new_calls_join_the_crowd_behind_what_waits() {
        let mut queue = queue(&[("old", 1, None, Way::Together)]);
        for (second, key) in (2..).zip(["a", "b", "c"]) {
            queue.order(key.to_owned(), at(second));
        }
        queue.overflow(1);
        assert_eq!(queue.fresh_len(), 1);
        assert_eq!(queue.crowd(at(9), 9), ["old", "b", "c"]);
        assert_eq!(queue.crowd_ready(at(3), 9), 2);
    }
}
