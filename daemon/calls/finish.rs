//! What is done once conversation and note stand: the conversation's status, and facts that came late. Part of the
//! courier of `log`.

use super::entry::{self, Way};
use super::late;
use super::log::{Courier, Halt, conversation_of, held};
use super::outbox::{Amendment, Delivery};
use super::requests;
use crate::kustomer::conversations::Status;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::settings::types::LateFacts;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether Kustomer opens a done conversation when an incoming message is recorded in it: its documentation doesn't
/// say, so the first such message is checked and the answer kept until the daemon stops.
#[derive(Default)]
pub(super) struct Reopens(AtomicU8);

impl Reopens {
    const YES: u8 = 1;
    const NO: u8 = 2;

    fn known(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            Self::YES => Some(true),
            Self::NO => Some(false),
            _ => None,
        }
    }

    fn learn(&self, reopens: bool) {
        self.0.store(
            if reopens { Self::YES } else { Self::NO },
            Ordering::Relaxed,
        );
    }
}

impl Courier {
    /// A conversation of its own was created with its final status; only a recorded incoming message may have opened it
    /// again. One that was joined is people's by now: it is opened if somebody must look at the text, and else left.
    pub async fn set_status(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let (joined, entry) = (delivery.joins.is_some(), &delivery.entry);
        if entry.reopens && (joined || entry.status == entry::Status::Done) {
            self.open_again(delivery).await?;
        } else if !joined {
            self.close_again(delivery).await?;
        }
        delivery.status_set = true;
        Ok(())
    }

    async fn close_again(&self, delivery: &Delivery) -> Result<(), Halt> {
        let entry = &delivery.entry;
        let incoming = entry
            .message
            .as_ref()
            .is_some_and(|message| message.direction == Way::In);
        let known = self.reopens.known();
        if entry.status != entry::Status::Done || !incoming || known == Some(false) {
            return Ok(());
        }
        let conversation = conversation_of(delivery)?;
        let reopened = match known {
            Some(reopens) => reopens,
            None => {
                let found = self.client.conversation(&conversation).await?;
                found.is_some_and(|found| found.status.as_deref() != Some("done"))
            }
        };
        if reopened {
            self.client
                .update_conversation(&conversation, Status::Done)
                .await?;
        }
        self.reopens.learn(reopened);
        Ok(())
    }

    /// One request, whatever its status is: to look first would cost one more. A conversation that is gone or may not be
    /// changed stays as it is; the note is there all the same.
    async fn open_again(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let conversation = conversation_of(delivery)?;
        let opened = self.client.update_conversation(&conversation, Status::Open);
        match opened.await {
            Ok(()) => Ok(()),
            Err(fault) if fault.next() == Next::Never || fault.is_forbidden() => {
                delivery.note_fault(&format!("the conversation was not opened again: {fault}"));
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Puts later facts into the note. Writing the same twice does no harm, so that an unclear outcome is only tried
    /// again. A note that can't be changed stays as it is; the call is logged all the same.
    pub(super) async fn amend(&self, delivery: &mut Delivery, late: Amendment) -> Result<(), Halt> {
        let id = held(delivery.note.as_ref(), "note")?;
        let said = requests::note(delivery).body;
        let mut next = delivery.clone();
        next.amended = Some(late.note);
        let wanted = requests::note(&next).body;
        let written = match self.settings.calls.late {
            LateFacts::Staged => self.rewrite(id, &said, &wanted).await,
            LateFacts::AllAtOnce => Err(KustomerFault::NotFound),
        };
        match written {
            Ok(()) => {}
            Err(fault) if fault.next() == Next::Never || fault.is_forbidden() => {
                let why = match self.settings.calls.late {
                    LateFacts::AllAtOnce => {
                        "they came after the note, which isn't changed with late = \"all_at_once\""
                            .to_owned()
                    }
                    LateFacts::Staged => fault.to_string(),
                };
                next.note_fault(&format!("later facts are not in the note: {why}"));
            }
            Err(fault) => return Err(fault.into()),
        }
        if late.reopens {
            self.open_again(&mut next).await?;
        }
        *delivery = next;
        Ok(())
    }

    async fn rewrite(&self, id: &str, said: &str, wanted: &str) -> Result<(), KustomerFault> {
        let note = self.client.note(id).await?;
        let current = note.body.unwrap_or_default();
        let text = late::amended(&current, said, wanted);
        if text != current {
            self.client.update_note(id, &text).await?;
        }
        Ok(())
    }
}
