//! From those who are to be looked at to plans, a closed world at a time, so that memory is bounded by the largest one. Counts
//! only; `apply` makes the same plans again and carries them out.

use super::closure::Closure;
use super::guard::Changes;
use super::memory::{Batch, Memory, Node};
use super::plan::{Action, Plan, Rules, Step, Whose};
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
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

/// Names rules: with others than the last time everybody is looked at again.
pub fn name_of(rules: &Rules) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{rules:?}").hash(&mut hasher);
    // 0 is no name.
    hasher.finish().max(1)
}

/// Who is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those who changed.
    Dirty,
    /// Those, and those of whom something is left out, in conflict or refused.
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
    fn plan(&mut self, plan: &Plan, refused: usize) {
        let add = |counter: &mut u64, count: usize| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            *counter = counter.saturating_add(count);
        };
        add(&mut self.counts.refused, refused);
        add(&mut self.counts.left_out, plan.left_out.len());
        add(&mut self.counts.conflicts, plan.conflicts.len());
        for step in &plan.steps {
            self.step(step);
        }
    }

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

/// Whose worlds are gone through.
#[derive(Clone, Copy)]
enum List {
    Dirty,
    Remarked,
}

impl List {
    fn page(self, memory: &Memory, after: Option<&Node>) -> Result<Vec<Node>, StoreFault> {
        match self {
            Self::Dirty => memory.dirty(after, PAGE),
            Self::Remarked => memory.remarked(after, PAGE),
        }
    }

    /// Whether a world has its turn with `node`: with the first of it that is listed, and never twice.
    fn is_turn(self, memory: &Memory, closure: &Closure, node: &Node) -> Result<bool, StoreFault> {
        for other in &closure.nodes {
            let earlier = match self {
                Self::Dirty => other < node && memory.is_dirty(other)?,
                Self::Remarked => {
                    memory.is_dirty(other)? || (other < node && memory.is_remarked(other)?)
                }
            };
            if earlier {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Plans and counts; `see` is shown each world's plan, less the writes that were refused.
///
/// Whoever was looked at and hasn't changed since needs nothing: of everybody only those are planned who have changed, and
/// those of whom there was something to tell.
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
    let lists = match scope {
        Scope::Dirty => &[List::Dirty][..],
        Scope::All => &[List::Dirty, List::Remarked],
    };
    for list in lists {
        let mut count = |closure: &Closure| {
            if closure.too_many {
                survey.counts.too_many = survey.counts.too_many.saturating_add(1);
                return Ok(());
            }
            let mut plan = closure.plan(rules, now);
            let refused = leave_refused(memory, &mut plan)?.len();
            survey.plan(&plan, refused);
            see(&plan);
            Ok(())
        };
        worlds(memory, rules.merge_by_name, *list, &mut count)?;
    }
    Ok(survey)
}

/// Shows each world of a list once.
fn worlds(
    memory: &Memory,
    by_name: bool,
    list: List,
    show: &mut impl FnMut(&Closure) -> Result<(), StoreFault>,
) -> Result<(), StoreFault> {
    // Of worlds that had their turn, those who would be next: with all of them memory would grow with the list.
    let mut passed: BTreeSet<Node> = BTreeSet::new();
    let mut after = None;
    loop {
        let nodes = list.page(memory, after.as_ref())?;
        let Some(last) = nodes.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for node in nodes {
            if passed.remove(&node) {
                continue;
            }
            let closure = Closure::around(memory, &node, by_name)?;
            if list.is_turn(memory, &closure, &node)? {
                show(&closure)?;
            }
            let next = closure.nodes.into_iter();
            passed.extend(next.filter(|other| *other > node && other.is_like(&node)));
        }
        if let Some(last) = &after {
            passed = passed.split_off(last);
        }
    }
}

/// Takes the steps of links out whose write was refused; answers those links.
///
/// # Errors
/// A fault of the store.
pub fn leave_refused(memory: &Memory, plan: &mut Plan) -> Result<BTreeSet<ContactId>, StoreFault> {
    let mut refused: BTreeSet<ContactId> = BTreeSet::new();
    for step in &plan.steps {
        if let Some(refusal) = memory.refusal(&step.link)?
            && refusal.hash == hash_of(&step.link, &step.action)
        {
            refused.insert(step.link.clone());
        }
    }
    plan.steps.retain(|step| !refused.contains(&step.link));
    Ok(refused)
}

/// Notes that a world was looked at, and what there is to tell of whom in it: all that [`Scope::All`] needs of it as long as
/// it doesn't change.
pub fn looked_at<'a>(
    batch: &mut Batch,
    nodes: impl IntoIterator<Item = &'a Node>,
    plan: &Plan,
    refused: &BTreeSet<ContactId>,
) {
    nodes.into_iter().for_each(|node| batch.clean(node.clone()));
    for one in &plan.left_out {
        batch.remark(match &one.of {
            Whose::Customer(id) => Node::Customer(id.clone()),
            Whose::Contact(id) => Node::Contact(id.clone()),
        });
    }
    let conflicts = plan.conflicts.iter().map(|conflict| &conflict.link);
    for link in conflicts.chain(refused) {
        batch.remark(Node::Contact(link.clone()));
    }
}

/// Customers, then contacts: those behind `after`, some hundreds.
///
/// # Errors
/// A fault of the store.
pub fn everybody(memory: &Memory, after: Option<&Node>) -> Result<Vec<Node>, StoreFault> {
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
