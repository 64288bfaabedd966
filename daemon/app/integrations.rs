//! The integrations: a client, a courier and, where the settings ask for it, a contact sync for each.

use super::AppFault;
use super::syncing::Syncing;
use crate::admin::Integration;
use crate::calls::directory::Directory;
use crate::calls::dispatch::{Dispatch, DispatchStatus};
use crate::calls::lately::Lately;
use crate::calls::line::{Notice, Order};
use crate::calls::log::Courier;
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::kustomer::client::Client;
use crate::phonebook::directory::ContactBook;
use crate::settings::types::{KustomerSettings, Settings};
use crate::store::Store;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What they share.
pub struct Counter<'a> {
    pub outbox: &'a Outbox,
    pub directory: &'a Directory,
    pub lately: &'a Lately,
    pub notices: &'a mpsc::UnboundedSender<Notice>,
    pub store: &'a Store,
    pub book: &'a ContactBook,
}

/// Built, not running yet.
#[derive(Default)]
pub struct Built {
    pub integrations: Vec<Integration>,
    pub dispatches: Vec<Dispatch>,
    pub syncing: Syncing,
}

impl Counter<'_> {
    pub fn build(&self, settings: &Settings) -> Result<Built, AppFault> {
        let mut built = Built::default();
        for kustomer in &settings.kustomers {
            let (mut integration, dispatch) = integrate(
                kustomer,
                self.outbox,
                (self.directory, self.lately),
                self.notices,
            )?;
            let client = &integration.client;
            integration.sync = built
                .syncing
                .add(settings, kustomer, client, self.store, self.book)?;
            built.integrations.push(integration);
            built.dispatches.push(dispatch);
        }
        Ok(built)
    }
}

/// Where each one's courier is told what to log.
pub fn orders(integrations: &[Integration]) -> HashMap<String, mpsc::UnboundedSender<Order>> {
    let named = |part: &Integration| (part.settings.name.clone(), part.orders.clone());
    integrations.iter().map(named).collect()
}

fn integrate(
    kustomer: &KustomerSettings,
    outbox: &Outbox,
    (directory, lately): (&Directory, &Lately),
    notices: &mpsc::UnboundedSender<Notice>,
) -> Result<(Integration, Dispatch), AppFault> {
    let settings = Arc::new(kustomer.clone());
    let used = outbox.used_before(kustomer, clock::now())?;
    let client =
        Client::new(kustomer, used).map_err(|fault| AppFault::Secret(fault.to_string()))?;
    let status = Arc::new(Mutex::new(DispatchStatus::default()));
    let (orders, ordered) = mpsc::unbounded_channel();
    let courier = Courier::new(
        Arc::clone(&settings),
        client.clone(),
        outbox.clone(),
        directory.clone(),
        lately.clone(),
    );
    let attributes = courier.attributes.clone();
    let dispatch = Dispatch::open(courier, ordered, notices.clone(), Arc::clone(&status))?;
    Ok((
        Integration {
            settings,
            client,
            attributes,
            status,
            orders,
            sync: None,
        },
        dispatch,
    ))
}
