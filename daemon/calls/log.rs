//! Drains the outbox of one integration into Kustomer: one conversation and one note per call (invariant 3).
//!
//! Each delivery is worked by one task at a time. Before every create its intent is on disk; after any outcome that
//! isn't certain the next step is to look, never to create. Owns no tree. `work` runs it for one delivery; `bulk` moves
//! many on together with the same looks and the same words.

mod amend;

pub(super) use amend::endured;

use super::agents::Agents;
use super::attributes::Attributes;
use super::directory::Directory;
use super::due;
use super::finish::Reopens;
use super::join;
use super::lately::Lately;
use super::matching::Match;
use super::outbox::{Create, Delivery, DeliveryEnd, Outbox, Step};
use super::requests;
use super::whose::number_of;
use crate::clock;
use crate::kustomer::bulk::Item;
use crate::kustomer::client::Client;
use crate::kustomer::fault::KustomerFault;
use crate::pace::Lane;
use crate::settings::types::KustomerSettings;
use crate::store::StoreFault;
use crate::terms::ids::{ConversationId, CustomerId};
use jiff::Timestamp;
use std::sync::Arc;

/// A delivery takes at most ten steps; more means that two of our own rules disagree.
const STEPS_MAX: usize = 16;

/// Why a delivery stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error(transparent)]
    Kustomer(#[from] KustomerFault),
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Dead(String),
    /// A bulk create wasn't found, which says nothing before this time.
    #[error("a bulk request may still be done until {0}")]
    Landing(Timestamp),
    /// A text whose conversation is another delivery's to create, by its key.
    #[error("the text before it has no conversation yet")]
    Behind(String),
}

/// What one integration's deliveries need. Clones share all of it.
#[derive(Clone)]
pub struct Courier {
    pub settings: Arc<KustomerSettings>,
    pub client: Client,
    pub outbox: Outbox,
    pub directory: Directory,
    pub(super) lately: Lately,
    pub attributes: Attributes,
    pub(super) agents: Arc<Agents>,
    pub(super) reopens: Arc<Reopens>,
}

impl Courier {
    pub fn new(
        settings: Arc<KustomerSettings>,
        client: Client,
        outbox: Outbox,
        directory: Directory,
        lately: Lately,
    ) -> Self {
        Self {
            attributes: Attributes::new(&settings),
            settings,
            client,
            outbox,
            directory,
            lately,
            agents: Arc::default(),
            reopens: Arc::default(),
        }
    }

    /// The same, asking Kustomer in another lane.
    pub fn lane(&self, lane: Lane) -> Self {
        Self {
            client: self.client.lane(lane),
            ..self.clone()
        }
    }

    /// Moves a delivery on until it ends or something stops it. The progress is on disk whenever this returns `Ok` or a
    /// Kustomer fault; the caller schedules the next try.
    pub async fn deliver(&self, delivery: &mut Delivery) -> Result<DeliveryEnd, Halt> {
        for _ in 0..STEPS_MAX {
            match delivery.next() {
                Step::Join => self.join(delivery).await?,
                Step::FindCustomer => {
                    if let Some((reason, why)) = self.find_customer(delivery).await? {
                        let rule = reason.key().to_owned();
                        return Ok(DeliveryEnd::Skipped { rule, why });
                    }
                }
                Step::Create(create) => {
                    self.catch_up(delivery, create)?;
                    self.create(delivery, create).await?;
                }
                Step::Verify(create) => self.verify(delivery, create).await?,
                Step::SetStatus => self.set_status(delivery).await?,
                Step::Finish => match self.outbox.amendment(delivery)? {
                    Some(late) => self.amend(delivery, late).await?,
                    None => return Ok(DeliveryEnd::Logged),
                },
            }
        }
        Err(Halt::Dead(format!(
            "no end after {STEPS_MAX} steps: please report this with the call's `explain --json`"
        )))
    }

    /// Intent to disk, then the request. A certain failure takes the intent back; an unclear one leaves it.
    pub async fn create(&self, delivery: &mut Delivery, create: Create) -> Result<(), Halt> {
        if create == Create::Conversation {
            self.find_extras(delivery).await?;
        }
        delivery.intend(create, None);
        self.outbox.keep(delivery).await?;
        match self.request(delivery, create).await {
            Ok(id) => {
                delivery.note_created(create, id);
                if create == Create::Customer {
                    self.remember_customer(delivery).await?;
                }
                Ok(())
            }
            Err(Halt::Kustomer(fault)) => {
                if fault.certain_not_done() {
                    delivery.take_back();
                }
                self.refused(delivery, create, fault).await
            }
            Err(halt) => {
                delivery.take_back();
                Err(halt)
            }
        }
    }

    async fn request(&self, delivery: &Delivery, create: Create) -> Result<String, Halt> {
        let entry = &delivery.entry;
        let client = &self.client;
        Ok(match create {
            Create::Customer => {
                let new = requests::customer(held(entry.create.as_ref(), "new customer")?);
                client.create_customer(&new).await?.id.0
            }
            Create::Conversation => {
                let (customer, new) = (customer_of(delivery)?, requests::conversation(delivery));
                client.create_conversation(&customer, &new).await?.id.0
            }
            Create::Note => {
                let (conversation, new) = (conversation_of(delivery)?, requests::note(delivery));
                client.create_note(&conversation, &new).await?.id
            }
            Create::Message => {
                let new = requests::message(held(entry.message.as_ref(), "message")?);
                let conversation = conversation_of(delivery)?;
                client.create_message(&conversation, &new).await?
            }
        })
    }

    /// The same create as item `number` of a bulk request.
    pub async fn item(
        &self,
        delivery: &mut Delivery,
        create: Create,
        number: usize,
    ) -> Result<Item, Halt> {
        if create == Create::Conversation {
            self.find_extras(delivery).await?;
        }
        let entry = &delivery.entry;
        Ok(match create {
            Create::Customer => {
                let new = requests::customer(held(entry.create.as_ref(), "new customer")?);
                Item::customer(number, &new)
            }
            Create::Conversation => {
                let new = requests::conversation(delivery);
                Item::conversation(number, &customer_of(delivery)?, &new)
            }
            Create::Note => Item::note(
                number,
                &conversation_of(delivery)?,
                &requests::note(delivery),
            ),
            Create::Message => {
                let new = requests::message(held(entry.message.as_ref(), "message")?);
                Item::message(number, &conversation_of(delivery)?, &new)
            }
        })
    }

    /// A refusal may mean that our picture of Kustomer is old; then the picture is mended, else it is the caller's.
    async fn refused(
        &self,
        delivery: &mut Delivery,
        create: Create,
        fault: KustomerFault,
    ) -> Result<(), Halt> {
        match create {
            // Somebody else has the number by now, perhaps our own other call: adopt that customer.
            Create::Customer
                if matches!(
                    fault,
                    KustomerFault::Rejected { .. } | KustomerFault::Conflict { .. }
                ) =>
            {
                match self.look_up(delivery).await? {
                    Match::One { id, .. } => {
                        delivery.note_created(create, id);
                        self.remember_customer(delivery).await?;
                        Ok(())
                    }
                    Match::None | Match::Ambiguous { .. } => Err(fault.into()),
                }
            }
            Create::Conversation
                if matches!(
                    fault,
                    KustomerFault::Rejected {
                        status: 400 | 422,
                        ..
                    }
                ) =>
            {
                let Some(without) = delivery.extras.give_up(&fault) else {
                    return Err(fault.into());
                };
                delivery.note_fault(&format!("created without {without}: {fault}"));
                self.attributes.doubt().await;
                Ok(())
            }
            Create::Conversation if fault == KustomerFault::NotFound && !delivery.fixed => {
                self.look_again(delivery).await
            }
            Create::Conversation if fault == KustomerFault::NotFound => Err(Halt::Dead(
                "the customer configured in `calls.anonymous` doesn't exist".to_owned(),
            )),
            Create::Note if fault == KustomerFault::NotFound && delivery.joins.is_some() => {
                delivery.stand_alone(join::DELETED);
                Ok(())
            }
            Create::Note | Create::Message if fault == KustomerFault::NotFound => Err(Halt::Dead(
                "the conversation was deleted in Kustomer before its note was written".to_owned(),
            )),
            Create::Customer | Create::Conversation | Create::Note | Create::Message => {
                Err(fault.into())
            }
        }
    }

    /// The customer that the directory named was deleted or merged.
    async fn look_again(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let denied = delivery.customer.take();
        let number = number_of(delivery)?;
        self.directory.forget(&self.settings.name, &number).await?;
        match self.look_up(delivery).await? {
            Match::One { id, .. } if Some(&id) == denied.as_ref() => Err(Halt::Dead(
                "Kustomer finds the customer by the number and then denies it exists".to_owned(),
            )),
            Match::One { id, others, .. } => {
                delivery.others = others;
                delivery.customer = Some(id);
                self.remember_customer(delivery).await
            }
            Match::None | Match::Ambiguous { .. } => Ok(()),
        }
    }

    /// Settles an unclear create by looking: found means done, not found means that it never was.
    async fn verify(&self, delivery: &mut Delivery, create: Create) -> Result<(), Halt> {
        let entry = &delivery.entry;
        let found = match create {
            Create::Customer => match self.look_up(delivery).await? {
                Match::One { id, .. } => Some(id),
                Match::None | Match::Ambiguous { .. } => None,
            },
            Create::Conversation => {
                let client = &self.client;
                let found = client.conversation_by_external_id(&entry.external_id);
                let found = found.await?;
                if let Some(customer) = found.as_ref().and_then(|found| found.customer.as_ref()) {
                    delivery.customer.get_or_insert_with(|| customer.0.clone());
                }
                found.map(|found| found.id.0)
            }
            Create::Note => {
                let notes = self.client.notes_of(&conversation_of(delivery)?).await;
                if notes == Err(KustomerFault::NotFound) && delivery.joins.is_some() {
                    delivery.stand_alone(join::DELETED);
                    return Ok(());
                }
                let notes = notes?;
                notes
                    .into_iter()
                    .find(|note| note.external_id.as_ref() == Some(&entry.note_external_id))
                    .map(|note| note.id)
            }
            Create::Message => match &entry.message {
                None => None,
                Some(message) => {
                    self.client
                        .message_by_external_id(&message.external_id)
                        .await?
                }
            },
        };
        match found {
            Some(id) => delivery.note_created(create, id),
            None => self.missing(delivery, create)?,
        }
        if create == Create::Customer {
            self.remember_customer(delivery).await?;
        }
        Ok(())
    }

    /// What isn't found was never done, unless it is an item of a bulk job that may still come to it. A tieline whose
    /// store is lost may have sent such a job with its last breath, or a create to a server that stalls.
    fn missing(&self, delivery: &mut Delivery, create: Create) -> Result<(), Halt> {
        let now = clock::now();
        if let Some(since) = delivery.doubts_since(create) {
            let stalled = self.settings.timeout.saturating_mul(2);
            let land_at = due::after(since, self.settings.bulk_land_time.max(stalled));
            if now < land_at {
                return Err(Halt::Landing(land_at));
            }
        }
        if let Some(bulk) = &mut delivery.bulk {
            // Without a time nobody lived to see the request's end; over it is, or this wouldn't be asked.
            let latest = due::after(now, self.settings.bulk_land_time);
            let land_at = *bulk.land_at.get_or_insert(latest);
            if now < land_at {
                return Err(Halt::Landing(land_at));
            }
        }
        delivery.note_missing(create);
        Ok(())
    }
}

fn customer_of(delivery: &Delivery) -> Result<CustomerId, Halt> {
    Ok(CustomerId(
        held(delivery.customer.as_ref(), "customer")?.clone(),
    ))
}

pub(super) fn conversation_of(delivery: &Delivery) -> Result<ConversationId, Halt> {
    Ok(ConversationId(
        held(delivery.conversation.as_ref(), "conversation")?.clone(),
    ))
}

pub(super) fn held<'a, T>(value: Option<&'a T>, what: &str) -> Result<&'a T, Halt> {
    value.ok_or_else(|| Halt::Dead(format!("the delivery lost its {what}: please report this")))
}
