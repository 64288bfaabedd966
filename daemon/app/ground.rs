//! What the daemon stands on: this machine's disk, network and sockets, or those of a simulation. The only difference
//! between a daemon and a simulated one.

use super::AppFault;
use super::listeners::{Listeners, Pipe};
use crate::kustomer::client::{Client, Past};
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::http::Carrier;
use crate::offload::off_the_runtime;
use crate::recovery;
use crate::settings::types::{KustomerSettings, Settings};
use crate::store::{MemoryDisk, Store, StoreOptions};
use std::sync::Arc;

#[derive(Clone)]
pub enum Ground {
    Machine,
    Simulated(Simulated),
}

/// Its parts outlive the daemons that stand on it, one after the other.
#[derive(Clone)]
pub struct Simulated {
    pub disk: MemoryDisk,
    /// To every Kustomer.
    pub carrier: Arc<dyn Carrier>,
    pub events: Arc<Pipe>,
    pub admin: Arc<Pipe>,
}

impl Ground {
    pub async fn store(&self, settings: &Settings) -> Result<Store, AppFault> {
        let options = StoreOptions {
            disk_reserve: settings.daemon.disk_reserve,
            ..StoreOptions::default()
        };
        if let Self::Simulated(simulated) = self {
            return Ok(Store::open_in_memory(&simulated.disk, options)?);
        }
        let dir = settings.daemon.state_dir.join("store");
        // Opening replays sled's log: seconds on a large store, so not on the runtime's threads.
        let opened = off_the_runtime(move || Store::open(&dir, options)).await;
        let opened = opened.map_err(|error| AppFault::Part {
            part: "the store",
            why: error.to_string(),
        })?;
        let opened = opened?;
        // With the store held, so that nobody is at it.
        if let Err(fault) = recovery::remove_unfinished(&settings.daemon.state_dir) {
            tracing::warn!(%fault, "what an erasure left that was ended before its end is still there");
        }
        match recovery::not_done(&opened, &settings.daemon.state_dir) {
            Ok(0) => {}
            Ok(identifiers) => tracing::warn!(
                identifiers,
                "the store is older than an erasure, or one was ended before its end: stop tieline and run `tieline erase`"
            ),
            Err(fault) => {
                tracing::warn!(%fault, "nobody knows whether the store is older than an erasure");
            }
        }
        Ok(opened)
    }

    pub async fn listeners(&self, settings: &Settings) -> Result<Listeners, AppFault> {
        match self {
            Self::Machine => Listeners::bind(settings).await,
            Self::Simulated(simulated) => {
                let (events, admin) = (&simulated.events, &simulated.admin);
                Ok(Listeners::pipes(Arc::clone(events), Arc::clone(admin)))
            }
        }
    }

    pub fn client(&self, kustomer: &KustomerSettings, past: Past) -> Result<Client, KustomerFault> {
        match self {
            Self::Machine => Client::new(kustomer, past),
            Self::Simulated(simulated) => {
                Client::over(Arc::clone(&simulated.carrier), kustomer, past)
            }
        }
    }
}
