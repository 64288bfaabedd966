//! How fast one integration may talk to Kustomer (invariant 7: no window sees more than the budget, live calls first).
//!
//! Pure: time comes in as the span since the budget was made. `kustomer::pacer` is its async shell.
//!
//! Why no window exceeds the budget: a slot is held from the grant until one window after the request was done, and the
//! server counted the request at some time between the two. Take any window with requests counted in it and look at the
//! moment the last of them was granted: all the others were done less than a window before it, or aren't done, so
//! they all still held their slots at that one moment, and there are only as many slots as the budget.

use std::collections::VecDeque;
use std::time::Duration;

/// Added to every window: a server that rounds its clock to milliseconds sees no more either.
const WINDOW_MARGIN: Duration = Duration::from_millis(1);

/// Part of the budget that a backlog and contact sync leave to live calls: without it they could use up a window in a
/// second, and the next call would wait for a minute, however early its turn.
const LATER_LEAVES_ONE_IN: usize = 10;
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
    /// Waiting in each lane of `Lane::ALL`.
    pub waiting: [usize; 4],
    /// How long everything is still paused.
    pub paused_for: Option<Duration>,
}

impl PaceView {
    /// How many requests this lane could still make before a slot has to come free.
    pub fn rest(&self, lane: Lane) -> usize {
        lane.cap(self.limit).saturating_sub(self.used)
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
            live: VecDeque::new(),
            backlog: VecDeque::new(),
            sync: VecDeque::new(),
            backfill: VecDeque::new(),
            paused_until: Duration::ZERO,
        }
    }

    /// Puts `who` at the end of its lane. How many may wait is the caller's to limit.
    pub fn ask(&mut self, lane: Lane, who: W) {
        match lane {
            Lane::Live => self.live.push_back(who),
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
        let first = match lane {
            Lane::Live => self.live.pop_front(),
            Lane::Backlog => self.backlog.pop_front(),
            Lane::Sync => self.sync.pop_front(),
            Lane::Backfill => self.backfill.pop_front(),
        };
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

    /// A granted request was never sent: its slot is free at once.
    pub fn never_sent(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// What is shown of the budget.
    pub fn view(&self, now: Duration) -> PaceView {
        let held = self.held.iter().filter(|free_at| **free_at > now).count();
        PaceView {
            limit: self.limit,
            used: self.in_flight + held,
            in_flight: self.in_flight,
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn pace(limit: u32, used_before: u32) -> Pace<u32> {
        Pace::new(
            Budget {
                limit,
                window: ms(1000),
                parallel: 1000,
            },
            used_before,
        )
    }

    #[test]
    fn live_goes_first_and_each_lane_is_first_come_first_served() {
        let mut pace = pace(100, 0);
        for (who, lane) in [
            Lane::Backfill,
            Lane::Sync,
            Lane::Live,
            Lane::Backlog,
            Lane::Live,
        ]
        .into_iter()
        .enumerate()
        {
            pace.ask(lane, u32::try_from(who).unwrap());
        }
        let order: Vec<_> = std::iter::from_fn(|| match pace.next(ms(0)) {
            Next::Grant(who) => Some(who),
            Next::At(_) | Next::OnDone | Next::Idle => None,
        })
        .collect();
        assert_eq!(order, [2, 4, 3, 1, 0]);
    }

    #[test]
    fn lower_lanes_leave_slots_to_live_calls() {
        for (lane, takes) in [
            (Lane::Live, 100),
            (Lane::Backlog, 90),
            (Lane::Sync, 90),
            (Lane::Backfill, 80),
        ] {
            let mut pace = pace(100, 0);
            assert_eq!(pace.view(ms(0)).rest(lane), takes, "{lane:?}");
            (0..200).for_each(|who| pace.ask(lane, who));
            let granted = (0..200)
                .filter(|_| matches!(pace.next(ms(0)), Next::Grant(_)))
                .count();
            assert_eq!(granted, takes, "{lane:?}");
            pace.ask(Lane::Live, 999);
            assert_eq!(
                matches!(pace.next(ms(0)), Next::Grant(999)),
                takes < 100,
                "{lane:?}"
            );
        }
    }

    #[test]
    fn a_pause_holds_everyone_and_a_shorter_one_does_not_cut_it() {
        let mut pace = pace(10, 0);
        pace.pause(ms(500));
        pace.pause(ms(200));
        pace.ask(Lane::Live, 1);
        assert_eq!(pace.next(ms(300)), Next::At(ms(500)));
        assert_eq!(pace.next(ms(500)), Next::Grant(1));
    }

    #[test]
    fn what_was_used_before_a_restart_counts_for_one_window() {
        let mut pace = pace(2, 7);
        pace.ask(Lane::Live, 1);
        assert_eq!(pace.next(ms(0)), Next::At(ms(1001)));
        assert_eq!(pace.next(ms(1001)), Next::Grant(1));
    }

    #[test]
    fn no_more_at_once_than_parallel() {
        let mut pace = Pace::new(
            Budget {
                limit: 10,
                window: ms(1000),
                parallel: 1,
            },
            0,
        );
        pace.ask(Lane::Live, 1);
        pace.ask(Lane::Live, 2);
        assert_eq!(pace.next(ms(0)), Next::Grant(1));
        assert_eq!(pace.next(ms(1)), Next::OnDone);
        pace.done(ms(2));
        assert_eq!(pace.next(ms(2)), Next::Grant(2));
    }

    /// One request of the simulation, all in milliseconds.
    #[derive(Clone, Debug)]
    struct Plan {
        arrives: u64,
        lane: Lane,
        latency: u64,
        /// When in its latency the server counts it, in percent.
        counted: u64,
    }

    fn plans() -> impl Strategy<Value = Vec<Plan>> {
        let lane = proptest::sample::select(Lane::ALL.to_vec());
        let plan = (0_u64..5000, lane, 0_u64..3000, 0_u64..=100);
        let plan = plan.prop_map(|(arrives, lane, latency, counted)| Plan {
            arrives,
            lane,
            latency,
            counted,
        });
        proptest::collection::vec(plan, 1..150)
    }

    /// Runs the plans through a pace in steps of 1 ms; gives (grant time, plan) in the order granted.
    fn simulate(pace: &mut Pace<usize>, plans: &[Plan]) -> Vec<(u64, usize)> {
        let (mut granted, mut running) = (Vec::new(), Vec::new());
        let mut now = 0;
        while granted.len() < plans.len() {
            assert!(now < 10_000_000, "somebody starves");
            running.retain(|end| {
                if *end == now {
                    pace.done(ms(now));
                }
                *end > now
            });
            for (who, plan) in plans
                .iter()
                .enumerate()
                .filter(|(_, plan)| plan.arrives == now)
            {
                pace.ask(plan.lane, who);
            }
            while let Next::Grant(who) = pace.next(ms(now)) {
                granted.push((now, who));
                running.push(now + plans[who].latency.max(1));
            }
            now += 1;
        }
        granted
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_window_at_the_server_exceeds_the_budget_and_nobody_starves(plans in plans(), limit in 1_u32..30) {
            let mut pace = Pace::new(Budget { limit, window: ms(1000), parallel: 20 }, 0);
            let granted = simulate(&mut pace, &plans);
            let mut counted: Vec<u64> =
                granted.iter().map(|(at, who)| at + plans[*who].latency * plans[*who].counted / 100).collect();
            counted.sort_unstable();
            for pair in counted.windows(usize::try_from(limit).unwrap() + 1) {
                prop_assert!(pair[pair.len() - 1] - pair[0] > 1000, "{pair:?}");
            }
            for (order, (at, who)) in granted.iter().enumerate() {
                for (_, later) in &granted[order + 1..] {
                    let waited = plans[*later].arrives <= *at;
                    prop_assert!(!waited || plans[*who].lane <= plans[*later].lane, "{later} waited before {who}");
                }
            }
        }

        #[test]
        fn quick_requests_reach_the_whole_budget(limit in 1_u32..200, windows in 1_u64..5) {
            let count = u64::from(limit) * windows;
            let plans = vec![Plan { arrives: 0, lane: Lane::Live, latency: 1, counted: 0 }; usize::try_from(count).unwrap()];
            let mut pace = Pace::new(Budget { limit, window: ms(1000), parallel: 1000 }, 0);
            let granted = simulate(&mut pace, &plans);
            let last = granted.last().unwrap().0;
            prop_assert!(last <= (windows - 1) * 1002, "the last of {count} was granted at {last}");
        }
    }
}
