//! The export of many contacts: a hundred new customers in one bulk request. What is meant to be created is on disk before it
//! is asked for, as for a single one (`customers`); what the job doesn't call created is looked for and created singly
//! afterwards. Kustomer takes an externalId once, so that an item that comes late all the same is refused.
//! Source: Kustomer: Bulk operations; Customers (unique values).

use super::super::closure::Closure;
use super::super::fetch::{Many, Row, Stamp};
use super::super::link::{Link, LinkState};
use super::super::memory::Batch;
use super::super::plan::{Action, NewCustomer, Step};
use super::super::rounds::leave_refused;
use super::super::world::Customer;
use super::customers::due;
use super::{Halt, Hands, Node};
use crate::clock;
use crate::kustomer::bulk::Told;
use crate::terms::contact::Fields;
use crate::terms::ids::CustomerId;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Fewer new customers are created singly: a request each, where a job takes one to start and some to ask.
pub const WORTH: usize = 20;

/// Those who are to be looked at, read together.
const PAGE: usize = 500;

/// A customer to create, and what its link was before.
struct Due {
    step: Step,
    new: NewCustomer,
    before: Option<Link>,
}

impl Hands {
    /// Creates as many customers as one request takes, of those behind `last` whose plan is that and nothing else; whether to
    /// go on so. The rest, and what doesn't come of it, is for the single way.
    ///
    /// # Errors
    /// What ends the run.
    pub async fn export(&mut self, last: &mut Option<Node>) -> Result<bool, Halt> {
        let due = self.gather(last)?;
        Ok(due.len() >= WORTH && self.create_many(due).await?)
    }

    fn gather(&self, last: &mut Option<Node>) -> Result<Vec<Due>, Halt> {
        let (mut many, mut due, mut met) = (Many::default(), Vec::new(), BTreeSet::new());
        loop {
            let nodes = self.memory.dirty(last.as_ref(), PAGE)?;
            if nodes.is_empty() {
                return Ok(due);
            }
            for node in nodes {
                let found = self.only_a_create(&node)?;
                let found = found.filter(|found| !met.contains(&found.step.link));
                if let Some(found) = found {
                    if !many.push(&found.new) {
                        return Ok(due);
                    }
                    met.insert(found.step.link.clone());
                    due.push(found);
                }
                *last = Some(node);
            }
        }
    }

    /// The new customer that is the whole plan around somebody, and that wasn't asked for before.
    fn only_a_create(&self, node: &Node) -> Result<Option<Due>, Halt> {
        let closure = Closure::around(&self.memory, node, self.rules.merge_by_name)?;
        if closure.too_many {
            return Ok(None);
        }
        let mut plan = closure.plan(&self.rules, clock::now());
        leave_refused(&self.memory, &mut plan)?;
        let [step] = plan.steps.as_slice() else {
            return Ok(None);
        };
        let Action::CreateCustomer(new) = &step.action else {
            return Ok(None);
        };
        let before = self.memory.link(&step.link)?;
        let is_due = |link: &Link| link.state == LinkState::CustomerDue;
        Ok((!before.as_ref().is_some_and(is_due)).then(|| Due {
            step: step.clone(),
            new: (**new).clone(),
            before,
        }))
    }

    /// Whether to go on so.
    async fn create_many(&mut self, due: Vec<Due>) -> Result<bool, Halt> {
        let mut batch = Batch::open(&self.memory)?;
        for one in &due {
            let id = &one.step.link;
            batch.link(id, Some(self::due(id, one.before.as_ref())));
        }
        batch.commit().await?;
        let mut many = Many::default();
        due.iter().all(|one| many.push(&one.new));
        let mut stop = self.stop.clone();
        let told = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Err(Halt::Stop),
            told = self.kustomer.create_many(many) => told,
        };
        match told {
            Ok(told) => self.note_created(due, &told).await,
            Err(fault) => {
                let why = fault.to_string();
                tracing::warn!(why, "no bulk request: customers are created one by one");
                if fault.certain_not_done() {
                    let mut batch = Batch::open(&self.memory)?;
                    for one in due {
                        batch.link(&one.step.link, one.before);
                    }
                    batch.commit().await?;
                }
                Ok(false)
            }
        }
    }

    fn knows(&self, id: &str) -> Result<bool, Halt> {
        let known = self.memory.customer(&CustomerId(id.to_owned()))?;
        Ok(known.is_some())
    }

    async fn note_created(
        &mut self,
        due: Vec<Due>,
        told: &HashMap<usize, Told>,
    ) -> Result<bool, Halt> {
        for (number, one) in due.into_iter().enumerate() {
            match told.get(&number) {
                // One that is known already isn't new, whatever the job says.
                Some(Told::Created(id)) if !self.knows(id)? => {
                    let row = as_sent(CustomerId(id.clone()), &one.new);
                    self.created(&one.step, &row).await?;
                    self.written.kustomer = self.written.kustomer.saturating_add(1);
                }
                // Somebody may have one of its values: the single way finds out who.
                Some(Told::Failed(_)) => {
                    let mut batch = Batch::open(&self.memory)?;
                    batch.mark(Node::Contact(one.step.link.clone()));
                    batch.link(&one.step.link, one.before);
                    batch.commit().await?;
                }
                Some(Told::Created(_)) | None => {}
            }
        }
        Ok(true)
    }
}

/// What Kustomer has as far as we know: what was sent. It counts less than whatever Kustomer says of it.
fn as_sent(id: CustomerId, new: &NewCustomer) -> Row {
    let customer = Customer {
        id,
        external_id: Some(new.external_id.0.clone()),
        fields: Fields {
            company: String::new(),
            ..new.fields.clone()
        },
        invalid: Vec::new(),
        shared_numbers: BTreeSet::new(),
        shared_emails: BTreeSet::new(),
        whatsapps: BTreeSet::new(),
        modified_at: clock::now(),
    };
    Row::Here {
        customer: Box::new(customer),
        stamp: Stamp {
            updated_at: Timestamp::MIN,
            rev: 0,
        },
    }
}
