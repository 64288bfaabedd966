//! From those who are to be looked at to plans, a closed world at a time, so that memory is bounded by the largest one. Counts
//! only; `apply` makes the same plans again and carries them out.

use super::closure::Closure;
use super::guard::Changes;
use super::memory::{Memory, Node};
use super::plan::{Action, Plan, Rules, Step};
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Nodes read together.
const PAGE: usize = 500;

/// Names what a plan would change: what is shown and what is approved are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanId(pub u64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl PlanId {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// Names a write of a link: a write that was refused isn't repeated as long as it is the same.
pub fn hash_of(link: &ContactId, action: &Action) -> u64 {
    let mut hasher = DefaultHasher::new();
    (link, action).hash(&mut hasher);
    hasher.finish()
}

/// Who is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those who changed.
    Dirty,
    /// Everybody, for what is left out and why.
    All,
}

/// What a plan of everything would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub create_contacts: u64,
    pub update_contacts: u64,
    pub remove_contacts: u64,
    pub create_customers: u64,
    pub update_customers: u64,
    /// Only links learn something.
    pub agree: u64,
    pub left_out: u64,
    pub conflicts: u64,
    /// Writes that were refused and wait for a change.
    pub refused: u64,
    /// Those around whom there are too many to look at.
    pub too_many: u64,
}

impl Counts {
    /// Whether something would be written.
    pub const fn writes(&self) -> u64 {
        self.create_contacts
            .saturating_add(self.update_contacts)
            .saturating_add(self.remove_contacts)
            .saturating_add(self.create_customers)
            .saturating_add(self.update_customers)
    }

    const fn count(&mut self, action: &Action) {
        let counter = match action {
            Action::Agree => &mut self.agree,
            Action::CreateContact(_) => &mut self.create_contacts,
            Action::UpdateContact(_) => &mut self.update_contacts,
            Action::RemoveContact => &mut self.remove_contacts,
            Action::CreateCustomer(_) => &mut self.create_customers,
            Action::UpdateCustomer(..) => &mut self.update_customers,
        };
        *counter = counter.saturating_add(1);
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub counts: Counts,
    pub changes: Changes,
    pub id: PlanId,
}

impl Survey {
    fn step(&mut self, step: &Step) {
        self.counts.count(&step.action);
        let before = self.changes;
        self.changes.count(&step.action);
        if self.changes != before {
            // A sum: worlds come in no order that means anything.
            self.id.0 = self.id.0.wrapping_add(hash_of(&step.link, &step.action));
        }
    }
}

/// Plans everything and counts; `see` is shown each world's plan, less the writes that were refused.
///
/// # Errors
/// A fault of the store.
pub fn survey(
    memory: &Memory,
    rules: &Rules,
    now: Timestamp,
    scope: Scope,
    mut see: impl FnMut(&Plan),
) -> Result<Survey, StoreFault> {
    let mut survey = Survey::default();
    let mut seen: HashSet<Node> = HashSet::new();
    let mut after = None;
    loop {
        let nodes = match scope {
            Scope::Dirty => memory.dirty(after.as_ref(), PAGE)?,
            Scope::All => everybody(memory, after.as_ref())?,
        };
        let Some(last) = nodes.last() else {
            return Ok(survey);
        };
        after = Some(last.clone());
        for node in nodes {
            if seen.contains(&node) {
                continue;
            }
            let closure = Closure::around(memory, &node, rules.merge_by_name)?;
            if closure.too_many {
                survey.counts.too_many = survey.counts.too_many.saturating_add(1);
                seen.insert(node);
                continue;
            }
            let mut plan = closure.plan(rules, now);
            seen.extend(closure.nodes);
            let refused = leave_refused(memory, &mut plan)?;
            survey.counts.refused = survey.counts.refused.saturating_add(refused);
            let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            let counts = &mut survey.counts;
            counts.left_out = counts.left_out.saturating_add(number(plan.left_out.len()));
            counts.conflicts = counts
                .conflicts
                .saturating_add(number(plan.conflicts.len()));
            for step in &plan.steps {
                survey.step(step);
            }
            see(&plan);
        }
    }
}

/// Takes the steps of links out whose write was refused; answers how many writes were.
///
/// # Errors
/// A fault of the store.
pub fn leave_refused(memory: &Memory, plan: &mut Plan) -> Result<u64, StoreFault> {
    let mut refused: Vec<ContactId> = Vec::new();
    for step in &plan.steps {
        if let Some(refusal) = memory.refusal(&step.link)?
            && refusal.hash == hash_of(&step.link, &step.action)
        {
            refused.push(step.link.clone());
        }
    }
    plan.steps.retain(|step| !refused.contains(&step.link));
    Ok(u64::try_from(refused.len()).unwrap_or(u64::MAX))
}

/// Customers, then contacts.
fn everybody(memory: &Memory, after: Option<&Node>) -> Result<Vec<Node>, StoreFault> {
    let behind = match after {
        None => None,
        Some(Node::Customer(id)) => Some(id),
        Some(Node::Contact(id)) => return contacts(memory, Some(id)),
    };
    let customers = memory.customers(behind, PAGE)?;
    if customers.is_empty() {
        return contacts(memory, None);
    }
    Ok(customers.into_iter().map(Node::Customer).collect())
}

fn contacts(memory: &Memory, after: Option<&ContactId>) -> Result<Vec<Node>, StoreFault> {
    let rows = memory.contacts(after, PAGE)?;
    Ok(rows.into_iter().map(|(id, _)| Node::Contact(id)).collect())
}
