//! How fast one integration may talk to Kustomer (invariant 7: no window sees more than the budget, live calls first).
//!
//! Pure: time comes in as the span since the budget was made. `kustomer::pacer` is its async shell.
//!
//! Why no window exceeds the budget: a slot is held from the grant until one window after the request was done, and the
//! server counted the request at some time between the two. Take any window with requests counted in it and look at the
//! moment the last of them was granted: all the others were done less than a window before it, or aren't done, so
//! they all still held their slots at that one moment, and there are only as many slots as the budget.
//!
//! Why no new call waits for long behind a backlog: what the later lanes take is bounded in every tenth of a window too, by
//! nine tenths of that tenth's share of the budget less what live calls asked for in it. So they neither use a window up in
//! its first second nor take what live calls have needed lately, whether these got it or not.

use std::collections::VecDeque;
use std::time::Duration;

/// Added to every window: a server that rounds its clock to milliseconds sees no more either.
const WINDOW_MARGIN: Duration = Duration::from_millis(1);

/// Part of the budget that a backlog and contact sync leave to live calls: without it they could use up a window in a
/// second, and the next call would wait for a minute, however early its turn.
const LATER_LEAVES_ONE_IN: usize = 10;
/// A later lane's share of a window is spread over so many parts of it. Not fewer than `LATER_LEAVES_ONE_IN`: what is taken in
/// one part, before live calls begin to ask, then fits into what was left to them.
const PARTS: usize = 10;
/// Part of the budget that a backfill leaves to the others.
const BACKFILL_LEAVES_ONE_IN: usize = 5;

/// Who is asking. The first lane with anyone waiting goes first; within a lane it is first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Live,
    /// Calls that wait since an outage.
    Backlog,
    Sync,
    Backfill,
}

impl Lane {
    pub const ALL: [Self; 4] = [Self::Live, Self::Backlog, Self::Sync, Self::Backfill];

    /// How many slots of `limit` this lane may see in use and still take one.
    fn cap(self, limit: usize) -> usize {
        match self {
            Self::Live => limit,
            Self::Backlog | Self::Sync => limit - limit / LATER_LEAVES_ONE_IN,
            Self::Backfill => limit - limit / BACKFILL_LEAVES_ONE_IN,
        }
    }

    /// What this lane may see asked for by live calls and granted to later lanes, and still take one, and in which part of
    /// the window; none: as many as it likes. Rounded so that all parts together are its share.
    fn part(self, limit: usize, window: Duration) -> Option<(usize, Duration)> {
        let share = self.cap(limit);
        let part = share.div_ceil(PARTS);
        let span = window.mul_f64(part as f64 / share as f64);
        (self != Self::Live).then_some((part, span))
    }
}

/// A budget: at most `limit` requests in any `window`, at most `parallel` at the same time. Zeros count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub limit: u32,
    pub window: Duration,
    pub parallel: usize,
}

/// What happens next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<W> {
    /// This one goes now; tell `done` when it is over.
    Grant(W),
    /// Nobody before this time.
    At(Duration),
    /// Nobody before a running request is done.
    OnDone,
    /// Nobody waits.
    Idle,
}

/// What `status` shows of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceView {
    pub limit: usize,
    /// Slots taken by running requests and by those of the last window.
    pub used: usize,
    pub in_flight: usize,
    /// What each lane of `Lane::ALL` could still take at once.
    pub rests: [usize; 4],
    /// Waiting in each lane of `Lane::ALL`.
    pub waiting: [usize; 4],
    /// How long everything is still paused.
    pub paused_for: Option<Duration>,
}

impl PaceView {
    /// How many requests this lane could still make at once.
    pub fn rest(&self, lane: Lane) -> usize {
        let mut rests = Lane::ALL.into_iter().zip(self.rests);
        rests
            .find(|(one, _)| *one == lane)
            .map_or(0, |(_, rest)| rest)
    }
}

/// The budget's state; `W` names who waits.
#[derive(Debug)]
pub struct Pace<W> {
    limit: usize,
    window: Duration,
    parallel: usize,
    in_flight: usize,
    /// When each slot of a request that is done comes free, ascending.
    held: VecDeque<Duration>,
    /// When live calls asked for a request and later lanes were granted one, ascending; at most a budget of them.
    recent: VecDeque<Duration>,
    /// The last grant was a later lane's.
    granted_later: bool,
    live: VecDeque<W>,
    backlog: VecDeque<W>,
    sync: VecDeque<W>,
    backfill: VecDeque<W>,
    paused_until: Duration,
}

impl<W> Pace<W> {
    /// `used_before` requests count as done right at the start: what an earlier run of the daemon may have sent in the
    /// window before it ended.
    pub fn new(budget: Budget, used_before: u32) -> Self {
        let limit = usize::try_from(budget.limit).unwrap_or(usize::MAX).max(1);
        let window = budget.window + WINDOW_MARGIN;
        let used_before = usize::try_from(used_before)
            .unwrap_or(usize::MAX)
            .min(limit);
        Self {
            limit,
            window,
            parallel: budget.parallel.max(1),
            in_flight: 0,
            held: std::iter::repeat_n(window, used_before).collect(),
            recent: VecDeque::new(),
            granted_later: false,
            live: VecDeque::new(),
            backlog: VecDeque::new(),
            sync: VecDeque::new(),
            backfill: VecDeque::new(),
            paused_until: Duration::ZERO,
        }
    }

    /// Puts `who` at the end of its lane. How many may wait is the caller's to limit. `now` never goes back.
    pub fn ask(&mut self, lane: Lane, who: W, now: Duration) {
        match lane {
            Lane::Live => {
                self.note_recent(now);
                self.live.push_back(who);
            }
            Lane::Backlog => self.backlog.push_back(who),
            Lane::Sync => self.sync.push_back(who),
            Lane::Backfill => self.backfill.push_back(who),
        }
    }

    /// Grants one request, or says when to ask again. Call it again after a grant until it grants nobody.
    pub fn next(&mut self, now: Duration) -> Next<W> {
        while self.held.front().is_some_and(|free_at| *free_at <= now) {
            self.held.pop_front();
        }
        let Some(lane) = Lane::ALL.into_iter().find(|lane| self.waiting(*lane) > 0) else {
            return Next::Idle;
        };
        if now < self.paused_until {
            return Next::At(self.paused_until);
        }
        if self.in_flight >= self.parallel {
            return Next::OnDone;
        }
        // A lower lane's cap is no higher: if the first waiting lane must wait, so must the others.
        let too_many = (self.in_flight + self.held.len() + 1).saturating_sub(lane.cap(self.limit));
        if let Some(last) = too_many.checked_sub(1) {
            return self
                .held
                .get(last)
                .map_or(Next::OnDone, |free_at| Next::At(*free_at));
        }
        if let Some((part, span)) = lane.part(self.limit, self.window)
            && let Some(last) = self.recent.len().checked_sub(part)
            && let Some(until) = self.recent.get(last).map(|at| *at + span)
            && now < until
        {
            return Next::At(until);
        }
        let first = match lane {
            Lane::Live => self.live.pop_front(),
            Lane::Backlog => self.backlog.pop_front(),
            Lane::Sync => self.sync.pop_front(),
            Lane::Backfill => self.backfill.pop_front(),
        };
        self.granted_later = lane != Lane::Live;
        if self.granted_later {
            self.note_recent(now);
        }
        first.map_or(Next::Idle, |who| {
            self.in_flight += 1;
            Next::Grant(who)
        })
    }

    /// A granted request is over, whatever came of it. `now` never goes back.
    pub fn done(&mut self, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.held.push_back(now + self.window);
    }

    /// The request that was just granted was never sent: its slot is free at once.
    pub fn never_sent(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.granted_later {
            self.recent.pop_back();
        }
    }

    /// What is shown of the budget.
    pub fn view(&self, now: Duration) -> PaceView {
        let held = self.held.iter().filter(|free_at| **free_at > now).count();
        PaceView {
            limit: self.limit,
            used: self.in_flight + held,
            in_flight: self.in_flight,
            rests: Lane::ALL.map(|lane| self.rest(lane, now, self.in_flight + held)),
            waiting: Lane::ALL.map(|lane| self.waiting(lane)),
            paused_for: self
                .paused_until
                .checked_sub(now)
                .filter(|rest| !rest.is_zero()),
        }
    }

    /// Nobody goes before `until`; a longer pause that is already on stays.
    pub fn pause(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    fn rest(&self, lane: Lane, now: Duration, used: usize) -> usize {
        let rest = lane.cap(self.limit).saturating_sub(used);
        let Some((part, span)) = lane.part(self.limit, self.window) else {
            return rest;
        };
        let recent = self.recent.iter().rev().take_while(|at| now < **at + span);
        rest.min(part.saturating_sub(recent.count()))
    }

    /// A part of the window is never more than a budget.
    fn note_recent(&mut self, now: Duration) {
        if self.recent.len() >= self.limit {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    fn waiting(&self, lane: Lane) -> usize {
        match lane {
            Lane::Live => self.live.len(),
            Lane::Backlog => self.backlog.len(),
            Lane::Sync => self.sync.len(),
            Lane::Backfill => self.backfill.len(),
        }
    }
}

#[cfg(test)]
mod tests;
