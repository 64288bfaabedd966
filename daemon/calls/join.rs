//! Which conversation a text of a running exchange goes into: that of the text before it, once that one has its own. Part
//! of the courier of `log`; `dispatch` asks too, so that nobody is sent who would only wait.
//!
//! No text is lost to another: where the one before was never logged, or its conversation is gone, the next one gets its
//! own, and those behind it follow (docs/decisions/009).

use super::exchange::{Joins, TEXTS_MAX};
use super::log::{Courier, Halt};
use super::outbox::{Create, Delivery, Outbox, Step};
use crate::store::StoreFault;

/// What is known here of the conversation to join.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Conversation {
        id: String,
        customer: Option<String>,
    },
    /// This delivery, by its key, is to get it first.
    Behind(String),
    /// Only Kustomer knows whether the conversation of this externalId is there.
    Unclear(String),
    /// None of the texts before has one, or ever will.
    Nowhere,
}

/// Goes back through the exchange to who has the conversation, or is to have it.
pub fn find(outbox: &Outbox, integration: &str, joins: &Joins) -> Result<Found, StoreFault> {
    // Who has to find it out first, if nobody before has it.
    let mut ahead = None;
    let mut key = joins.after.clone();
    let mut found = Found::Nowhere;
    for _ in 0..TEXTS_MAX {
        let Some(before) = outbox.get(integration, &key)? else {
            // Removed after `daemon.keep`, which may be shorter than an exchange.
            found = joins.external_id().map_or(Found::Nowhere, Found::Unclear);
            break;
        };
        if let Some(id) = before.conversation {
            let customer = before.customer;
            return Ok(Found::Conversation { id, customer });
        }
        let waits = before.end.is_none();
        match before.joins {
            Some(further) => {
                if waits {
                    ahead = Some(key);
                }
                key = further.after;
            }
            None if waits => return Ok(Found::Behind(key)),
            None => {
                if before.intent == Some(Create::Conversation) {
                    found = Found::Unclear(before.entry.external_id);
                }
                break;
            }
        }
    }
    Ok(ahead.map_or(found, Found::Behind))
}

/// Whether somebody may still wait for what becomes of this delivery.
pub fn is_awaited(outbox: &Outbox, integration: &str, key: &str) -> Result<bool, StoreFault> {
    let delivery = outbox.get(integration, key)?;
    Ok(delivery.is_some_and(|one| one.end.is_none() && one.conversation.is_none()))
}

impl Courier {
    /// Gives the delivery its exchange's conversation, or makes it one that gets its own.
    pub(super) async fn join(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let Some(joins) = &delivery.joins else {
            return Ok(());
        };
        match find(&self.outbox, &self.settings.name, joins)? {
            Found::Conversation { id, customer } => delivery.join(id, customer),
            Found::Behind(key) => return Err(Halt::Behind(key)),
            Found::Unclear(external_id) => {
                let found = self
                    .client
                    .conversation_by_external_id(&external_id)
                    .await?;
                match found.filter(|found| !found.deleted) {
                    Some(found) => {
                        delivery.join(found.id.0, found.customer.map(|customer| customer.0));
                    }
                    None => delivery.stand_alone(NEVER_LOGGED),
                }
            }
            Found::Nowhere => delivery.stand_alone(NEVER_LOGGED),
        }
        Ok(())
    }

    /// The same without a request. Answers behind whom it is, if it takes waiting, or one.
    pub(super) fn joins_at_once(
        &self,
        delivery: &mut Delivery,
    ) -> Result<Option<String>, StoreFault> {
        let Some(joins) = delivery.joins.clone() else {
            return Ok(None);
        };
        if delivery.next() != Step::Join {
            return Ok(None);
        }
        Ok(match find(&self.outbox, &self.settings.name, &joins)? {
            Found::Conversation { id, customer } => {
                delivery.join(id, customer);
                None
            }
            Found::Behind(key) => Some(key),
            Found::Unclear(_) | Found::Nowhere => Some(joins.after),
        })
    }
}

const NEVER_LOGGED: &str = "the texts before it were not logged: it has a conversation of its own";

/// Why a text that had joined gets its own conversation.
pub(super) const DELETED: &str =
    "the conversation of the texts before it was deleted: it has one of its own";
