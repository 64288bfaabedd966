//! Histories that found something, cut down; each failed before the fault that its name tells of was mended.

use super::history::{Act, Edit, History, Step, Told};
use super::odds::Odds;
use super::play::play;

fn holds(history: &History) {
    if let Err(failure) = play(history) {
        panic!("{}\nstep {}: {}", failure.log, failure.step, failure.what);
    }
}

#[test]
fn a_restart_remembers_what_was_asked_of_kustomer() {
    holds(&History {
        seed: 26,
        odds: Odds {
            shuffled: 594,
            repeated: 170,
            hooks: true,
            hooks_reordered: true,
            slowness_ms: 3000,
            budget: 60,
            tells_time: true,
            ..Odds::default()
        },
        steps: vec![
            Step {
                wait_ms: 1159,
                act: Act::Call {
                    number: 1,
                    caller: Some(2),
                    ours: 2,
                    answered: true,
                    told: Told::Whole,
                },
                seed: 9558400853965511418,
            },
            Step {
                wait_ms: 906,
                act: Act::Crash {
                    moves: 35,
                    kept: 100,
                    down_ms: 0,
                },
                seed: 12378089069562696525,
            },
            Step {
                wait_ms: 1923,
                act: Act::Burst {
                    first: 11000,
                    calls: 31,
                },
                seed: 9132425685933163793,
            },
        ],
    });
}

#[test]
fn a_create_that_a_kill_left_with_a_stalled_server_is_waited_for() {
    holds(&History {
        seed: 28,
        odds: Odds {
            shuffled: 65,
            repeated: 33,
            error_500: 246,
            failed_after: 27,
            late: 16,
            unique_external_ids: true,
            search_lag_s: 44,
            hooks: true,
            hooks_doubled: true,
            slowness_ms: 200,
            budget: 500,
            tells_time: true,
            ..Odds::default()
        },
        steps: vec![
            Step {
                wait_ms: 229,
                act: Act::Call {
                    number: 1,
                    caller: Some(2),
                    ours: 1,
                    answered: false,
                    told: Told::Whole,
                },
                seed: 12101823941652292316,
            },
            Step {
                wait_ms: 664,
                act: Act::Text {
                    number: 2,
                    caller: 5,
                    sent: false,
                    ours: 1,
                },
                seed: 2913860131260174157,
            },
            Step {
                wait_ms: 1730,
                act: Act::Crash {
                    moves: 27,
                    kept: 0,
                    down_ms: 500,
                },
                seed: 14072999133770959126,
            },
            Step {
                wait_ms: 1383,
                act: Act::Text {
                    number: 4,
                    caller: 3,
                    sent: true,
                    ours: 0,
                },
                seed: 8602364625278734133,
            },
            Step {
                wait_ms: 804,
                act: Act::Contact(Edit::Create(5)),
                seed: 10946847827138596977,
            },
            Step {
                wait_ms: 600,
                act: Act::Customer(Edit::Create(6)),
                seed: 15500164102942363160,
            },
            Step {
                wait_ms: 484,
                act: Act::Text {
                    number: 7,
                    caller: 0,
                    sent: true,
                    ours: 2,
                },
                seed: 16482065844673985067,
            },
            Step {
                wait_ms: 1952,
                act: Act::Text {
                    number: 8,
                    caller: 2,
                    sent: false,
                    ours: 1,
                },
                seed: 7863540302070002867,
            },
            Step {
                wait_ms: 1686,
                act: Act::Text {
                    number: 9,
                    caller: 3,
                    sent: false,
                    ours: 2,
                },
                seed: 12426576824964611007,
            },
            Step {
                wait_ms: 1280,
                act: Act::Call {
                    number: 10,
                    caller: Some(6),
                    ours: 1,
                    answered: false,
                    told: Told::Whole,
                },
                seed: 2363907872820178775,
            },
            Step {
                wait_ms: 320,
                act: Act::Call {
                    number: 11,
                    caller: Some(4),
                    ours: 0,
                    answered: true,
                    told: Told::Live,
                },
                seed: 6893235984618503179,
            },
            Step {
                wait_ms: 1759,
                act: Act::Crash {
                    moves: 26,
                    kept: 50,
                    down_ms: 0,
                },
                seed: 14146736978847551876,
            },
            Step {
                wait_ms: 1896,
                act: Act::Text {
                    number: 13,
                    caller: 6,
                    sent: false,
                    ours: 2,
                },
                seed: 1871814447570856870,
            },
            Step {
                wait_ms: 750,
                act: Act::Contact(Edit::AddNumber(25)),
                seed: 7527731347205191020,
            },
            Step {
                wait_ms: 1756,
                act: Act::Text {
                    number: 26,
                    caller: 0,
                    sent: true,
                    ours: 1,
                },
                seed: 13568860329553599816,
            },
        ],
    });
}

#[test]
fn a_clock_set_forward_hides_no_customer() {
    holds(&History {
        seed: 0,
        odds: Odds {
            jump: 2,
            shuffled: 27,
            late_facts: 97,
            closed_after: 84,
            unique_external_ids: true,
            hooks_doubled: true,
            hooks_reordered: true,
            slowness_ms: 200,
            budget: 500,
            texts_joined: true,
            messages: true,
            tells_time: true,
            ..Odds::default()
        },
        steps: vec![
            Step {
                wait_ms: 43817,
                act: Act::Jump { seconds: 86400 },
                seed: 18013471101143331018,
            },
            Step {
                wait_ms: 38744,
                act: Act::Text {
                    number: 20,
                    caller: 7,
                    sent: false,
                    ours: 0,
                },
                seed: 7828001026921791370,
            },
        ],
    });
}

#[test]
fn a_reload_amid_a_stalled_disk_counts_right() {
    let live = |number, ours, answered| Act::Call {
        number,
        caller: Some(6),
        ours,
        answered,
        told: Told::Live,
    };
    holds(&History {
        seed: 16,
        odds: Odds {
            shuffled: 83,
            hooks_doubled: true,
            hooks_reordered: true,
            slowness_ms: 3000,
            budget: 500,
            ..Odds::default()
        },
        steps: vec![
            step(1304, 14479278405933722832, live(0, 2, false)),
            step(122, 5307589742548062488, live(1, 2, true)),
            step(1635, 5947910872703144054, Act::BadReload),
            step(
                1433,
                15225549172035849287,
                Act::Call {
                    number: 5,
                    caller: Some(3),
                    ours: 1,
                    answered: false,
                    told: Told::Whole,
                },
            ),
            step(1838, 3967924187893680585, Act::Customer(Edit::Rename(6))),
            step(1800, 17839489656110210598, Act::Reload),
            step(306, 13060559685302224136, Act::Pause { seconds: 90 }),
        ],
    });
}

fn step(wait_ms: u64, seed: u64, act: Act) -> Step {
    Step { wait_ms, act, seed }
}
