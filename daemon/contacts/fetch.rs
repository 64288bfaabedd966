//! The Kustomer side of the contact sync: what has changed there, one customer as it is now, and writes that keep what
//! isn't ours. Called by the sync's run; owns nothing but a client in the sync's lane.
//!
//! ```text
//! next    walk (which search is next) -> one search request -> read (rows) -> walk (the cursor behind them)
//! look    GET, and along merges if it is gone
//! edit    GET -> write (the edit put on it) -> PUT with the rev that was read
//! ```
//! Source: Kustomer: Customers; Search; Merge customers.

mod many;
mod read;
mod walk;
mod write;

use super::link::Single;
use super::plan::{Edit, NewCustomer};
use super::world::Customer;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::kustomer::wire::{Record, Reply};
use crate::terms::contact::Fields;
use crate::terms::ids::CustomerId;
use crate::terms::number::NumberPlan;
use jiff::{SignedDuration, Timestamp};
pub use many::Many;
use read::Unreadable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
pub use walk::{CLOCK_AHEAD, Cursor, HORIZON, INDEX_LAG, OVERLAP, Paging, Progress};
use walk::{Listed, Search};

/// One customer into another, that into a third: more steps than this are a circle, and nobody is at its end.
const MERGES_MAX: usize = 16;

/// One page of customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// As they are sorted; the same customer may come several times, and with what is known already. In a page a customer
    /// that is gone isn't said to be merged: `look` knows.
    pub rows: Vec<Row>,
    /// Behind this page.
    pub cursor: Cursor,
    /// There is more to ask for right away; else it is up to date for now.
    pub more: bool,
    pub progress: Progress,
    /// Customers that can't be read with this key. They are no rows, and nothing follows from that.
    pub unreadable: usize,
}

/// What Kustomer says of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Here {
        customer: Box<Customer>,
        stamp: Stamp,
    },
    Gone {
        id: CustomerId,
        /// The customer that has what it had.
        into: Option<CustomerId>,
    },
}

/// What came of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited {
    Done(Row),
    /// Somebody has changed a value that the edit changes too, since it was planned: nothing was written.
    Overtaken(Row),
}

/// Which state of a customer it is. Of two the greater one counts: search lags, and writes come back.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub updated_at: Timestamp,
    pub rev: u64,
}

/// One integration's customers.
#[derive(Clone, Debug)]
pub struct Kustomer {
    client: Client,
    plan: NumberPlan,
    paging: Paging,
    lag: SignedDuration,
}

impl Kustomer {
    /// `client` speaks in the lane that all of this is to go in; `plan` says how numbers without a country are read.
    pub fn new(client: Client, plan: NumberPlan) -> Self {
        Self {
            client,
            plan,
            paging: Paging::default(),
            lag: INDEX_LAG,
        }
    }

    /// The same where search shows a write after so long.
    #[must_use]
    pub fn with_lag(self, lag: Duration) -> Self {
        let lag = SignedDuration::try_from(lag).unwrap_or(INDEX_LAG);
        Self { lag, ..self }
    }

    /// The same with other pages than the largest.
    #[must_use]
    pub fn paged(self, paging: Paging) -> Self {
        Self { paging, ..self }
    }

    /// The next page of a full import or of what has changed: one search request, which counts against both budgets, or
    /// none while search can't know anything new. `now` is our time; Kustomer's counts as soon as it is known.
    ///
    /// # Errors
    /// Any; `Garbled` also for a page that can't be right. The cursor stays good.
    pub async fn next(&self, cursor: &Cursor, now: Timestamp) -> Result<Page, KustomerFault> {
        // Before the first reply a clock that is behind must not keep us from asking.
        let began = self.client.their_time();
        let began = began.unwrap_or_else(|| cursor.not_before(now, self.lag));
        let Some(search) = cursor.search(began, self.lag) else {
            return Ok(Page {
                rows: Vec::new(),
                cursor: cursor.clone(),
                more: false,
                progress: cursor.progress(None),
                unreadable: 0,
            });
        };
        let reply = self.search(&search).await;
        let now = self.client.their_time().unwrap_or(now);
        let reply = match reply {
            Err(fault) if search.archive && is_nowhere(&fault) => {
                let (cursor, more) = cursor.without_archive(&search, now);
                let progress = cursor.progress(None);
                return Ok(Page {
                    rows: Vec::new(),
                    cursor,
                    more,
                    progress,
                    unreadable: 0,
                });
            }
            reply => reply?,
        };
        let listed = listed(&search, &reply)?;
        let (after, more) = cursor
            .after(&search, &listed, now, self.paging)
            .map_err(unusable)?;
        let total = cursor.total(&search, &listed, self.paging);
        let read = reply
            .records
            .iter()
            .map(|record| read::row(record, &self.plan));
        let rows: Vec<Row> = read.filter_map(Result::ok).collect();
        let unreadable = reply.records.len().saturating_sub(rows.len());
        if unreadable > 0 {
            tracing::warn!(
                customers = unreadable,
                "customers can't be read with this key, and are left as they are"
            );
        }
        Ok(Page {
            rows,
            progress: after.progress(total),
            cursor: after,
            more,
            unreadable,
        })
    }

    async fn search(&self, search: &Search) -> Result<Reply, KustomerFault> {
        let (query, rows) = (search.query.clone(), self.paging.rows);
        if search.archive {
            self.client.search_archive(query, search.page, rows).await
        } else {
            self.client.search(query, search.page, rows).await
        }
    }

    /// A customer as it is now; none if it is in another shape than documented, which says nothing. One that is gone is
    /// followed along its merges: one request, or two for each step.
    ///
    /// # Errors
    /// Any; never `NotFound`. `Unauthorized` if it comes masked, `Garbled` only for a reply that is none: the next may be one.
    pub async fn look(&self, id: &CustomerId) -> Result<Option<Row>, KustomerFault> {
        let gone = |into: Option<CustomerId>| {
            Some(Row::Gone {
                id: id.clone(),
                into: into.filter(|into| into != id),
            })
        };
        let mut at = id.clone();
        for _ in 0..MERGES_MAX {
            let found = self.client.customer_record(&at).await?;
            match found.filter(|record| !record.flag("deleted")) {
                Some(record) if record.id == id.0 => {
                    return match read::row(&record, &self.plan) {
                        Err(Unreadable::Shape) => Ok(None),
                        row => Ok(Some(row?)),
                    };
                }
                Some(record) => return Ok(gone(Some(CustomerId(record.id)))),
                None => {}
            }
            let merges = self.client.merges_of(&at).await?;
            match merges.into_iter().rev().find(|merge| merge.source == at) {
                Some(merge) => at = merge.target,
                None => return Ok(gone(None)),
            }
        }
        // A circle: none of them is there.
        Ok(gone(None))
    }

    /// Who has the values of a contact, after a create that was refused or whose outcome isn't clear: the customer that
    /// the create made (or an earlier one) if it is there, else all that have one of the numbers or e-mails.
    ///
    /// One request for the externalId, one or two for each number, one for each e-mail.
    pub async fn find(
        &self,
        fields: &Fields,
        external_id: &str,
    ) -> Result<Vec<Row>, KustomerFault> {
        let is_here = |record: &Record| !record.flag("deleted");
        let made = self.client.record_by_external_id(external_id).await?;
        if let Some(record) = made.filter(is_here) {
            return Ok(vec![self.row(&record)?]);
        }
        let mut found: BTreeMap<String, Record> = BTreeMap::new();
        for phone in &fields.phones {
            let records = self.client.records_by_phone(&phone.number).await?;
            found.extend(
                records
                    .into_iter()
                    .map(|record| (record.id.clone(), record)),
            );
        }
        for email in &fields.emails {
            let records = self.client.records_by_email(email.email.as_str()).await?;
            found.extend(
                records
                    .into_iter()
                    .map(|record| (record.id.clone(), record)),
            );
        }
        let here = found.values().filter(|record| is_here(record));
        let rows = here.map(|record| read::row(record, &self.plan));
        // One in another shape than documented says nothing, and keeps the others from nothing.
        let readable = rows.filter(|row| *row != Err(Unreadable::Shape));
        Ok(readable.collect::<Result<_, _>>()?)
    }

    /// Creates a customer: one request. Refused (`Rejected`, `Conflict`), or of unclear outcome: `find` before anything else.
    pub async fn create(&self, new: &NewCustomer) -> Result<Row, KustomerFault> {
        let created = self.client.create_customer_as(write::create(new)).await?;
        self.row(&created)
    }

    /// Puts an edit on the customer as it is by then; two requests, or one if there is nothing to change. What doesn't fit
    /// (Kustomer holds ten values of a kind) isn't added: the row says what the customer has. `seen`: the single values that
    /// the edit was planned on.
    ///
    /// # Errors
    /// `NotFound` also for a customer that is deleted or merged; `Conflict` if a value is another customer's, or somebody
    /// changed the customer twice meanwhile; `Unsendable` if the customer can't be understood.
    pub async fn edit(
        &self,
        id: &CustomerId,
        edit: &Edit,
        seen: Option<&Single>,
    ) -> Result<Edited, KustomerFault> {
        match self.edit_once(id, edit, seen).await {
            Err(KustomerFault::Conflict { .. }) => self.edit_once(id, edit, seen).await,
            done => done,
        }
    }

    async fn edit_once(
        &self,
        id: &CustomerId,
        edit: &Edit,
        seen: Option<&Single>,
    ) -> Result<Edited, KustomerFault> {
        let record = self.client.customer_record(id).await?;
        let is_it = |record: &Record| record.id == id.0 && !record.flag("deleted");
        let record = record.filter(is_it).ok_or(KustomerFault::NotFound)?;
        // A masked value must never be written back, nor what isn't understood.
        let row = read::row(&record, &self.plan).map_err(|why| match why {
            Unreadable::Masked => why.into(),
            Unreadable::Shape => KustomerFault::Unsendable(why.to_string()),
        })?;
        if let (Row::Here { customer, .. }, Some(seen)) = (&row, seen)
            && write::is_overtaken(edit, seen, &Single::of(&customer.fields))
        {
            return Ok(Edited::Overtaken(row));
        }
        Ok(Edited::Done(
            match write::edit(&record, edit, &self.plan)? {
                None => row,
                Some(body) => self.row(&self.client.update_customer(id, body).await?)?,
            },
        ))
    }

    fn row(&self, record: &Record) -> Result<Row, KustomerFault> {
        Ok(read::row(record, &self.plan)?)
    }
}

/// Whether an answer means that there is no archive for us.
const fn is_nowhere(fault: &KustomerFault) -> bool {
    fault.is_forbidden() || matches!(fault, KustomerFault::NotFound)
}

/// What a page is sorted by.
fn listed(search: &Search, reply: &Reply) -> Result<Listed, KustomerFault> {
    let attribute = if search.by_creation {
        "createdAt"
    } else {
        "updatedAt"
    };
    let keys: Option<Vec<Timestamp>> = reply
        .records
        .iter()
        .map(|record| record.time(attribute))
        .collect();
    let mut keys = keys.ok_or_else(|| unusable("a customer without times"))?;
    if !search.by_creation {
        keys.retain(|key| *key < search.until);
    }
    Ok(Listed {
        keys,
        rows: reply.records.len(),
        total: reply.total,
    })
}

fn unusable(what: &str) -> KustomerFault {
    KustomerFault::Garbled {
        status: 200,
        what: what.to_owned(),
    }
}
