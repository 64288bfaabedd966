//! The contact syncs: one for each integration whose settings ask for it.

use super::AppFault;
use crate::admin::SyncDesk;
use crate::contacts::apply::{Hands, Written};
use crate::contacts::fetch::Kustomer;
use crate::contacts::guard::MaxChanges;
use crate::contacts::memory::Memory;
use crate::contacts::plan::Rules;
use crate::contacts::schedule::{NUDGES_MAX, Sync};
use crate::contacts::webhooks::Webhooks;
use crate::kustomer::client::Client;
use crate::pace::Lane;
use crate::phonebook::Phonebook;
use crate::phonebook::carddav::CardDav;
use crate::phonebook::directory::ContactBook;
use crate::settings::types::{KustomerSettings, MergeBy, Settings, SkipShared};
use crate::store::Store;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Built, not running yet.
#[derive(Default)]
pub struct Syncing(Vec<Sync>);

impl Syncing {
    /// One more, if the integration's settings ask for it; answers how others speak to it.
    pub fn add(
        &mut self,
        settings: &Settings,
        kustomer: &KustomerSettings,
        client: &Client,
        store: &Store,
        book: &ContactBook,
        told: Option<&Webhooks>,
    ) -> Result<Option<SyncDesk>, AppFault> {
        let rules = &kustomer.contacts;
        if !(kustomer.active && rules.active) {
            return Ok(None);
        }
        let plan = &settings.daemon.plan;
        let carddav = settings
            .carddavs
            .iter()
            .find(|one| one.name == rules.phonebook);
        let (phone, revisions) = match carddav {
            Some(server) => {
                let dav = CardDav::new(server, plan.clone());
                let dav = dav.map_err(|fault| AppFault::Secret(fault.to_string()))?;
                (Phonebook::CardDav(Box::new(dav)), None)
            }
            None => (Phonebook::Directory(book.clone()), Some(book.revisions())),
        };
        let (nudge, nudges) = mpsc::channel(NUDGES_MAX);
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let desk = SyncDesk {
            memory: Memory::open(store, &kustomer.name),
            nudge,
            status: Arc::default(),
            rules: sync_rules(kustomer),
            max: MaxChanges {
                count: count(rules.max_changes_count),
                percent: count(rules.max_changes_percent),
            },
        };
        let (_, stop) = watch::channel(false);
        self.0.push(Sync {
            name: kustomer.name.clone(),
            hands: Hands {
                memory: desk.memory.clone(),
                kustomer: Kustomer::new(client.lane(Lane::Sync), plan.clone())
                    .with_lag(kustomer.contacts.search_lag),
                phone,
                rules: desk.rules.clone(),
                stop,
                written: Written::default(),
                faults_in_a_row: 0,
            },
            max: desk.max,
            poll: rules.poll,
            revisions,
            told: told.cloned(),
            nudges,
            status: Arc::clone(&desk.status),
        });
        Ok(Some(desk))
    }

    pub fn spawn(self, tasks: &mut JoinSet<Result<(), AppFault>>, stop: &watch::Receiver<bool>) {
        for sync in self.0 {
            let stop = stop.clone();
            tasks.spawn(async move { Ok(sync.run(stop).await?) });
        }
    }
}

fn sync_rules(kustomer: &KustomerSettings) -> Rules {
    let rules = &kustomer.contacts;
    Rules {
        kustomer: kustomer.name.clone(),
        import: rules.import,
        export: rules.export,
        extra_fields: rules.extra_fields,
        merge_by_phone: rules.merge_by.contains(&MergeBy::Phone),
        merge_by_name: rules.merge_by.contains(&MergeBy::Name),
        skip_shared_customers: rules.skip_shared == SkipShared::Customer,
        policies: rules.conflicts,
        tag: Some(kustomer.contact_tag.clone()),
        web_url: kustomer.web_url.clone(),
    }
}
