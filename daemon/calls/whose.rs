//! Which customer a delivery goes to: the directory's word, Kustomer's, or a customer yet to be created. Part of the
//! courier of `log`; `matching` chooses among several.

use super::filter::SkipReason;
use super::log::{Courier, Halt};
use super::matching::{self, Candidate, Match};
use super::outbox::{Create, Delivery};
use crate::clock;
use crate::kustomer::customers::Customer;
use crate::terms::number::E164;

/// Whose number a delivery's is.
pub enum Whose {
    /// The delivery has its customer now.
    Known,
    /// Nobody gets it; why.
    Nobody(SkipReason, String),
    /// Of a customer who is yet to be created.
    New,
}

impl Courier {
    /// Directory, then Kustomer, then (if the rules say so) a new customer. `Some` says why nobody is logged to.
    pub async fn find_customer(
        &self,
        delivery: &mut Delivery,
    ) -> Result<Option<(SkipReason, String)>, Halt> {
        if self.knows(delivery)? {
            return Ok(None);
        }
        match self.whose(delivery).await? {
            Whose::Known => {}
            Whose::Nobody(reason, why) => return Ok(Some((reason, why))),
            Whose::New => self.create(delivery, Create::Customer).await?,
        }
        Ok(None)
    }

    /// Takes the customer from the directory, without a request; false if it doesn't know the number.
    pub fn knows(&self, delivery: &mut Delivery) -> Result<bool, Halt> {
        let name = &self.settings.name;
        let number = number_of(delivery)?;
        delivery.customer = self.directory.find(name, &number, clock::now())?;
        Ok(delivery.customer.is_some())
    }

    /// Asks Kustomer whose number it is.
    pub async fn whose(&self, delivery: &mut Delivery) -> Result<Whose, Halt> {
        Ok(match self.look_up(delivery).await? {
            Match::One { id, others, .. } => {
                delivery.others = others;
                delivery.customer = Some(id);
                self.remember_customer(delivery).await?;
                Whose::Known
            }
            Match::Ambiguous { customers } => {
                let why = format!(
                    "{} customers have the number and several is \"skip\"",
                    customers.len()
                );
                Whose::Nobody(SkipReason::SeveralCustomers, why)
            }
            Match::None if delivery.entry.create.is_none() => {
                let why = "no customer has the number and unknown is \"skip\"".to_owned();
                Whose::Nobody(SkipReason::UnknownCustomer, why)
            }
            Match::None => Whose::New,
        })
    }

    pub async fn look_up(&self, delivery: &Delivery) -> Result<Match, Halt> {
        let number = &number_of(delivery)?;
        let several = if delivery.key.starts_with("text:") {
            self.settings.texts.several
        } else {
            self.settings.calls.several
        };
        let customers = self.client.by_phone(number).await?;
        let candidates: Vec<Candidate> = customers
            .into_iter()
            .filter(|found| !found.deleted)
            .map(candidate)
            .collect();
        Ok(matching::choose(number, &candidates, several))
    }

    pub async fn remember_customer(&self, delivery: &Delivery) -> Result<(), Halt> {
        let number = number_of(delivery)?;
        if let Some(customer) = &delivery.customer {
            self.directory
                .remember(&self.settings.name, &number, customer, clock::now())
                .await?;
        }
        Ok(())
    }
}

/// The other party's number.
pub fn number_of(delivery: &Delivery) -> Result<E164, Halt> {
    delivery
        .number
        .clone()
        .ok_or_else(|| Halt::Dead("the delivery names neither a number nor a customer".to_owned()))
}

fn candidate(customer: Customer) -> Candidate {
    Candidate {
        id: customer.id.0,
        name: customer.name,
        created_at: customer.created_at,
        updated_at: customer.updated_at,
        phones: customer.phones,
    }
}
