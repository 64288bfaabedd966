//! What happens in a run, step by step. Drawn from a seed before anything runs, so that a failing history can be cut down.

use super::odds::Odds;
use fastrand::Rng;

/// People that calls and texts come from. The first are customers at the start.
pub const CALLERS: usize = 8;
pub const CUSTOMERS_AT_START: usize = 4;
/// Our numbers; calls to the last one aren't logged.
pub const OURS: usize = 3;

#[derive(Clone, Debug)]
pub struct History {
    pub seed: u64,
    pub odds: Odds,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Before it.
    pub wait_ms: u64,
    pub act: Act,
    /// For the chances within the step; so that it does the same when others are cut away.
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Call {
        number: u32,
        caller: Option<usize>,
        ours: usize,
        answered: bool,
        told: Told,
    },
    /// Calls at once, as in a busy hour.
    Burst {
        first: u32,
        calls: u32,
    },
    Text {
        number: u32,
        caller: usize,
        sent: bool,
        ours: usize,
    },
    /// An event that nobody can read.
    Junk(u32),
    Customer(Edit),
    Contact(Edit),
    Pause {
        seconds: u64,
    },
    /// The process dies when the disk or the network has moved so often.
    Crash {
        moves: u32,
        /// Percent of what isn't synced that stays.
        kept: u8,
        down_ms: u64,
    },
    Restart,
    Reload,
    BadReload,
    /// Somebody sets the clock.
    Jump {
        seconds: i64,
    },
    DiskFull {
        seconds: u64,
    },
    Outage {
        seconds: u64,
    },
    LockedOut {
        seconds: u64,
    },
}

/// How a phone system tells of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Whole,
    Live,
}

/// What somebody does with a person's record on one of the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// With a number that nobody has.
    Create(u32),
    /// With a number that is shared, or WhatsApp's, as well.
    CreateSpecial(u32),
    Rename(u32),
    AddNumber(u32),
    Remove,
    /// Two customers become one.
    Merge,
}

impl History {
    pub fn draw(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let odds = Odds::draw(&mut chance);
        let length = chance.usize(5..60);
        let hurry = one_of(&mut chance, &[50, 2_000, 60_000]);
        let steps = (0..length).map(|at| Step {
            wait_ms: chance.u64(0..hurry),
            act: act(&mut chance, &odds, u32::try_from(at).unwrap_or(0)),
            seed: chance.u64(..),
        });
        let steps = steps.collect();
        Self { seed, odds, steps }
    }
}

/// Draws an act that gets this number.
type Draw = fn(&mut Rng, u32) -> Act;

/// One of the acts, by their odds.
fn act(chance: &mut Rng, odds: &Odds, number: u32) -> Act {
    let choices: [(u32, Draw); 15] = [
        (odds.call, call),
        (odds.burst, |chance, number| Act::Burst {
            first: 1000 * (number + 1),
            calls: chance.u32(10..60),
        }),
        (odds.text, |chance, number| Act::Text {
            number,
            caller: chance.usize(0..CALLERS),
            sent: chance.bool(),
            ours: chance.usize(0..OURS),
        }),
        (odds.junk, |_, number| Act::Junk(number)),
        (odds.customer, |chance, number| {
            Act::Customer(edit(chance, number))
        }),
        (odds.contact, |chance, number| {
            Act::Contact(edit(chance, number))
        }),
        (odds.pause, |chance, _| Act::Pause {
            seconds: one_of(chance, &[5, 90, 600, 7200]),
        }),
        (odds.crash, |chance, _| Act::Crash {
            moves: chance.u32(0..40),
            kept: one_of(chance, &[0, 50, 100]),
            down_ms: one_of(chance, &[0, 500, 20_000, 900_000]),
        }),
        (odds.restart, |_, _| Act::Restart),
        (odds.reload, |_, _| Act::Reload),
        (odds.bad_reload, |_, _| Act::BadReload),
        (odds.jump, |chance, _| Act::Jump {
            seconds: one_of(chance, &[-7200, -61, -1, 1, 61, 3600, 86_400]),
        }),
        (odds.disk_full, |chance, _| Act::DiskFull {
            seconds: chance.u64(1..200),
        }),
        (odds.outage, |chance, _| Act::Outage {
            seconds: one_of(chance, &[3, 60, 1800, 20_000]),
        }),
        (odds.locked_out, |chance, _| Act::LockedOut {
            seconds: chance.u64(1..400),
        }),
    ];
    let mut at = chance.u32(0..choices.iter().map(|(weight, _)| weight).sum());
    let chosen = choices.iter().find(|(weight, _)| {
        let found = at < *weight;
        at = at.saturating_sub(*weight);
        found
    });
    chosen.unwrap().1(chance, number)
}

fn one_of<T: Copy>(chance: &mut Rng, all: &[T]) -> T {
    *chance.choice(all).unwrap()
}

fn call(chance: &mut Rng, number: u32) -> Act {
    Act::Call {
        number,
        caller: (chance.u32(0..10) > 0).then(|| chance.usize(0..CALLERS)),
        ours: chance.usize(0..OURS),
        answered: chance.bool(),
        told: if chance.bool() {
            Told::Whole
        } else {
            Told::Live
        },
    }
}

fn edit(chance: &mut Rng, number: u32) -> Edit {
    match chance.u32(0..12) {
        0..4 => Edit::Create(number),
        4 => Edit::CreateSpecial(number),
        5..8 => Edit::Rename(number),
        8..10 => Edit::AddNumber(number),
        10 => Edit::Remove,
        _ => Edit::Merge,
    }
}
