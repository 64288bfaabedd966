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
        let hurry = *chance.choice(&[50, 2_000, 60_000]).unwrap_or(&50);
        let steps = (0..length).map(|at| Step {
            wait_ms: chance.u64(0..hurry),
            act: act(&mut chance, &odds, u32::try_from(at).unwrap_or(0)),
            seed: chance.u64(..),
        });
        let steps = steps.collect();
        Self { seed, odds, steps }
    }
}

fn act(chance: &mut Rng, odds: &Odds, number: u32) -> Act {
    let weights = [
        odds.call,
        odds.text,
        odds.junk,
        odds.customer,
        odds.contact,
        odds.pause,
        odds.crash,
        odds.restart,
        odds.reload,
        odds.bad_reload,
        odds.jump,
        odds.disk_full,
        odds.outage,
        odds.locked_out,
    ];
    let mut at = chance.u32(0..weights.iter().sum());
    let mut chosen = 0;
    for (index, weight) in weights.iter().enumerate() {
        if at < *weight {
            chosen = index;
            break;
        }
        at -= weight;
    }
    match chosen {
        0 => call(chance, number),
        1 => Act::Text {
            number,
            caller: chance.usize(0..CALLERS),
            sent: chance.bool(),
            ours: chance.usize(0..OURS),
        },
        2 => Act::Junk(number),
        3 => Act::Customer(edit(chance, number)),
        4 => Act::Contact(edit(chance, number)),
        5 => Act::Pause {
            seconds: *chance.choice(&[5, 90, 600, 7200]).unwrap_or(&5),
        },
        6 => Act::Crash {
            moves: chance.u32(0..40),
            kept: *chance.choice(&[0, 50, 100]).unwrap_or(&0),
            down_ms: *chance.choice(&[0, 500, 20_000, 900_000]).unwrap_or(&0),
        },
        7 => Act::Restart,
        8 => Act::Reload,
        9 => Act::BadReload,
        10 => Act::Jump {
            seconds: *chance
                .choice(&[-7200, -61, -1, 1, 61, 3600, 86_400])
                .unwrap_or(&1),
        },
        11 => Act::DiskFull {
            seconds: chance.u64(1..200),
        },
        12 => Act::Outage {
            seconds: *chance.choice(&[3, 60, 1800, 20_000]).unwrap_or(&3),
        },
        _ => Act::LockedOut {
            seconds: chance.u64(1..400),
        },
    }
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
