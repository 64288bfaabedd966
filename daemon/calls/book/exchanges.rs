//! Which exchange a text joins: decided once, when the text is, and written with it. Part of `book`.

use super::super::exchange::{self, Pair};
use super::super::judge::Talk;
use super::super::outbox::Delivery;
use super::{Book, Turn};
use crate::store::StoreFault;

impl Book {
    /// Puts a text's delivery into the running exchange, or lets it begin one. One that is taken up again keeps what was
    /// decided: its exchange counts it already.
    pub(super) fn join_exchange(
        &self,
        delivery: &mut Delivery,
        talk: Option<&Talk>,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let Some(talk) = talk else {
            return Ok(());
        };
        let window = self.judge.window(&delivery.integration);
        if window.is_zero() || self.judge.is_owed(&delivery.integration, &delivery.key)? {
            return Ok(());
        }
        let pair = Pair {
            integration: delivery.integration.clone(),
            pbx: talk.pbx.clone(),
            ours: talk.ours.clone(),
            other: talk.other.clone(),
        };
        let running = match turn.changes.exchanges.get(&pair) {
            Some(running) => Some(running.clone()),
            None => self.ledger.exchange(&pair)?,
        };
        let (joins, now) = exchange::place(running.as_ref(), &delivery.key, talk.at, window);
        delivery.joins = joins;
        if let Some(now) = now {
            turn.changes.exchanges.insert(pair, now);
        }
        Ok(())
    }
}
