//! What a budget grants to whom and when, by table and over simulated time.

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
        pace.ask(lane, u32::try_from(who).unwrap(), ms(0));
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
    for (lane, takes, at_once) in [
        (Lane::Live, 100, 100),
        (Lane::Backlog, 90, 9),
        (Lane::Sync, 90, 9),
        (Lane::Backfill, 80, 8),
    ] {
        let mut pace = pace(100, 0);
        assert_eq!(pace.view(ms(0)).rest(lane), at_once, "{lane:?}");
        (0..200).for_each(|who| pace.ask(lane, who, ms(0)));
        let granted = (0..1000)
            .filter(|now| matches!(pace.next(ms(*now)), Next::Grant(_)))
            .count();
        assert_eq!(granted, takes, "{lane:?}");
        pace.ask(Lane::Live, 999, ms(1000));
        assert_eq!(
            matches!(pace.next(ms(1000)), Next::Grant(999)),
            takes < 100,
            "{lane:?}"
        );
    }
}

#[test]
fn later_lanes_leave_what_live_calls_ask_for_too() {
    let mut pace = pace(100, 0);
    (0..5).for_each(|who| pace.ask(Lane::Live, who, ms(0)));
    (5..50).for_each(|who| pace.ask(Lane::Sync, who, ms(0)));
    let granted = std::iter::from_fn(|| matches!(pace.next(ms(0)), Next::Grant(_)).then_some(()));
    assert_eq!(granted.count(), 9);
    assert_eq!(pace.view(ms(0)).rest(Lane::Sync), 0);
    assert_eq!(pace.view(ms(0)).rest(Lane::Live), 91);
    let part_is_over = Duration::from_micros(100_100);
    assert_eq!(pace.next(ms(0)), Next::At(part_is_over));
    assert_eq!(pace.view(part_is_over).rest(Lane::Sync), 9);
    assert!(matches!(pace.next(part_is_over), Next::Grant(_)));
}

#[test]
fn who_stopped_waiting_takes_nothing_of_the_part() {
    let mut pace = pace(100, 0);
    (0..20).for_each(|who| pace.ask(Lane::Backlog, who, ms(0)));
    for _ in 0..11 {
        assert!(matches!(pace.next(ms(0)), Next::Grant(_)));
        pace.never_sent();
    }
    assert_eq!(pace.view(ms(0)).rest(Lane::Backlog), 9);
}

#[test]
fn a_pause_holds_everyone_and_a_shorter_one_does_not_cut_it() {
    let mut pace = pace(10, 0);
    pace.pause(ms(500));
    pace.pause(ms(200));
    pace.ask(Lane::Live, 1, ms(0));
    assert_eq!(pace.next(ms(300)), Next::At(ms(500)));
    assert_eq!(pace.next(ms(500)), Next::Grant(1));
}

#[test]
fn what_is_shown_ends_with_the_window_and_with_the_pause() {
    let mut pace = pace(10, 0);
    pace.ask(Lane::Live, 1, ms(0));
    assert_eq!(pace.next(ms(0)), Next::Grant(1));
    pace.done(ms(5));
    pace.pause(ms(500));
    let free_at = pace.window + ms(5);
    for (now, used, paused_for) in [
        (ms(499), 1, Some(ms(1))),
        (ms(500), 1, None),
        (ms(501), 1, None),
        (free_at - ms(1), 1, None),
        (free_at, 0, None),
        (free_at + ms(1), 0, None),
    ] {
        let view = pace.view(now);
        assert_eq!((view.used, view.paused_for), (used, paused_for), "{now:?}");
    }
}

#[test]
fn what_was_used_before_a_restart_counts_for_one_window() {
    let mut pace = pace(2, 7);
    pace.ask(Lane::Live, 1, ms(0));
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
    pace.ask(Lane::Live, 1, ms(0));
    pace.ask(Lane::Live, 2, ms(0));
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
            pace.ask(plan.lane, who, ms(now));
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

    /// Calls that come evenly, whenever they begin and however much of nine tenths of the budget they need, hardly notice
    /// that the later lanes have more to do than will ever be done.
    #[test]
    fn live_calls_need_not_wait_for_a_backlog(limit in 100_u32..600, of_budget in 1_u64..=85, begin in 0_u64..3000) {
        let mut pace = Pace::new(Budget { limit, window: ms(1000), parallel: 1000 }, 0);
        let (mut running, mut asked, mut waits) = (VecDeque::new(), 0_u64, 0);
        for now in 0..6000 {
            while running.front() == Some(&now) {
                running.pop_front();
                pace.done(ms(now));
            }
            if now == 0 {
                (0..10_000).for_each(|_| pace.ask(Lane::Backlog, 0, ms(0)));
            }
            while now >= begin && (now - begin) * u64::from(limit) * of_budget / 100_000 >= asked {
                pace.ask(Lane::Live, 1, ms(now));
                asked += 1;
            }
            while let Next::Grant(_) = pace.next(ms(now)) {
                running.push_back(now + 3);
            }
            waits = if pace.view(ms(now)).waiting[0] > 0 { waits + 1 } else { 0 };
            prop_assert!(waits <= 30, "live calls have waited for {waits} ms of a window of 1000 at {now} ms");
        }
    }

    #[test]
    fn with_no_live_calls_a_later_lane_gets_its_share(limit in 1_u32..600) {
        let mut pace = Pace::new(Budget { limit, window: ms(1000), parallel: 1000 }, 0);
        let plans = vec![Plan { arrives: 0, lane: Lane::Sync, latency: 1, counted: 0 }; usize::try_from(limit).unwrap() * 4];
        let last = simulate(&mut pace, &plans).last().unwrap().0;
        prop_assert!(last <= 6000, "four budgets took {last} ms");
    }
}
