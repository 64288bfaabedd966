//! Drains the outbox of one integration into Kustomer: one conversation and one note per call (invariant 3).
//!
//! Each delivery is worked by one task at a time. Before every create its intent is on disk; after any outcome that
//! isn't certain the next step is to look, never to create. Owns no tree; reports every end to `line`.

use super::agents::Agents;
use super::directory::Directory;
use super::entry::{self, LogEntry, Way};
use super::filter::SkipReason;
use super::matching::{self, Candidate, Match};
use super::note;
use super::outbox::{Create, Delivery, DeliveryEnd, Outbox, Step};
use super::requests;
use crate::clock;
use crate::kustomer::client::Client;
use crate::kustomer::conversations::{NewConversation, NewNote, Status};
use crate::kustomer::customers::{Customer, NewCustomer};
use crate::kustomer::fault::KustomerFault;
use crate::settings::types::KustomerSettings;
use crate::store::StoreFault;
use crate::terms::ids::{ConversationId, CustomerId};
use crate::terms::number::E164;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A delivery takes at most eight steps; more means that two of our own rules disagree.
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
}

/// What one integration's deliveries need: shared by its workers.
pub struct Courier {
    pub settings: Arc<KustomerSettings>,
    pub client: Client,
    pub outbox: Outbox,
    pub directory: Directory,
    pub agents: Agents,
    reopens: Reopens,
}

/// Whether Kustomer opens a done conversation when an incoming message is recorded in it: its documentation doesn't
/// say, so the first such message is checked and the answer kept until the daemon stops.
#[derive(Default)]
struct Reopens(AtomicU8);

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
    pub fn new(
        settings: Arc<KustomerSettings>,
        client: Client,
        outbox: Outbox,
        directory: Directory,
        agents: Agents,
    ) -> Self {
        Self {
            settings,
            client,
            outbox,
            directory,
            agents,
            reopens: Reopens::default(),
        }
    }

    /// Moves a delivery on until it ends or something stops it. The progress is on disk whenever this returns `Ok` or a
    /// Kustomer fault; the caller schedules the next try.
    pub async fn deliver(&self, delivery: &mut Delivery) -> Result<DeliveryEnd, Halt> {
        for _ in 0..STEPS_MAX {
            match delivery.next() {
                Step::FindCustomer => {
                    if let Some((reason, why)) = self.find_customer(delivery).await? {
                        let rule = reason.key().to_owned();
                        return Ok(DeliveryEnd::Skipped { rule, why });
                    }
                }
                Step::Create(create) => self.create(delivery, create).await?,
                Step::Verify(create) => self.verify(delivery, create).await?,
                Step::SetStatus => self.set_status(delivery).await?,
                Step::Finish => return Ok(DeliveryEnd::Logged),
            }
        }
        Err(Halt::Dead(format!(
            "no end after {STEPS_MAX} steps: please report this with the call's `explain --json`"
        )))
    }

    /// Directory, then Kustomer, then (if the rules say so) a new customer. `Some` says why nobody is logged to.
    async fn find_customer(
        &self,
        delivery: &mut Delivery,
    ) -> Result<Option<(SkipReason, String)>, Halt> {
        let number = number_of(delivery)?;
        let name = &self.settings.name;
        if let Some(known) = self.directory.find(name, &number, clock::now())? {
            delivery.customer = Some(known);
            return Ok(None);
        }
        match self.look_up(delivery).await? {
            Match::One { id, others, .. } => {
                self.directory
                    .remember(name, &number, &id, clock::now())
                    .await?;
                delivery.others = others;
                delivery.customer = Some(id);
            }
            Match::Ambiguous { customers } => {
                let why = format!(
                    "{} customers have the number and several is \"skip\"",
                    customers.len()
                );
                return Ok(Some((SkipReason::SeveralCustomers, why)));
            }
            Match::None if delivery.entry.create.is_none() => {
                let why = "no customer has the number and unknown is \"skip\"".to_owned();
                return Ok(Some((SkipReason::UnknownCustomer, why)));
            }
            Match::None => self.create(delivery, Create::Customer).await?,
        }
        Ok(None)
    }

    async fn look_up(&self, delivery: &Delivery) -> Result<Match, Halt> {
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

    /// Intent to disk, then the request. A certain failure takes the intent back; an unclear one leaves it.
    async fn create(&self, delivery: &mut Delivery, create: Create) -> Result<(), Halt> {
        delivery.intent = Some(create);
        self.outbox
            .keep(delivery, self.client.requests().used)
            .await?;
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
                    delivery.intent = None;
                }
                self.refused(delivery, create, fault).await
            }
            Err(halt) => {
                delivery.intent = None;
                Err(halt)
            }
        }
    }

    async fn request(&self, delivery: &Delivery, create: Create) -> Result<String, Halt> {
        let entry = &delivery.entry;
        match create {
            Create::Customer => {
                let new = held(entry.create.as_ref(), "new customer")?;
                let new = NewCustomer {
                    name: Some(new.name.clone()),
                    phones: vec![new.phone.clone()],
                    ..NewCustomer::default()
                };
                Ok(self.client.create_customer(&new).await?.id.0)
            }
            Create::Conversation => {
                let new = self.new_conversation(entry).await?;
                let customer = CustomerId(held(delivery.customer.as_ref(), "customer")?.clone());
                Ok(self.client.create_conversation(&customer, &new).await?.id.0)
            }
            Create::Note => {
                let body = with_others(&entry.note, &delivery.others);
                let new = NewNote {
                    external_id: entry.note_external_id.clone(),
                    body,
                };
                Ok(self
                    .client
                    .create_note(&conversation_of(delivery)?, &new)
                    .await?
                    .id)
            }
            Create::Message => {
                let new = requests::message(held(entry.message.as_ref(), "message")?);
                Ok(self
                    .client
                    .create_message(&conversation_of(delivery)?, &new)
                    .await?)
            }
        }
    }

    async fn new_conversation(&self, entry: &LogEntry) -> Result<NewConversation, Halt> {
        let email = entry
            .agent
            .as_ref()
            .and_then(|agent| agent.email.as_deref());
        let assigned_users = self.agents.user_ids(&self.client, email).await?;
        Ok(requests::conversation(entry, assigned_users))
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
            // The customer the directory named was deleted or merged: look again, once per entry that was stale.
            Create::Conversation if fault == KustomerFault::NotFound && !delivery.fixed => {
                let number = number_of(delivery)?;
                if self
                    .directory
                    .find(&self.settings.name, &number, clock::now())?
                    .is_none()
                {
                    return Err(Halt::Dead(
                        "Kustomer finds the customer by the number and then denies it exists"
                            .to_owned(),
                    ));
                }
                self.directory.forget(&self.settings.name, &number).await?;
                delivery.customer = None;
                Ok(())
            }
            Create::Conversation if fault == KustomerFault::NotFound => Err(Halt::Dead(
                "the customer configured in `calls.anonymous` doesn't exist".to_owned(),
            )),
            Create::Note | Create::Message if fault == KustomerFault::NotFound => Err(Halt::Dead(
                "the conversation was deleted in Kustomer before its note was written".to_owned(),
            )),
            Create::Customer | Create::Conversation | Create::Note | Create::Message => {
                Err(fault.into())
            }
        }
    }

    async fn remember_customer(&self, delivery: &Delivery) -> Result<(), Halt> {
        let number = number_of(delivery)?;
        if let Some(customer) = &delivery.customer {
            self.directory
                .remember(&self.settings.name, &number, customer, clock::now())
                .await?;
        }
        Ok(())
    }

    /// Settles an unclear create by looking: found means done, not found means that it never was.
    async fn verify(&self, delivery: &mut Delivery, create: Create) -> Result<(), Halt> {
        let entry = &delivery.entry;
        let found = match create {
            Create::Customer => match self.look_up(delivery).await? {
                Match::One { id, .. } => Some(id),
                Match::None | Match::Ambiguous { .. } => None,
            },
            Create::Conversation => self
                .client
                .conversation_by_external_id(&entry.external_id)
                .await?
                .map(|found| found.id.0),
            Create::Note => {
                let notes = self.client.notes_of(&conversation_of(delivery)?).await?;
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
            None => delivery.intent = None,
        }
        if create == Create::Customer {
            self.remember_customer(delivery).await?;
        }
        Ok(())
    }

    /// The conversation was created with its final status; only a recorded incoming message may have opened it again.
    async fn set_status(&self, delivery: &mut Delivery) -> Result<(), Halt> {
        let entry = &delivery.entry;
        let incoming = entry
            .message
            .as_ref()
            .is_some_and(|message| message.direction == Way::In);
        if entry.status == entry::Status::Done && incoming && self.reopens.known() != Some(false) {
            let conversation = conversation_of(delivery)?;
            let reopened = match self.reopens.known() {
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
        }
        delivery.status_set = true;
        Ok(())
    }
}

fn number_of(delivery: &Delivery) -> Result<E164, Halt> {
    delivery
        .number
        .clone()
        .ok_or_else(|| Halt::Dead("the delivery names neither a number nor a customer".to_owned()))
}

fn conversation_of(delivery: &Delivery) -> Result<ConversationId, Halt> {
    Ok(ConversationId(
        held(delivery.conversation.as_ref(), "conversation")?.clone(),
    ))
}

fn held<'a, T>(value: Option<&'a T>, what: &str) -> Result<&'a T, Halt> {
    value.ok_or_else(|| Halt::Dead(format!("the delivery lost its {what}: please report this")))
}

/// The note names whom else the number belongs to: known only once Kustomer was asked, so added last.
fn with_others(note: &str, others: &[String]) -> String {
    if others.is_empty() {
        return note.to_owned();
    }
    note::clip(
        &format!(
            "{}\nAlso with this number: {}",
            note.trim_end(),
            others.join(", ")
        ),
        note::NOTE_UNITS_MAX,
    )
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
