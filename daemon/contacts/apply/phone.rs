//! Steps that write the phone side.

use super::super::link::{Link, LinkState, Part};
use super::super::memory::Batch;
use super::super::plan::{After, Step, Wish};
use super::{Halt, Hands, Outcome, after};
use crate::phonebook::{Draft, Entry, Etag, PhonebookFault};
use crate::terms::contact::{ContactId, Fields};
use std::time::Duration;

impl Hands {
    pub(super) async fn create_contact(
        &mut self,
        step: &Step,
        wish: &Wish,
    ) -> Result<Outcome, Halt> {
        let before = self.memory.link(&step.link)?;
        if let After::Become(planned) = &step.after {
            let mut batch = Batch::open(&self.memory)?;
            batch.link(&step.link, Some(due(planned, before.as_ref())));
            batch.commit().await?;
        }
        let draft = draft(wish, wish.tag.clone());
        match self.phone.create(&step.link, &draft).await {
            Ok(_) => self.written_contact(step).await,
            Err(PhonebookFault::Exists(entry)) => {
                let mut batch = Batch::open(&self.memory)?;
                let ours = wish
                    .sources
                    .iter()
                    .any(|own| entry.contact.sources.contains(own));
                batch.note_entry(*entry)?;
                batch.mark(super::Node::Contact(step.link.clone()));
                if !ours {
                    // Somebody's: the next plan takes another id, or finds that the two are one.
                    batch.link(&step.link, before);
                }
                batch.commit().await?;
                Ok(Outcome::Anew)
            }
            Err(fault) => self.phone_fault(step, fault).await,
        }
    }

    pub(super) async fn update_contact(
        &mut self,
        step: &Step,
        wish: &Wish,
    ) -> Result<Outcome, Halt> {
        match self.put(&step.link, wish).await {
            Ok(true) => self.written_contact(step).await,
            Ok(false) => self.read_anew(&step.link).await,
            Err(fault) => self.phone_fault(step, fault).await,
        }
    }

    /// Writes onto the contact as it is known; false: it isn't known.
    async fn put(&self, id: &ContactId, wish: &Wish) -> Result<bool, PhonebookFault> {
        let Some(entry) = self.known(id)? else {
            return Ok(false);
        };
        // People may take the tag off; the sync doesn't.
        let tag = self.rules.tag.clone();
        let tag = tag.filter(|tag| wish.tag.is_some() || entry.contact.tags.contains(tag));
        let draft = draft(wish, tag);
        self.phone
            .update(id, &entry.etag, &draft)
            .await
            .map(|_: Etag| true)
    }

    fn known(&self, id: &ContactId) -> Result<Option<Entry>, PhonebookFault> {
        Ok(self.memory.contact(id)?.and_then(|row| row.entry))
    }

    pub(super) async fn remove_contact(&mut self, step: &Step) -> Result<Outcome, Halt> {
        let removed = match self.memory.contact(&step.link)?.and_then(|row| row.entry) {
            Some(entry) => self.phone.remove(&step.link, &entry.etag).await,
            None => Ok(()),
        };
        match removed {
            Ok(()) | Err(PhonebookFault::Gone) => {
                let mut batch = Batch::open(&self.memory)?;
                batch.note_gone(&step.link)?;
                after(&mut batch, step, None);
                batch.commit().await?;
                Ok(Outcome::Done)
            }
            Err(fault) => self.phone_fault(step, fault).await,
        }
    }

    /// Marks a contact with the customer that was made of it. That somebody changed it meanwhile is no fault: the next plan
    /// marks it.
    pub(super) async fn mark_contact(&mut self, id: &ContactId, wish: &Wish) -> Result<(), Halt> {
        match self.put(id, wish).await {
            Ok(_) => self.read_anew(id).await.map(|_| ()),
            Err(PhonebookFault::Changed | PhonebookFault::Gone) => {
                self.read_anew(id).await.map(|_| ())
            }
            Err(PhonebookFault::Rejected(_) | PhonebookFault::Exists(_)) => Ok(()),
            Err(fault) => Err(halt_of(fault)),
        }
    }

    /// What is there now counts, not what was asked for: a contact server may keep it otherwise.
    async fn written_contact(&self, step: &Step) -> Result<Outcome, Halt> {
        let mut batch = Batch::open(&self.memory)?;
        self.read(&mut batch, &step.link).await?;
        after(&mut batch, step, None);
        batch.commit().await?;
        Ok(Outcome::Done)
    }

    async fn read_anew(&self, id: &ContactId) -> Result<Outcome, Halt> {
        let mut batch = Batch::open(&self.memory)?;
        self.read(&mut batch, id).await?;
        batch.mark(super::Node::Contact(id.clone()));
        batch.commit().await?;
        Ok(Outcome::Anew)
    }

    async fn read(&self, batch: &mut Batch, id: &ContactId) -> Result<(), Halt> {
        match self.phone.get(id).await.map_err(halt_of)? {
            Some(entry) => batch.note_entry(entry)?,
            None => batch.note_gone(id)?,
        }
        Ok(())
    }

    async fn phone_fault(&self, step: &Step, fault: PhonebookFault) -> Result<Outcome, Halt> {
        match fault {
            PhonebookFault::Changed | PhonebookFault::Gone | PhonebookFault::Exists(_) => {
                self.read_anew(&step.link).await
            }
            PhonebookFault::Rejected(why) => {
                self.refuse(Batch::open(&self.memory)?, step, why).await
            }
            PhonebookFault::Refused(_)
            | PhonebookFault::Unreachable { .. }
            | PhonebookFault::Store(_) => Err(halt_of(fault)),
        }
    }
}

/// What a fault of the phone side means for the run.
pub fn halt_of(fault: PhonebookFault) -> Halt {
    match fault {
        PhonebookFault::Refused(why) => Halt::Operator(why),
        PhonebookFault::Store(fault) => Halt::Store(fault),
        PhonebookFault::Unreachable { .. }
        | PhonebookFault::Exists(_)
        | PhonebookFault::Changed
        | PhonebookFault::Gone
        | PhonebookFault::Rejected(_) => Halt::Later {
            why: format!("the phone book: {fault}"),
            after: Duration::ZERO,
        },
    }
}

pub(super) fn draft(wish: &Wish, tag: Option<String>) -> Draft {
    Draft {
        fields: wish.fields.clone(),
        link: wish.link.clone(),
        tag,
        sources: wish.sources.clone(),
    }
}

/// The link while its contact is being created: nothing is agreed, and what a customer had then isn't known.
pub(super) fn due(planned: &Link, before: Option<&Link>) -> Link {
    let known = |part: &Part| {
        let before = before.into_iter().flat_map(|link| &link.parts);
        let mut seen = before.filter(|known| known.customer == part.customer);
        Part {
            seen: seen.next_back().and_then(|known| known.seen.clone()),
            ..part.clone()
        }
    };
    Link {
        parts: planned.parts.iter().map(known).collect(),
        agreed: Fields::default(),
        state: LinkState::ContactDue,
        ..planned.clone()
    }
}
