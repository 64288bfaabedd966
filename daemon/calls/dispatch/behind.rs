//! Texts that wait for the conversation of the one before. Part of `dispatch`.

use super::super::join::{self, Found};
use super::super::outbox::Delivery;
use super::super::work::Way;
use super::Dispatch;
use crate::store::StoreFault;
use jiff::Timestamp;

impl Dispatch {
    /// Whether a text can go with others: the conversation that it joins is there. Else it waits, or finds out alone.
    pub(super) fn may_join(
        &mut self,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<bool, StoreFault> {
        let Some(joins) = &delivery.joins else {
            return Ok(true);
        };
        let courier = &self.courier;
        match join::find(&courier.outbox, &courier.settings.name, joins)? {
            Found::Conversation { .. } => return Ok(true),
            Found::Behind(before) => self.queue.park(delivery.key.clone(), before),
            Found::Unclear(_) | Found::Nowhere => {
                self.queue.put(delivery.key.clone(), now, None, Way::Alone);
            }
        }
        Ok(false)
    }

    pub(super) fn is_awaited(&self, key: &str) -> Result<bool, StoreFault> {
        let courier = &self.courier;
        join::is_awaited(&courier.outbox, &courier.settings.name, key)
    }
}
