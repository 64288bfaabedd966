//! Decides at every move of the disk and the network how long it takes, and whether the process dies at it. A dead process
//! moves nothing any more.

use fastrand::Rng;
use std::future::pending;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

pub struct Fate {
    state: Mutex<State>,
    /// The number of the life that runs; odd while there is none.
    life: watch::Sender<u64>,
}

struct State {
    chance: Rng,
    slowness_ms: u64,
    /// Moves until the process dies.
    moves_left: Option<u32>,
}

impl Fate {
    pub fn new(seed: u64, slowness_ms: u64) -> Self {
        Self {
            state: Mutex::new(State {
                chance: Rng::with_seed(seed),
                slowness_ms,
                moves_left: None,
            }),
            life: watch::Sender::new(1),
        }
    }

    /// A process starts.
    pub fn born(&self) {
        self.life.send_modify(|life| *life += 1);
    }

    /// The process ends, for whatever reason; what it has left to do is never done.
    pub fn gone(&self) {
        self.state().moves_left = None;
        self.life.send_modify(|life| *life += (*life % 2) ^ 1);
    }

    pub fn dies_after(&self, moves: u32) {
        self.state().moves_left = Some(moves);
    }

    /// Nothing goes wrong any more, and everything is quick.
    pub fn calm(&self) {
        let mut state = self.state();
        state.moves_left = None;
        state.slowness_ms = 0;
    }

    /// Returns when the process has died.
    pub async fn death(&self) {
        let mut life = self.life.subscribe();
        let _ = life.wait_for(|life| life % 2 == 1).await;
    }

    /// One move of the process that runs now.
    pub async fn moved(&self) {
        let life = *self.life.borrow();
        if life % 2 == 1 {
            pending::<()>().await;
        }
        let wait = {
            let mut state = self.state();
            let max = state.slowness_ms;
            Duration::from_millis(state.chance.u64(0..=max))
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if *self.life.borrow() != life {
            pending::<()>().await;
        }
        let dies = {
            let mut state = self.state();
            match state.moves_left {
                Some(0) => true,
                Some(left) => {
                    state.moves_left = Some(left - 1);
                    false
                }
                None => false,
            }
        };
        if dies {
            self.gone();
            pending::<()>().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
