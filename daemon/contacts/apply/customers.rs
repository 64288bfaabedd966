//! Steps that write Kustomer. A create whose reply was lost is looked for before anything else is done; a value that
//! another customer has brings that customer in, and the next plan knows.

use super::super::fetch::{Edited, Row};
use super::super::link::{Link, LinkState, Single};
use super::super::memory::Batch;
use super::super::plan::{Edit, NewCustomer, Step, wish};
use super::{Halt, Hands, Node, Outcome, after};
use crate::kustomer::fault::KustomerFault;
use crate::terms::contact::{ContactId, Fields};
use crate::terms::ids::CustomerId;
use std::collections::BTreeSet;

impl Hands {
    pub(super) async fn create_customer(
        &mut self,
        step: &Step,
        new: &NewCustomer,
    ) -> Result<Outcome, Halt> {
        let id = &step.link;
        let before = self.memory.link(id)?;
        if before
            .as_ref()
            .is_some_and(|link| link.state == LinkState::CustomerDue)
        {
            let mut batch = Batch::open(&self.memory)?;
            if self.find(&mut batch, &new.fields, id).await? {
                batch.mark(Node::Contact(id.clone()));
                batch.commit().await?;
                return Ok(Outcome::Anew);
            }
        } else {
            let mut batch = Batch::open(&self.memory)?;
            batch.link(id, Some(due(id, before.as_ref())));
            batch.commit().await?;
        }
        match self.kustomer.create(new).await {
            Ok(row) => {
                self.created(step, &row).await?;
                Ok(Outcome::Done)
            }
            Err(fault) => self.create_fault(step, new, before, fault).await,
        }
    }

    /// A customer was created: the link learns of it, and the contact is marked with it.
    pub(super) async fn created(&mut self, step: &Step, row: &Row) -> Result<(), Halt> {
        let id = &step.link;
        let mut batch = Batch::open(&self.memory)?;
        batch.note_row(row.clone())?;
        batch.meta().exported_before = true;
        batch.mark(Node::Contact(id.clone()));
        let link = after(&mut batch, step, Some(row));
        batch.commit().await?;
        let entry = self.memory.contact(id)?.and_then(|row| row.entry);
        if let (Some(link), Some(entry)) = (link, entry) {
            let wish = wish(&self.rules, &link, entry.contact.fields);
            self.mark_contact(id, &wish).await?;
        }
        Ok(())
    }

    async fn create_fault(
        &mut self,
        step: &Step,
        new: &NewCustomer,
        before: Option<Link>,
        fault: KustomerFault,
    ) -> Result<Outcome, Halt> {
        if let Some(halt) = self.halt_of(&fault) {
            return Err(halt);
        }
        if !fault.certain_not_done() {
            // The link stays due: it is looked for at the next try.
            return Ok(Outcome::Anew);
        }
        let mut batch = Batch::open(&self.memory)?;
        let found = self.find(&mut batch, &new.fields, &step.link).await?;
        // Certainly not done: nothing to look for any more.
        batch.link(&step.link, before);
        if found {
            batch.mark(Node::Contact(step.link.clone()));
            batch.commit().await?;
            return Ok(Outcome::Anew);
        }
        self.refuse(batch, step, fault.to_string()).await
    }

    pub(super) async fn edit_customer(
        &mut self,
        step: &Step,
        id: &CustomerId,
        edit: &Edit,
    ) -> Result<Outcome, Halt> {
        let known = self.memory.customer(id)?.and_then(|row| row.customer);
        let seen = known.map(|customer| Single::of(&customer.fields));
        let fault = match self.kustomer.edit(id, edit, seen.as_ref()).await {
            Ok(Edited::Overtaken(row)) => {
                let mut batch = Batch::open(&self.memory)?;
                batch.note_row(row)?;
                batch.mark(Node::Customer(id.clone()));
                batch.commit().await?;
                return Ok(Outcome::Anew);
            }
            Ok(Edited::Done(row)) => {
                let mut batch = Batch::open(&self.memory)?;
                batch.note_row(row)?;
                after(&mut batch, step, None);
                batch.commit().await?;
                return Ok(Outcome::Done);
            }
            Err(fault) => fault,
        };
        if let Some(halt) = self.halt_of(&fault) {
            return Err(halt);
        }
        let mut batch = Batch::open(&self.memory)?;
        self.look(&mut batch, id).await?;
        if matches!(
            fault,
            KustomerFault::Conflict { .. } | KustomerFault::Rejected { .. }
        ) {
            let added = Fields {
                phones: edit.add_phones.clone(),
                emails: edit.add_emails.clone(),
                ..Fields::default()
            };
            self.find(&mut batch, &added, &step.link).await?;
        }
        if batch.has_news() || !fault.certain_not_done() {
            batch.mark(Node::Customer(id.clone()));
            batch.commit().await?;
            return Ok(Outcome::Anew);
        }
        self.refuse(batch, step, fault.to_string()).await
    }

    /// Reads one customer. Of one that can't be understood nothing is learned: the others don't wait for it.
    pub async fn look(&mut self, batch: &mut Batch, id: &CustomerId) -> Result<(), Halt> {
        match self.kustomer.look(id).await {
            Ok(Some(row)) => batch.note_row(row)?,
            Err(KustomerFault::NotFound) => batch.note_row(Row::Gone {
                id: id.clone(),
                into: None,
            })?,
            Ok(None) => {
                let customer = id.0.as_str();
                tracing::warn!(
                    customer,
                    "in another shape than documented: what is known of the customer stays as it is"
                );
            }
            Err(fault) => return Err(self.always_halt(&fault)),
        }
        Ok(())
    }

    /// Reads the customers that have any of these; whether that was news.
    async fn find(
        &mut self,
        batch: &mut Batch,
        fields: &Fields,
        contact: &ContactId,
    ) -> Result<bool, Halt> {
        match self.kustomer.find(fields, &contact.0).await {
            Ok(rows) => {
                for row in rows {
                    batch.note_row(row)?;
                }
                Ok(batch.has_news())
            }
            Err(fault) => Err(self.always_halt(&fault)),
        }
    }

    /// A read that failed tells nothing of a record: the run ends.
    fn always_halt(&mut self, fault: &KustomerFault) -> Halt {
        self.halt_of(fault).unwrap_or_else(|| Halt::Later {
            why: fault.to_string(),
            after: std::time::Duration::ZERO,
        })
    }
}

/// The link while its customer is being created.
pub(super) fn due(id: &ContactId, before: Option<&Link>) -> Link {
    Link {
        contact: id.clone(),
        parts: Vec::new(),
        agreed: Fields::default(),
        state: LinkState::CustomerDue,
        apart: before.map_or_else(BTreeSet::new, |link| link.apart.clone()),
    }
}
