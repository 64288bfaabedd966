//! A whole installation for one test: sandbox, settings, the daemon as a process of its own, and ways to post, ask and
//! count. Used by the tests of the whole program (`calls`, `kustomer_faults`, `reload`, `crash`).

mod config;
mod daemon;
pub mod disk;
mod doors;
mod events;
mod journal;
mod world;

pub use config::{Config, Integration, QUICK};
pub use daemon::{Daemon, Place};
pub use doors::{Proxy, TlsDoor};
pub use events::{OURS, call, live, recorded, recorded_post, text};
pub use journal::{Journal, all, messages};
pub use world::{World, address, answers, attribute, logs, populated, related, request};

use std::future::Future;
use std::time::Duration;

/// No wait of a test is longer: what takes so long on a busy machine is stuck.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at something that tells nobody when it changes.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The result, or a failed test that says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited {} s in vain: {what}", PATIENCE.as_secs()),
    }
}

/// The seed of a test with chance: `TIELINE_SEED`, or a new one; printed, so that a failure can be replayed.
pub fn seed() -> u64 {
    let given = std::env::var("TIELINE_SEED").ok();
    let seed = given.map_or_else(
        || fastrand::u64(..),
        |seed| seed.parse().expect("TIELINE_SEED is a number"),
    );
    println!("TIELINE_SEED={seed}");
    seed
}
