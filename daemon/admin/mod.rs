//! The admin interface: health, metrics, status, explain, dead letters, replay, lookup, contacts. Served on a unix socket or
//! loopback only; `cli/` is its main reader. Owns nothing: it shows what the parts know and passes wishes on.

mod accounts;
mod answer;
mod backup;
mod contacts;
mod dead;
mod explain;
mod hooks;
mod links;
mod lookup;
mod metrics;
mod past;
mod recent;
mod routes;
mod sync;

pub use routes::router;
pub use sync::SyncDesk;

use crate::calls::attributes::Attributes;
use crate::calls::book::Whose;
use crate::calls::directory::Directory;
use crate::calls::dispatch::DispatchStatus;
use crate::calls::intake::IntakeStats;
use crate::calls::journal::{Entry, Journal};
use crate::calls::judge::Judge;
use crate::calls::lately::Lately;
use crate::calls::ledger::{CallRecord, Counts, Ledger};
use crate::calls::line::{LineStats, Notice, Order};
use crate::calls::links::Links;
use crate::calls::outbox::Outbox;
use crate::clock;
use crate::contacts::webhooks::Webhooks;
use crate::contacts::webhooks::door::WebhookStats;
use crate::contacts::webhooks::watch::HookWatch;
use crate::kustomer::client::Client;
use crate::phonebook::api::LookupStats;
use crate::phonebook::directory::ContactBook;
use crate::settings::certificate::Certificate;
use crate::settings::types::{KustomerSettings, Settings};
use crate::store::{Store, StoreFault};
use crate::terms::ids::EventId;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// A group commit that takes longer than this is stuck: disks that slow answer no phone system in time either.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest silence of the processing loop, which turns many times a minute even when there is nothing to do.
const TURN_AGE_MAX: Duration = Duration::from_secs(60);

/// One integration as `status` sees it.
#[derive(Clone)]
pub struct Integration {
    pub settings: Arc<KustomerSettings>,
    pub client: Client,
    pub attributes: Attributes,
    /// None: it takes no webhooks.
    pub hook: Option<Hook>,
    pub status: Arc<Mutex<DispatchStatus>>,
    pub orders: mpsc::UnboundedSender<Order>,
    /// Its contact sync, if it has one.
    pub sync: Option<SyncDesk>,
}

/// An integration's webhook.
#[derive(Clone)]
pub struct Hook {
    pub webhooks: Webhooks,
    pub stats: Arc<WebhookStats>,
    pub watch: HookWatch,
}

/// Everything the admin interface shows or passes wishes to.
pub struct Admin {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub journal: Journal,
    pub ledger: Ledger,
    pub outbox: Outbox,
    pub directory: Directory,
    pub lately: Lately,
    pub judge: Judge,
    pub integrations: Vec<Integration>,
    pub notices: mpsc::UnboundedSender<Notice>,
    pub line: Arc<LineStats>,
    pub intake: Arc<IntakeStats>,
    pub links: Links,
    pub book: ContactBook,
    pub lookups: Arc<LookupStats>,
    /// When the settings were last read again, or why the new ones are not in force; none since the start.
    pub reloaded: Option<Result<Timestamp, String>>,
    /// What the events listener shows; none: it speaks plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
}

/// How the accepted events divide up right now (invariant 2).
pub struct Accounting {
    pub accepted: u64,
    pub counts: Counts,
    pub in_flight: u64,
    /// Not read yet, and in open calls: what in flight is made of.
    pub unread: u64,
    pub open: u64,
    /// Of whom accepted isn't the sum of the ends + in flight, counted from two sides after the last turn of the line.
    pub differs: BTreeSet<Whose>,
}

impl Admin {
    pub fn accounting(&self) -> Result<Accounting, StoreFault> {
        let counts = self.ledger.counts()?;
        let accepted = self.journal.last_seq();
        let in_flight = accepted.saturating_sub(counts.ended());
        let unread = accepted.saturating_sub(counts.cursor);
        let open = self.line.open_events.load(Ordering::Relaxed);
        let differs = self.line.differs().clone();
        Ok(Accounting {
            differs,
            accepted,
            in_flight,
            unread,
            open,
            counts,
        })
    }

    /// One line for `systemctl status` and the log.
    pub fn headline(&self) -> String {
        let counts = self.accounting().map_or_else(
            |fault| fault.to_string(),
            |sums| {
                let dead = sums.counts.dead;
                format!(
                    "{} events accepted, {} in flight, {dead} dead",
                    sums.accepted, sums.in_flight
                )
            },
        );
        let held = self.integrations.iter().filter_map(|part| {
            let status = part.status.lock().unwrap_or_else(PoisonError::into_inner);
            status
                .held
                .as_ref()
                .map(|why| format!("; {}: {why}, {} wait", part.settings.name, status.owed))
        });
        let waits = self.integrations.iter().filter_map(|part| {
            let stopped = part.sync.as_ref()?.status().stopped?;
            let name = &part.settings.name;
            Some(format!("; contacts of {name} wait: {}", stopped.why))
        });
        let waits = waits.collect::<String>();
        let down = links::down(&self.links);
        let reload = match &self.reloaded {
            Some(Err(_)) => "; the new settings are wrong, the old ones are in force",
            Some(Ok(_)) | None => "",
        };
        format!("{counts}{}{waits}{down}{reload}", held.collect::<String>())
    }

    /// An event by its id.
    fn find_event(&self, id: &str) -> Result<Option<Entry>, StoreFault> {
        match EventId::parse(id) {
            Some(id) => self.journal.find(id),
            None => Ok(None),
        }
    }

    /// A call or text by its key, as stored (`call:hq:a1`) or as people write it (`hq:a1`).
    fn find_record(&self, key: &str) -> Result<Option<CallRecord>, StoreFault> {
        for candidate in [key.to_owned(), format!("call:{key}"), format!("text:{key}")] {
            if let Some(record) = self.ledger.record(&candidate)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Healthy: the store writes and the line moves, each within its time.
    pub fn healthy(&self, write_time_max: Duration) -> Result<(), String> {
        let store = self.store.health();
        if let Some(why) = store.broken {
            return Err(format!("the store is broken: {why}"));
        }
        if let Some(stuck) = store.writing_for.filter(|time| *time > write_time_max) {
            return Err(format!(
                "the store has been writing for {} s",
                stuck.as_secs()
            ));
        }
        let turned = self.line.turned_at.load(Ordering::Relaxed);
        let age = clock::now().as_second().saturating_sub(turned);
        if turned > 0 && u64::try_from(age).unwrap_or_default() > TURN_AGE_MAX.as_secs() {
            return Err(format!("the processing loop has not moved for {age} s"));
        }
        Ok(())
    }
}
