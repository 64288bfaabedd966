//! Carries plans out, one step at a time: what is meant to be done on disk first, then the write, then what came of it and
//! what the link is now, in one group. A process that dies at any moment finds out what was done when it is started again.
//!
//! Nothing is forced: where somebody was faster, what is there now is read, noted, and planned anew.

mod customers;
mod export;
mod phone;
mod together;

pub use export::WORTH;
pub use phone::halt_of;
pub use together::Group;

use super::closure::Closure;
use super::fetch::{Kustomer, Row};
use super::link::{Link, Part, Single};
use super::memory::{Batch, Memory, Node, Refusal};
use super::plan::{Action, After, Plan, Rules, Step};
use super::rounds::{hash_of, leave_refused, looked_at};
use crate::clock;
use crate::kustomer::fault::{KustomerFault, Next};
use crate::phonebook::Phonebook;
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;

/// Writes in a row whose outcome isn't known: then the other side is ill, and not a single record.
const FAULTS_IN_A_ROW_MAX: u32 = 3;

/// Why a run ends before it is through.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error("the daemon is about to stop")]
    Stop,
    /// It passes by itself.
    #[error("{why}")]
    Later { why: String, after: Duration },
    /// Somebody has to act.
    #[error("{0}")]
    Operator(String),
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// Writes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub phone: u64,
    pub kustomer: u64,
    pub refused: u64,
}

/// What came of a step.
enum Outcome {
    Done,
    /// Something is otherwise than it was planned for: plan anew.
    Anew,
    /// It was refused, and isn't tried again until something of the link changes.
    Refused,
}

/// Who carries out.
pub struct Hands {
    pub memory: Memory,
    pub kustomer: Kustomer,
    pub phone: Phonebook,
    pub rules: Rules,
    pub stop: watch::Receiver<bool>,
    pub written: Written,
    pub faults_in_a_row: u32,
}

impl Hands {
    /// Carries out the plan of one closed world. What isn't done stays to be looked at.
    ///
    /// # Errors
    /// What ends the run.
    pub async fn carry_out(&mut self, closure: &Closure, start: &Node) -> Result<(), Halt> {
        if closure.too_many {
            return self.leave_alone(closure, start).await;
        }
        let mut plan: Plan = closure.plan(&self.rules, clock::now());
        let refused = leave_refused(&self.memory, &mut plan)?;
        let mut left: BTreeSet<ContactId> = BTreeSet::new();
        let mut written: BTreeSet<Node> = BTreeSet::new();
        for step in &plan.steps {
            if *self.stop.borrow() {
                return Err(Halt::Stop);
            }
            if left.contains(&step.link) {
                continue;
            }
            match self.step(step).await? {
                Outcome::Done => written.extend(touched(step)),
                // Others of this world may depend on it.
                Outcome::Anew => return Ok(()),
                Outcome::Refused => {
                    self.written.refused = self.written.refused.saturating_add(1);
                    left.insert(step.link.clone());
                }
            }
        }
        // What was written is looked at once more: the plan for what is there now must be empty.
        let mut batch = Batch::open(&self.memory)?;
        left.extend(refused);
        looked_at(&mut batch, closure.nodes.difference(&written), &plan, &left);
        Ok(batch.commit().await?)
    }

    async fn leave_alone(&self, closure: &Closure, start: &Node) -> Result<(), Halt> {
        let mut batch = Batch::open(&self.memory)?;
        for node in &closure.nodes {
            batch.clean(node.clone());
        }
        let id = match start {
            Node::Customer(id) => ContactId::made_for(id),
            Node::Contact(id) => id.clone(),
        };
        let why = format!(
            "more than {} customers and contacts share its numbers, e-mails or name",
            super::closure::NODES_MAX
        );
        batch.refuse(&id, Some(refusal(0, why)));
        batch.remark(start.clone());
        Ok(batch.commit().await?)
    }

    async fn step(&mut self, step: &Step) -> Result<Outcome, Halt> {
        let outcome = match &step.action {
            Action::Agree => {
                let mut batch = Batch::open(&self.memory)?;
                after(&mut batch, step, None);
                batch.commit().await?;
                return Ok(Outcome::Done);
            }
            Action::CreateContact(wish) => self.create_contact(step, wish).await?,
            Action::UpdateContact(wish) => self.update_contact(step, wish).await?,
            Action::RemoveContact => self.remove_contact(step).await?,
            Action::CreateCustomer(new) => self.create_customer(step, new).await?,
            Action::UpdateCustomer(id, edit) => self.edit_customer(step, id, edit).await?,
        };
        if matches!(outcome, Outcome::Done) {
            self.faults_in_a_row = 0;
            let side = match &step.action {
                Action::CreateCustomer(_) | Action::UpdateCustomer(..) => {
                    &mut self.written.kustomer
                }
                Action::Agree
                | Action::CreateContact(_)
                | Action::UpdateContact(_)
                | Action::RemoveContact => &mut self.written.phone,
            };
            *side = side.saturating_add(1);
        }
        Ok(outcome)
    }

    /// The write is not repeated as it is; `batch` has what was learned on the way.
    async fn refuse(&self, mut batch: Batch, step: &Step, why: String) -> Result<Outcome, Halt> {
        let link = step.link.0.as_str();
        tracing::warn!(link, why, "a write of the contact sync was refused");
        let hash = hash_of(&step.link, &step.action);
        batch.refuse(&step.link, Some(refusal(hash, why)));
        batch.commit().await?;
        Ok(Outcome::Refused)
    }

    /// What a fault of Kustomer means for the run; none: for this write alone.
    pub(super) fn halt_of(&mut self, fault: &KustomerFault) -> Option<Halt> {
        let why = fault.to_string();
        match fault.next() {
            Next::Stop => Some(Halt::Stop),
            Next::Pause => Some(Halt::Operator(why)),
            Next::After(after) => Some(Halt::Later { why, after }),
            Next::Never => None,
            Next::Backoff => {
                self.faults_in_a_row = self.faults_in_a_row.saturating_add(1);
                let ill = fault.unreachable() || self.faults_in_a_row >= FAULTS_IN_A_ROW_MAX;
                ill.then_some(Halt::Later {
                    why,
                    after: Duration::ZERO,
                })
            }
        }
    }
}

fn refusal(hash: u64, why: String) -> Refusal {
    Refusal {
        hash,
        why,
        at: clock::now(),
    }
}

/// Whom a step wrote.
fn touched(step: &Step) -> Vec<Node> {
    let contact = Node::Contact(step.link.clone());
    match &step.action {
        Action::Agree => Vec::new(),
        Action::CreateContact(_) | Action::UpdateContact(_) | Action::RemoveContact => {
            vec![contact]
        }
        Action::CreateCustomer(_) => vec![contact],
        Action::UpdateCustomer(id, _) => vec![Node::Customer(id.clone()), contact],
    }
}

/// What the link is once the step is done; `created` is the customer that it made.
fn after(batch: &mut Batch, step: &Step, created: Option<&Row>) -> Option<Link> {
    match &step.after {
        After::Keep => None,
        After::Forget => {
            batch.link(&step.link, None);
            None
        }
        After::Become(link) => {
            let mut link: Link = (**link).clone();
            if let Some(Row::Here { customer, .. }) = created {
                link.parts.push(Part {
                    seen: Some(Single::of(&customer.fields)),
                    ..Part::of(customer.id.clone())
                });
            }
            batch.link(&step.link, Some(link.clone()));
            Some(link)
        }
    }
}
