//! Refuses a plan that would empty a side or change more than the settings allow (docs/contacts.md, "The guard"). Pure.

use super::plan::{Action, Plan};

/// Up to so many links an empty side may be just that: a phone book with two test contacts that were removed.
const LINKS_MIN: usize = 3;

/// What the guard looks at beside the plan: both sides as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub customers: usize,
    pub contacts: usize,
    /// Links with both sides.
    pub linked: usize,
    /// Whether customers were ever created by the export, or that was approved.
    pub exported_before: bool,
}

/// `max_changes`: both must be exceeded, so that a small phone book isn't stopped by its third change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxChanges {
    pub count: usize,
    pub percent: usize,
}

/// Why a plan waits for somebody's word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error(
        "it would make {changes} changes of {linked} linked contacts, more than max_changes allows ({count} and {percent} %)"
    )]
    TooMany {
        changes: usize,
        linked: usize,
        count: usize,
        percent: usize,
    },
    #[error(
        "Kustomer shows no customer at all, though {0} contacts are linked: is the key of the right organisation?"
    )]
    NoCustomers(usize),
    #[error("the phone book is empty, though {0} contacts are linked: was it emptied by mistake?")]
    NoContacts(usize),
    #[error("it would create {0} customers in a Kustomer that has {1} already, for the first time")]
    FirstExport(usize, usize),
}

/// How much of a plan counts, for the whole of it or added up part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Customers that would be created.
    pub created: usize,
    /// All writes but contacts that are created on the phone side.
    pub all: usize,
}

impl Changes {
    pub fn of(plan: &Plan) -> Self {
        let mut changes = Self::default();
        for step in &plan.steps {
            changes.count(&step.action);
        }
        changes
    }

    /// One step more.
    pub const fn count(&mut self, action: &Action) {
        match action {
            Action::CreateContact { .. } | Action::Agree => {}
            Action::CreateCustomer { .. } => {
                self.created = self.created.saturating_add(1);
                self.all = self.all.saturating_add(1);
            }
            Action::UpdateContact { .. }
            | Action::RemoveContact
            | Action::UpdateCustomer { .. } => self.all = self.all.saturating_add(1),
        }
    }
}

/// Whether a plan may be carried out without being asked for.
pub fn guard(changes: Changes, sizes: Sizes, max: MaxChanges) -> Result<(), Stop> {
    if sizes.linked >= LINKS_MIN && sizes.customers == 0 {
        return Err(Stop::NoCustomers(sizes.linked));
    }
    if sizes.linked >= LINKS_MIN && sizes.contacts == 0 {
        return Err(Stop::NoContacts(sizes.linked));
    }
    if changes.created > 0 && sizes.customers > 0 && !sizes.exported_before {
        return Err(Stop::FirstExport(changes.created, sizes.customers));
    }
    let share = sizes.linked.saturating_mul(max.percent) / 100;
    if changes.all > max.count && changes.all > share {
        return Err(Stop::TooMany {
            changes: changes.all,
            linked: sizes.linked,
            count: max.count,
            percent: max.percent,
        });
    }
    Ok(())
}
