//! What came late, put into what stands in Kustomer: the note's text and the conversation's tags. Part of `log`.

use super::super::entry::{Status, TAGS_MAX};
use super::super::late;
use super::super::outbox::{Create, Delivery, Late};
use super::super::requests;
use super::{Courier, Halt, conversation_of, held};
use crate::kustomer::fault::{KustomerFault, Next};
use crate::settings::types::LateFacts;
use crate::store::StoreFault;

const NOT_CHANGED: &str =
    "they came after the note, which isn't changed with late = \"all_at_once\"";

impl Courier {
    /// What came late for something that isn't created yet goes into it from the start.
    pub(super) fn catch_up(
        &self,
        delivery: &mut Delivery,
        create: Create,
    ) -> Result<(), StoreFault> {
        if !matches!(create, Create::Conversation | Create::Note) {
            return Ok(());
        }
        let Some(late) = self.outbox.amendment(delivery)? else {
            return Ok(());
        };
        if let Some(note) = late.note {
            delivery.entry.note = note;
        }
        delivery.entry.reopens |= late.reopens;
        if create == Create::Conversation {
            if late.reopens {
                delivery.entry.status = Status::Open;
            }
            let room = TAGS_MAX.saturating_sub(delivery.entry.tags.len());
            let tags = late.tags.into_iter().take(room);
            delivery.entry.tags.extend(tags);
        }
        Ok(())
    }

    /// Puts later facts into the note, adds later tags and opens the conversation of a text that failed. Doing the same
    /// twice does no harm, so that an unclear outcome is only tried again. What can't be changed stays as it is; the call
    /// is logged all the same.
    pub(super) async fn amend(&self, delivery: &mut Delivery, new: Late) -> Result<(), Halt> {
        let mut next = delivery.clone();
        let mut faults = Vec::new();
        if let Some(note) = new.note {
            next.amended = Some(note);
            let fault = match self.settings.calls.late {
                LateFacts::Staged => endured(self.rewrite(delivery, &next).await?)?,
                LateFacts::AllAtOnce => Some(NOT_CHANGED.to_owned()),
            };
            faults.extend(fault.map(|why| format!("later facts are not in the note: {why}")));
        }
        if !new.tags.is_empty() {
            let conversation = conversation_of(delivery)?;
            let fault = match self.settings.calls.late {
                LateFacts::Staged => endured(self.client.add_tags(&conversation, &new.tags).await)?,
                LateFacts::AllAtOnce => Some(NOT_CHANGED.to_owned()),
            };
            faults.extend(fault.map(|why| format!("later tags are not added: {why}")));
            next.added_tags.extend(new.tags);
        }
        if new.reopens {
            let fault = endured(self.open_again(delivery).await?)?;
            faults.extend(fault.map(|why| format!("the conversation was not opened again: {why}")));
        }
        if !faults.is_empty() {
            next.note_fault(&faults.join("; "));
        }
        *delivery = next;
        Ok(())
    }

    /// Replaces what the note says of us by what it should say; the inner result is Kustomer's.
    async fn rewrite(
        &self,
        delivery: &Delivery,
        next: &Delivery,
    ) -> Result<Result<(), KustomerFault>, Halt> {
        let id = held(delivery.note.as_ref(), "note")?;
        let (said, wanted) = (requests::note(delivery).body, requests::note(next).body);
        let current = match self.client.note(id).await {
            Ok(note) => note.body.unwrap_or_default(),
            Err(fault) => return Ok(Err(fault)),
        };
        let text = late::amended(&current, &said, &wanted);
        if text == current {
            return Ok(Ok(()));
        }
        Ok(self.client.update_note(id, &text).await)
    }
}

/// A refusal that another try won't change, in words; other faults are tried again.
pub(in crate::calls) fn endured(
    done: Result<(), KustomerFault>,
) -> Result<Option<String>, KustomerFault> {
    match done {
        Ok(()) => Ok(None),
        Err(fault) if fault.next() == Next::Never || fault.is_forbidden() => {
            Ok(Some(fault.to_string()))
        }
        Err(fault) => Err(fault),
    }
}
