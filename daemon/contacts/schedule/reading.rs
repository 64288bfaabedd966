//! Reads what changed on both sides, a page at a time; each page and where to go on are one write, so that an import goes on
//! where it was when the process died.

use super::super::apply::{Halt, halt_of};
use super::super::fetch::Row;
use super::super::memory::{Batch, Memory};
use super::{Reach, Sync, Task, Work};
use crate::clock;
use crate::kustomer::fault::KustomerFault;
use crate::phonebook::Changes;
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Customers looked at before what was learned is written: a stop or a fault costs no more requests than that.
const TOLD_AT_ONCE: usize = 50;

/// A long import says in the log how far it is: every few minutes at the default budget.
const LOG_EVERY: u64 = 100_000;

/// Rows looked through together for those that a complete listing didn't have.
const SWEEP_PAGE: usize = 500;

impl Sync {
    pub(super) async fn read(&mut self, reach: Reach) -> Result<(), Halt> {
        self.heed_rules().await?;
        let known = self.hands.memory.meta()?.customers_known;
        if reach == Reach::Both || !known {
            self.read_customers().await?;
        }
        self.read_told().await?;
        self.read_contacts().await
    }

    async fn read_customers(&mut self) -> Result<(), Halt> {
        let mut stop = self.hands.stop.clone();
        loop {
            let mut batch = Batch::open(&self.hands.memory)?;
            let cursor = batch.meta().cursor.clone();
            let page = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Err(Halt::Stop),
                page = self.hands.kustomer.next(&cursor, clock::now()) => page,
            };
            let page = page.map_err(|fault| self.reading_halt(&fault))?;
            for row in page.rows {
                if let Some(row) = self.told_whither(row, page.progress.importing).await? {
                    batch.note_row(row)?;
                }
            }
            batch.meta().cursor = page.cursor;
            batch.meta().customers_known |= !page.more;
            batch.commit().await?;
            let progress = page.progress;
            let before = cursor.progress(None).done;
            if progress.importing && progress.done / LOG_EVERY != before / LOG_EVERY {
                let (done, total) = (progress.done, progress.total);
                tracing::info!(done, total, "customers are imported");
            }
            self.show(|status| {
                status.work = progress.importing.then(|| {
                    let (done, total) = (progress.done, progress.total);
                    Work::at(status.work, Task::Import, done, total, clock::now())
                });
                status.fault = None;
            });
            if !page.more {
                self.show(|status| status.work = None);
                return Ok(());
            }
        }
    }

    /// Of a customer that we know and that is gone now, also whom it was merged into: a page doesn't say that. None: it
    /// can't be understood, and nothing follows from it.
    async fn told_whither(&mut self, row: Row, importing: bool) -> Result<Option<Row>, Halt> {
        let Row::Gone { id, into: None } = &row else {
            return Ok(Some(row));
        };
        let known = self.hands.memory.customer(id)?;
        if importing || known.is_none_or(|known| known.customer.is_none()) {
            return Ok(Some(row));
        }
        match self.hands.kustomer.look(id).await {
            Ok(row) => Ok(row),
            Err(fault) => Err(self.reading_halt(&fault)),
        }
    }

    fn reading_halt(&mut self, fault: &KustomerFault) -> Halt {
        self.hands.halt_of(fault).unwrap_or_else(|| Halt::Later {
            why: fault.to_string(),
            after: Duration::ZERO,
        })
    }

    /// The customers that Kustomer told of: what the index doesn't show yet.
    async fn read_told(&mut self) -> Result<(), Halt> {
        let Some(told) = self.told.clone() else {
            return Ok(());
        };
        for some in told.waiting()?.chunks(TOLD_AT_ONCE) {
            let mut batch = Batch::open(&self.hands.memory)?;
            for id in some {
                if *self.hands.stop.borrow() {
                    return Err(Halt::Stop);
                }
                self.hands.look(&mut batch, id).await?;
            }
            batch.commit().await?;
            told.done(some).await?;
        }
        Ok(())
    }

    async fn read_contacts(&mut self) -> Result<(), Halt> {
        if let Some(revisions) = &mut self.revisions {
            revisions.mark_unchanged();
        }
        loop {
            if *self.hands.stop.borrow() {
                return Err(Halt::Stop);
            }
            let token = self.hands.memory.meta()?.token;
            let changes = self.hands.phone.changes(token.as_ref()).await;
            let changes = changes.map_err(halt_of)?;
            let more = changes.more;
            self.note(changes).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// One part of what changed in the phone book. Of a complete listing nothing is gone before its last part.
    async fn note(&self, changes: Changes) -> Result<(), Halt> {
        let memory = &self.hands.memory;
        let mut batch = Batch::open(memory)?;
        let meta = batch.meta();
        if changes.complete && !meta.listing_open {
            meta.listing = meta.listing.saturating_add(1);
            meta.listing_open = true;
        }
        let ended = meta.listing_open && !changes.more;
        meta.listing_open &= changes.more;
        meta.token = Some(changes.token);
        meta.contacts_known |= !changes.more;
        let mut here = BTreeSet::new();
        for mut entry in changes.changed {
            let id = entry.contact.id.clone();
            if batch.is_undated(&entry)? {
                // Of one card some servers tell the time that they don't in a list.
                let read = self.hands.phone.get(&id).await.map_err(halt_of)?;
                entry = read.unwrap_or(entry);
            }
            here.insert(id);
            batch.note_entry(entry)?;
        }
        for id in &changes.removed {
            here.remove(id);
            batch.note_gone(id)?;
        }
        if ended {
            note_unlisted(memory, &mut batch, &here)?;
        }
        Ok(batch.commit().await?)
    }
}

/// What a complete listing, now at its end, didn't have. `here`: its last part.
fn note_unlisted(
    memory: &Memory,
    batch: &mut Batch,
    here: &BTreeSet<ContactId>,
) -> Result<(), StoreFault> {
    let listing = batch.meta().listing;
    let mut after = None;
    loop {
        let rows = memory.contacts(after.as_ref(), SWEEP_PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (id, row) in rows {
            if row.entry.is_some() && row.listing < listing && !here.contains(&id) {
                batch.note_gone(&id)?;
            }
        }
    }
}
