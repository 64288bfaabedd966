//! The one lock around the state, shared by all connections, timers and the in-process handle.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state::State;

pub struct Shared(Mutex<State>);

impl Shared {
    pub fn new(state: State) -> Shared {
        Shared(Mutex::new(state))
    }

    /// Never held across an await; operations take well under a millisecond.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock can leave one operation half done; a test world is better off going on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
