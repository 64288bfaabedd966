//! Kustomer's side of the contact sync: what changed, page by page, and writes. Called by `schedule` and `apply`.
//!
//! What changed is read in the order of `updatedAt`, each request from the last row's time on (gte, so that rows of one
//! time aren't lost): nothing moves under it as it would under page numbers, and the 100 pages of a search are never
//! reached. The index lags by about a minute, so that a window ends a minute ago, and the next one begins some minutes
//! before. Source: Kustomer: Search.

mod cursor;
mod record;
mod write;

use super::plan::{Edit, NewCustomer};
use super::world::Customer;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::people::Selector;
use crate::kustomer::wire::{Record, Reply};
use crate::terms::contact::Fields;
use crate::terms::ids::CustomerId;
use crate::terms::number::NumberPlan;
pub use cursor::{Cursor, Progress};
use cursor::{INDEX_LAG, ROWS_MAX, Read};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest chain of merges that is followed.
const MERGES_MAX: usize = 10;

/// Some of what changed.
#[derive(Clone, Debug)]
pub struct Page {
    pub rows: Vec<Row>,
    /// Whence to ask on; to be stored together with the rows.
    pub cursor: Cursor,
    /// There is more at once.
    pub more: bool,
    pub progress: Progress,
}

/// What is known of a customer.
#[derive(Clone, Debug)]
pub enum Row {
    Here {
        customer: Box<Customer>,
        stamp: Stamp,
    },
    /// Deleted, or merged into another one.
    Gone {
        id: CustomerId,
        into: Option<CustomerId>,
    },
}

/// Which state of a customer was seen: a lower one is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub updated_at: Timestamp,
    pub rev: u64,
}

/// One integration's customers. Clones share the client.
#[derive(Clone)]
pub struct Kustomer {
    client: Client,
    plan: NumberPlan,
    rows: u32,
    lag: SignedDuration,
}

impl Kustomer {
    /// `client` speaks in the lane of the sync; numbers without a plus are read by `plan`.
    pub fn new(client: Client, plan: NumberPlan) -> Self {
        Self {
            client,
            plan,
            rows: ROWS_MAX,
            lag: INDEX_LAG,
        }
    }

    /// The same where changes are found by a search after this time; a minute unless set.
    #[must_use]
    pub fn with_lag(mut self, lag: Duration) -> Self {
        self.lag = SignedDuration::try_from(lag).unwrap_or(INDEX_LAG);
        self
    }

    /// The same with so many rows to a page, at most 500.
    #[must_use]
    pub fn with_rows(mut self, rows: u32) -> Self {
        self.rows = rows.clamp(1, ROWS_MAX);
        self
    }

    /// The next of what changed: one search, and one request for each customer that was found gone.
    ///
    /// # Errors
    /// Whatever Kustomer answers; the cursor then stays where it was.
    pub async fn next(&self, cursor: &Cursor, now: Timestamp) -> Result<Page, KustomerFault> {
        let read = cursor.read(now, self.lag);
        let reply = match self.page(&read).await {
            Err(fault) if read.archive && has_none(&fault) => {
                tracing::info!(%fault, "Kustomer has no archive for this key; what is older than two years isn't read");
                Reply {
                    records: Vec::new(),
                    next: None,
                }
            }
            reply => reply?,
        };
        let full = u32::try_from(reply.records.len()).is_ok_and(|count| count >= self.rows);
        let (cursor, more) = cursor.after(&read, &times(&reply.records), full);
        let mut rows = Vec::with_capacity(reply.records.len());
        for record in &reply.records {
            if record::is_gone(record) {
                // Nothing is linked yet while everything is read for the first time.
                let id = CustomerId(record.id.clone());
                rows.push(if cursor.is_importing() {
                    Row::Gone { id, into: None }
                } else {
                    self.gone(id).await?
                });
            } else {
                rows.extend(record::row(record, &self.plan));
            }
        }
        let progress = cursor.progress();
        Ok(Page {
            rows,
            cursor,
            more,
            progress,
        })
    }

    async fn page(&self, read: &Read) -> Result<Reply, KustomerFault> {
        let (query, page) = (read.query(), read.page);
        self.client
            .customer_page(query, page, self.rows, read.archive)
            .await
    }

    /// The customer itself, as it is now; what the index says may be a minute old.
    pub async fn look(&self, id: &CustomerId) -> Result<Row, KustomerFault> {
        let found = self.client.customer_record(id).await?;
        match found.filter(|record| !record::is_gone(record) && record.id == id.0) {
            Some(record) => record::row(&record, &self.plan).ok_or_else(unreadable),
            None => self.gone(id.clone()).await,
        }
    }

    /// A customer that is gone, and whom it was merged into.
    async fn gone(&self, id: CustomerId) -> Result<Row, KustomerFault> {
        let mut at = id.clone();
        let mut met = BTreeSet::from([id.clone()]);
        for _ in 0..MERGES_MAX {
            let merges = self.client.merges_of(&at).await?;
            let merge = merges.into_iter().find(|merge| merge.source == at);
            match merge.map(|merge| merge.target) {
                Some(target) if met.insert(target.clone()) => at = target,
                Some(_) | None => break,
            }
        }
        let into = (at != id).then_some(at);
        Ok(Row::Gone { id, into })
    }

    /// Who has one of these values: asked after a create that was refused or that is unclear.
    pub async fn find(
        &self,
        fields: &Fields,
        external_id: &str,
    ) -> Result<Vec<Row>, KustomerFault> {
        let mut asked = vec![(Selector::ExternalId, external_id.to_owned())];
        let numbers = fields.numbers().into_iter();
        asked.extend(numbers.map(|number| (Selector::Phone, number.to_string())));
        let emails = fields.addresses().into_iter();
        asked.extend(emails.map(|email| (Selector::Email, email.to_string())));
        let (mut met, mut rows) = (BTreeSet::new(), Vec::new());
        for (selector, value) in asked {
            for record in self.client.customers_by(selector, &value).await? {
                if met.insert(record.id.clone()) && !record::is_gone(&record) {
                    rows.extend(record::row(&record, &self.plan));
                }
            }
        }
        Ok(rows)
    }

    /// Creates a customer.
    ///
    /// # Errors
    /// `Rejected` or `Conflict`: somebody may have one of its values; others may leave it unclear whether it was done.
    pub async fn create(&self, new: &NewCustomer) -> Result<Row, KustomerFault> {
        let record = self.client.post_customer(write::new(new)).await?;
        record::row(&record, &self.plan).ok_or_else(unreadable)
    }

    /// Puts an edit onto what Kustomer has by now. Two requests; three if somebody changes the customer in between.
    ///
    /// # Errors
    /// `NotFound` if it is gone; `Conflict` or `Rejected` also where somebody else has one of the values.
    pub async fn edit(&self, id: &CustomerId, edit: &Edit) -> Result<Row, KustomerFault> {
        match self.edit_once(id, edit).await {
            Err(KustomerFault::Conflict { .. }) => self.edit_once(id, edit).await,
            done => done,
        }
    }

    async fn edit_once(&self, id: &CustomerId, edit: &Edit) -> Result<Row, KustomerFault> {
        let found = self.client.customer_record(id).await?;
        let record = found.filter(|record| !record::is_gone(record) && record.id == id.0);
        let record = record.ok_or(KustomerFault::NotFound)?;
        let record = match write::edited(&record, edit, &self.plan) {
            Some(body) => self.client.put_customer(id, body).await?,
            None => record,
        };
        record::row(&record, &self.plan).ok_or_else(unreadable)
    }
}

/// Answers of a Kustomer, or of a key, without an archive.
const fn has_none(fault: &KustomerFault) -> bool {
    matches!(
        fault,
        KustomerFault::NotFound
            | KustomerFault::Rejected { .. }
            | KustomerFault::Unauthorized { status: 403, .. }
    )
}

fn unreadable() -> KustomerFault {
    KustomerFault::Garbled {
        status: 200,
        what: "a customer whose numbers are masked: the key needs the permission to read sensitive attributes".to_owned(),
    }
}

/// When each record was changed and made; what has no time counts as the oldest.
fn times(records: &[Record]) -> Vec<(Timestamp, Timestamp)> {
    let time = |record: &Record, name: &str| record.time(name).unwrap_or(Timestamp::UNIX_EPOCH);
    records
        .iter()
        .map(|record| (time(record, "updatedAt"), time(record, "createdAt")))
        .collect()
}
