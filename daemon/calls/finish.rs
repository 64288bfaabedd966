//! The conversation's status once all else stands in it. Part of the courier of `log`.

use super::entry::{self, Way};
use super::log::{Courier, Halt, conversation_of, endured};
use super::outbox::Delivery;
use crate::kustomer::conversations::Status;
use crate::kustomer::fault::KustomerFault;
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
            // One that is gone or may not be changed stays as it is; the note is there all the same.
            if let Some(why) = endured(self.open_again(delivery).await?)? {
                delivery.note_fault(&format!("the conversation was not opened again: {why}"));
            }
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

    /// One request, whatever its status is: to look first would cost one more. The inner result is Kustomer's.
    pub(super) async fn open_again(
        &self,
        delivery: &Delivery,
    ) -> Result<Result<(), KustomerFault>, Halt> {
        let conversation = conversation_of(delivery)?;
        let opened = self.client.update_conversation(&conversation, Status::Open);
        Ok(opened.await)
    }
}
