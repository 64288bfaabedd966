//! The integrations: a client, a courier and, where the settings ask for it, a contact sync for each.

use super::syncing::Syncing;
use super::{AppFault, Ground, hooks};
use crate::admin::Integration;
use crate::calls::directory::Directory;
use crate::calls::dispatch::{Dispatch, DispatchStatus};
use crate::calls::lately::Lately;
use crate::calls::ledger::Ledger;
use crate::calls::line::{Notice, Order};
use crate::calls::log::Courier;
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::contacts::webhooks::door::Door;
use crate::kustomer::client::Past;
use crate::phonebook::directory::ContactBook;
use crate::settings::types::{KustomerSettings, Settings};
use crate::store::Store;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What is known, each part in trees of its own.
pub struct Shelves {
    pub ledger: Ledger,
    pub outbox: Outbox,
    pub directory: Directory,
    pub lately: Lately,
    pub book: ContactBook,
}

impl Shelves {
    pub fn open(store: &Store) -> Result<Self, AppFault> {
        let outbox = Outbox::open(store);
        Ok(Self {
            ledger: Ledger::open(store, &outbox),
            directory: Directory::open(store),
            lately: Lately::open(store),
            book: ContactBook::open(store)?,
            outbox,
        })
    }
}

/// Builds them.
pub struct Counter<'a> {
    pub shelves: &'a Shelves,
    pub notices: &'a mpsc::UnboundedSender<Notice>,
    pub store: &'a Store,
    pub ground: &'a Ground,
}

/// Built, not running yet.
#[derive(Default)]
pub struct Built {
    pub integrations: Vec<Integration>,
    pub dispatches: Vec<Dispatch>,
    pub doors: BTreeMap<String, Door>,
    pub syncing: Syncing,
}

impl Counter<'_> {
    pub fn build(&self, settings: &Settings) -> Result<Built, AppFault> {
        let mut built = Built::default();
        for kustomer in &settings.kustomers {
            let (mut integration, dispatch) = self.integrate(kustomer)?;
            if let Some((hook, door)) = hooks::build(kustomer, self.store)? {
                built.doors.insert(kustomer.name.clone(), door);
                integration.hook = Some(hook);
            }
            let told = integration.hook.as_ref().map(|hook| &hook.webhooks);
            let (client, book) = (&integration.client, &self.shelves.book);
            let syncing = &mut built.syncing;
            integration.sync = syncing.add(settings, kustomer, client, self.store, book, told)?;
            built.integrations.push(integration);
            built.dispatches.push(dispatch);
        }
        Ok(built)
    }

    fn integrate(&self, kustomer: &KustomerSettings) -> Result<(Integration, Dispatch), AppFault> {
        let Shelves {
            outbox,
            directory,
            lately,
            ..
        } = self.shelves;
        let settings = Arc::new(kustomer.clone());
        let past = Past {
            requests: outbox.sent_before(kustomer, clock::now())?,
            notebook: Some(Arc::new(outbox.usage_of(&kustomer.name))),
        };
        let client = self.ground.client(kustomer, past);
        let client = client.map_err(|fault| AppFault::Secret(fault.to_string()))?;
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
        let dispatch = Dispatch::open(courier, ordered, self.notices.clone(), Arc::clone(&status))?;
        Ok((
            Integration {
                settings,
                client,
                attributes,
                hook: None,
                status,
                orders,
                sync: None,
            },
            dispatch,
        ))
    }
}

/// Where each one's courier is told what to log.
pub fn orders(integrations: &[Integration]) -> HashMap<String, mpsc::UnboundedSender<Order>> {
    let named = |part: &Integration| (part.settings.name.clone(), part.orders.clone());
    integrations.iter().map(named).collect()
}
